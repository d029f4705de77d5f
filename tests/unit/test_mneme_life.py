"""A mneme on a journal in memory: what happens is remembered once, found by whom it concerns, and comes to mind."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from anima.bus.loopback import Loopback
from anima.errors import ConfigError, Refused, Unavailable
from anima.ids import new_id
from anima.mneme.calls import Calls
from anima.mneme.desk import Desk
from anima.mneme.finder import Finder
from anima.mneme.moods import Moods, felt, mood_of
from anima.mneme.scribe import Scribe, portions
from anima.mneme.store import Store
from anima.mneme.weaver import Embedder, Weaver
from anima.store.database import Connection, open_database
from anima.wire.events import (
    AgentMessage,
    BroughtToMind,
    Event,
    MemoriesImported,
    SessionCleared,
    SnapshotStored,
    ToolCall,
    ToolResponse,
    UserMessage,
    event,
)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with closing(open_database(tmp_path / "mneme.db", files("anima.mneme") / "schema")) as connection:
        yield connection


def nobody() -> Embedder:
    raise Unavailable("no model in a test")


class Mneme:
    def __init__(self, bus: Loopback, connection: Connection) -> None:
        self.bus, self.store = bus, Store(connection)
        moods = Moods(bus)
        self.scribe = Scribe(bus, self.store, moods)
        weaver = Weaver(self.store, self.scribe.grown, nobody)
        self.desk = Desk(bus, self.store, self.scribe, weaver)
        self.finder = Finder(bus, self.store, self.scribe, weaver, moods, self.desk)
        calls = Calls(bus, self.store, self.scribe, self.desk, self.finder)
        self.verbs = {**self.desk.verbs(), **self.finder.verbs(), **calls.verbs()}

    async def ask(self, verb: str, **asked: Any) -> Any:
        return await self.verbs[verb]({"agent": "arya", "seen": len(self.bus.events), **asked})

    async def texts(self, query: str, **how: Any) -> list[str]:
        return [each["text"] for each in (await self.ask("search", query=query, **how))["hits"]]

    async def tool(self, tool: str, session: str = "main", key: str = "", **args: Any) -> Any:
        asked = {"agent": "arya", "session": session, "key": key or new_id(), "tool": tool, "args": args}
        return await self.verbs["call"](asked)

    async def shown(self, text: str = "hi", **how: Any) -> dict[str, str]:
        told = await self.ask("recall", **{"session": "main", "text": text, **how})
        return {name: shown for _, name, shown in told["inserts"]}


@asynccontextmanager
async def alive(bus: Loopback, connection: Connection) -> AsyncIterator[Mneme]:
    mneme = Mneme(bus, connection)
    await mneme.scribe.remember()
    living = asyncio.create_task(mneme.scribe.live())
    await asyncio.sleep(0)
    try:
        yield mneme
    finally:
        living.cancel()
        await asyncio.wait([living])


def of(body: Any, source: str = "agent:arya") -> Event:
    return event(body, agent="arya", session="main", source=source)


async def say(bus: Loopback, text: str, session: str = "main", answer: str = "") -> str:
    said = event(UserMessage(text), agent="arya", session=session, source="cli")
    await bus.append(said)
    if answer:
        await bus.append(event(AgentMessage(answer, said.id), agent="arya", session=session, source="agent:arya"))
    return said.id


async def test_what_was_said_is_found_and_with_it_what_was_said_around_it(connection: Connection) -> None:
    bus = Loopback()
    async with alive(bus, connection) as mneme:
        await say(bus, "I adopted a dog called Pixel", answer="How lovely!")
        hit, beside = (await mneme.ask("search", query="dog", explain=True))["hits"]
        assert beside["text"] == "How lovely!", "what stands next to it has something of it"
        assert (hit["speaker"], hit["session"]) == ("user", "main")
        assert [each["text"] for each in hit["around"]] == ["I adopted a dog called Pixel", "How lovely!"]


async def test_an_empty_query_and_signs_of_the_search_language_find_nothing_and_break_nothing(connection: Connection) -> None:
    bus = Loopback()
    async with alive(bus, connection) as mneme:
        await say(bus, "one NEAR two")
        for query in ("", "   ", '"', "AND OR NOT", "a*b:c^(", "🦊", "x" * 100_000, "text : *", "near("):
            await mneme.ask("search", query=query)
        assert await mneme.texts('NEAR("two" one)') == ["one NEAR two"]


async def test_a_death_after_any_event_loses_nothing_and_doubles_nothing(connection: Connection) -> None:
    bus = Loopback()
    for number in range(20):
        await say(bus, f"word{number}", answer=f"yes [REMEMBER: number {number}]")
    for _ in range(4):  # a life each, that dies after some events
        mneme = Mneme(bus, connection)
        page = [each for each in bus.events if each.seq > mneme.scribe.cursor][:11]
        await mneme.scribe.take(page)
        await mneme.scribe.take(page)
    async with alive(bus, connection) as mneme:
        await mneme.ask("search", query="word1")
        assert mneme.store.counts("arya") == {"episode": 40, "fact": 20}
        wishes = [each for each in bus.events if each.kind == "memory_stored"]
        assert len({each.id for each in wishes}) == len(wishes) == 20


async def test_memories_of_an_agent_that_moved_are_in_the_end_what_they_were(tmp_path: Path, connection: Connection) -> None:
    bus = Loopback()
    async with alive(bus, connection) as mneme:
        said = await say(bus, "I adopted a dog called Pixel", answer="How lovely!")
        await bus.append(event(BroughtToMind("t", 1, [], recalled=[said]), agent="arya", source="agent:arya"))
        gone = await mneme.ask("remember", text="the key lies under the mat", session="main")
        await mneme.ask("change", id=gone["id"], changes={"state": "forgotten"})
        before = (await mneme.ask("page"))["rows"]
    row = next(each for each in before if each["id"] == said)
    row |= {"mood": {"cortisol": 0.5}, "importance": 0.9, "accessed": 7}  # what the events alone do not tell
    await bus.append(event(MemoriesImported(before, "another house", final=True), agent="arya", source="cli"))
    with closing(open_database(tmp_path / "again.db", files("anima.mneme") / "schema")) as again:
        async with alive(bus, again) as mneme:
            assert (await mneme.ask("page"))["rows"] == before
            assert await mneme.texts("dog"), "and it is found"
    async with alive(bus, connection) as mneme:  # who read the first part before reads on to the same
        assert (await mneme.ask("page"))["rows"] == before


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("memories_imported", {"rows": [{}]}),
        ("memories_imported", {"rows": [5]}),
        ("memories_imported", {"rows": [{"id": "D1", "ts": 1.0, "session": "", "speaker": "", "text": ["a"]}], "final": True}),
        (
            "memories_imported",
            {"rows": [{"id": "D1", "ts": 1.0, "session": "", "speaker": "", "text": "a", "data": {"x": b"y"}}]},
        ),
        ("memory_changed", {"memory": "", "changes": {"text": 5}}),
        ("memory_changed", {"memory": "KEPT", "changes": {"text": ["a"]}}),
        ("memory_changed", {"memory": "KEPT", "changes": {"importance": "much"}}),
        ("memory_stored", {"text": "a", "importance": float("nan")}),
    ],
    ids=str,
)
async def test_a_malformed_event_is_left_out_and_the_house_remembers_on(
    kind: str, data: dict[str, Any], connection: Connection
) -> None:
    bus = Loopback()
    async with alive(bus, connection) as mneme:
        kept = await say(bus, "I adopted a dog called Pixel")
        told = {name: kept if value == "KEPT" else value for name, value in data.items()}
        await bus.append(Event(new_id(), kind, "arya", "main", "cli", "", told))
        await say(bus, "and a cat called Byte")
        assert sorted(await mneme.texts("Pixel, Byte")) == ["I adopted a dog called Pixel", "and a cat called Byte"]


async def test_a_lost_database_is_written_again_from_the_journal(tmp_path: Path, connection: Connection) -> None:
    bus = Loopback()
    async with alive(bus, connection) as mneme:
        await say(bus, "my card is 4111 1111 1111 1111", answer="noted [REMEMBER: Ada has a card]")
        await mneme.ask("remember", text="Ada lives in Paris", session="main")
        kept = await mneme.ask("remember", text="Ada lives in Rome", session="main")
        await mneme.ask("change", id=kept["id"], changes={"importance": 0.9})
        await mneme.ask("import", lines=[[1, json.dumps({"id": "D1:1", "ts": "8 May 2023", "text": "an old dog"})]])
        before = (await mneme.ask("page", full=True))["rows"]
    with closing(open_database(tmp_path / "again.db", files("anima.mneme") / "schema")) as again:
        async with alive(bus, again) as mneme:
            assert (await mneme.ask("page", full=True))["rows"] == before
    assert not any("4111" in each["text"] for each in before)
    assert {each["state"] for each in before} == {"live", "superseded"}


async def test_a_fact_said_again_counts_more_and_one_that_contradicts_replaces_the_old_one_with_its_trail(
    connection: Connection,
) -> None:
    async with alive(Loopback(), connection) as mneme:
        first = await mneme.ask("remember", text="Ada lives in Paris", session="main")
        again = await mneme.ask("remember", text="ada lives in paris!", session="main")
        assert (again["how"], again["id"]) == ("again", first["id"])
        assert (await mneme.ask("show", id=first["id"]))["memory"]["importance"] == pytest.approx(0.6)
        second = await mneme.ask("remember", text="Ada moved to Rome", session="main")
        assert second["how"] == "instead"
        assert second["old"] == "Ada lives in Paris"
        assert await mneme.texts("Ada") == ["Ada moved to Rome"]
        old = await mneme.ask("show", id=first["id"])
        assert [each["id"] for each in old["by"]] == [second["id"]]
        with pytest.raises(Refused, match="secret"):
            await mneme.ask("remember", text="4111 1111 1111 1111", session="main")


async def test_what_one_conversation_said_does_not_surface_in_another_unless_it_is_shared(connection: Connection) -> None:
    bus = Loopback()
    async with alive(bus, connection) as mneme:
        await say(bus, "my sister is ill", session="bob")
        kept = await mneme.ask("remember", text="Bob's sister is ill", session="bob")
        asked = "how is the sister?"
        assert "sister" in (await mneme.shown(asked, session="bob"))["recall"]
        assert await mneme.shown(asked, session="alice") == {}
        assert "nothing comes to mind" in (await mneme.tool("recall", "alice", query="sister"))["text"]
        for tool in ("view_around", "forget", "pin"):
            with pytest.raises(Refused):
                await mneme.tool(tool, "alice", memory=kept["id"])
        await mneme.ask("change", id=kept["id"], changes={"shared": True})
        assert "Bob's sister is ill" in (await mneme.shown(asked, session="alice"))["recall"]


async def test_what_the_window_shows_does_not_come_to_mind_and_what_is_older_does(connection: Connection) -> None:
    bus = Loopback()
    async with alive(bus, connection) as mneme:
        await say(bus, "my dog is called Pixel")
        await say(bus, "the weather is fine")
        asked = await say(bus, "what is my dog called?")
        about = {"session": "main", "turn": asked, "text": "what is my dog called?"}
        assert (await mneme.ask("recall", **about, since=1))["ids"] == []
        told = await mneme.ask("recall", **about, since=2)
        (insert,) = told["inserts"]
        assert insert[:2] == ["recalled", "recall"]
        assert "ago" in insert[2]
        assert "in main, user: my dog is called Pixel" in insert[2]
        assert asked not in told["ids"]


async def test_budgets_hold_and_snapshots_stand_before_the_window(connection: Connection) -> None:
    bus = Loopback()
    async with alive(bus, connection) as mneme:
        for number in range(12):
            body = SnapshotStored(1, f"part {number} " + "word " * 100, number * 10, number * 10 + 10, "extract", 3)
            await bus.append(of(body))
        parts = [each.id for each in bus.events[:5]]
        await bus.append(of(SnapshotStored(2, "long ago", 0, 50, "m", 15, parts)))
        for number in range(40):
            await say(bus, f"dog number {number} " + "bark " * 50, session="main")
        shown = await mneme.shown("dog", tokens_max=10_000)
        assert "long ago" in shown["long_ago"]
        assert "part 11" in shown["earlier"]
        assert "part 4 " not in shown["earlier"], "it stands in the snapshot of level 2"
        assert "picked by rule" in shown["earlier"]
        assert len(shown["earlier"].encode()) / 2.3 <= 1_500
        assert len(shown["recall"].encode()) / 2.3 <= 600
        assert await mneme.texts("long ago part word") == [], "a search finds what was said, not what was made of it"
        await bus.append(of(SessionCleared(), "cli"))
        assert await mneme.shown("weather", tokens_max=10_000) == {}


async def test_goals_and_pins_are_always_there_until_they_are_finished(connection: Connection) -> None:
    async with alive(Loopback(), connection) as mneme:
        goal = (await mneme.tool("set_goal", goal="find a vet"))["data"]["id"]
        key = new_id()
        first, second = [await mneme.tool("pin", key=key, text="be kind") for _ in range(2)]
        assert first == second, "a call that is made again is the same wish"
        shown = await mneme.shown()
        assert "find a vet" in shown["goals"]
        assert shown["pinned_memories"] == "- be kind"
        await mneme.tool("update_goal", goal=goal, note="asked Bob")
        assert "asked Bob" in (await mneme.shown())["goals"]
        await mneme.tool("finish_goal", goal=goal)
        assert [each.data["stimulus"] for each in mneme.bus.events if each.kind == "stimulus"] == ["goal_reached"]
        with pytest.raises(Refused, match="no open goal"):
            await mneme.tool("finish_goal", goal=goal)
        await mneme.tool("pin", memory=first["data"]["id"], off=True)
        assert await mneme.shown() == {}


async def test_a_tool_call_that_is_made_again_is_remembered_once(connection: Connection) -> None:
    async with alive(Loopback(), connection) as mneme:
        key = new_id()
        answers = [await mneme.tool("remember", key=key, text="Ada likes tea") for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert mneme.store.counts("arya") == {"fact": 1}


async def test_what_is_forgotten_leaves_no_word_and_is_never_shown(connection: Connection) -> None:
    async with alive(Loopback(), connection) as mneme:
        kept = await mneme.ask("remember", text="Ada likes tea", session="main")
        await mneme.tool("forget", memory=kept["id"])
        assert await mneme.texts("tea") == []
        (row,) = (await mneme.ask("page"))["rows"]
        assert (row["text"], row["state"]) == ("", "forgotten")
        with pytest.raises(Refused, match="no memory"):
            await mneme.ask("show", id=kept["id"])


async def test_a_deed_is_one_memory_with_what_came_of_it(connection: Connection) -> None:
    bus = Loopback()
    async with alive(bus, connection) as mneme:
        call = of(ToolCall("", 1, "c", "exec", {"command": "ls"}))
        await bus.append(call)
        body = ToolResponse("", "c", "exec", ok=True, text="a.txt\nb.txt", intent=call.id, outcome="done")
        await bus.append(of(body, "sandbox"))
        assert await mneme.texts("txt") == ['exec(command="ls") -> done: a.txt b.txt']


async def test_lines_of_a_file_are_taken_once_and_a_broken_one_is_named(connection: Connection) -> None:
    bus = Loopback()

    def line(number: int) -> str:
        return json.dumps(
            {"id": f"D1:{number}", "ts": "8 May 2023", "session": "D1", "speaker": "Bob", "text": f"turn {number}"}
        )

    lines = [[number, line(number)] for number in range(1, 41)]
    lines[16][1] = "{broken"
    async with alive(bus, connection) as mneme:
        told = await mneme.ask("import", lines=lines, origin="life.jsonl")
        assert told["new"] == 39
        assert [number for number, _ in told["wrong"]] == [17]
        again = await mneme.ask("import", lines=lines, origin="life.jsonl")
        assert (again["new"], again["known"]) == (0, 39)
        assert sum(each.kind == "memories_imported" for each in bus.events) == 1
        around = (await mneme.tool("view_around", memory="D1:5", turns=2))["text"].splitlines()
        assert [each.rpartition(" ")[2] for each in around] == ["3", "4", "5", "6", "7"], (
            "the file's order holds within one time"
        )


async def test_a_full_disk_takes_nothing_away_and_the_same_import_goes_on_when_there_is_room(connection: Connection) -> None:
    bus = Loopback()
    lines = [
        [number, json.dumps({"id": f"{number}", "ts": "8 May 2023", "text": f"turn {number} " * 50})] for number in range(200)
    ]
    mneme = Mneme(bus, connection)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    living = asyncio.create_task(mneme.scribe.live())
    importing = asyncio.create_task(mneme.ask("import", lines=lines))
    with pytest.raises(Unavailable, match="disk is full"):
        await living  # and the supervisor starts another one
    importing.cancel()
    assert mneme.store.cursor() == 0
    connection.execute("PRAGMA max_page_count = 1000000")
    async with alive(bus, connection) as mneme:
        told = await mneme.ask("import", lines=lines)
        assert told["new"] + told["known"] == 200
        assert mneme.store.counts("arya") == {"episode": 200}


async def test_what_is_exported_and_imported_is_the_same(connection: Connection) -> None:
    bus = Loopback()
    async with alive(bus, connection) as mneme:
        await say(bus, "hello", answer="hi")
        await mneme.ask("remember", text="Ada lives in Paris", session="main", importance=0.9)
        await mneme.ask("remember", text="Ada lives in Rome", session="main")
        await mneme.tool("set_goal", goal="find a vet")
        rows = (await mneme.ask("page"))["rows"]
        lines = [[number, json.dumps(row)] for number, row in enumerate(rows, 1)]
        told = await mneme.ask("import", agent="bran", lines=lines, shared=False)
        assert told["new"] == len(rows) == 5
        assert (await mneme.ask("page", agent="bran"))["rows"] == rows


async def test_what_came_to_mind_is_counted_and_felt_once(connection: Connection) -> None:
    bus = Loopback()

    async def show(_: dict[str, Any]) -> dict[str, Any]:
        return {"levels": {"oxytocin": 70.0, "cortisol": 20.0}, "baselines": {"oxytocin": 25.0, "cortisol": 20.0}}

    await bus.serve("thymos", {"show": show})
    async with alive(bus, connection) as mneme:
        said = await say(bus, "we were at the sea")
        turn = await say(bus, "remember the sea?")
        for _ in range(2):
            told = await mneme.ask("recall", session="main", turn=turn, text="remember the sea?", since=2)
        assert told["ids"] == [said]
        (stimulus,) = [each for each in bus.events if each.kind == "stimulus"]
        assert stimulus.data["stimulus"] == "pleasant_memory"
        await bus.append(of(BroughtToMind(turn, 1, [], recalled=told["ids"])))
        assert (await mneme.ask("show", id=said))["memory"]["accessed"] == 1


async def test_what_is_not_read_in_time_is_answered_without_it(connection: Connection) -> None:
    mneme = Mneme(Loopback(), connection)
    told = await mneme.finder.recall({"agent": "arya", "session": "main", "text": "hi", "seen": 5})
    assert told == {"inserts": [], "ids": []}


def test_imported_memories_are_stored_in_portions() -> None:
    events = [of(MemoriesImported([{}] * count), "mneme") for count in (200, 100, 300, 10)]
    assert [[len(each.data["rows"]) for each in portion] for portion in portions(events)] == [[200], [100], [300], [10]]


def test_a_mood_is_told_by_what_is_unusual_and_felt_again_if_it_was_strong() -> None:
    mood = mood_of({"cortisol": 60.0, "serotonin": 50.2}, {"cortisol": 20.0, "serotonin": 50.0})
    assert mood == {"cortisol": 40.0}
    assert felt(mood) == ("painful_memory", 1.0)
    assert felt({"cortisol": 3.0}) == ("", 0.0)


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    schema = files("anima.mneme") / "schema"
    with closing(open_database(tmp_path / "mneme.db", schema)) as connection:
        connection.execute("INSERT INTO migrations VALUES ('9999_future.sql', 0)")
    with pytest.raises(ConfigError, match="newer version"):
        open_database(tmp_path / "mneme.db", schema)
