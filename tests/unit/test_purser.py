"""What is spent: no death and no order of telling makes it less than it was, and who spends too much is frozen."""

import asyncio
import dataclasses
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.bus.loopback import Loopback
from anima.config.schema import Budget, Definition
from anima.ids import new_id
from anima.journal.admission import Entry
from anima.journal.claims import PERSON, claims, is_person
from anima.nous.choose import Access
from anima.purser import clerk as clerk_module
from anima.purser.account import Account, Sum, cause_of, day_of, zone_of
from anima.purser.book import Book
from anima.purser.clerk import Clerk
from anima.purser.limits import refused, resolved, time_left_s
from anima.purser.wards import Ward
from anima.store.database import open_database
from anima.wire.body import Body
from anima.wire.events import AgentAdopted, Event, ModelCalled, UserMessage, event
from anima.wire.spending import UNKNOWN_USD, AgentFrozen, AgentThawed, BudgetReleased, BudgetReserved
from daemons.purser import price_of

DAY_S = 86_400.0
AT_MOST = Sum(1, 100, 0.5, 60.0)  #: what each reservation of these tests is for


def fact(body: Body, id_: str, seq: int, ts: float = 1.0) -> Event:
    made = event(body, agent="arya", session="main", source="agent:arya", id=id_)
    return dataclasses.replace(made, seq=seq, ts=ts)


def reserved(id_: str, seq: int, turn: str = "t", ts: float = 1.0) -> Event:
    return fact(BudgetReserved(turn, 1, "m", AT_MOST.tokens, AT_MOST.usd, AT_MOST.wall_s, "person"), id_, seq, ts)


def called(id_: str, seq: int, turn: str = "t", tokens: int = 10, usd: float = 0.1, **more: Any) -> Event:
    body = ModelCalled(turn, 1, "m", tokens, 0, 1.0, cost_usd=usd, reservation=id_, **more)
    return fact(body, f"called-{id_}", seq)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with closing(open_database(tmp_path / "purser.db", files("anima.purser") / "schema")) as connection:
        yield Book(connection, lambda _, ts: day_of(ts))


#: What becomes of one call: whether it is settled, turned away, or the process dies first.
FATES = st.lists(st.tuples(st.sampled_from(["settled", "released", "death", "unsaid"]), st.integers(0, 2)), max_size=12)


def story(fates: list[tuple[str, int]]) -> tuple[list[Event], Sum]:
    """The events of some calls, and the least that they may come to."""
    events: list[Event] = []
    least = Sum()
    for number, (fate, restarts) in enumerate(fates):
        id_ = f"r{number}"
        events.append(reserved(id_, 2 * number + 1))
        match fate:
            case "settled":
                events.append(called(id_, 2 * number + 2, restarts=restarts))
                least += Sum(1, 10, 0.1)
            case "unsaid":
                events.append(called(id_, 2 * number + 2, tokens=0))
                least += AT_MOST
            case "released":
                events.append(fact(BudgetReleased(id_, "t", "no key"), f"free-{id_}", 2 * number + 2))
            case "death":
                least += AT_MOST
    return events, least


def covers(found: Sum, least: Sum) -> bool:
    return found.calls >= least.calls and found.tokens >= least.tokens and found.usd >= least.usd - 1e-9


@given(FATES, st.data())
def test_no_death_and_no_telling_twice_makes_a_sum_smaller_than_what_was_spent(
    fates: list[tuple[str, int]], data: st.DataObject
) -> None:
    """However often whoever adds up dies and begins again somewhere before, in whatever part of the story."""
    events, least = story(fates)
    account, at = Account(), 0
    for _ in range(data.draw(st.integers(0, 3))):
        until = data.draw(st.integers(at, len(events)))
        for each in events[at:until]:
            account.apply(each)
        at = data.draw(st.integers(0, until))
    for each in events[at:]:
        account.apply(each)
    assert covers(account.on(day_of(1.0)), least)
    assert account.of("t") == account.on(day_of(1.0))
    fresh = Account()
    for each in events:
        fresh.apply(each)
    assert fresh.on(day_of(1.0)).calls == account.on(day_of(1.0)).calls
    assert fresh.on(day_of(1.0)).tokens == account.on(day_of(1.0)).tokens


