"""Every tool by name: the built-in ones, those of installed packages, and those of this house.

    built in     the table below
    packages     entry points of the group `anima.tools`; each leads to a tool, or to a module with tools
    this house   $ANIMA_HOME/tools/*.py

Code of packages and of the house is loaded only where it may run: inside the jail. A tool whose name is taken is refused,
whoever comes later; one broken file does not take the others' tools away. Both are told as problems.
"""

import difflib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

from anima.errors import ConfigError
from anima.tools.tool import Tool, declared

GROUP = "anima.tools"

#: Where each built-in tool stands; the order is that of lists.
BUILT_IN: dict[str, str] = {
    "read_file": "anima.tools.files.reading",
    "file_info": "anima.tools.files.reading",
    "write_file": "anima.tools.files.writing",
    "edit_file": "anima.tools.files.editing",
    "copy_lines": "anima.tools.files.lines",
    "apply_patch": "anima.tools.files.patching",
    "list_directory": "anima.tools.files.folders",
    "create_directory": "anima.tools.files.folders",
    "delete_file": "anima.tools.files.moving",
    "move_file": "anima.tools.files.moving",
    "copy_file": "anima.tools.files.moving",
    "glob": "anima.tools.search.names",
    "grep": "anima.tools.search.grep",
    "exec": "anima.tools.shell.run",
    "python": "anima.tools.shell.run",
    "safe_shell": "anima.tools.shell.run",
    "shell_session": "anima.tools.shell.session",
    "background_start": "anima.tools.shell.background",
    "background_list": "anima.tools.shell.background",
    "background_read": "anima.tools.shell.background",
    "background_write": "anima.tools.shell.background",
    "background_stop": "anima.tools.shell.background",
    "web_fetch": "anima.tools.web.fetch",
    "http_request": "anima.tools.web.fetch",
    "web_search": "anima.tools.web.search",
    "think": "anima.tools.own.mind",
    "now": "anima.tools.own.mind",
    "notes": "anima.tools.own.mind",
    "report_issue": "anima.tools.own.issue",
    "ask_person": "anima.tools.own.waiting",
    "sleep_until": "anima.tools.own.waiting",
    "remember": "anima.tools.own.remembering",
    "recall": "anima.tools.own.remembering",
    "view_around": "anima.tools.own.remembering",
    "forget": "anima.tools.own.remembering",
    "pin": "anima.tools.own.remembering",
    "set_goal": "anima.tools.own.remembering",
    "update_goal": "anima.tools.own.remembering",
    "finish_goal": "anima.tools.own.remembering",
    "list_tools": "anima.tools.own.listing",
}


@dataclass(frozen=True, slots=True)
class Registry:
    """The tools there are, and what kept others out."""

    tools: dict[str, Tool] = field(default_factory=dict)
    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def find(self, name: str) -> tuple[Tool, Callable[..., Any]] | None:
        """A tool and its function, or None."""
        return (self.tools[name], self.functions[name]) if name in self.tools else None

    def nearest(self, name: str) -> list[str]:
        """Names that may have been meant, best first."""
        return difflib.get_close_matches(name, self.tools, n=3, cutoff=0.5)

    def add(self, function: Callable[..., Any], origin: str) -> None:
        """Take a declared function in, unless its name is taken."""
        card = declared(function)
        if card is None:
            self.problems.append(f"{origin} is not a tool: it lacks the decorator @tool")
        elif card.name in self.tools:
            self.problems.append(f"{origin} brings a tool '{card.name}', which {self.tools[card.name].function} is already")
        else:
            self.tools[card.name], self.functions[card.name] = card, function


@cache
def built_in() -> Registry:
    """The tools of the house itself; they need no jail to be described."""
    found = Registry()
    for name, module in BUILT_IN.items():
        found.add(getattr(importlib.import_module(module), name), module)
    return found


def find_built_in(name: str) -> tuple[Tool, Callable[..., Any]] | None:
    """A built-in tool and its function, importing no more than its own module; None if there is none of this name."""
    if name not in BUILT_IN:
        return None
    function = getattr(importlib.import_module(BUILT_IN[name]), name)
    card = declared(function)
    assert card is not None, f"{name} in the table of tools lacks its decorator"
    return card, function


def load(extra: Path | None = None) -> Registry:
    """All tools, with those of packages and of the folder `extra`. Runs foreign code: only inside the jail."""
    own = built_in()
    found = Registry(dict(own.tools), dict(own.functions), list(own.problems))
    sources: list[tuple[str, Callable[[], object]]] = [
        (f"the package behind {point.value}", point.load)
        for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda each: (each.name, each.value))
    ]
    sources += [(str(path), partial(_module_at, path)) for path in (sorted(extra.glob("*.py")) if extra else ())]
    for origin, bring in sources:
        for function in _attempt(bring, origin, found.problems):
            found.add(function, origin)
    return found


def _attempt(bring: Callable[[], object], origin: str, problems: list[str]) -> list[Callable[..., Any]]:
    try:
        return _tools_of(bring(), origin)
    except ConfigError as error:
        problems.append(str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code; whatever it does costs its own tools, not ours
        problems.append(f"{origin} cannot be loaded: {type(error).__name__}: {error}; its tools are missing")
    return []


def _tools_of(found: object, origin: str) -> list[Callable[..., Any]]:
    if not isinstance(found, ModuleType):
        return [found]  # type: ignore[list-item]  # `add` says so if it is none
    tools = [each for each in vars(found).values() if declared(each) and each.__module__ == found.__name__]
    if not tools:
        raise ConfigError(f"{origin} holds no function with the decorator @tool")
    return tools


def _module_at(path: Path) -> ModuleType:
    """The module in a file, read anew if the file changed: a long-lived child sees an edited tool at its next call."""
    stamp = path.stat().st_mtime_ns
    name = f"anima_house_tools_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and getattr(known, "read_at_ns", None) == stamp:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        source = spec.loader.get_data(str(path))  # type: ignore[attr-defined]  # not the cached bytecode: it looks at whole seconds
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - what a house's own tools are for
    except BaseException:
        del sys.modules[name]
        raise
    module.read_at_ns = stamp  # type: ignore[attr-defined]
    return module
