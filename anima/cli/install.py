"""`install` and `uninstall`: the house as a service that starts by itself. All of it, or nothing and the reason."""

import contextlib
import shutil
import sys
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from anima.cli import root
from anima.cli.steps import Steps, run
from anima.cli.terminal import clean, colour, note
from anima.errors import AnimaError, Refused, Unavailable
from anima.paths import Home

if TYPE_CHECKING:
    from anima.cli.launchd import Launchd
    from anima.cli.systemd import Systemd

    Keeper: TypeAlias = Systemd | Launchd

HELLO = "Hello! You were just installed as a service. Who are you?"
ANSWER_S = 120.0
FIRST_AGENT = "anima"

System = Annotated[bool, typer.Option("--system/--user", help="For the machine, from boot on; or for you alone.")]


def install(
    context: typer.Context,
    system: System = False,
    agent: Annotated[
        list[str] | None,
        typer.Option("--agent", "-a", help="Make this agent if there is none; several times.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Have the house started by systemd (launchd on macOS).

    Writes the unit, enables and starts it, waits until the house is up, sends one message and shows the answer. If
    anything of that fails, everything is undone, and it says why. May be repeated, e.g. after an upgrade.

    Example: animactl install --agent arya
    """
    keeper = _keeper(context.obj, system=system)
    home = keeper.home
    if home.root.exists() and not (keeper.user and dry_run):  # to ask that house is to have it reload
        _check_settings(keeper)
    if not keeper.is_active() and root.is_up(home):
        raise Refused(f"the house at {home.root} already runs, started by hand; stop it first: animactl down")
    steps = Steps(dry_run)
    try:
        asked = _set_up(keeper, steps, agent or [])
        steps.do(f'say to {asked}: "{HELLO}"', lambda: print(_answer(keeper, asked)))
    except (AnimaError, OSError, KeyboardInterrupt) as error:
        said = _told(error)
        note("that went wrong; going back")
        left = steps.undo()
        word = f"not undone: {'; '.join(left)}" if left else "everything is as it was before"
        raise Refused(f"anima was not installed: {said}; {word}") from None
    if not dry_run:
        print(f"{colour('installed', 'green')}: the house at {home.root} runs and will start by itself")
        print("\n".join(keeper.hints()))


def uninstall(
    context: typer.Context,
    system: System = False,
    purge: Annotated[bool, typer.Option("--purge", help="Remove the home too: agents, journal, memories. Asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop the service and remove it. The home stays, unless --purge.

    Example: animactl uninstall
    """
    keeper = _keeper(context.obj, system=system)
    home = keeper.home
    there = [path for path in keeper.files() if path.exists()]
    if not there and not (purge and home.root.exists()):
        raise Refused(
            f"anima is not installed as a service of {'the system' if system else 'yours'}; there is nothing to remove"
        )
    if purge and not yes:
        _confirm(home)
    if there:
        keeper.stop()
        keeper.disable()
        for path in there:
            path.unlink()
            print(f"removed {path}")
            if path.parent.name == "anima.service.d" and not any(path.parent.iterdir()):  # the other folders are not ours
                path.parent.rmdir()
        keeper.reread()
    if not purge:
        print(f"the home {home.root} stays as it is; `animactl uninstall --purge` removes it")
        return
    if root.is_up(home):
        raise Refused(
            f"the house at {home.root} runs, started by hand: it was not removed; run `animactl down`, then this again"
        )
    shutil.rmtree(home.root, ignore_errors=False)
    keeper.remove_user()
    print(f"removed {home.root}, and everything in it")


def _keeper(home: Home, *, system: bool) -> "Keeper":
    """Who keeps services here. Raises Refused if nobody does, or if the service that is there leads another house."""
    if sys.platform == "darwin":
        from anima.cli.launchd import Launchd

        keeper: Keeper = Launchd(home, system=system)
    else:
        from anima.cli.systemd import Systemd, system_home

        keeper = Systemd(system_home(home) if system else home, system=system)
    keeper.check()
    if (other := keeper.installed_home()) not in ("", str(keeper.home.root)):
        raise Refused(f"the installed service leads the house at {other}, not {keeper.home.root}; say --home '{other}'")
    return keeper


def _check_settings(keeper: "Keeper") -> None:
    """Raise ConfigError if they are wrong, before anything is touched.

    A house of another user knows best, with that user's keys; one that does not run has nothing to lose by a start that fails.
    """
    if keeper.user:
        with contextlib.suppress(Unavailable, Refused):
            root.request(keeper.home, "reload", timeout_s=30.0)
        return
    from anima.config.load import load_house

    load_house(keeper.home)


def _set_up(keeper: "Keeper", steps: Steps, agents: list[str]) -> str:
    """Everything up to a house that runs; the name of an agent to talk to."""
    home, was_active, was_enabled = keeper.home, keeper.is_active(), keeper.is_enabled()
    if was_active:
        steps.promise(keeper.start, "it runs as before")
    if not home.root.exists() and not keeper.user:
        steps.do(f"make {home.root}", lambda: _make(home), lambda: shutil.rmtree(home.root), f"{home.root} is gone")
    keeper.prepare(steps)
    known = _names(home)
    for name in agents or ([] if known else [FIRST_AGENT]):
        if name not in known:
            _create(keeper, steps, name)
    steps.promise(keeper.reread, "")
    for path, text in keeper.files().items():
        steps.write(path, text)
    steps.do("let the service manager read it", keeper.reread)
    steps.do("have it start by itself", keeper.enable, None if was_enabled else keeper.disable, "it does not start by itself")
    steps.do("start it, and wait until the house is up", keeper.start, None if was_active else keeper.stop, "it is stopped")
    return (agents or known or [FIRST_AGENT])[0]


def _told(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)


def _make(home: Home) -> None:
    home.root.mkdir(mode=0o700, parents=True)


def _names(home: Home) -> list[str]:
    from anima.config.load import agent_names

    return list(agent_names(home)) if home.root.exists() else []


def _create(keeper: "Keeper", steps: Steps, name: str) -> None:
    folder = keeper.home.agent(name)
    steps.do(
        f"make the agent {name}",
        lambda: _animactl(keeper, "create", name),
        lambda: shutil.rmtree(folder, ignore_errors=True),
        f"there is no agent {name}",
    )


def _answer(keeper: "Keeper", name: str) -> str:
    return clean(_animactl(keeper, "ask", name, HELLO, "--timeout", str(ANSWER_S), timeout_s=ANSWER_S + 10))


def _animactl(keeper: "Keeper", *words: str, timeout_s: float = 60.0) -> str:
    """Run this very program for the house, as whom it belongs to."""
    me = (sys.executable, "-P", "-c", "from anima.cli.main import main; main()", "--home", str(keeper.home.root))
    return run(*me, *words, timeout_s=timeout_s, user=keeper.user)


def _confirm(home: Home) -> None:
    if not sys.stdin.isatty():
        raise Refused(f"--purge removes {home.root} for good; say --yes if you mean it (nothing was done)")
    note(f"This removes {home.root}: every agent, every conversation, every memory. There is no way back.")
    if input("Write yes to go on: ").strip() != "yes":
        raise Refused("nothing was done")
