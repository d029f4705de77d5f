"""`python -m daemons --home DIR`: the supervisor in the foreground, as systemd, launchd and `animactl up` start it."""

import argparse
import os
import sys

from anima.errors import AnimaError
from anima.paths import find_home
from anima.supervisor import kernel
from anima.supervisor.reexec import PREFLIGHT_OPTION, STATE_OPTION
from daemons.supervisor import main


def run() -> int:
    """Parse the one option there is and live; the exit code is one of anima.errors.Exit."""
    parser = argparse.ArgumentParser(prog="animad", description="Run the house in the foreground.")
    parser.add_argument("--home", help="the house (default: $ANIMA_HOME, else ~/.anima)")
    parser.add_argument(STATE_OPTION, dest="state_fd", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument(PREFLIGHT_OPTION, dest="preflight", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    try:
        home = find_home(os.environ, told.home)
        if told.preflight:
            kernel.die_with_parent()  # without a root nobody wants to know
            kernel.hide_memory()  # it reads every key, as the root does
            from daemons.preflight import main as preflight

            return int(preflight(home, told.state_fd))
        return int(main(home, told.state_fd))
    except AnimaError as error:
        print(f"animad: {error}", file=sys.stderr)  # noqa: T201 - there may be no log yet
        return int(error.exit)


if __name__ == "__main__":
    sys.exit(run())
