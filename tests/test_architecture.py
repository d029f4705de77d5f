"""The shape of the house, as a test: layers, cycles, what a daemon says of itself, what nobody may do.

Each complaint names the way out. The rules are docs/architecture.md; the numbers are in the shape table there.
"""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("anima/**/*.py"), *ROOT.glob("daemons/*.py")])

LEVELS = {
    0: {"errors", "clock", "limits", "ids", "paths", "journald"},
    1: {"wire"},
    2: {"supervisor"},
    3: {"config", "log", "store"},
    4: {"process", "bus"},
    5: {
        "journal",
        "mneme",
        "thymos",
        "psyche",
        "sandbox",
        "tools",
        "skills",
        "nous",
        "triggers",
        "channels",
        "mcp",
        "cli",
        "purser",
    },
    6: {"agent", "gateway"},
}
LEVEL = {part: level for level, parts in LEVELS.items() for part in parts}
PEERS_APART = 5  # parts of this level may not import each other

#: Imports inside functions: only `become`, optional or heavy dependencies, and the command line, which must start fast.
LATE_IMPORTS = {
    "daemons/supervisor.py": "a root that goes on in other code answers before it imports what its children need: 300 ms",
    "daemons/__main__.py": "the same; and most roots never look whether they could take over another",
    "anima/mneme/embed.py": "onnxruntime costs 0.3 s and 70 MB; it is imported, in a thread, where no other model is chosen",
    "anima/nous/anthropic.py": "the SDK is imported when a model is opened",
    "anima/nous/exchange.py": "httpx costs 200 ms; it is imported when a model is opened",
    "anima/tools/web/wire.py": "httpcore costs 60 ms; a child that does not reach the network must not pay for it",
    "anima/tools/web/page.py": "the HTML libraries cost 150 ms; only a page needs them",
}
LATE_IMPORTS_BELOW = {"anima/cli/": "a command imports what it needs, when it runs: `animactl status` must not pay for `chat`"}

BANNED = {"manager", "handler", "helper", "helpers", "util", "utils", "common", "misc", "base", "impl", "service"}

