"""A turn that is over is played again from what was kept of it: the same requests, the same words, and nothing happens."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from test_agent_calls import LS, ArmedHouse

from anima.agent import replay as program
from anima.agent.fixture import script
from anima.agent.past import find_message, read_past
from anima.agent.replay import lines, today
from anima.agent.shelf import Finder, Shelf
from anima.agent.spelling import digest
from anima.agent.stage import rehearse
from anima.clock import FakeClock
from anima.config.schema import House
from anima.errors import Refused
from anima.nous.scripted import open_scripted
from anima.wire.events import AgentMessage, Event


@pytest.fixture
def house(tmp_path: Path) -> ArmedHouse:
    return ArmedHouse(tmp_path)


async def answered(house: ArmedHouse, text: str = "look", count: int = 1) -> Event:
    """The message, after a life in which it was answered and every call carried out."""
    serving = asyncio.create_task(house.serves(lambda call: f"result of {call.tool}"))
    async with house.living():
        said = await house.hears(text)
        await house.ends(count)
    serving.cancel()
    return said


async def played(house: ArmedHouse, said: Event, **wanted: Any) -> list[dict[str, Any]]:
    past = await read_past(house.bus, await find_message(house.bus, said.id))
    calls = past.played(house.home.records("arya"))
    folder = today(house.home, past, calls, House())
    show = await rehearse(past, calls, folder, House(), wanted.get("until", 0), live := wanted.get("live"))
    return list(lines(past, show, live))


def plays_two_steps(house: ArmedHouse, **settings: object) -> None:
    house.plays(
        {"thinking": "hm", "deltas": ["I ", "loök."], "calls": [LS, {"tool": "now"}]}, {"text": "there is a file"}, **settings
    )


async def test_a_turn_is_rebuilt_byte_for_byte_from_what_was_kept(house: ArmedHouse) -> None:
    plays_two_steps(house)
    said = await answered(house)
    stored = len(house.bus.events)
    turn, first, second, end = await played(house, said)
    assert (turn["question"], turn["answer"], turn["outcome"]) == ("look", "there is a file", "answered")
    assert (first["same"], second["same"]) == (True, True), first["diff"] + second["diff"]
    assert first["recorded"] == first["today"] != second["recorded"]
    assert (first["thinking"], first["text"]) == ("hm", "I loök.")
    assert [(call["tool"], call["text"], call["ok"]) for call in first["calls"]] == [
        ("exec", "result of exec", True),
        ("now", "result of now", True),
    ]
    assert (end["answer"], end["same"], end["departs_at"]) == ("there is a file", True, 0)
    assert len(house.bus.events) == stored, "nothing is stored by a replay"


async def test_a_persona_edited_since_shows_as_a_diff_of_the_first_request_that_differs(house: ArmedHouse) -> None:
    plays_two_steps(house)
    said = await answered(house)
    house.home.agent("arya").joinpath("persona.md").write_text("You are Arya, no one.")
    _, first, _, end = await played(house, said)
    assert first["same"] is False
    assert end["departs_at"] == 1
    assert "system prompt" in first["departs"][0]
    assert "-You are Arya." in first["diff"].split("\n")
    assert "+You are Arya, no one." in first["diff"].split("\n")
    assert end["answer"] == "there is a file", "the record goes on"


async def test_a_tool_taken_away_and_a_smaller_answer_depart(house: ArmedHouse) -> None:
    plays_two_steps(house)
    said = await answered(house)
    plays_two_steps(house, policy={"tools": ["exec"]}, answer_tokens_max=99)
    _, first, *_ = await played(house, said)
    told = "; ".join(first["departs"])
    assert "tools that are gone" in told
    assert "now" in told
    assert "tokens_max was 16000, is 99" in told


async def test_the_conversation_before_the_turn_is_part_of_it_and_what_came_later_is_not(house: ArmedHouse) -> None:
    house.plays({"text": "one"}, {"text": "two"}, {"text": "three"})
    await answered(house, "first")
    said = await answered(house, "second", 2)
    await answered(house, "third", 3)
    _, only, end = await played(house, said)
    assert only["messages"] == 3
    assert only["same"], only["diff"]
    assert end["answer"] == "two"


async def test_what_another_session_heard_is_no_part_of_it(house: ArmedHouse) -> None:
    house.plays({"text": "one"}, {"text": "two"})
    serving = asyncio.create_task(house.serves())
    async with house.living():
        await house.hears("a secret", session="other")
        await house.ends()
        said = await house.hears("look")
        await house.ends(2)
    serving.cancel()
    _, only, _ = await played(house, said)
    assert (only["messages"], only["same"]) == (1, True), only["diff"]


async def test_until_shows_the_steps_up_to_there(house: ArmedHouse) -> None:
    plays_two_steps(house)
    said = await answered(house)
    _, first, end = await played(house, said, until=1)
    assert first["step"] == 1
    assert end["outcome"] == "left off"


async def test_another_model_is_asked_and_its_calls_are_answered_from_the_record_or_not_at_all(house: ArmedHouse) -> None:
    plays_two_steps(house)
    said = await answered(house)
    other = {"text": "hm", "calls": [LS, {"tool": "exec", "args": {"command": "rm -rf /"}}]}
    house.home.agent("arya").joinpath("other.jsonl").write_text(
        "\n".join(json.dumps(each) for each in (other, {"text": "mine"}))
    )
    _, first, second, end = await played(house, said, live=open_scripted("other.jsonl", house.home.agent("arya")))
    assert [(call["ok"], call["text"][:15]) for call in first["calls"]] == [
        (True, "result of exec"),
        (False, "not carried out"),
    ]
    assert (second["text"], end["answer"]) == ("mine", "mine")
    assert first["same"], "the prompt of the first step does not depend on who is asked"


async def test_an_exported_turn_gives_the_same_answer_again(house: ArmedHouse, tmp_path: Path) -> None:
    plays_two_steps(house)
    said = await answered(house)
    past = await read_past(house.bus, said_again(house, said))
    text = script(past, past.played(house.home.records("arya")))
    other = ArmedHouse(tmp_path / "other")
    other.plays({"text": "x"})
    other.home.agent("arya").joinpath("play.jsonl").write_text(text)
    await answered(other)
    answers = [body.text for each in other.bus.events if isinstance(body := each.body, AgentMessage)]
    assert answers == ["there is a file"]
    assert [each.data["args"] for each in other.bus.events if each.kind == "tool_call"] == [LS["args"], {}]


def said_again(house: ArmedHouse, said: Event) -> Event:
    return next(each for each in house.bus.events if each.id == said.id)


async def test_a_turn_whose_record_is_gone_is_told_from_the_journal_alone(house: ArmedHouse) -> None:
    plays_two_steps(house)
    said = await answered(house)
    for path in house.home.records("arya").iterdir():
        path.unlink()
    _, first, second, end = await played(house, said)
    assert first["same"] is None
    assert "keep_days" in first["missing"]
    assert [call["text"] for call in first["calls"]] == ["result of exec", "result of now"]
    assert first["text"] == "I loök."
    assert (second["text"], end["answer"]) == ("there is a file", "there is a file")


async def test_a_part_changed_on_the_disk_is_noticed(house: ArmedHouse) -> None:
    plays_two_steps(house)
    said = await answered(house)
    (path,) = house.home.records("arya").iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    _, first, *_ = await played(house, said)
    assert first["same"] is None
    assert "damaged" in first["missing"] or "lacks" in first["missing"]


async def test_a_failed_call_is_recorded_with_its_failure_and_fails_again(house: ArmedHouse) -> None:
    house.plays({"text": "I am about to", "error": "overloaded"})
    said = await answered(house)
    turn, only, end = await played(house, said)
    assert turn["outcome"] == "failed"
    assert only["text"] == "I am about to"
    assert only["error"].startswith("Unavailable: ")
    assert only["same"]
    assert end["outcome"] == "failed"


async def test_a_turn_is_found_by_number_and_by_the_beginning_of_its_id_and_no_other_way(house: ArmedHouse) -> None:
    plays_two_steps(house)
    said = await answered(house)
    for name in (said.id, said.id[:30], "1", "2"):
        assert (await find_message(house.bus, name)).id == said.id
    for name, sentence in (("99", "no event 99"), ("abc", "names no turn"), ("ffffffffff", "no turn begins")):
        with pytest.raises(Refused, match=sentence):
            await find_message(house.bus, name)


async def test_a_message_nobody_took_up_cannot_be_replayed(house: ArmedHouse) -> None:
    said = await house.hears("hello?")
    with pytest.raises(Refused, match="not taken up"):
        await read_past(house.bus, said_again(house, said))


def test_the_stable_prefix_lies_on_the_shelf_once(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 30)
    prefix, tail = b"p" * 50_000, b"t"
    sizes = [shelf.put({digest(data): data for data in (prefix, tail + str(turn).encode())}) for turn in range(5)]
    assert all(size < 100 for size in sizes[1:])
    assert Finder(tmp_path).get(shelf.name, digest(prefix)) == prefix


def test_what_a_death_tore_is_no_part_and_harms_none_before_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 30)
    shelf.put({digest(data): data for data in (b"one", b"two")})
    path = tmp_path / shelf.name
    path.write_bytes(path.read_bytes()[:-3])
    assert Finder(tmp_path).get(shelf.name, digest(b"one")) == b"one"
    with pytest.raises(Refused, match="lacks the part"):
        Finder(tmp_path).get(shelf.name, digest(b"two"))


def test_what_is_older_than_keep_days_goes_and_every_day_stands_alone(tmp_path: Path) -> None:
    clock = FakeClock()
    shelf, data = Shelf(tmp_path, 2, clock), b"the prefix"
    names = []
    for _ in range(5):
        shelf.put({digest(data): data})
        names.append(shelf.name)
        clock.advance(86_400)
    assert sorted(each.name for each in tmp_path.iterdir()) == names[2:]
    assert all(Finder(tmp_path).get(name, digest(data)) == data for name in names[2:])
    with pytest.raises(Refused, match="keep_days"):
        Finder(tmp_path).get(names[0], digest(data))


def test_an_export_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "bug.jsonl"
    path.write_text("mine")
    for name, sentence in ((path, "is there already"), (tmp_path / "bug.toml", "jsonl"), (tmp_path / "no" / "x", "written")):
        with pytest.raises(Refused, match=sentence):
            program._export(name, "text")
    assert path.read_text() == "mine"
