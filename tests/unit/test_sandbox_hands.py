"""What the hands do with calls: in which order, who is asked, how they end early, what is remembered."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from anima.config.schema import Policy
from anima.errors import BadMessage, Refused
from anima.ids import new_id
from anima.limits import settle_calls
from anima.sandbox.jail.spec import Outcome
from anima.wire.events import (
    AgentAdopted,
    ApprovalGiven,
    IntentResolved,
    InterruptAsked,
    QuestionAnswered,
    ToolCall,
    TurnEnded,
    event,
)
from anima.wire.frames import Query
from tests.unit.sandbox_stage import Life, World, a_world, answered, breathe


@pytest.fixture
def world(tmp_path: Path) -> World:
    return a_world(tmp_path)


@pytest.fixture
async def life(world: World) -> AsyncIterator[Life]:
    found = Life(world)
    yield found
    await found.ends()


async def hang(jails, order):
    """A call that ends when it is interrupted, with its output so far."""
    await jails.interrupted(order)
    return Outcome("interrupted", {"ok": False, "text": "begun so far", "data": {"reason": "interrupted"}})


# -- steps -------------------------------------------------------------------------------------------------------------


async def test_pure_calls_of_a_step_run_beside_each_other(world, life):
    intents = await world.step("pure", "pure")
    for intent in intents:
        await world.response(intent)
    assert [each.partition(" ")[0] for each in world.order] == ["begin", "begin", "end", "end"]


@pytest.mark.parametrize("tools", [("unsafe", "unsafe"), ("pure", "unsafe"), ("unsafe", "pure"), ("pure", "pure", "checkable")])
async def test_a_step_with_an_effect_runs_in_order_of_place_each_after_the_response_of_the_one_before(world, life, tools):
    intents = await world.step(*tools)
    for intent in intents:
        await world.response(intent)
    assert world.order == [f"{word} {intent}" for intent in intents for word in ("begin", "end")]
    kinds = [each.kind for each in world.bus.events if each.kind in ("tool_started", "tool_response")]
    assert kinds == ["tool_started", "tool_response"] * len(tools)


async def test_a_step_goes_on_in_order_after_a_restart_in_its_midst(world):
    world.plays["unsafe"] = hang
    first = Life(world)
    intents = await world.step("unsafe", "checkable")
    await world.until("tool_started", intents[0])
    await first.dies()
    second = Life(world)
    await world.response(intents[1])
    await second.ends()
    assert [world.outcome(each) for each in intents] == ["unknown", "done"]


async def test_one_agents_flood_leaves_room_for_another(world, life):
    calls = [await world.calls("pure", session=str(number)) for number in range(100)]
    other = await world.calls("pure", agent="bran")
    await world.response(other)
    assert sum(bool(world.outcome(each)) for each in calls) < 20, "the other had to wait for the flood"
    for each in calls:
        await world.response(each)
    assert world.running_max <= 3, "two of the narrow lane, and the other agent's"


async def test_a_call_that_is_stored_twice_takes_place_once(world, life):
    said = event(ToolCall("", 0, "c", "unsafe", {}), agent="arya", session="main", source="cli")
    await world.bus.append(said)
    await world.bus.append(said)
    await world.response(said.id)
    await breathe(50)
    assert world.effects[said.id] == 1
    assert len(world.of("tool_started", said.id)) == len(world.of("tool_response", said.id)) == 1


async def test_what_an_agent_did_in_another_house_is_not_done_here(world, life):
    at = len(world.bus.events)
    await world.says(AgentAdopted(2, at + 3))
    there = [await world.calls("unsafe"), await world.calls("pure")]
    await world.response(await world.calls("unsafe"))
    assert not [each for each in there if world.outcome(each) or world.of("tool_started", each)]


# -- the gate ----------------------------------------------------------------------------------------------------------


async def test_what_is_not_allowed_wrong_or_unknown_never_starts(world, life):
    world.policies["arya"] = Policy(tools=("p*", "f*"), approve="always")
    denied = await world.response(await world.calls("unsafe"))
    netless = await world.response(await world.calls("fetch"))
    unknown = await world.response(await world.calls("pur"))
    wrong = await world.response(await world.calls("pure", args={"wrong": 1}))
    assert [each.outcome for each in (denied, netless, unknown, wrong)] == ["denied", "denied", "failed", "failed"]
    assert "tools in [policy]" in denied.text
    assert "network in [policy]" in netless.text
    assert "did you mean pure?" in unknown.text
    assert "it expects" in wrong.text
    assert not world.of("tool_started")
    assert not world.of("approval_asked"), "a person is not asked about a call that cannot be made"


async def test_an_agent_whose_settings_are_wrong_may_do_nothing_and_is_told_why(world, life):
    world.policies["arya"] = Policy(workspace="wrong")
    response = await world.response(await world.calls("pure"))
    assert response.outcome == "denied"
    assert "agent.toml:3" in response.text


async def test_a_risky_call_waits_for_a_person_and_a_safe_one_does_not(world, life):
    world.policies["arya"] = Policy(approve="risky")
    assert (await world.response(await world.calls("pure"))).outcome == "done"
    risky = await world.calls("unsafe")
    (asked,) = await world.until("approval_asked", risky)
    assert asked.data["risk"] == "dangerous"
    assert not world.of("tool_started", risky)
    (row,) = (await life.ask("waiting"))["waiting"]
    assert (row["id"], row["kind"], row["tool"]) == (risky, "approval", "unsafe")
    await world.says(ApprovalGiven(risky, granted=True, reason="but be quick"))
    response = await world.response(risky)
    assert response.outcome == "done"
    assert "but be quick" in response.text
    assert not (await life.ask("waiting"))["waiting"]


async def test_the_first_word_counts_and_a_no_is_told_with_its_reason(world, life):
    world.policies["arya"] = Policy(approve="always")
    risky = await world.calls("unsafe")
    await world.until("approval_asked", risky)
    await world.says(ApprovalGiven(risky, granted=False, reason="not on a Sunday"))
    await world.says(ApprovalGiven(risky, granted=True))
    response = await world.response(risky)
    assert (response.outcome, world.effects[risky]) == ("denied", 0)
    assert "not on a Sunday" in response.text


async def test_always_counts_for_one_tool_of_one_agent_also_in_a_later_life(world):
    world.policies |= {"arya": Policy(approve="always"), "bran": Policy(approve="always")}
    first = Life(world)
    asked = await world.calls("unsafe")
    await world.until("approval_asked", asked)
    await world.says(ApprovalGiven(asked, granted=True, always=True, tool="unsafe"))
    await world.response(asked)
    assert (await world.response(await world.calls("unsafe"))).outcome == "done"
    await first.ends()
    second = Life(world)
    assert (await world.response(await world.calls("unsafe"))).outcome == "done"
    await world.until("approval_asked", await world.calls("pure"))
    await world.until("approval_asked", await world.calls("unsafe", agent="bran"))
    never = await world.calls("idempotent")
    await world.until("approval_asked", never)
    await world.says(ApprovalGiven(never, granted=False, always=True, tool="idempotent"))
    await world.response(never)
    again = await world.response(await world.calls("idempotent"))
    await second.ends()
    assert again.outcome == "denied"
    assert "shall not use idempotent" in again.text


async def test_a_policy_that_became_stricter_while_a_person_thought_counts(world, life):
    world.policies["arya"] = Policy(approve="always")
    asked = await world.calls("unsafe")
    await world.until("approval_asked", asked)
    world.policies["arya"] = Policy(tools=())
    await world.says(ApprovalGiven(asked, granted=True))
    assert (await world.response(asked)).outcome == "denied"


async def test_a_policy_that_became_stricter_while_a_call_waited_for_its_turn_counts(world, life):
    world.plays["pure"] = hang
    first = [await world.calls("pure", session=str(number)) for number in range(2)]
    for each in first:
        await world.until("tool_started", each)
    late = await world.calls("pure")
    await breathe(20)
    assert not world.of("tool_started", late), "both places are taken"
    world.policies["arya"] = Policy(tools=())
    for number in range(2):
        await world.says(InterruptAsked(), session=str(number))
    assert (await world.response(late)).outcome == "denied"


async def test_a_word_that_arrives_while_earlier_ones_are_read_is_not_forgotten(world):
    world.policies["arya"] = Policy(approve="always")
    life = Life(world)
    real = world.bus.read

    async def slow(query, timeout_s=None):
        page = await real(query, timeout_s)
        if query.kinds == ("approval_given",):
            await asyncio.sleep(0.05)
        return page

    world.bus.read = slow  # type: ignore[method-assign]
    first = await world.calls("unsafe")
    await asyncio.sleep(0.02)
    await world.says(ApprovalGiven(first, granted=True, always=True, tool="unsafe"))
    await world.response(first)
    assert (await world.response(await world.calls("unsafe"))).outcome == "done"
    await life.ends()
    assert len(world.of("approval_asked")) <= 1


async def test_an_approval_is_waited_for_over_lives_and_asked_for_once(world):
    world.policies["arya"] = Policy(approve="always")
    first = Life(world)
    asked = await world.calls("unsafe")
    await world.until("approval_asked", asked)
    await first.dies()
    second = Life(world)
    await breathe(50)
    assert [each["id"] for each in (await second.ask("waiting"))["waiting"]] == [asked]
    await second.ends()
    await world.says(ApprovalGiven(asked, granted=True))
    third = Life(world)
    assert (await world.response(asked)).outcome == "done"
    await third.ends()
    assert len(world.of("approval_asked")) == 1


# -- ends that come early ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["by name", "whichever runs", "the turn ended"])
async def test_an_interrupted_call_is_told_with_its_output_so_far_and_the_rest_of_its_step_never_begins(world, life, how):
    world.plays["unsafe"] = hang
    turn = new_id()
    intents = await world.step("unsafe", "unsafe", turn=turn)
    other = await world.calls("unsafe", session="other")
    await world.until("tool_started", intents[0])
    await world.until("tool_started", other)
    await breathe(10)
    end = {"by name": InterruptAsked(turn), "whichever runs": InterruptAsked(), "the turn ended": TurnEnded(turn, 1, "failed")}
    await world.says(end[how])
    first, second = [await world.response(each) for each in intents]
    assert (first.outcome, first.ok, "begun so far" in first.text) == ("interrupted", False, True)
    assert (second.outcome, "nothing was done" in second.text) == ("interrupted", True)
    assert not world.of("tool_started", intents[1])
    assert not world.outcome(other), "another session's call goes on"
    await world.says(InterruptAsked(), session="other")
    await world.response(other)


async def test_what_waits_for_a_person_or_for_its_turn_is_interrupted_too(world, life):
    world.policies["arya"] = Policy(approve="always")
    asked = await world.calls("unsafe")
    question = await world.calls("ask_person", args={"question": "red?"})
    await world.until("approval_asked", asked)
    await world.until("approval_asked", question)
    await world.says(ApprovalGiven(question, granted=True))
    await world.until("question_asked", question)
    await world.says(InterruptAsked())
    assert [(await world.response(each)).outcome for each in (asked, question)] == ["interrupted"] * 2
    assert not world.effects


async def test_a_call_that_ends_by_itself_as_it_is_interrupted_is_done(world, life):
    async def finish(jails, order):
        await jails.interrupted(order)
        jails.acts(order.id)
        return Outcome("interrupted", {"ok": True, "text": "just in time", "data": {}})

    world.plays["unsafe"] = finish
    intent = await world.calls("unsafe")
    await world.until("tool_started", intent)
    await breathe(10)
    await world.says(InterruptAsked())
    assert (await world.response(intent)).outcome == "done"


async def test_a_stop_tells_unsafe_calls_as_interrupted_and_leaves_the_others_to_the_next_life(world):
    world.plays |= {"unsafe": hang, "pure": hang}
    first = Life(world)
    unsafe, pure = await world.calls("unsafe"), await world.calls("pure", session="other")
    await world.until("tool_started", unsafe)
    await world.until("tool_started", pure)
    await breathe(10)
    await first.ends()
    assert (world.outcome(unsafe), world.outcome(pure)) == ("interrupted", "")
    del world.plays["pure"]
    second = Life(world)
    assert (await world.response(pure)).outcome == "done"
    await second.ends()


# -- what goes wrong ---------------------------------------------------------------------------------------------------


async def test_a_jail_that_is_lost_while_the_sandbox_lives_counts_as_a_death(world, life):
    async def lose(jails, order):
        if len([each for each in jails.orders if each.id == order.id]) == 1:
            jails.acts(order.id)
            return Outcome("killed", reason="the zygote died")
        jails.acts(order.id)
        return answered(True, "at last")

    world.plays = dict.fromkeys(("pure", "idempotent", "checkable", "unsafe"), lose)
    found = {effect: await world.response(await world.calls(effect)) for effect in world.plays}
    assert {effect: each.outcome for effect, each in found.items()} == {
        "pure": "done",
        "idempotent": "done",
        "checkable": "done",
        "unsafe": "unknown",
    }
    assert found["checkable"].data == {"probed": True}
    assert max(world.effects.values()) == 2


async def test_a_limit_a_refusal_and_a_silent_child_are_told_in_sentences(world, life):
    outcomes = [
        Outcome("limit", limit="memory", reason="it needed more memory than it may have", stdout=b"half of it"),
        Outcome("refused", reason="landlock is missing here"),
        Outcome("exited", exit=3, reason="it left with 3"),
        Outcome("answered", "not a map"),
        Outcome("answered", {"ok": True, "text": "x" * 5_000, "data": {1: 2}}),
    ]

    async def one(_jails, _order):
        return outcomes.pop(0)

    world.plays["unsafe"] = one
    limit, refused, left, nonsense, long = [await world.response(await world.calls("unsafe")) for _ in range(5)]
    assert [each.outcome for each in (limit, refused, left, nonsense, long)] == ["failed", "denied", "failed", "failed", "done"]
    assert "half of it" in limit.text
    assert limit.data["limit"] == "memory"
    assert "landlock" in refused.text
    assert left.data["exit"] == 3
    assert "left out" in long.text
    assert len(long.text) < 3_000


async def test_a_bug_in_one_call_costs_that_call_only(world, life):
    async def break_it(_jails, _order):
        raise ZeroDivisionError

    world.plays["unsafe"] = break_it
    broken = await world.response(await world.calls("unsafe"))
    assert broken.outcome == "unknown"
    assert "ZeroDivisionError" in broken.text
    assert (await world.response(await world.calls("pure"))).outcome == "done"


async def test_without_an_acknowledgement_nothing_takes_place(world, life):
    world.bus.latency_s = 0.3
    intent = await world.calls("unsafe")
    await asyncio.sleep(0.15)
    assert not world.effects
    await world.response(intent)
    assert world.effects[intent] == 1


async def test_a_start_of_another_life_that_arrives_late_counts(world):
    """A sandbox sent `tool_started` and died; the journal took it after the next one had looked."""
    first = Life(world)
    real, late = world.bus.append, []

    async def lost(*events, **more):
        if events[0].kind == "tool_started":
            late.append(events[0])
            await asyncio.sleep(60)
        return await real(*events, **more)

    world.bus.append = lost  # type: ignore[method-assign]
    intent = await world.calls("unsafe")
    while not late:
        await asyncio.sleep(0)
    await first.dies()
    seen = []

    async def arrives(*events, **more):
        if events[0].kind == "tool_started" and not seen:
            seen.append(1)
            await real(late[0])
        return await real(*events, **more)

    world.bus.append = arrives  # type: ignore[method-assign]
    second = Life(world)
    response = await world.response(intent)
    await second.ends()
    assert (response.outcome, world.effects[intent]) == ("unknown", 0)


# -- what the runtime does itself --------------------------------------------------------------------------------------


async def test_a_question_waits_over_lives_and_the_answer_is_the_response(world):
    first = Life(world)
    intent = await world.calls("ask_person", args={"question": "red or blue?", "choices": ["red", "blue"]})
    (asked,) = await world.until("question_asked", intent)
    assert (asked.data["question"], asked.data["choices"]) == ("red or blue?", ["red", "blue"])
    await first.dies()
    second = Life(world)
    await breathe(50)
    (row,) = (await second.ask("waiting"))["waiting"]
    assert (row["kind"], row["question"], row["choices"]) == ("question", "red or blue?", ["red", "blue"])
    await world.says(QuestionAnswered(intent, "blue"))
    await world.says(QuestionAnswered(intent, "red"))
    response = await world.response(intent)
    await second.ends()
    assert (response.outcome, response.text) == ("done", "blue")
    assert len(world.of("question_asked")) == 1


async def test_a_question_that_is_none_fails(world, life):
    assert (await world.response(await world.calls("ask_person"))).outcome == "failed"


async def test_a_timer_goes_on_over_lives(world):
    first = Life(world)
    due = first.kit.clock.now() + 0.4
    intent = await world.calls("sleep_until", args={"due": due})
    (started,) = await world.until("tool_started", intent)
    assert started.data["prepared"] == {"due": due}
    await first.dies()
    second = Life(world)
    response = await world.response(intent)
    await second.ends()
    assert response.outcome == "done"
    assert world.of("tool_response")[0].ts >= due
    assert len(world.of("tool_started")) == 1


# -- memory ------------------------------------------------------------------------------------------------------------


async def test_a_new_life_begins_to_read_where_everything_was_settled(world):
    world.policies["bran"] = Policy(approve="always")
    first = Life(world)
    waiting = await world.calls("unsafe", agent="bran")
    await world.until("approval_asked", waiting)
    world.plays["unsafe"] = hang
    doubtful = await world.calls("unsafe")
    await world.until("tool_started", doubtful)
    await first.dies()
    second = Life(world)
    assert (await world.response(doubtful)).outcome == "unknown"
    for number in range(settle_calls + 10):
        await world.calls("pure", session=str(number % 7))
    await world.until("tool_response", count=settle_calls + 11)
    await second.ends()
    reads: list[Query] = []
    real = world.bus.read

    async def counted(query, timeout_s=None):
        page = await real(query, timeout_s)
        reads.extend([query] * len(page.events))
        return page

    world.bus.read = counted  # type: ignore[method-assign]
    third = Life(world)
    while not third.hands.seen:
        await asyncio.sleep(0)
    assert len(reads) < 60 < len(world.bus.events) / 10, "its start costs by what is open, not by history"
    assert [each["id"] for each in (await third.ask("waiting"))["waiting"]] == [waiting]
    assert [each["id"] for each in (await third.ask("intents", state="in-doubt"))["intents"]] == [doubtful]
    await world.says(IntentResolved(doubtful, "done"))
    async with asyncio.timeout(5):
        while (await third.ask("intents", state="in-doubt"))["intents"]:
            await asyncio.sleep(0.001)
    assert {each["id"]: each["state"] for each in (await third.ask("intents"))["intents"]}[doubtful] == "resolved"
    await world.says(ApprovalGiven(waiting, granted=False), "bran")
    await world.response(waiting)
    await third.ends()
    assert not world.of("sandbox_settled")[-1].data["left"]


async def test_notes_are_those_of_the_session_and_found_again_in_a_later_life(world):
    async def notes(_jails, order):
        context, args = order.arguments[2], order.arguments[1]
        return answered(True, context["notes"], {"notes": args.get("content", context["notes"])})

    world.plays["notes"] = notes
    first = Life(world)
    await world.response(await world.calls("notes", args={"content": "under the mat"}))
    await world.response(await world.calls("pure"))
    assert (await world.response(await world.calls("notes"))).text == "under the mat"
    await first.ends()
    second = Life(world)
    assert (await world.response(await world.calls("notes"))).text == "under the mat"
    assert (await world.response(await world.calls("notes", session="other"))).text == ""
    await second.ends()


# -- questions ---------------------------------------------------------------------------------------------------------


async def test_every_state_of_a_call_is_shown(world, life):
    world.policies |= {"bran": Policy(approve="always"), "sansa": Policy(tools=())}
    world.plays["unsafe"] = hang
    done, failed = await world.calls("pure"), await world.calls("nothing")
    denied = await world.calls("pure", agent="sansa")
    waiting = await world.calls("unsafe", agent="bran")
    running = await world.calls("unsafe")
    asked = await world.calls("ask_person", args={"question": "well?"})
    for each in (done, failed, denied):
        await world.response(each)
    await world.until("approval_asked", waiting)
    await world.until("tool_started", running)
    await world.until("question_asked", asked)
    rows = {each["id"]: each for each in (await life.ask("intents"))["intents"]}
    assert [rows[each]["state"] for each in (done, failed, denied, waiting, running, asked)] == [
        "done",
        "failed",
        "denied",
        "waiting",
        "running",
        "asked",
    ]
    assert rows[running]["attempts"] == 1
    assert [each["id"] for each in (await life.ask("intents", state="done"))["intents"]] == [done]
    assert [each["id"] for each in (await life.ask("intents", agent="bran"))["intents"]] == [waiting]
    with pytest.raises(Refused, match="there are waiting, asked"):
        await life.ask("intents", state="lost")
    with pytest.raises(BadMessage):
        await life.ask("jobs")
    await world.says(InterruptAsked())


async def test_tools_tell_which_an_agent_may_not_use_and_why(world, life):
    world.policies["arya"] = Policy(tools=("pure", "fetch"))
    told = {each["name"]: each["why_not"] for each in (await life.ask("tools", agent="arya"))["tools"]}
    assert not told["pure"]
    assert "network" in told["fetch"]
    assert "tools in [policy]" in told["unsafe"]
    assert not any(each["why_not"] for each in (await life.ask("tools"))["tools"])
