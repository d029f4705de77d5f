"""A stand-in for macOS's launchctl: starts what a plist says and ends it again. Keeps one job in $LAUNCHD_STATE."""

import os
import plistlib
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ["LAUNCHD_STATE"])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main(verb: str, *words: str) -> int:
    with (STATE / "calls").open("a") as calls:
        calls.write(" ".join((verb, *words)) + "\n")
    job = STATE / "job"
    if verb == "print":
        return 0 if job.exists() else 113  # as launchctl says "Could not find service"
    if verb == "bootstrap":
        if job.exists():
            return 37  # "Operation already in progress"
        told = plistlib.loads(Path(words[1]).read_bytes())
        with Path(told["StandardErrorPath"]).open("ab") as log:
            started = subprocess.Popen(
                told["ProgramArguments"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=told["WorkingDirectory"],
                start_new_session=True,
                umask=told["Umask"],
            )
        job.write_text(f"{started.pid} {told['ExitTimeOut']}")
    if verb == "bootout":
        pid, patience_s = map(int, job.read_text().split())
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience_s
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        job.unlink()
    return 0


sys.exit(main(*sys.argv[1:]))
