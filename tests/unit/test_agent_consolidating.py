"""What leaves the window is a snapshot before it goes: nothing in between, nothing twice."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path

from anima.agent.consolidating import Span, due, extract, loose
from anima.agent.folder import Folder
from anima.agent.life import Life
from anima.agent.scroll import Told
from anima.agent.steps import Progress
from anima.agent.thinker import Thinker
from anima.agent.viewport import Shape
from anima.bus.loopback import Loopback
from anima.config.schema import House
from anima.paths import Home
from anima.wire.events import SnapshotStored, UserMessage, event

SHAPE = Shape(1_000)


def told(seq: int, words: int) -> Told:
    turn = Told(seq, "word " * words, Progress(f"t{seq}"))
    turn.end()
    return turn


def test_nothing_is_due_while_there_is_room_and_something_is_when_the_window_is_nearly_full() -> None:
    turns = [told(seq, 40) for seq in range(1, 9)]
    assert due(turns, 1, 0, SHAPE, left=False) is None
    many = [told(seq, 40) for seq in range(1, 12)]
    span = due(many, 1, 0, SHAPE, left=False)
    assert span is not None
    assert span.since == 0
    assert 1 < span.until <= 11
    assert due(many, 1, span.until, SHAPE, left=False) is None, "what is covered is not due again"


def test_a_window_that_leapt_before_its_snapshot_owes_one_that_begins_where_the_last_one_ended() -> None:
    turns = [told(seq, 10) for seq in range(50, 53)]
    assert due(turns, 50, 30, SHAPE, left=True) == Span(30, 50)
    assert due(turns, 50, 50, SHAPE, left=True) is None
    assert due([], 0, 0, SHAPE, left=False) is None


def test_an_extract_says_who_said_what_and_makes_nothing_up() -> None:
    lines = ["person: My dog is called Pixel and she is three years old.", "arya: That is a lovely name for a dog."]
    for line in extract(lines).splitlines():
        assert line in lines


def test_a_snapshot_of_level_two_takes_those_that_are_in_none_yet() -> None:
    def stored(level: int, since: int, of: list[str] | None = None):
        return event(SnapshotStored(level, "x", since, since + 10, "m", 1, of or []), agent="arya", source="agent:arya")

    events = [stored(1, number * 10) for number in range(7)]
    assert loose(events, 0) == events
    events.append(stored(2, 0, [each.id for each in events[:5]]))
    assert loose(events, 0) == events[5:7]
    assert loose(events, 65) == events[6:7], "what was said before the conversation began anew is none of its snapshots"


async def test_a_long_conversation_is_covered_by_snapshots_without_a_gap_and_without_doubles(tmp_path: Path) -> None:
    home = Home(tmp_path, tmp_path / "run")
    folder = home.agent("arya")
    folder.mkdir(parents=True)
    (folder / "persona.md").write_text("You are Arya.")
    (folder / "play.jsonl").write_text(json.dumps({"text": "As you say. " + "It is so. " * 30}) + "\n")
    (folder / "agent.toml").write_text(
        'model = "scripted:play.jsonl"\n[viewport]\nwindow_tokens = 8000\n[thymos]\non = false\n'
    )
    bus = Loopback()
    read = Folder.read(home, "arya")
    async with Thinker(read, House()) as thinker:
        life = Life(read, bus, thinker, lambda _: None)
        await life.remember()
        stop = asyncio.Event()
        living = asyncio.create_task(life.until(stop))
        for number in range(60):
            question = f"Question {number} is about the number {number}. " + "More of it. " * 30
            await bus.append(event(UserMessage(question), agent="arya", session="main", source="cli"))
            async with asyncio.timeout(20):
                while sum(each.kind == "turn_ended" for each in bus.events) <= number:
                    await asyncio.sleep(0.002)
        stop.set()
        await living
    snapshots = [each.body for each in bus.events if each.kind == "snapshot_stored"]
    level1 = [each for each in snapshots if isinstance(each, SnapshotStored) and each.level == 1]
    level2 = [each for each in snapshots if isinstance(each, SnapshotStored) and each.level == 2]
    assert len(level1) >= 5
    assert all(before.until == after.since for before, after in pairwise(level1)), "a gap, or something twice"
    assert level1[0].since == 0
    assert {each.model for each in level1} == {"extract"}
    assert len(level2) == len(level1) // 5
    assert (level2[0].since, level2[0].until) == (0, level1[4].until)
    begins = [each.data["layout"][0] for each in bus.events if each.kind == "model_called"]
    untils = {each.until for each in level1}
    leaps = {after for before, after in pairwise(begins) if after > before}
    assert leaps, "the window never moved"
    assert leaps <= untils, "the window's boundary moved without a snapshot"
