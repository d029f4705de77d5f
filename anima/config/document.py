"""docs/configuration.md, made from the schema: `python -m anima.config.document > docs/configuration.md`."""

import sys
from typing import Any

from anima.config.check import allowed
from anima.config.option import Option, Value, inner, options
from anima.config.schema import SECTIONS, Agent, Definition

_HEAD = """\
# Settings

Made from `anima/config/schema.py` by `python -m anima.config.document`; a test compares the two.

A house works without any settings: every key has a default. `animactl config show` prints what is in force,
`animactl config check` says everything that is wrong, and `animactl reload` applies changes to a running house. A wrong
file changes nothing: it is refused as a whole, with file, line, key and what is allowed.

Any text may contain `${NAME}`, which stands for an environment variable of the supervisor, and `${credential:NAME}`,
which stands for a secret: `animactl secrets set NAME` keeps one, see [secrets.md](secrets.md). Values of credentials and API
keys are never shown and never logged.
"""

_HOUSE = """
## The house: `$ANIMA_HOME/anima.toml`
"""

_AGENT = """
## An agent: `$ANIMA_HOME/agents/NAME/agent.toml`

Beside it in the same folder: `persona.md` says who the agent is and may not be empty; `soul.md`, if there is one, follows it:
what the agent values, how it speaks; `always.md`, if there is one, holds reminders that are put last, after the conversation.
A change of one of them restarts the agent at the next reload. What else its model sees: [viewport.md](viewport.md).

"""


_MODEL = """
## A model: `$ANIMA_HOME/models/NAME.toml`

A definition that agents share: whoever writes `NAME` where a model is asked for means what stands here; see
docs/models.md. Two sections may follow the keys: `[headers]`, sent with every request and kept as secret as a key, and
`[params]`, fields of every request's body.

"""


def markdown() -> str:
    """The whole page."""
    parts = [_HEAD, _HOUSE]
    for title, section in SECTIONS.items():
        parts.append(f"\n### `[{title}]`\n\n{(section.__doc__ or '').strip()}\n\n{_table(section)}")
    parts += [_AGENT, _table(Agent)]
    for title, section in inner(Agent).items():
        parts.append(f"\n### `[{title}]`\n\n{(section.__doc__ or '').strip()}\n\n{_table(section)}")
    parts += [_MODEL, _table(Definition)]
    return "".join(parts)


def _table(section: Any) -> str:
    rows = ["| key | default | allowed | meaning |", "|---|---|---|---|"]
    rows += [_row(name, default, about) for name, (default, about) in options(section).items()]
    return "\n".join(rows) + "\n"


def _row(name: str, default: Value, about: Option) -> str:
    return f"| `{name}` | `{_shown(default)}` | {allowed(type(default), about)} | {about.doc} |"


def _shown(default: Value) -> str:
    if isinstance(default, tuple):
        return f"[{', '.join(map(_shown, default))}]"
    return f'"{default}"' if isinstance(default, str) else f"{default:g}" if isinstance(default, float) else str(default)


if __name__ == "__main__":
    sys.stdout.write(markdown())
