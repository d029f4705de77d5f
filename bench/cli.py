"""How long a command takes from Enter to prompt, beside a bare typer program and the commands of other process keepers.

All keep the same number of processes; the commands take turns, so that a busy moment of the machine hits all alike.

    python bench/cli.py [PROCESSES [ROUNDS]]
"""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tables import NOT_INSTALLED, show, spread

REPO = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
REACH_MS = 170.0

BARE = """\
import typer
app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
@app.command()
def status(name: str = "x"):
    print(name)
@app.command()
def other():
    pass
app()
"""


@contextlib.contextmanager
def house(folder: Path, count: int) -> Iterator[list[tuple[str, list[str], dict[str, str]]]]:
    """A running house of `count` agents, and the commands to be timed on it."""
    environ = {**os.environ, "ANIMA_HOME": str(folder / "home"), "PYTHONPATH": str(REPO)}
    environ.pop("XDG_RUNTIME_DIR", None)
    program = [sys.executable, "-c", "from anima.cli.main import main; main()"]
    for number in range(count):
        agent = folder / "home" / "agents" / f"a{number:03}"
        agent.mkdir(parents=True)
        (agent / "agent.toml").write_text('model = "reflex"\n')
        (agent / "persona.md").write_text("You are measured.\n")
    subprocess.run(
        [*program, "up", "--detach"], env=environ, check=True, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        yield [
            ("animactl --help", [*program, "--help"], environ),
            ("animactl list", [*program, "list"], environ),
            ("animactl status", [*program, "status"], environ),
            ("animactl send", [*program, "send", "a000", "hello"], environ),
            ("animactl ask, answered", [*program, "ask", "a000", "hello", "--session", "asked"], environ),
        ]
    finally:
        subprocess.run([*program, "down"], env=environ, check=False, cwd=REPO, **QUIET)


@contextlib.contextmanager
def supervisord(folder: Path, count: int) -> Iterator[list[tuple[str, list[str], dict[str, str]]]]:
    """supervisord with a Unix socket."""
    if not (BIN / "supervisord").exists():
        yield [("supervisorctl status", [], {})]
        return
    config = folder / "supervisord.conf"
    config.write_text(
        f"[supervisord]\nlogfile={folder}/log\npidfile={folder}/pid\n[unix_http_server]\nfile={folder}/s\n"
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        f"[supervisorctl]\nserverurl=unix://{folder}/s\n"
        f"[program:p]\ncommand=sleep 1000\nprocess_name=%(process_num)03d\nnumprocs={count}\n",
    )
    with kept([str(BIN / "supervisord"), "-n", "-c", str(config)], folder):
        yield [("supervisorctl status", [str(BIN / "supervisorctl"), "-c", str(config), "status"], dict(os.environ))]


@contextlib.contextmanager
def circus(folder: Path, count: int) -> Iterator[list[tuple[str, list[str], dict[str, str]]]]:
    """circusd with one watcher per process, as one would have one per agent."""
    if not (BIN / "circusd").exists():
        yield [("circusctl status", [], {})]
        return
    watchers = "".join(f"[watcher:w{number:03}]\ncmd = sleep 1000\n" for number in range(count))
    config = folder / "circus.ini"
    config.write_text(f"[circus]\nendpoint = ipc://{folder}/e\npubsub_endpoint = ipc://{folder}/p\n{watchers}")
    with kept([str(BIN / "circusd"), str(config)], folder):
        command = [str(BIN / "circusctl"), "--endpoint", f"ipc://{folder}/e", "status"]
        yield [("circusctl status", command, dict(os.environ))]


@contextlib.contextmanager
def pm2(folder: Path, count: int) -> Iterator[list[tuple[str, list[str], dict[str, str]]]]:
    """pm2's own daemon."""
    program = shutil.which("pm2")
    if not program:
        yield [("pm2 list", [], {})]
        return
    environ = {**os.environ, "PM2_HOME": str(folder / "pm2"), "HOME": str(folder)}
    apps = ",".join(
        f'{{"name":"p{number}","script":"/bin/sleep","args":"1000","interpreter":"none"}}' for number in range(count)
    )
    (folder / "apps.config.json").write_text(f'{{"apps":[{apps}]}}')
    subprocess.run([program, "start", str(folder / "apps.config.json")], env=environ, check=True, **QUIET)
    try:
        yield [("pm2 list", [program, "list"], environ)]
    finally:
        subprocess.run([program, "kill"], env=environ, check=False, **QUIET)


@contextlib.contextmanager
def kept(command: list[str], folder: Path) -> Iterator[None]:
    """A keeper in the foreground of a process of ours, told to stop at the end."""
    process = subprocess.Popen(command, cwd=folder, start_new_session=True, **QUIET)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def timed(command: list[str], environ: dict[str, str]) -> float:
    """Seconds from fork to exit. A command that fails is not worth timing."""
    begun = time.perf_counter()
    subprocess.run(command, env=environ, check=True, cwd=REPO, **QUIET)
    return time.perf_counter() - begun


def until_works(command: list[str], environ: dict[str, str]) -> None:
    """Let a keeper come up, and every byte code file be written, before the clock runs."""
    deadline = time.monotonic() + 30
    while subprocess.run(command, env=environ, check=False, cwd=REPO, **QUIET).returncode:
        if time.monotonic() > deadline:
            sys.exit(f"{' '.join(command)} does not work")
        time.sleep(0.1)


def main(count: int, rounds: int) -> None:
    """Start all keepers, time all commands in turns, print the table."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anima-bench-")))
        (folder / "bare.py").write_text(BARE)
        commands = [
            ("python -c pass", [sys.executable, "-c", "pass"], dict(os.environ)),
            ("bare typer program", [sys.executable, str(folder / "bare.py"), "status"], dict(os.environ)),
        ]
        for keeper in (house, supervisord, circus, pm2):
            place = folder / keeper.__name__
            place.mkdir()
            commands += stack.enter_context(keeper(place, count))
        there = [each for each in commands if each[1]]
        for _, command, environ in there:
            until_works(command, environ)
        times: dict[str, list[float]] = {name: [] for name, _, _ in there}
        for _ in range(rounds):
            for name, command, environ in there:
                times[name].append(timed(command, environ))
    bare = statistics.median(times["bare typer program"])
    rows = []
    for name, _, _ in commands:
        if name not in times:
            rows.append([name, NOT_INSTALLED, "", ""])
            continue
        over = (statistics.median(times[name]) - bare) * 1e3
        reach = f"<= {REACH_MS:g}" if name in {"animactl status", "animactl send"} else ""
        rows.append([name, spread(times[name], 1e3), f"{over:+.0f}", reach])
    title = f"Commands, {count} processes each, {rounds} rounds in turns; milliseconds, median [tenths]"
    show(title, ["command", "ms", "over bare typer", "reach"], rows)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(given[0] if given else 50, given[1] if len(given) > 1 else 21)
