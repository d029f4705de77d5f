"""`python -m daemons --home DIR`: the supervisor in the foreground, as systemd, launchd and `animactl up` start it."""

import argparse
import os
import sys

from anima.errors import AnimaError
from anima.paths import find_home
from daemons.supervisor import main


def run() -> int:
    """Parse the one option there is and live; the exit code is one of anima.errors.Exit."""
    parser = argparse.ArgumentParser(prog="animad", description="Run the house in the foreground.")
    parser.add_argument("--home", help="the house (default: $ANIMA_HOME, else ~/.anima)")
    try:
        return int(main(find_home(os.environ, parser.parse_args().home)))
    except AnimaError as error:
        print(f"animad: {error}", file=sys.stderr)  # noqa: T201 - there may be no log yet
        return int(error.exit)


if __name__ == "__main__":
    sys.exit(run())
