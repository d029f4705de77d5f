"""A stand-in for the command `keyring`: values in a file beside it, and a list of what it was asked."""

import sys
from pathlib import Path

#: As the real one: a value comes in by stdin and goes out with a newline; 1 means that there is none.
_PROGRAM = """\
#!{python}
import json, os, pathlib, sys, time
verb, place, name = sys.argv[1:]
folder = pathlib.Path(__file__).parent
(folder / "asked").open("a").write(f"{{verb}} {{name}}\\n")
if (folder / "locked").exists():
    time.sleep(60)
if (folder / "broken").exists():
    sys.exit("Traceback ...\\nkeyring.errors.NoKeyringError: No recommended backend was available.")
path = folder / "values.json"
values = json.loads(path.read_text()) if path.exists() else {{}}
key = f"{{place}}/{{name}}"
if verb == "set":
    values[key] = sys.stdin.read().rstrip("\\r\\n")
elif key not in values:
    sys.exit(1)
elif verb == "get":
    print(values[key])
else:
    del values[key]
path.write_text(json.dumps(values))
"""


def a_keyring(folder: Path) -> None:
    """Put one into `folder`, which belongs on the PATH. A file `locked` beside it makes it wait, `broken` makes it fail."""
    program = folder / "keyring"
    program.write_text(_PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
