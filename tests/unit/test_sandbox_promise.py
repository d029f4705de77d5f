"""The promise of the hands, whenever they die: unsafe at most once, everything else effectively once, doubt shown."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anima.limits import call_attempts_max
from tests.unit.sandbox_stage import EFFECTS, Life, World, a_world, breathe

POINTS = ("intent", "approved", "started", "effect", "response")


class Death(BaseException):
    """The end of everything at a point."""


def kept(world: World, intent: str, effect: str) -> None:
    """Raise AssertionError unless the promise was kept for one call."""
    outcome, times = world.outcome(intent), world.effects[intent]
    if effect == "unsafe":
        assert times <= 1
        assert outcome == ("done" if times and outcome != "unknown" else "unknown")
    elif effect == "checkable":
        assert (outcome, times) == ("done", 1)
    else:
        assert outcome == "done"
        assert times >= 1
    attempts = [each.data["attempt"] for each in world.of("tool_started", intent)]
    assert attempts == sorted(set(attempts))
    assert len(attempts) <= (1 if effect == "unsafe" else call_attempts_max)


async def lives(world: World, effects: list[str], ends: list[tuple[int, bool]]) -> list[str]:
    """Calls of these effects, and lives that die after so many breaths, or are stopped; then one that comes to its end."""
    intents: list[str] = []
    for breaths, killed in ends:
        life = Life(world)
        if not intents:
            intents = [*await world.step(*effects[:2]), *[await world.calls(each) for each in effects[2:]]]
        await breathe(breaths)
        await (life.dies() if killed else life.ends())
    life = Life(world)
    intents = intents or [*await world.step(*effects[:2]), *[await world.calls(each) for each in effects[2:]]]
    for intent in intents:
        await world.response(intent)
    await life.ends()
    return intents


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(EFFECTS), min_size=2, max_size=5),
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=call_attempts_max - 1),
)
def test_whenever_the_sandbox_dies_unsafe_calls_take_place_at_most_once_and_all_others_come_to_their_end(
    effects: list[str], ends: list[tuple[int, bool]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = a_world(Path(folder))
        intents = asyncio.run(lives(world, effects, ends))
        for intent, effect in zip(intents, effects, strict=True):
            kept(world, intent, effect)


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("point", POINTS)
async def test_a_death_at_a_point_means_what_the_effect_says(tmp_path: Path, point: str, effect: str) -> None:
    world = a_world(tmp_path)
    died = asyncio.Event()

    def reach(reached: str, _agent: str) -> None:
        if reached == point and not died.is_set():
            first.jails.dead = True
            object.__setattr__(first.kit, "bus", None)
            died.set()
            raise Death

    first = Life(world, reach=reach)
    intent = await world.calls(effect)
    async with asyncio.timeout(5):
        await died.wait()
    await first.dies()
    second = Life(world)
    await world.response(intent)
    await second.ends()
    kept(world, intent, effect)
    doubtful = effect == "unsafe" and point in ("started", "effect")
    assert world.outcome(intent) == ("unknown" if doubtful else "done")
    again = {"pure": 2, "idempotent": 2, "checkable": 1, "unsafe": 1}[effect] if point == "effect" else 1
    assert world.effects[intent] == (0 if doubtful and point == "started" else again)


async def test_an_idempotent_call_keeps_its_key_over_all_attempts(tmp_path: Path) -> None:
    world = a_world(tmp_path)

    async def hang(jails, order):
        world.keys.add((order.id, order.arguments[2]["call"]))
        await asyncio.sleep(60)

    world.plays["idempotent"] = hang
    first = Life(world)
    intent = await world.calls("idempotent")
    await world.until("tool_started", intent)
    await breathe(10)
    await first.dies()
    second = Life(world)
    await world.until("tool_started", intent, 2)
    await breathe(10)
    await second.dies()
    del world.plays["idempotent"]
    third = Life(world)
    assert (await world.response(intent)).outcome == "done"
    await third.ends()
    assert world.keys == {(intent, intent)}


async def test_a_call_that_its_sandbox_dies_under_each_time_is_given_up(tmp_path: Path) -> None:
    world = a_world(tmp_path)

    async def hang(_jails, _order):
        await asyncio.sleep(60)

    world.plays |= {"pure": hang, "idempotent": hang}
    intents: list[str] = []
    for attempt in range(1, call_attempts_max + 1):
        life = Life(world)
        intents = intents or [await world.calls("pure"), await world.calls("idempotent")]
        for intent in intents:
            await world.until("tool_started", intent, attempt)
        await life.dies()
    life = Life(world)
    pure, idempotent = [await world.response(intent) for intent in intents]
    await life.ends()
    assert (pure.outcome, idempotent.outcome) == ("failed", "unknown")
    assert "not tried again" in pure.text


async def test_a_checkable_call_nobody_can_look_after_is_in_doubt(tmp_path: Path) -> None:
    world = a_world(tmp_path)

    async def hang(_jails, _order):
        await asyncio.sleep(60)

    world.plays["checkable"] = hang
    first = Life(world)
    intent = await world.calls("checkable")
    (started,) = await world.until("tool_started", intent)
    await first.dies()
    started.data["prepared"].clear()  # as if nothing had been found out before
    second = Life(world)
    response = await world.response(intent)
    assert response.outcome == "unknown"
    assert "may have taken place" in response.text
    assert [each["state"] for each in (await second.ask("intents", state="in-doubt"))["intents"]] == ["in-doubt"]
    await second.ends()
