"""The crash matrix: kill -9 of agent, sandbox, journal or root at each point of a call. The table is in docs/tools-path.md.

The promise: unsafe calls at most once, everything else effectively once, and doubt is shown, never hidden.
"""

import json
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from tests.system.caller import Caller, gone
from tests.system.conftest import House, eventually, lives

pytestmark = pytest.mark.system

POINTS = ("intent", "approved", "started", "effect", "response")
VICTIMS = ("agent", "sandbox", "journal", "root")
EFFECT = "effects.txt"
PAY = '''
"""A tool of this house that may be tried again: it hands its key on, as one does to a bank."""

from anima.tools.context import Context
from anima.tools.tool import tool


@tool(risk="risky", effect="idempotent", wall_s=30, keywords=("pay",))
def pay(ctx: Context, amount: int) -> str:
    """Pay an amount.

    Args:
        amount: how much
    """
    with (ctx.workdir / "paid.txt").open("a") as file:
        file.write(f"{ctx.call} {amount}\\n")
    return f"paid {amount}"
'''


@dataclass(frozen=True)
class Sort:
    """A call whose effect can be counted."""

    tool: str
    args: dict[str, Any]
    before: str = ""  #: what stands in the workspace's file before


UNSAFE = Sort("exec", {"command": f"echo once >> {EFFECT}"})
CHECKABLE = Sort("edit_file", {"path": EFFECT, "old_text": "0", "new_text": "0+1"}, before="0\n")
IDEMPOTENT = Sort("pay", {"amount": 7})
PURE = Sort("read_file", {"path": EFFECT}, before="it stands here\n")


def arrange(house: House, point: str, victim: str, **sorts: Sort) -> None:
    """A house whose agents each make one call and then say that it is done; somebody dies at the point."""
    approve = "always" if point == "approved" else "never"
    (house.home.root / "tools").mkdir(parents=True)
    (house.home.root / "tools" / "pay.py").write_text(PAY)
    for name, sort in sorts.items():
        play = [{"text": "let me see", "calls": [{"tool": sort.tool, "args": sort.args}]}, {"text": "done"}]
        house.agent(name, *play, policy={"approve": approve})
        workspace = house.home.workspace(name)
        workspace.mkdir(parents=True)
        if sort.before:
            (workspace / EFFECT).write_text(sort.before)
    house.environ["ANIMA_CRASH_AT"] = f"{point}:{victim}"
    house.start()


def live_through(house: House, caller: Caller, point: str, victim: str, agent: str = "arya") -> dict[str, Any]:
    """Say something to the agent, be its person, start the root again if it dies; the data of the call's one response."""
    assert house.supervisor
    house.until_up("sandbox")  # nobody waits for it: on a slow machine the house is up before its hands are
    pids = {name: each["pid"] for name, each in house.processes().items()}
    below = psutil.Process(house.supervisor.pid if victim == "root" else pids["sandbox"]).children(recursive=True)
    turn = caller.say("do it", agent)
    if point == "approved":
        caller.approve(caller.until("approval_asked", lambda each: each.agent == agent).data["intent"], agent)
    process = {"agent": f"agent:{agent}"}.get(victim, victim)
    if victim == "root":
        assert house.supervisor.wait(30) == -9, "the root did not die at the point"
    else:
        house.until_up(process, other_than=pids[process])
        assert psutil.pid_exists(pids["sandbox"]) == (victim != "sandbox")
    if victim in ("root", "sandbox"):
        eventually(lambda: not any(map(lives, below)), f"outlived the {victim}: {below}")
    if victim == "root":
        house.start()
    assert caller.end(turn)["outcome"] == "answered"
    return settled(caller, turn, agent)


