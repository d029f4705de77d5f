"""Commands about agents: make them, list them, start, stop and free them, clear a conversation, read a prompt."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anima.cli import root
from anima.cli.names import Name, Names, Session
from anima.cli.table import Column, render
from anima.cli.terminal import NO_TERMINAL_COLUMNS, clean, colour, note, one_line, width
from anima.cli.words import check_session
from anima.errors import ConfigError, Refused, Unavailable
from anima.paths import Home

if TYPE_CHECKING:
    from anima.bus.bus import Bus

READY_TIMEOUT_S = 90.0
_LIST = (Column("NAME"), Column("STATE"), Column("MODEL", leaves=2), Column("DESCRIPTION", flexible=True, leaves=1))


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it shall be called: lower-case letters, digits, - _ .", show_default=False)],
    model: Annotated[str, typer.Option("--model", "-m", help="provider:model; without it the house decides.")] = "",
) -> None:
    """Make a new agent and, if the house is up, start it.

    It is a folder with its settings and its persona, to be edited as you like. In a running house the command returns
    when the agent is up.

    Example: animactl create arya --model anthropic:claude-sonnet-4-5
    """
    from anima.config.create import create_agent

    home: Home = context.obj
    folder = create_agent(home, name, model)
    if not root.is_up(home):
        print(f"created {name} in {folder}; it will start with the house (`animactl up --detach`)")
        return
    try:
        root.request(home, "reload", timeout_s=30.0)
    except ConfigError as error:
        raise Refused(
            f"created {name} in {folder}, but the house cannot take it: {error}; then run `animactl reload`"
        ) from None
    process = root.wait_until(home, f"agent:{name}", {"up", "failed"}, READY_TIMEOUT_S)
    if process["state"] == "failed":
        raise Refused(f"created {name} in {folder}, but it does not start: {process['reason']}")
    print(f"created {name} in {folder}; it is up, try `animactl chat {name}`")


def list_agents(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list instead of a table.")] = False,
    names_only: Annotated[bool, typer.Option("--names", help="Names alone, one per line, for scripts.")] = False,
) -> None:
    """List all agents, also while the house is down.

    Example: animactl list
    """
    from anima.config.load import agent_names, load_agent

    home: Home = context.obj
    if names_only:
        for name in agent_names(home):
            print(name)
        return
    try:
        states = {process["name"]: process["state"] for process in root.processes(home)}
    except Unavailable:
        states = {}
    found: list[dict[str, str]] = []
    for name in agent_names(home):
        try:
            agent = load_agent(home, name)
            told = {"model": agent.model, "description": agent.description, "error": ""}
        except ConfigError as error:
            told = {"model": "", "description": "", "error": str(error)}
        found.append({"name": name, "state": states.get(f"agent:{name}", "down"), **told})
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    elif not found:
        note("there is no agent yet; `animactl create NAME` makes one")
    else:
        rows = [[each["name"], each["state"], each["model"] or "(house)", _about(each)] for each in found]
        print("\n".join(render(_LIST, rows, width())))


def start(context: typer.Context, names: Names) -> None:
    """Start agents that were stopped.

    Example: animactl start arya
    """
    _order(context.obj, "start", names)


def stop(context: typer.Context, names: Names) -> None:
    """Stop agents; messages to them wait until they are started.

    Example: animactl stop 'test-*'
    """
    _order(context.obj, "stop", names)


def restart(context: typer.Context, names: Names) -> None:
    """Stop agents and start them anew; turns are taken up again.

    Example: animactl restart all
    """
    _order(context.obj, "restart", names)


def reset(context: typer.Context, names: Names) -> None:
    """Free agents that were parked after too many failures.

    Example: animactl reset arya
    """
    _order(context.obj, "reset", names)


def pause(context: typer.Context, names: Names) -> None:
    """Freeze agents where they are, without ending anything.

    Example: animactl pause arya
    """
    _order(context.obj, "pause", names)


def resume(context: typer.Context, names: Names) -> None:
    """Let paused agents go on.

    Example: animactl resume arya
    """
    _order(context.obj, "resume", names)


def clear(
    context: typer.Context,
    name: Name,
    session: Session = "main",
) -> None:
    """Begin a conversation with an agent anew.

    The agent no longer sees what was said before; the journal keeps it.

    Example: animactl clear arya --session work
    """
    home: Home = context.obj
    check_session(session)
    root.agent_process(home, name)
    from anima.cli import live
    from anima.wire.events import SessionCleared

    async def store(bus: "Bus") -> None:
        await live.append(bus, SessionCleared(), name, session)

    live.run(home, store)
    print(f"the conversation '{session}' with {name} begins anew")


def system(context: typer.Context, name: Name) -> None:
    """Print the system prompt as the agent's model gets it.

    Example: animactl system arya
    """
    home: Home = context.obj
    process = root.agent_process(home, name)
    from anima.cli import live

    if reason := live.stalled(name, process):
        raise Refused(reason)

    async def ask(bus: "Bus") -> dict[str, str]:
        told: dict[str, str] = await bus.ask(f"agent:{name}", "system")
        return told

    told = live.run(home, ask)
    print(clean(told["system"]).rstrip("\n"))
    if told.get("always"):
        print(f"\n--- put last, after the conversation (always.md) ---\n{clean(told['always']).rstrip()}")
    note(f"model: {told['model']}" + (f" ({told['why']})" if told.get("why") else ""))


def _order(home: Home, do: str, names: list[str]) -> None:
    """Have the supervisor do it, wait until it is done, and say how each agent is then. Raises Refused if one failed."""
    told = root.request(home, do, timeout_s=READY_TIMEOUT_S, names=names, wait=True)
    after = {process["name"]: process for process in root.processes(home)}
    failed = False
    for name in told["did"]:
        process: dict[str, Any] = after.get(name, {"state": "gone", "reason": ""})
        wrong = process["state"] == "failed"
        failed |= wrong
        reason = f": {process['reason']}" if process["reason"] and process["state"] not in {"up", "starting"} else ""
        print(f"{name.removeprefix('agent:')} is {colour(process['state'], 'red' if wrong else 'green')}{reason}")
    if refused := told.get("refused"):
        raise Refused("; ".join(refused))
    if failed:
        raise Refused("not every agent came up; the reason is above, more is in `animactl logs NAME`")


def _about(agent: dict[str, str]) -> str:
    return one_line(agent["error"] or agent["description"], NO_TERMINAL_COLUMNS)
