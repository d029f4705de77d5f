"""A house of tiny processes for the tests of the supervisor: no bus, no agent, only ways to live and to die.

A child's `settings` is a script of words, each done in turn: `ready`, `exit:3`, `sleep:0.2`, `print:text`, ... (see `WORDS`).
The plan is `plan.json` in the home: {"specs": [{"name": ..., "settings": ...}], "policy": {...}}.
"""

import contextlib
import json
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

from anima.errors import ConfigError, Unavailable
from anima.paths import Home
from anima.supervisor.boot import Boot
from anima.supervisor.program import Program
from anima.supervisor.prologue import live_by_exec
from anima.supervisor.reexec import read
from anima.supervisor.root import Root
from anima.supervisor.spec import ChildSpec, Plan, Policy

_terms: list[int] = []


def say(boot: Boot, words: str) -> None:
    with contextlib.suppress(BlockingIOError, BrokenPipeError):
        os.write(boot.notify_fd, words.encode())


def stay(boot: Boot, _: str) -> None:
    """Beat until TERM comes or the root is gone."""
    wake_r, wake_w = os.pipe()
    os.set_blocking(wake_w, False)
    signal.set_wakeup_fd(wake_w)
    signal.signal(signal.SIGTERM, lambda number, _: _terms.append(number))
    watch = select.poll()
    watch.register(wake_r, select.POLLIN)
    watch.register(boot.notify_fd, select.POLLIN)
    while not _terms:
        say(boot, "WATCHDOG=1")
        for fd, _ in watch.poll(boot.beat_s * 1000 if boot.beat_s else None):
            if fd == boot.notify_fd and not os.read(fd, 100):
                os._exit(75)


def hang(_boot: Boot, how: str) -> None:
    while how == "busy":
        pass
    time.sleep(1000)


def orphan(_boot: Boot, count: str) -> None:
    """Leave `count` daemons of the classical kind behind: forked twice, in a session of their own."""
    for _ in range(int(count)):
        middle = os.fork()
        if middle == 0:
            os.setsid()
            if os.fork() == 0:
                os.execvp("sleep", ["sleep", "777"])
            os._exit(0)
        os.waitpid(middle, 0)


def brief_orphans(_boot: Boot, count: str) -> None:
    """Leave `count` orphans that end by themselves, all at once."""
    hold_r, hold_w = os.pipe()
    middle = os.fork()
    if middle == 0:
        for _ in range(int(count)):
            if os.fork() == 0:
                os.close(hold_w)
                os.read(hold_r, 1)
                os._exit(0)
        os._exit(0)
    os.waitpid(middle, 0)
    os.close(hold_w)


def child_in_group(_boot: Boot, _: str) -> None:
    """Leave a process in our own group that ignores TERM."""
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.execvp("sleep", ["sleep", "888"])


def descriptors(boot: Boot, _: str) -> None:
    """Print what else is open beside what a child is given."""
    given = {0, 1, 2, boot.notify_fd, boot.output_fd}
    print("open:", sorted({int(fd.name) for fd in list(Path("/proc/self/fd").iterdir())} - given)[:-1], flush=True)


def later(boot: Boot, seconds: str) -> None:
    """Ask for more time, then use it."""
    say(boot, f"EXTEND_TIMEOUT_USEC={int(float(seconds) * 2e6)}")
    time.sleep(float(seconds))


def unavailable(_boot: Boot, text: str) -> None:
    raise Unavailable(text)


def misconfigured(_boot: Boot, text: str) -> None:
    raise ConfigError(text)


def die_once(boot: Boot, _: str) -> None:
    if boot.incarnation == 1:
        os._exit(1)


def live_once(boot: Boot, _: str) -> None:
    """Only the first one ever becomes ready."""
    if boot.incarnation == 1:
        say(boot, "READY=1")
        stay(boot, "")


def die_in(_boot: Boot, environment: str) -> None:
    """Be of no use in the code of this environment."""
    if environment in sys.executable:
        os._exit(1)


def die_if(boot: Boot, file: str) -> None:
    if (Path(boot.home) / file).exists():
        os._exit(1)


def hang_in(_boot: Boot, environment: str) -> None:
    if environment in sys.executable:
        time.sleep(1000)


WORDS = {
    "ready": lambda boot, _: say(boot, "READY=1"),
    "say": say,
    "status": lambda boot, text: say(boot, f"STATUS={text}"),
    "stay": stay,
    "hang": hang,
    "sleep": lambda _, seconds: time.sleep(float(seconds)),
    "exit": lambda _, code: os._exit(int(code)),
    "code": lambda _, code: sys.exit(int(code)),
    "print": lambda _, text: print(text),
    "flood": lambda _, size: os.write(1, b"x" * int(size)),
    "deaf": lambda _boot, _text: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "slow-term": lambda _boot, _text: signal.signal(signal.SIGTERM, lambda *_: time.sleep(0.3)),
    "orphan": orphan,
    "brief-orphans": brief_orphans,
    "child-in-group": child_in_group,
    "descriptors": descriptors,
    "later": later,
    "unavailable": unavailable,
    "misconfigured": misconfigured,
    "die-once": die_once,
    "live-once": live_once,
    "die-in": die_in,
    "die-if": die_if,
    "hang-in": hang_in,
    "bug": lambda _, text: {}[text],
    "abort": lambda _boot, _text: os.abort(),
}


def become(boot: Boot) -> int:
    for word in boot.settings.split(";"):
        verb, _, value = word.strip().partition(":")
        WORDS[verb](boot, value)
    return 0


def load(home: Home) -> Plan:
    path = home.root / "plan.json"
    try:
        told = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"{path}:{getattr(error, 'lineno', 1)}: not JSON; mend it") from error
    if path.with_name("raise").exists():
        raise ZeroDivisionError("a bug in whoever reads the configuration")
    specs = []
    for spec in told["specs"]:
        name = spec["name"]
        fields = {"kind": name.split(":")[0], "parallel": name.startswith("agent:"), **spec}
        fields["preload"] = tuple(fields.get("preload", ()))
        specs.append(ChildSpec(**fields))
    return Plan(tuple(specs), Policy(**told.get("policy", {})), lambda text: text.replace("sk-of-the-house", "***"))


def main() -> int:
    if "--boot-fd" in sys.argv:
        live_by_exec(sys.argv, become)
    home = Home(Path(sys.argv[1]), Path(sys.argv[1]) / "run")
    if "--thread" in sys.argv:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    while "--state-fd" in sys.argv and "--preflight" not in sys.argv and (home.root / "slow").exists():
        time.sleep(0.01)  # between two codes; a test looks what becomes of those who act now
    state_fd = int(sys.argv[sys.argv.index("--state-fd") + 1]) if "--state-fd" in sys.argv else -1
    if "--preflight" in sys.argv:
        return preflight(home, state_fd)
    program = Program(lambda: load(home), become, [sys.executable, __file__], (sys.executable, __file__, sys.argv[1]))
    return Root(home, program, state_fd).run()


def preflight(home: Home, state_fd: int) -> int:
    """As the house's own: what is in `refuse` in the home is wrong with the new code."""
    read(state_fd)
    refuse = home.root / "refuse"
    error = refuse.read_text() if refuse.exists() else ""
    vanishing = home.root / "vanish"
    if vanishing.exists() and sys.executable == vanishing.read_text():
        Path(sys.executable).unlink()
    print(json.dumps({"error": error, "version": "2", "where": str(Path(__file__).parent), "notes": []}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