def settled(caller: Caller, turn: str, agent: str) -> dict[str, Any]:
    """What holds however it went: every step once. The data of the one response."""
    (call,) = caller.events("tool_call", agent=agent)
    (response,) = caller.events("tool_response", agent=agent)
    assert response.data["intent"] == call.id
    assert len(caller.events("tool_started", agent=agent)) <= 2
    assert len(caller.events("approval_asked", agent=agent)) <= 1, "a person was asked again"
    assert [each.data["turn"] for each in caller.events("turn_ended", agent=agent)] == [turn]
    assert [each.data["text"] for each in caller.events("agent_message", agent=agent)] == ["done"]
    steps = [each.data["step"] for each in caller.events("model_called", agent=agent)]
    assert steps == sorted(set(steps)), "the model was asked again for a step that was stored"
    return dict(response.data)


def written(house: House, name: str = EFFECT, agent: str = "arya") -> str:
    path = house.home.workspace(agent) / name
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("point", POINTS)
def test_an_unsafe_call_takes_place_at_most_once_and_its_doubt_is_shown(
    house: House, caller: Caller, point: str, victim: str
) -> None:
    arrange(house, point, victim, arya=UNSAFE)
    response = live_through(house, caller, point, victim)
    doubtful = victim in ("sandbox", "root") and point in ("started", "effect")
    times = {"started": 0, "effect": 1}[point] if doubtful else 1
    assert written(house) == "once\n" * times
    assert response["outcome"] == ("unknown" if doubtful else "done"), response
    assert response["ok"] == (not doubtful)
    shown = [each["id"] for each in caller.ask("intents", state="in-doubt")["intents"]]
    assert shown == [response["intent"]] * doubtful
    if doubtful:
        assert "may" in response["text"], "the model is told in words that it may have happened"
    gone(f"echo once >> {EFFECT}")


@pytest.mark.parametrize("point", POINTS)
def test_every_other_call_takes_place_effectively_once_when_the_sandbox_dies(house: House, caller: Caller, point: str) -> None:
    arrange(house, point, "sandbox", arya=CHECKABLE, bran=IDEMPOTENT, cersei=PURE)
    responses = {}
    for agent in ("arya", "bran", "cersei"):
        (house.home.run / f"crashed-{point}-sandbox").unlink(missing_ok=True)  # once more, please
        responses[agent] = live_through(house, caller, point, "sandbox", agent)
    assert [(each["outcome"], each["ok"]) for each in responses.values()] == [("done", True)] * 3, responses
    assert written(house) == "0+1\n"
    assert set(written(house, "paid.txt", "bran").splitlines()) == {f"{responses['bran']['intent']} 7"}, "another key"
    assert "it stands here" in responses["cersei"]["text"]
    assert not caller.ask("intents", state="in-doubt")["intents"]


@pytest.mark.parametrize("point", POINTS)
def test_a_checkable_call_takes_place_exactly_once_when_the_root_dies(house: House, caller: Caller, point: str) -> None:
    arrange(house, point, "root", arya=CHECKABLE)
    response = live_through(house, caller, point, "root")
    assert written(house) == "0+1\n"
    assert (response["outcome"], response["ok"]) == ("done", True), response


def test_a_person_settles_a_doubt_and_the_house_remembers(house: House, caller: Caller) -> None:
    arrange(house, "effect", "sandbox", arya=UNSAFE)
    response = live_through(house, caller, "effect", "sandbox")
    intent = response["intent"]
    shown = json.loads(house.ctl("intents", "--state", "in-doubt", "--json").stdout)
    assert [each["id"] for each in shown] == [intent]
    assert "exec" in house.ctl("intents", "--state", "in-doubt").stdout
    done = house.ctl("intents", "resolve", intent[:13], "done")
    assert done.returncode == 0, done.stderr
    eventually(lambda: caller.state(intent) == "resolved", "it is in doubt still")
    killed = house.kill("sandbox")
    house.until_up("sandbox", other_than=killed)
    assert not caller.ask("intents", state="in-doubt")["intents"]
    assert len(caller.of(intent, "tool_response")) == 1