#: Where `except Exception` may stand: the last place that can say what happened, or where anything may come from outside.
BROAD_EXCEPTS = {
    "anima/mneme/minilm/model.py",
    "anima/sandbox/carry.py",
    "anima/process/run.py",
    "anima/process/aside.py",
    "anima/thymos/subscribers.py",
    "anima/bus/client.py",
    "anima/wire/events.py",
    "anima/wire/frames.py",
    "anima/wire/whispers.py",
    "anima/log/log.py",
    "anima/supervisor/spawn.py",
    "anima/tools/run.py",
    "anima/agent/hooks.py",
    "anima/tools/registry.py",
    "anima/supervisor/prologue.py",
    "anima/supervisor/root.py",
    "anima/sandbox/jail/cell.py",
    "anima/sandbox/jail/child.py",
    "anima/sandbox/jail/zygote.py",
    "daemons/preflight.py",
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part(module: str) -> str:
    """`supervisor` for anima.supervisor.root, `daemons` for daemons.agent, "" for what is not ours or the root package."""
    pieces = module.split(".")
    if pieces[0] == "daemons":
        return "daemons"
    return pieces[1] if pieces[0] == "anima" and len(pieces) > 1 else ""


def own_part(path: Path) -> str:
    pieces = path.relative_to(ROOT).with_suffix("").parts
    return "daemons" if pieces[0] == "daemons" else pieces[1]


def imports(path: Path) -> list[tuple[int, str]]:
    """Every import of the file, hidden ones too, as (line, module)."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, each.name) for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name(path)}:{node.lineno}: write the import out; a relative one hides its layer"
            found += [(node.lineno, f"{node.module}.{each.name}") for each in node.names]
    return found


def test_every_part_of_anima_has_a_level() -> None:
    parts = {path.stem if path.is_file() else path.name for path in (ROOT / "anima").iterdir() if path.name[0] != "_"}
    parts -= {"py.typed"} | {part for part in parts if part.endswith("py.typed")}
    assert parts - {"py"} <= set(LEVEL), f"give {parts - set(LEVEL)} a level in architecture.md and here"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_one_way(path: Path) -> None:
    mine = own_part(path)
    level = 7 if mine == "daemons" else LEVEL.get(mine, 0)
    for line, module in imports(path):
        other = part(module)
        if not other or other == mine or other.startswith("__"):
            continue
        theirs = 7 if other == "daemons" else LEVEL.get(other)
        where = f"{name(path)}:{line}: {mine}"
        assert theirs is not None, f"{where} imports {module}, which has no level"
        assert theirs < 7, f"{where} may not name daemons: pass in what it needs"
        assert theirs <= level, f"{where} may not import {other}: it is above it; move what both need to wire/ or lower"
        assert not (theirs == level == PEERS_APART), f"{where} and {other} may not see each other: share a type in wire/"


def test_no_import_cycles_hidden_ones_included() -> None:
    ours = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}

    def reached(path: Path) -> set[str]:
        found = set()
        for _, imported in imports(path):
            module = imported
            while module and module not in ours:
                module = module.rpartition(".")[0]
            if module not in ("", "anima"):
                found.add(module)
        return found

    edges = {module: reached(path) - {module} for module, path in ours.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"import cycle: {' -> '.join((*trail[trail.index(module) :], module))}"
        if module not in done:
            for other in sorted(edges[module]):
                visit(other, (*trail, module))
            done.add(module)

    for module in sorted(edges):
        visit(module, ())


def test_the_supervisor_library_is_standard_library_only() -> None:
    for path in ROOT.glob("anima/supervisor/*.py"):
        for line, module in imports(path):
            top = module.split(".")[0]
            assert top == "anima" or top in sys.stdlib_module_names, (
                f"{name(path)}:{line}: {top} is not in the standard library"
            )
            assert top not in {"asyncio", "threading", "concurrent", "multiprocessing"}, (
                f"{name(path)}:{line}: the root starts no thread and no event loop"
            )


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree(path)), f"{name(path)}: begin with a docstring that says what this is"


def daemon_files() -> list[Path]:
    return [path for path in ROOT.glob("daemons/*.py") if path.stem not in ("__init__", "__main__", "child", "plan")]


@pytest.mark.parametrize("path", daemon_files(), ids=name)
def test_a_daemon_says_what_it_owns_and_how_it_lives(path: Path) -> None:
    text = ast.get_docstring(tree(path)) or ""
    for word in ("Owns:", "Life:"):
        assert word in text, f"{name(path)}: its docstring lacks '{word}'"
    assert path.read_text().count("\n") <= 150, f"{name(path)}: a daemon's life fits 150 lines; move the how to anima/"
    assert not [node for node in tree(path).body if isinstance(node, ast.ClassDef)], f"{name(path)}: no class in a daemon"
    assert "main" in [getattr(node, "name", "") for node in tree(path).body], f"{name(path)}: its life is called main"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_error_is_swallowed(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        sort = ast.unparse(node.type) if node.type else "BaseException"
        broad = sort in ("Exception", "BaseException")
        silent = all(isinstance(each, ast.Pass) for each in node.body)
        assert not (broad and silent), f"{name(path)}:{node.lineno}: an error vanishes here; say or count it"
        if broad:
            assert name(path) in BROAD_EXCEPTS, (
                f"{name(path)}:{node.lineno}: catch what you can name, or list the file in BROAD_EXCEPTS"
            )


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_inside_functions_are_listed_with_their_reason(path: Path) -> None:
    allowed = name(path) in LATE_IMPORTS or any(name(path).startswith(folder) for folder in LATE_IMPORTS_BELOW)
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            late = [each.lineno for each in ast.walk(node) if isinstance(each, (ast.Import, ast.ImportFrom))]
            assert allowed or not late, f"{name(path)}:{late}: import at the top, or list the file with its reason"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_sizes_stay_readable(path: Path) -> None:
    lines = path.read_text().count("\n")
    assert lines <= 400, f"{name(path)}: {lines} lines; do two ideas live here together?"
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 70, f"{name(path)}:{node.lineno}: {node.name} has {length} lines; a screen ends at 70"
            given = [
                a for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")
            ]
            limit = 12 if name(path).startswith("anima/cli/") else 6  # a command's parameters are its options
            assert len(given) <= limit, (
                f"{name(path)}:{node.lineno}: {node.name} has {len(given)} parameters; some are one thing"
            )


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_name_is_a_drawer(path: Path) -> None:
    assert not {path.stem, *path.relative_to(ROOT).parts} & BANNED, f"{name(path)}: say what it knows or does"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef):
            words = {word.lower() for word in _words(node.name)}
            assert not words & BANNED, (
                f"{name(path)}:{node.lineno}: {node.name} is a place, not a thing; say what it knows or does"
            )


def _words(camel: str) -> list[str]:
    return "".join(f" {c}" if c.isupper() else c for c in camel.strip("_")).split()


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=name)
def test_an_init_file_holds_a_docstring_and_nothing_else(path: Path) -> None:
    if name(path) in ("anima/__init__.py", "daemons/__init__.py"):
        return  # the version; the tree
    assert len(tree(path).body) == 1, f"{name(path)}: importing one name must not import the whole part"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_wall_clock_and_monotonic_clock_are_not_mixed_up(path: Path) -> None:
    """`time.time()` is for records; a deadline by it dies with the next leap of the clock."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Compare):
            assert "time.time()" not in ast.unparse(node), f"{name(path)}:{node.lineno}: compare monotonic time"


def test_nothing_forks_but_the_supervisor() -> None:
    for path in FILES:
        if name(path).startswith(("anima/supervisor/", "anima/cli/", "daemons/")):
            continue
        if name(path) == "anima/sandbox/jail/cell.py":
            continue  # the first process of a jail: one thread, no socket of the bus, born of a zygote with neither
        assert "os.fork(" not in path.read_text(), f"{name(path)}: only the root forks"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nobody_waits_with_wait_for(path: Path) -> None:
    """In Python 3.11 asyncio.wait_for forgets a cancellation that meets a finished result; asyncio.timeout does not."""
    assert "wait_for(" not in path.read_text(), f"{name(path)}: use `async with asyncio.timeout(...)`"
