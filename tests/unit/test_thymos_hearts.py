"""Feelings as a process keeps them: whatever dies when, the levels are those of a fold from the beginning."""

import asyncio
import dataclasses
import json
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anima.bus.loopback import Loopback
from anima.clock import FakeClock
from anima.config.feelings import Glands, Thymos
from anima.config.schema import Agent
from anima.errors import BadMessage, ConfigError, Unavailable
from anima.journal.admission import Entry
from anima.journal.claims import PERSON, claims, is_person
from anima.psyche.archetypes import archetype, named
from anima.psyche.soul import GrowingSoul
from anima.store.database import open_database
from anima.thymos.answers import Answers
from anima.thymos.being import newborn
from anima.thymos.decay import halved
from anima.thymos.diary import Diary
from anima.thymos.hearts import Hearts
from anima.thymos.natures import nature, usual
from anima.thymos.subscribers import Subscribers
from anima.wire.events import AgentAdopted, Event, SoulChanged, Stimulus, ToolCall, ToolResponse, TurnEnded, UserMessage, event
from anima.wire.feelings import HORMONES, STIMULI, write_gains
from tests.unit.test_agent_ends import Arya

SOULS = partial(GrowingSoul, halved)


class World:
    """A journal, a clock, and a thymos that can be killed at any moment."""

    def __init__(self, folder: Path, **natures: Any) -> None:
        self.clock = FakeClock(1_000_000.0)
        self.bus = Loopback(self.clock)
        self.natures = natures
        self.packages = Subscribers({})
        self._file = folder / "thymos.db"

    @contextmanager
    def thymos(self) -> Iterator[tuple[Hearts, Answers]]:
        with closing(open_database(self._file, files("anima.thymos") / "schema")) as connection:
            diary = Diary(connection)
            hearts = Hearts(self.bus, diary, self.natures, SOULS, self.packages)
            yield hearts, Answers(hearts, diary, self.clock, named)

    async def happens(self, *bodies: Any, agent: str = "arya", source: str = "cli", after_s: float = 10.0) -> None:
        for body in bodies:
            self.clock.advance(after_s)
            await self.bus.append(event(body, agent=agent, session="main", source=source))


def packed(hearts: Hearts) -> dict[str, Any]:
    return {name: being.pack() for name, being in hearts._beings.items()}


def some_fact(chance: random.Random) -> Any:
    return chance.choice(
        [
            UserMessage(chance.choice(["hello", "well done, thank you!", "that is wrong, you idiot", "hm?"])),
            ToolCall("t", 1, "c", "exec", {"n": chance.randrange(2)}),
            ToolResponse("t", "c", "exec", ok=chance.random() < 0.4, text="", outcome=chance.choice(["done", "failed"])),
            TurnEnded("t", 1, chance.choice(["answered", "failed"]), steps=3),
            Stimulus(chance.choice(STIMULI), chance.choice([0.5, 1.0, 3.0])),
        ]
    )


async def lived(bus: Loopback, hearts: Hearts) -> None:
    """Take what there is, and tell what is to be told, as `live` does."""
    task = asyncio.create_task(hearts.live())
    while hearts._seen < len(bus.events):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await hearts._tell(hearts._diary.outbox())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.lists(st.integers(1, 30), min_size=1, max_size=6), st.data())
async def test_levels_after_any_deaths_are_those_of_a_fold_from_the_beginning_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, seed: int, lengths: list[int], data: st.DataObject
) -> None:
    world, chance = World(tmp_path_factory.mktemp("w")), random.Random(seed)
    for length in lengths:
        with world.thymos() as (hearts, _):
            await hearts.remember()
            for _ in range(length):
                await world.happens(some_fact(chance), agent=chance.choice(["arya", "bran"]), after_s=chance.choice([1, 4000]))
            if data.draw(st.booleans()):
                hearts.commit = lambda: None  # type: ignore[method-assign]  # killed before it could write
            await lived(world.bus, hearts)
    with world.thymos() as (hearts, _):
        await hearts.remember()
        await lived(world.bus, hearts)
        at_last = packed(hearts)
    fresh = World(tmp_path_factory.mktemp("f"))
    fresh.bus.recall(world.bus.events)
    with fresh.thymos() as (hearts, _):
        await hearts.remember()
        await lived(fresh.bus, hearts)
        assert packed(hearts) == at_last
    told = [each.id for each in world.bus.events if each.kind == "soul_changed"]
    assert len(told) == len(set(told))


