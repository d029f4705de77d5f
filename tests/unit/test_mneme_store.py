"""What every store of memories must do, whatever it is made of; SQLite is the one there is."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from anima.mneme.memory import Lens, Memory
from anima.mneme.store import Store
from anima.store.database import open_database

Open = Callable[[], Store]


@pytest.fixture(params=["sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Add a store to the parameters, and every promise below is asked of it."""
    assert request.param == "sqlite"
    with closing(open_database(tmp_path / "mneme.db", files("anima.mneme") / "schema")) as connection:
        yield Store(connection)


def memory(number: int, text: str = "", **more: object) -> Memory:
    made = Memory(f"arya/{number}", "arya", "episode", "main", "Ada", text or f"turn {number}", float(number))
    return replace(made, **more)  # type: ignore[arg-type]


def ids(found: list[Memory]) -> list[str]:
    return [each.id for each in found]


def test_a_memory_comes_back_as_it_was_put(store: Store) -> None:
    one = memory(
        1, "🦊 Füchse", mood={"cortisol": 3.5}, data={"a": [1]}, shared=True, accessed=2, by="arya/2", source="x", seq=7
    )
    store.apply(put=[one], cursor=9)
    assert store.get(["arya/none", "arya/1"]) == [one]
    assert store.cursor() == 9


def test_a_known_id_is_put_once_and_an_unknown_one_is_changed_into_nothing(store: Store) -> None:
    store.apply(put=[memory(1, "first")], cursor=1)
    store.apply(
        put=[memory(1, "second")], change={"arya/9": {"text": "x"}}, drop=["arya/8"], touched=[("arya/7", 1.0)], cursor=2
    )
    assert [each.text for each in store.get(["arya/1"])] == ["first"]
    assert store.search("arya", "second") == []
    assert store.counts("arya") == {"episode": 1}


def test_all_of_a_transaction_is_stored_or_nothing(store: Store) -> None:
    with pytest.raises(ValueError, match="no colour"):
        store.apply(put=[memory(1)], change={"arya/1": {"colour": "red"}}, cursor=5)
    assert store.get(["arya/1"]) == []
    assert store.cursor() == 0
    store.apply(put=[memory(1)], cursor=5)
    assert store.cursor() == 5


def test_what_is_changed_is_found_by_its_new_words_alone(store: Store) -> None:
    store.apply(put=[memory(1, "old wine"), memory(2, "old bottles")])
    store.apply(
        change={"arya/1": {"text": "new wine"}, "arya/2": {"state": "superseded", "by": "arya/1"}}, touched=[("arya/1", 1.0)]
    )
    assert [hit.memory.id for hit in store.search("arya", "wine")] == ["arya/1"]
    assert store.search("arya", "old") == store.search("arya", "bottles") == []
    store.apply(change={"arya/1": {"text": "", "state": "forgotten"}})
    assert store.search("arya", "wine") == []
    assert store.get(["arya/1"])[0].accessed == 1
    assert store.counts("arya") == {"forgotten": 1, "superseded": 1}
    store.apply(change={"arya/2": {"state": "live"}})
    assert [hit.memory.id for hit in store.search("arya", "bottles")] == ["arya/2"]


def test_what_is_dropped_is_gone_with_its_words(store: Store) -> None:
    store.apply(put=[memory(1, "gone"), memory(2, "here")])
    store.apply(drop=["arya/1"])
    assert store.get(["arya/1"]) == []
    assert store.search("arya", "gone") == []
    store.apply(put=[memory(1, "back")])
    assert store.search("arya", "back")[0].memory.text == "back"


def test_pages_follow_time_and_within_one_time_the_order_of_arrival(store: Store) -> None:
    store.apply(put=[memory(number, ts=float(number // 10)) for number in (5, 3, 12, 1, 11, 2)])
    first = store.page("arya", limit=4)
    assert ids(first) == ["arya/5", "arya/3", "arya/1", "arya/2"]
    assert ids(store.page("arya", after_id="arya/2", limit=4)) == ["arya/12", "arya/11"]
    assert ids(store.page("arya", Lens(since=1.0))) == ["arya/12", "arya/11"]
    assert ids(store.page("arya", before=1.0)) == ids(first)


def test_what_is_around_is_of_the_same_session_in_order(store: Store) -> None:
    talk = [memory(number, ts=1.0) for number in range(5)]
    store.apply(put=[*talk, memory(9, session="other", ts=1.0), memory(8, kind="fact", ts=1.0)])
    assert ids(store.around("arya/2", 1)) == ["arya/1", "arya/2", "arya/3"]
    assert ids(store.around("arya/0", 1)) == ["arya/0", "arya/1"]
    assert store.around("arya/none", 1) == []


def test_one_agent_never_finds_what_another_one_knows(store: Store) -> None:
    store.apply(put=[memory(1, "a secret plan"), replace(memory(2, "a secret plan"), id="bran/1", agent="bran")])
    assert [hit.memory.agent for hit in store.search("bran", "plan")] == ["bran"]
    assert ids(store.page("bran")) == ["bran/1"]


def test_a_conversation_finds_its_own_what_is_shared_and_what_was_said_nowhere(store: Store) -> None:
    told = [
        memory(1, "plan"),
        memory(2, "plan", session="bob"),
        memory(3, "plan", session="bob", shared=True),
        memory(4, "plan", session=""),
    ]
    store.apply(put=told)

    def seen(lens: Lens) -> set[str]:
        return {hit.memory.id[-1] for hit in store.search("arya", "plan", 10, lens)}

    assert seen(Lens("main")) == {"1", "3", "4"}
    assert seen(Lens("main", only_session=True)) == {"1"}
    assert seen(Lens()) == {"1", "2", "3", "4"}
    assert seen(Lens(kinds=("fact",))) == set()


def test_as_many_are_found_as_asked_for_however_many_others_fit_better(store: Store) -> None:
    others = [replace(memory(number, "plan"), id=f"bran/{number}", agent="bran") for number in range(1_000)]
    store.apply(put=[*others, memory(1, "a long and winding plan of many words that fits less well than the short ones")])
    assert len(store.search("arya", "plan", 5)) == 1
    assert len(store.search("bran", "plan", 7)) == 7


def test_words_that_say_nothing_are_looked_for_only_if_there_are_no_others(store: Store) -> None:
    store.apply(put=[memory(1, "to be or not to be"), memory(2, "that is the question")])
    assert store.search("arya", "what is the question?")[0].memory.id == "arya/2"
    assert store.search("arya", "to be")[0].memory.id == "arya/1"


@pytest.mark.parametrize("query", ["", "   ", '"', "🦊", "()", "* : ^", "\x00"])
def test_a_query_without_a_word_finds_nothing(store: Store, query: str) -> None:
    store.apply(put=[memory(1, "something")])
    assert store.search("arya", query) == []


def test_who_spoke_is_a_word_of_what_was_said(store: Store) -> None:
    store.apply(put=[memory(1, "I have a dog", speaker="Bob"), memory(2, "I have a dog", speaker="Ada")])
    assert [hit.memory.speaker for hit in store.search("arya", "Does Ada have a dog?")] == ["Ada", "Bob"]
