"""The whole suite in two processes: the houses of real processes one after the other, and beside them everything else.

    python -m tests.everything            both; the second one's report is printed behind the first one's
    python -m tests.everything ARGS...    one pytest with these arguments

Beside the houses run the units, and then those houses whose tests wait for what happens and not for when: in machines of
their own, and as archives. All others never run two at a time: they share two cores, and their deadlines know only one.
"""

import subprocess
import sys
import tempfile

PYTEST = [sys.executable, "-m", "pytest"]
UNITS = ["tests", "--ignore=tests/system"]
PATIENT = [f"tests/system/test_{name}.py" for name in ("backup", "journald", "launchd", "moving", "systemd")]
_BOTH = "import subprocess, sys; sys.exit(max(subprocess.call(each.split('\\n')) for each in sys.argv[1:]))"


def main(arguments: list[str]) -> int:
    """Run, and return the worse of the two exit codes."""
    if arguments:
        return subprocess.call([*PYTEST, *arguments])
    quiet = ["-p", "no:cacheprovider"]
    beside = ["\n".join([*PYTEST, *quiet, *chosen]) for chosen in (UNITS, PATIENT)]
    with tempfile.TemporaryFile() as report:
        others = subprocess.Popen([sys.executable, "-c", _BOTH, *beside], stdout=report, stderr=report)
        try:
            left_out = [f"--ignore={path}" for path in PATIENT]
            houses = subprocess.call([*PYTEST, "--durations=15", "tests/system", *left_out])
            code = others.wait()
        finally:
            others.kill()
            others.wait()
        report.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(report.read())
        sys.stdout.flush()
    return houses or code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