async def test_a_soul_that_grows_is_told_once_with_its_reason_and_felt_from_there_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.thymos() as (hearts, answers):
        await hearts.remember()
        for _ in range(6):
            await world.happens(Stimulus("novelty"), UserMessage("well done, that was excellent, thank you!"))
        await lived(world.bus, hearts)
        await lived(world.bus, hearts)
        told = [each for each in world.bus.events if each.kind == "soul_changed"]
        assert told
        assert told[0].source == "thymos"
        assert "praise after" in told[0].data["reason"]
        assert (await answers.psyche({"agent": "arya"}))["gains"] == told[-1].data["gains"]
        assert not hearts._diary.outbox(), "what was seen in the journal is to be told no more"


async def test_what_was_to_be_told_when_thymos_died_is_told_by_its_next_life(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.thymos() as (hearts, _):
        await hearts.remember()
        await world.happens(*[Stimulus("novelty"), UserMessage("well done, excellent work!")] * 3)
        for each in world.bus.events:
            hearts.take(each)
            hearts._seen = each.seq
        hearts.commit()
        assert len(hearts._diary.outbox()) >= 1
    with world.thymos() as (hearts, _):
        await hearts.remember()
        assert [each.kind for each in world.bus.events].count("soul_changed") >= 1


async def test_a_person_s_word_about_a_soul_is_not_undone_by_what_was_found_out_before_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    calm = write_gains(archetype("calm"))
    await world.happens(Stimulus("novelty"), SoulChanged(calm, "a person wished it", "calm"))
    await world.happens(SoulChanged({"novelty": {"dopamine": 3.0}}, "late", basis=1), source="thymos")
    with world.thymos() as (hearts, answers):
        await hearts.remember()
        assert (await answers.psyche({"agent": "arya"}))["gains"] == calm


async def test_frustration_is_heard_in_the_words_of_the_worked_example_and_never_as_a_number(tmp_path: Path) -> None:
    world = World(tmp_path)
    heard = []
    with world.thymos() as (hearts, answers):
        await hearts.remember()
        for _ in range(9):
            await world.happens(ToolResponse("t", "c", "exec", ok=False, text="", outcome="failed"), after_s=1)
            hearts.take(world.bus.events[-1])
            told = await answers.feel({"agent": "arya"})
            heard += [text for _, _, text in told["inserts"]]
    assert any("Hmm, that didn't work" in each for each in heard)
    assert any("I keep hitting walls. What am I missing?" in each for each in heard)
    assert "I need help. This is beyond what I can figure out alone" in heard[-1]
    assert not any(any(c.isdigit() for c in each) or any(name in each.lower() for name in HORMONES) for each in heard)
    assert told["shares"]["thinking"] == 1 + hearts.being("arya").heart.levels[HORMONES.index("frustration")] / 50


async def test_people_are_shown_levels_what_moved_them_and_the_last_hour(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.thymos() as (hearts, answers):
        await hearts.remember()
        await world.happens(*[ToolResponse("t", "c", "exec", ok=False, text="", outcome="failed")] * 3)
        for each in world.bus.events:
            hearts.take(each)
            hearts._seen = each.seq
        shown = await answers.show({"agent": "arya"})
        assert round(shown["levels"]["frustration"], 1) == 29.9
        assert shown["causes"][0]["stimulus"] == "tool_failed"
        assert len(shown["hour"]["frustration"]) == 60
        assert shown["hour"]["frustration"][-1] == pytest.approx(shown["levels"]["frustration"], abs=1e-3)
        assert shown["hour"]["frustration"][0] == 0
        before = await answers.why({"agent": "arya", "hormone": "frustration"})
        hearts.commit()
        assert await answers.why({"agent": "arya", "hormone": "frustration"}) == before
        assert [each["seq"] for each in before["moves"]] == [1, 2, 3]
        series = await answers.series({"agent": "arya", "since": world.clock.now() - 60, "points": 7})
        assert series["levels"]["frustration"][0] == 0
        assert len(series["marks"]) == 3
        with pytest.raises(BadMessage, match="no hormone 'bile'"):
            await answers.why({"agent": "arya", "hormone": "bile"})


async def test_other_settings_are_felt_as_if_they_had_always_been_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.happens(*[ToolResponse("t", "c", "exec", ok=False, text="", outcome="failed")] * 3)
    with world.thymos() as (hearts, _):
        await hearts.remember()
    slow = nature(Agent(glands=Glands(frustration_half_life_s=86_400.0, cortisol_baseline=30.0)))
    world.natures = {"arya": slow}
    with world.thymos() as (hearts, answers):
        await hearts.remember()
        again = packed(hearts)
        assert (await answers.show({"agent": "arya"}))["baselines"]["cortisol"] == 30.0
    fresh = World(tmp_path / "fresh", arya=slow)
    (tmp_path / "fresh").mkdir()
    fresh.bus.recall(world.bus.events)
    with fresh.thymos() as (hearts, _):
        await hearts.remember()
        assert packed(hearts) == again


async def test_a_death_while_somebody_is_felt_anew_begins_again_with_them(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.happens(*[ToolResponse("t", "c", "exec", ok=False, text="", outcome="failed")] * 3)
    with world.thymos() as (hearts, _):
        await hearts.remember()
    world.natures = {"arya": nature(Agent(glands=Glands(cortisol_baseline=30.0)))}
    with world.thymos() as (hearts, _):
        read = hearts._read

        async def dies(query: Any, until: int = 0) -> None:
            await read(query, 2)
            raise RuntimeError("killed")

        hearts._read = dies  # type: ignore[method-assign]
        with pytest.raises(RuntimeError):
            await hearts.remember()
        hearts.commit()
    with world.thymos() as (hearts, answers):
        await hearts.remember()
        assert len((await answers.why({"agent": "arya", "hormone": "frustration"}))["moves"]) == 3
        assert hearts.being("arya").moves == 3


async def test_what_is_folded_is_never_written_without_its_place_in_the_journal(tmp_path: Path) -> None:
    world = World(tmp_path)
    held = threading.Event()
    world.packages = Subscribers({"slow": lambda _: held.wait(5)})
    with world.thymos() as (hearts, _):
        await hearts.remember()
        task = asyncio.create_task(hearts.live())
        await world.happens(UserMessage("hello"))
        await asyncio.sleep(0.1)  # the package thinks
        hearts.commit()
        seen, _told = hearts._diary.cursor()
        assert (seen, hearts.being("arya").moves) == (0, 0)
        held.set()
        task.cancel()
        await asyncio.wait([task])


async def test_bad_facts_are_left_out_and_leaps_of_the_clock_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path)
    await world.happens(Stimulus("hunger"), Stimulus("praise", -1.0), Stimulus("praise", float("nan")), UserMessage("hi"))
    world.clock.advance(-500_000.0)
    await world.happens(UserMessage("hi"))
    world.clock.advance(10 * 365 * 86_400.0)
    await world.happens(SoulChanged({"praise": {"dopamine": 9.0}}, "too much"), UserMessage("hi"))
    with world.thymos() as (hearts, answers):
        await hearts.remember()
        shown = await answers.show({"agent": "arya"})
        assert all(0 <= level <= 100 for level in shown["levels"].values())
        assert hearts.status == "idle; the journal's clock went back 1 times"
    assert caplog.text.count("is left out") == 4
    assert "there is no stimulus 'hunger'" in caplog.text


def test_a_diary_that_is_damaged_is_named_with_the_way_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.thymos() as (hearts, _):
        hearts._diary.write((0, 0), [("arya", usual().digest, [1, 2])])
    with closing(sqlite3.connect(tmp_path / "thymos.db", isolation_level=None)) as connection:
        connection.execute("UPDATE beings SET packed = x'c1'")
    with world.thymos() as (hearts, _), pytest.raises(ConfigError, match="move the file away"):
        list(hearts._diary.beings())


def test_words_may_be_judged_elsewhere_and_told_in_another_language() -> None:
    assert nature(Agent(thymos=Thymos(appraisal="model"))).temper.appraise("well done") == {}
    assert usual().temper.appraise("well done")
    assert nature(Agent(thymos=Thymos(language="de"))).digest != usual().digest
    with pytest.raises(ConfigError, match="no feelings in 'tlh'"):
        nature(Agent(thymos=Thymos(language="tlh")))


def test_only_a_person_or_thymos_says_what_a_soul_is() -> None:
    def claimed(source: str) -> frozenset[str]:
        made: Event = event(SoulChanged({}, "so"), agent="arya", source=source)
        fields = {each.name for each in dataclasses.fields(Entry)}
        known = {name: getattr(made, name, None) for name in fields}
        return claims(Entry(**(known | {"kind": made.kind, "agent": made.agent, "source": made.source})))  # type: ignore[arg-type]

    assert claimed("thymos") == {"thymos"}
    assert PERSON in claimed("cli")
    assert PERSON in claimed("agent:arya")
    assert not is_person("thymos")


async def test_what_packages_find_becomes_a_fact_once_and_a_bad_package_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anima.thymos.subscribers.feelings_s", 0.2)
    asked: list[int] = []

    def good(happened: Event) -> list[tuple[str, float, str]]:
        asked.append(happened.seq)
        return [("threat", 2.0, "a dog")] if "dog" in happened.data.get("text", "") else []

    def raises(_: Event) -> None:
        raise RuntimeError("oh")

    def sleeps(_: Event) -> None:
        time.sleep(3)

    world = World(tmp_path)
    world.packages = Subscribers({"good": good, "odd": lambda _: [("hunger", 1, "")], "raises": raises, "sleeps": sleeps})
    with world.thymos() as (hearts, _):
        await hearts.remember()
        await world.happens(UserMessage("a dog!"), UserMessage("a cat"))
        await lived(world.bus, hearts)
        assert world.packages.names == ["good", "odd", "raises"]
    found = [each for each in world.bus.events if each.kind == "stimulus"]
    assert [(each.data["stimulus"], each.data["reason"], each.cause) for each in found] == [
        ("threat", "good: a dog", world.bus.events[0].id)
    ]
    with world.thymos() as (hearts, _):
        await hearts.remember()
        await lived(world.bus, hearts)
    assert asked == [1, 2], "what was told is not asked about again"
    assert len([each for each in world.bus.events if each.kind == "stimulus"]) == 1
    for words in ("took longer than", "there is no stimulus 'hunger'", "failed at event"):
        assert words in caplog.text


async def test_the_words_of_a_person_may_be_judged_by_a_model_and_else_by_the_lexicon(tmp_path: Path) -> None:
    for reply, expected in (
        ('{"praise": 1.5, "threat": 0}', [("praise", 1.5)]),
        ('{"praise": 1' + "0" * 400 + "}", [("praise", 2.0)]),
        ("I cannot judge that", [("praise", 1.0)]),
        ('{"praise": "much"}', [("praise", 1.0)]),
    ):
        arya = Arya(tmp_path / str(len(reply)))
        arya.plays({"text": "thanks"}, **{"thymos.appraisal": "model", "fast_model": "scripted:judge.jsonl"})
        arya.home.agent("arya").joinpath("judge.jsonl").write_text(json.dumps({"text": reply}) + "\n")
        async with arya.living():
            await arya.hears("well done")
            (end,) = await arya.ends()
        assert end.outcome == "answered"
        found = [each.data for each in arya.bus.events if each.kind == "stimulus"]
        assert [(each["stimulus"], each["strength"]) for each in found] == expected
        (chore,) = [each.data for each in arya.bus.events if each.kind == "chore_called"]
        assert chore["reservation"]


async def test_a_disk_that_is_full_ends_the_process_also_while_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anima.thymos.hearts.COMMIT_S", 0.01)
    world = World(tmp_path)
    with world.thymos() as (hearts, _):
        await hearts.remember()
        await world.happens(UserMessage("hello"))
        hearts.take(world.bus.events[0])

        def full(*_: object, **__: object) -> None:
            raise Unavailable("the disk is full")

        hearts._diary.write = full  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match="full"):
            async with asyncio.timeout(10):
                await hearts.write()


async def test_what_an_agent_felt_in_another_house_is_felt_here_and_nobody_is_asked_about_it_again(tmp_path: Path) -> None:
    asked: list[int] = []
    bodies = (("bran", 999_000.0, UserMessage("hm")), ("arya", 500.0, AgentAdopted(2, 4)))
    there = (("arya", 500.0, UserMessage("well done, thank you!")), ("arya", 800.0, Stimulus("threat")))
    made = [(event(body, agent=agent, session="main", source="cli"), ts) for agent, ts, body in (*bodies, *there)]
    world = World(tmp_path)
    world.packages = Subscribers({"good": lambda happened: asked.append(happened.seq)})  # type: ignore[dict-item]
    world.bus.recall(dataclasses.replace(each, seq=seq, ts=ts) for seq, (each, ts) in enumerate(made, 1))
    with world.thymos() as (hearts, _):
        await hearts.remember()
        await world.happens(UserMessage("and now?"))
        await lived(world.bus, hearts)
        alone = newborn(hearts.nature("arya"), SOULS)
        for each in world.bus.events[2:]:
            alone.take(each, hearts.nature("arya"))
        assert hearts.being("arya").heart == alone.heart
        assert hearts.status == "idle", "no clock went back"
    assert asked == [1, 5]