@given(FATES)
def test_at_every_moment_a_call_that_is_made_is_counted_in_full(fates: list[tuple[str, int]]) -> None:
    account = Account()
    for each in story(fates)[0]:
        before = account.on(day_of(1.0))
        account.apply(each)
        if each.kind == "budget_reserved":
            assert covers(account.on(day_of(1.0)), before + AT_MOST)


@given(FATES)
def test_the_book_and_the_agent_come_to_the_same(fates: list[tuple[str, int]]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript((files("anima.purser") / "schema" / "0001_book.sql").read_text())
    kept, account = Book(connection, lambda _, ts: day_of(ts)), Account()  # type: ignore[arg-type]
    for each in [*story(fates)[0]] * 2:
        kept.apply(each)
        account.apply(each)
    kept.commit()
    assert kept.on("arya", day_of(1.0)).tokens == account.on(day_of(1.0)).tokens
    assert kept.of("arya", "t").usd == pytest.approx(account.of("t").usd)
    connection.close()


def test_a_settled_call_replaces_its_reservation_and_a_broken_sample_counts_as_a_whole_one() -> None:
    account = Account()
    account.apply(reserved("a", 1))
    account.apply(called("a", 2, restarts=1))
    assert dataclasses.replace(account.of("t"), usd=0.6) == Sum(2, 110, 0.6, 1.0)
    assert account.of("t").usd == pytest.approx(0.6)


def test_a_price_that_nobody_knows_is_not_nothing() -> None:
    account = Account()
    account.apply(reserved("a", 1))
    account.apply(called("a", 2, usd=-1.0))
    assert account.of("t") == Sum(1, 10, 0.0, 1.0, unpriced=1)


def test_a_turn_that_ended_is_forgotten_and_its_day_when_that_is_over() -> None:
    account = Account()
    account.apply(reserved("a", 1))
    account.forget("t", day_of(1.0))
    assert account.of("t") == Sum()
    assert account.on(day_of(1.0)).calls == 1
    account.forget("t", day_of(1.0 + DAY_S))
    assert account.on(day_of(1.0)) == Sum()


def test_days_begin_where_the_agent_lives_and_causes_follow_from_who_spoke() -> None:
    assert (day_of(0.0), day_of(0.0, zone_of("America/New_York")), day_of(0.0, zone_of("Nowhere/At all"))) == (
        "1970-01-01",
        "1969-12-31",
        "1970-01-01",
    )
    sources = ["cli", "telegram:42", "heartbeat", "trigger:mail", "agent:bran"]
    assert [cause_of(each) for each in sources] == ["person", "person", "heartbeat", "trigger", "child"]


def test_a_budget_bears_what_fits_into_it_and_an_agent_s_own_word_goes_before_the_house_s() -> None:
    house = Budget(day_calls=5, day_usd=1.0)
    mine = resolved(Budget(day_calls=2, unknown_price="allow"), house)
    assert (mine.day_calls, mine.day_usd, mine.unknown_price) == (2, 1.0, "allow")
    assert not refused(mine, Sum(1), Sum(1), Sum(1))
    assert "2 of 2 model calls are spent today" in refused(mine, Sum(2), Sum(), Sum(1))
    assert "US dollars" in refused(mine, Sum(1, usd=0.9), Sum(), Sum(1, usd=0.2))
    assert not refused(mine, Sum(1), Sum(), Sum(1, unpriced=1))
    assert "nobody knows what this model costs" in refused(house, Sum(), Sum(), Sum(1, unpriced=1))
    assert "tokens" in refused(Budget(turn_tokens=0), Sum(), Sum(), Sum(1, 1)), "nothing may be spent"
    assert not refused(Budget(), Sum(10**9, 10**9, 1e9, 1e9), Sum(), Sum(1))
    assert time_left_s(Budget(turn_wall_s=10.0), Sum(), Sum(wall_s=4.0)) == pytest.approx(6.0)
    assert "used up" in refused(Budget(turn_wall_s=10.0), Sum(), Sum(wall_s=10.0), Sum(1))


def test_a_book_is_the_same_after_a_death_and_after_being_read_again(book: Book) -> None:
    events = [reserved("a", 1), called("a", 2), reserved("b", 3, "u"), fact(AgentFrozen("enough"), "f", 4)]
    for each in events:
        book.apply(each)
    book.commit()
    assert book.cursor == 4
    book.rewind()
    for each in [*events, fact(AgentThawed(), "g", 5), called("b", 6, "u")]:
        book.apply(each)
    book.commit()
    assert book.cursor == 6
    assert book.on("arya", day_of(1.0)) == Sum(2, 20, 0.2, 2.0)
    assert (book.frozen("arya"), book.last_turn("arya"), book.agents()) == (None, "u", ["arya"])
    assert [(part["cause"], part["model"], part["calls"]) for part in book.parts("arya", day_of(1.0))] == [("person", "m", 2)]


class Watched:
    """A clerk over a loopback bus, and whom it had stopped."""

    def __init__(self, book: Book, budget: Budget) -> None:
        self.bus, self.stopped = Loopback(), list[str]()
        self.clerk = Clerk(self.bus, book, {"arya": Ward(budget)}, Ward(Budget()), self.stop)

    async def stop(self, name: str) -> None:
        self.stopped.append(name)

    async def frozen(self) -> list[Event]:
        for _ in range(200):
            if found := [each for each in self.bus.events if each.kind == "agent_frozen"]:
                return found
            await asyncio.sleep(0.01)
        return []


async def test_who_makes_more_calls_than_it_may_is_frozen_and_obeys(book: Book) -> None:
    watched = Watched(book, Budget(day_calls=1))

    async def obeys(_: dict[str, Any]) -> dict[str, str]:
        return {"frozen": "yes"}

    await watched.bus.serve("agent:arya", {"frozen": obeys})
    await watched.bus.append(reserved("a", 0))
    await watched.clerk.remember()
    living = asyncio.create_task(watched.clerk.live())
    await asyncio.sleep(0.05)
    assert (await watched.clerk.budget({"agents": ["arya"]}))[0]["frozen"] == ""
    await watched.bus.append(reserved(new_id(), 0))
    (fact_,) = await watched.frozen()
    await asyncio.sleep(0.1)
    assert "2 of 1 model calls are spent today (day_calls)" in fact_.data["reason"]
    assert (fact_.source, watched.stopped) == ("purser", [])
    living.cancel()
    await asyncio.wait([living])


async def test_what_was_spent_in_another_house_is_booked_and_not_judged(book: Book) -> None:
    watched = Watched(book, Budget(day_calls=2))
    await watched.bus.append(event(UserMessage("hello"), agent="arya", source="cli"))  # who follows from 0 follows from now on
    await watched.clerk.remember()
    living = asyncio.create_task(watched.clerk.live())
    await asyncio.sleep(0.05)
    moved = event(AgentAdopted(3, 5), agent="arya", source="journal")
    await watched.bus.append(moved, *(reserved(new_id(), 0) for _ in range(3)))
    await asyncio.sleep(0.2)
    assert not [each for each in watched.bus.events if each.kind == "agent_frozen"]
    await watched.bus.append(reserved(new_id(), 0))
    assert "4 of 2 model calls" in (await watched.frozen())[0].data["reason"]
    living.cancel()
    await asyncio.wait([living])


async def test_who_overspent_unseen_and_does_not_obey_is_stopped(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clerk_module, "OBEYS_S", 1.0)
    watched = Watched(book, Budget(turn_calls=1))
    await watched.bus.append(reserved(new_id(), 0), reserved(new_id(), 0))
    await watched.clerk.remember()
    assert await watched.frozen()
    for _ in range(400):
        if watched.stopped:
            break
        await asyncio.sleep(0.01)
    assert watched.stopped == ["arya"]


def test_an_agent_that_says_its_calls_cost_nothing_is_not_believed(tmp_path: Path) -> None:
    def table(call: Any) -> float:
        return call.tokens_in / 100 if call.model == "m" else UNKNOWN_USD

    with closing(open_database(tmp_path / "purser.db", files("anima.purser") / "schema")) as connection:
        book = Book(connection, lambda _, ts: day_of(ts), table)
        stranger = dataclasses.replace(called("c", 6, usd=0.3).body, model="stranger")
        for each in [
            reserved("a", 1),
            called("a", 2, tokens=50, usd=0.0),
            reserved("b", 3),
            called("b", 4, tokens=50, usd=0.7),
            reserved("c", 5),
            fact(stranger, "called-c", 6),
        ]:
            book.apply(each)
        book.commit()
        assert book.on("arya", day_of(1.0)).usd == pytest.approx(0.5 + 0.7 + 0.3)


def test_the_purser_s_table_is_the_house_s() -> None:
    access = Access({}, definitions={"mine": Definition(model="m", base_url="http://x", price_in=2.0, price_out=3.0)})
    call = ModelCalled("t", 1, "mine:m", 1_000_000, 1_000_000, 1.0)
    assert price_of(access, call) == pytest.approx(5.0)
    assert price_of(access, dataclasses.replace(call, model="reflex")) == 0.0
    assert price_of(access, dataclasses.replace(call, model="nobody:knows")) == UNKNOWN_USD


async def test_who_has_spent_most_of_a_day_feels_it_once_and_is_not_frozen(book: Book) -> None:
    watched = Watched(book, Budget(day_calls=5))
    living = None
    for number in range(5):
        id_ = new_id()
        await watched.bus.append(reserved(id_, 0), dataclasses.replace(called(id_, 0), id=new_id()))
        if number == 3:
            await watched.clerk.remember()
            living = asyncio.create_task(watched.clerk.live())
    for _ in range(400):
        if found := [each for each in watched.bus.events if each.kind == "stimulus"]:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    found = [each for each in watched.bus.events if each.kind == "stimulus"]
    assert [(each.data["stimulus"], each.source) for each in found] == [("budget_low", "purser")]
    assert "of 5 model calls are spent today (day_calls)" in found[0].data["reason"]
    assert not [each for each in watched.bus.events if each.kind == "agent_frozen"]
    assert living
    living.cancel()
    await asyncio.wait([living])


async def test_whom_a_person_thawed_after_it_overspent_is_not_frozen_for_it_again(book: Book) -> None:
    watched = Watched(book, Budget(day_calls=1))
    await watched.bus.append(reserved("a", 0), reserved("b", 0), fact(AgentThawed(), "thaw", 0))
    await watched.clerk.remember()
    await asyncio.sleep(0.1)
    assert not [each for each in watched.bus.events if each.kind == "agent_frozen"]


def test_only_a_person_thaws_and_only_a_person_or_the_purser_freezes() -> None:
    def claimed(body: Body, source: str) -> frozenset[str]:
        said = event(body, agent="arya", source=source)
        return claims(Entry(said.id, said.kind, said.agent, said.session, said.source, said.encode()))

    assert claimed(AgentThawed(), "cli") == {PERSON}
    assert PERSON in claimed(AgentThawed(), "agent:arya")
    assert PERSON in claimed(AgentThawed(), "purser"), "what it froze it does not let go"
    assert claimed(AgentFrozen("x"), "purser") == {"purser"}
    assert PERSON in claimed(AgentFrozen("x"), "agent:bran")
    assert claimed(BudgetReleased("r", "t", "x"), "agent:arya") == {"agent:arya"}
    assert not is_person("purser")
