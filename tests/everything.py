"""The whole suite in two processes: the houses of real processes one after the other, and beside them everything else.

    python -m tests.everything            both; the units' report is printed behind the other
    python -m tests.everything ARGS...    one pytest with these arguments

Two suites of whole houses never run at the same time: they share two cores, and their deadlines know only one.
"""

import subprocess
import sys
import tempfile

PYTEST = [sys.executable, "-m", "pytest"]


def main(arguments: list[str]) -> int:
    """Run, and return the worse of the two exit codes."""
    if arguments:
        return subprocess.call([*PYTEST, *arguments])
    with tempfile.TemporaryFile() as report:
        units = subprocess.Popen(
            [*PYTEST, "tests", "--ignore=tests/system", "-p", "no:cacheprovider"], stdout=report, stderr=report
        )
        try:
            houses = subprocess.call([*PYTEST, "tests/system"])
            others = units.wait()
        finally:
            units.kill()
            units.wait()
        report.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(report.read())
        sys.stdout.flush()
    return houses or others


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
