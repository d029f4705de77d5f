"""`animactl`: the program's commands, what they have in common, and how they fail.

A command exits 0 when it did what was asked, 1 when it could not, 2 when it was called wrongly, 130 on Ctrl-C; `tool call`
and `jobs --kill` exit 3 when policy or a person did not allow it. Why it could not is one line on stderr.
"""

import io
import os
import sys
from typing import Annotated

import typer

from anima import __version__
from anima.cli import (
    agents,
    approvals,
    audit,
    backup,
    budget,
    call,
    chat,
    doctor,
    events,
    house,
    install,
    intents,
    jobs,
    logs,
    memories,
    models,
    moving,
    psyche,
    replay,
    secrets,
    settings,
    status,
    talk,
    thymos,
    tools,
    top,
    upgrade,
    viewport,
)
from anima.cli.groups import Grouped
from anima.cli.owner import act_as_owner, aside
from anima.cli.terminal import complain
from anima.errors import AnimaError
from anima.paths import find_home
from anima.supervisor.kernel import hide_memory

app = typer.Typer(
    name="animactl",
    cls=Grouped,
    help="Run a house of agents: one process per agent, and nothing said is lost.",
    epilog="The house is $ANIMA_HOME, or ~/.anima. Begin with: animactl up --detach; animactl create arya; animactl chat arya",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # importing rich would double the time every command takes
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command, _name in (
    (house.up, "up"),
    (house.down, "down"),
    (status.status, "status"),
    (top.top, "top"),
    (agents.create, "create"),
    (agents.list_agents, "list"),
    (agents.start, "start"),
    (agents.stop, "stop"),
    (agents.restart, "restart"),
    (agents.pause, "pause"),
    (agents.resume, "resume"),
    (agents.reset, "reset"),
    (talk.ask, "ask"),
    (talk.send, "send"),
    (chat.chat, "chat"),
    (agents.clear, "clear"),
    (agents.system, "system"),
    (viewport.viewport, "viewport"),
    (viewport.pin, "pin"),
    (tools.tools, "tools"),
    (approvals.approvals, "approvals"),
    (approvals.approve, "approve"),
    (approvals.deny, "deny"),
    (approvals.answer, "answer"),
    (jobs.jobs, "jobs"),
    (events.events, "events"),
    (logs.logs, "logs"),
    (audit.audit, "audit"),
    (doctor.doctor, "doctor"),
    (models.models, "models"),
    (budget.budget, "budget"),
    (budget.freeze, "freeze"),
    (budget.thaw, "thaw"),
    (replay.replay, "replay"),
    (house.reload, "reload"),
    (install.install, "install"),
    (install.uninstall, "uninstall"),
    (backup.backup, "backup"),
    (backup.restore, "restore"),
    (upgrade.upgrade, "upgrade"),
):
    app.command(_name)(_command)
app.add_typer(settings.app, name="config")
app.add_typer(secrets.app, name="secrets")
app.add_typer(moving.export_app, name="export")
app.add_typer(moving.import_app, name="import")
app.add_typer(call.app, name="tool")
app.add_typer(intents.app, name="intents")
app.add_typer(memories.app, name="memory")
app.add_typer(thymos.app, name="thymos")
app.add_typer(psyche.app, name="psyche")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"anima {__version__}")
        raise typer.Exit


@app.callback()
def _house(
    context: typer.Context,
    *,
    home: Annotated[str, typer.Option("--home", help="The house; instead of $ANIMA_HOME.", show_default=False)] = "",
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)] = False,  # noqa: ARG001
) -> None:
    context.obj = act_as_owner(find_home(os.environ, home or None), context.invoked_subcommand or "")


def main() -> None:
    """Run the command line and exit."""
    hide_memory()  # many commands read the settings, keys and all
    caller = os.geteuid()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 must not end a command
    name = os.path.basename(sys.argv[0])  # noqa: PTH119 - a plain name, no path object for it
    try:
        app(prog_name=name if name in {"animactl", "anima"} else "animactl")
    except AnimaError as error:
        complain(f"{error}{aside(error, caller)}")
        sys.exit(1)
    except BrokenPipeError:
        _leave_quietly()
    except OSError as error:  # a home on a full or read-only disk, a file that is a folder
        complain(f"{error.filename or 'the system'}: {error.strerror or error}{aside(error, caller)}")
        sys.exit(1)


def _leave_quietly() -> None:
    """Whoever read our output has gone (`| head`): no word about it, not even at the interpreter's last flush."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
