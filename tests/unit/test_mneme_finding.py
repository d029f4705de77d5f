"""What a question means, and what is found for it: times, names, words, meaning, and the columns that searches look at."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import Unavailable
from anima.mneme import indexes
from anima.mneme.asked import QUESTION, TIMED, looks, understood
from anima.mneme.dates import spans
from anima.mneme.embed import Served
from anima.mneme.index import NONE, Index, Row
from anima.mneme.memory import Lens, Memory
from anima.mneme.minilm.model import MiniLM
from anima.mneme.minilm.pieces import Pieces, words
from anima.mneme.ranking import like
from anima.mneme.recalling import Occasion, chosen
from anima.mneme.store import Store, quantised
from anima.store.database import open_database

NOW = datetime(2026, 11, 27, 15, 0, tzinfo=UTC).timestamp()  # a Friday


@pytest.fixture(scope="module")
def model() -> MiniLM:
    return MiniLM()


def opened(folder: Path) -> Store:
    return Store(open_database(folder / "mneme.db", files("anima.mneme") / "schema"))


def said(number: int, text: str, **more: object) -> Memory:
    return replace(Memory(f"arya/{number}", "arya", "episode", "main", "user", text, NOW - 1_000 + number), **more)  # type: ignore[arg-type]


def days(query: str) -> list[tuple[str, str]]:
    return [tuple(datetime.fromtimestamp(each, UTC).date().isoformat() for each in span) for span in spans(query, NOW)]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("what did she say yesterday?", [("2026-11-26", "2026-11-27")]),
        ("where were we last Friday?", [("2026-11-20", "2026-11-21")]),
        ("was war letzten Montag?", [("2026-11-23", "2026-11-24")]),
        ("the trip on 8 May 2023", [("2023-05-08", "2023-05-09")]),
        ("on May 8th, 2023", [("2023-05-08", "2023-05-09")]),
        ("what happened in December 2024?", [("2024-12-01", "2025-01-01")]),
        ("during 2021", [("2021-01-01", "2022-01-01")]),
        ("vor zwei Tagen", [("2026-11-24", "2026-11-26")]),
        ("a year ago", [("2025-05-28", "2026-05-29")]),
        ("last week", [("2026-11-13", "2026-11-27")]),
        ("may I ask you something?", []),
        ("on 31 February 2023", []),
        ("who marches on?", []),
    ],
)
def test_a_time_in_a_question_is_understood(query: str, expected: list[tuple[str, str]]) -> None:
    assert days(query) == expected


def test_a_month_without_a_year_is_any_of_the_last_ten() -> None:
    found = days("in May")
    assert len(found) == 10
    assert found[-1] == ("2026-05-01", "2026-06-01")


@given(st.text(max_size=200))
def test_any_question_is_understood_somehow(query: str) -> None:
    asked = understood(query, ["Ada", "Bob", "", "?"], NOW)
    assert len(asked.terms) <= 64
    assert all(start < end for start, end in asked.spans)


def test_who_is_named_is_a_person_and_not_a_word() -> None:
    asked = understood("When did Ada's dog run away?", ["Ada", "Bob"], NOW)
    assert asked.names == {"Ada"}
    assert asked.terms == ("dog", "run", "away")
    assert asked.meant == "When did  dog run away?"
    assert asked.when


def test_a_name_alone_is_looked_for_as_a_word() -> None:
    assert understood("Ada", ["Ada"], NOW).terms == ("ada",)


def test_what_a_memory_is_can_be_seen_from_its_words() -> None:
    assert looks("Did you see it?") == (4, QUESTION)
    assert looks("We went there last week.") == (5, TIMED)
    assert looks("This summer? Vor drei Tagen!") == (5, TIMED)
    assert looks("Yes!") == (1, 0)
    assert looks("") == (0, 0)


def test_words_are_cut_into_the_pieces_that_the_model_knows() -> None:
    pieces = Pieces((files("anima.mneme.minilm") / "vocab.txt").read_text("utf-8").splitlines(), 16)
    # numbers as Hugging Face's own tokenizer gives them for this model
    assert pieces.of("Hello, world!") == [101, 7592, 1010, 2088, 999, 102]
    assert pieces.of("unbelievably Größe 日本") == [101, 4895, 8671, 2666, 3567, 6321, 24665, 2080, 17499, 1864, 1876, 102]
    assert pieces.of("") == [101, 102]
    assert len(pieces.of("word " * 1_000)) == 16
    assert pieces.of("x" * 500) == [101, 100, 102]


@given(st.text(max_size=60))
def test_every_text_has_pieces(text: str) -> None:
    assert all(word and not word.isspace() for word in words(text))


def test_what_means_the_same_is_near_and_what_does_not_is_far(model: MiniLM) -> None:
    cat, kitten, bank = model.embed(
        ["The cat sits outside.", "A kitten is out on the terrace.", "The bank raised its interest rates."]
    )
    assert cat @ kitten > 0.5
    assert cat @ bank < 0.2
    # the published weights in full precision say 0.28 and 0.23 (sentence-transformers' own example)
    outside, guitar, garden = model.embed(["The cat sits outside", "A man is playing guitar", "The dog plays in the garden"])
    assert outside @ garden == pytest.approx(0.284, abs=0.03)
    assert guitar @ garden == pytest.approx(0.228, abs=0.03)


def test_a_vector_has_length_1_whatever_the_text_is(model: MiniLM) -> None:
    vectors = model.embed(["", " ", "🦊", "x" * 10_000, "\x00"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_a_memory_without_a_word_of_the_question_is_found_by_its_meaning(tmp_path: Path, model: MiniLM) -> None:
    store = opened(tmp_path)
    store.adopt(model.model, model.dimensions)
    texts = ["I adopted a kitten from the shelter", "The train to Basel was late again", "Interest rates went up"]
    store.apply(put=[said(number, text, session=f"s{number}") for number, text in enumerate(texts)])
    while rows := store.unembedded(8):
        store.embedded([(id_, vector) for (id_, _), vector in zip(rows, model.embed([text for _, text in rows]), strict=True)])
    asked = "Does she own a pet?"
    assert store.search("arya", asked) == []
    assert store.search("arya", asked, vector=model.embed([asked])[0])[0].memory.id == "arya/0"


def test_another_model_has_all_vectors_made_anew_and_none_is_compared(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.adopt("one", 8)
    store.apply(put=[said(1, "a dog")])
    store.embedded([("arya/1", [1.0] * 8)])
    assert store.search("arya", "xyzzy", vector=np.ones(8))
    store.adopt("another", 16)
    assert store.unembedded_count() == 1
    assert store.search("arya", "xyzzy", vector=np.ones(16)) == []
    assert store.search("arya", "dog", vector=np.ones(16))[0].memory.id == "arya/1", "words go on meanwhile"


def test_a_text_that_changed_has_no_vector_until_it_is_read_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.adopt("one", 8)
    store.apply(put=[said(1, "a dog")])
    store.embedded([("arya/1", np.ones(8))])
    store.search("arya", "dog")
    store.apply(change={"arya/1": {"text": "a cat"}})
    assert store.unembedded(5) == [("arya/1", "a cat")]
    assert store.search("arya", "xyzzy", vector=np.ones(8)) == []


def test_what_changes_while_the_columns_are_read_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "_LOADED_ROWS", 2)
    written = opened(tmp_path)
    written.adopt("one", 8)
    written.apply(put=[said(number, f"word{number}") for number in range(9)])
    reading = written.load("arya")
    for step in range(3):
        next(reading)
        written.apply(put=[said(20 + step, f"late{step}")], drop=["arya/7"], change={"arya/1": {"text": "changed"}})
        written.embedded([(f"arya/{step}", np.eye(8)[step])])
    assert list(reading)
    best = {
        query: [hit.memory.id for hit in written.search("arya", query, 1)] for query in ("late2", "changed", "word7", "word1")
    }
    assert best == {"late2": ["arya/22"], "changed": ["arya/1"], "word7": [], "word1": []}
    assert {hit.memory.id for hit in written.search("arya", "xyzzy", vector=np.eye(8)[2])} == {"arya/2"}


def test_a_new_model_while_the_columns_are_read_begins_them_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "_LOADED_ROWS", 2)
    store = opened(tmp_path)
    store.apply(put=[said(number, f"word{number}") for number in range(5)])
    reading = store.load("arya")
    next(reading)
    store.adopt("another", 16)
    assert list(reading)
    store.embedded([("arya/3", np.ones(16))])
    assert [hit.memory.id for hit in store.search("arya", "xyzzy", vector=np.ones(16))] == ["arya/3"]


def test_what_fits_little_by_itself_comes_to_nobodys_mind(tmp_path: Path, model: MiniLM) -> None:
    store = opened(tmp_path)
    store.adopt(model.model, model.dimensions)
    store.apply(put=[said(1, "My sister Nora lives in Lisbon", session="a"), said(2, "The boiler was repaired", session="b")])
    rows = store.unembedded(8)
    store.embedded([(id_, vector) for (id_, _), vector in zip(rows, model.embed([text for _, text in rows]), strict=True)])

    def minded(query: str) -> list[str]:
        hits = store.search("arya", query, vector=model.embed([query])[0])
        return [each.id for each in chosen(hits, Occasion("c"))]

    assert minded("Where does my sister live?") == ["arya/1"]
    assert minded("Please write a function that reverses a string") == []


def test_the_time_that_is_asked_for_and_a_like_mood_bring_forward(tmp_path: Path) -> None:
    store = opened(tmp_path)
    may = datetime(2026, 5, 3, tzinfo=UTC).timestamp()
    store.apply(put=[said(1, "the plan", session="a"), said(2, "the plan", session="b", ts=may, mood={"dopamine": 5.0})])
    assert store.search("arya", "the plan in May", lens=Lens(now=NOW))[0].memory.id == "arya/2"
    assert store.search("arya", "plan", lens=Lens(mood={"dopamine": 9.0}))[0].memory.id == "arya/2"
    assert store.search("arya", "plan", lens=Lens(now=NOW))[0].memory.id == "arya/1", "what is young comes easier"


def test_moods_that_point_the_same_way_are_alike() -> None:
    assert like({"a": 2.0}, {"a": 9.0}) == pytest.approx(1)
    assert like({"a": 2.0}, {"a": -9.0}) == pytest.approx(-1)
    assert like({}, {"a": 1.0}) == 0


rows = st.lists(
    st.tuples(st.sampled_from("xyz"), st.sampled_from(["episode", "episode", "fact"]), st.integers(1, 9)),
    min_size=1,
    max_size=40,
)


@given(rows, st.integers(0, 40))
def test_columns_that_grew_are_those_that_are_read_anew(told: list[tuple[str, str, int]], cut: int) -> None:
    made = [
        Row(n, session, "ada", kind, float(n), False, 0.5, 0, length, 0, True, False)
        for n, (session, kind, length) in enumerate(told, 1)
    ]
    grown, loaded = Index(8), Index(8)
    grown.load([[getattr(row, name) for name in Row.__slots__] for row in made[:cut]])
    grown.join()
    grown.put(made[cut:])
    loaded.load([[getattr(row, name) for name in Row.__slots__] for row in made])
    loaded.join()
    for name in ("n", "before", "after", "words", "near_words", "live"):
        assert grown[name].tolist() == loaded[name].tolist(), name
    window = loaded.window(np.arange(loaded.size))
    near = [loaded["words"][column[column != NONE]].sum() for column in window.T]
    assert near == loaded["near_words"].tolist()


@given(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4).filter(lambda each: max(map(abs, each)) > 0.01))
def test_a_vector_keeps_its_direction_as_whole_numbers(numbers: list[float]) -> None:
    vector = np.array([numbers], np.float32)
    whole = quantised(vector)[0].astype(np.float32)
    assert whole @ vector[0] / (np.linalg.norm(whole) * np.linalg.norm(vector)) > 0.999


def server(answer: httpx.Response) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(lambda _: answer))


def test_a_server_of_vectors_is_asked_in_its_protocol() -> None:
    seen: list[dict[str, object]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        seen.append(body)
        data = [{"index": at, "embedding": [float(at), 1.0]} for at in reversed(range(len(body["input"])))]
        return httpx.Response(200, json={"data": data})

    served = Served("nomic", "http://127.0.0.1:1/v1/", client=httpx.Client(transport=httpx.MockTransport(answer)))
    assert (served.model, served.dimensions) == ("nomic@http://127.0.0.1:1/v1/", 2)
    assert served.embed(["a", "b"]) == [[0.0, 1.0], [1.0, 1.0]]
    assert seen[-1] == {"model": "nomic", "input": ["a", "b"]}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"data": []}),
        httpx.Response(200, json={"data": [{"index": 0, "embedding": []}]}),
        httpx.Response(200, json=[1]),
    ],
)
def test_a_server_that_answers_otherwise_is_named(answer: httpx.Response) -> None:
    with pytest.raises(Unavailable, match="127"):
        Served("nomic", "http://127.0.0.1:1/v1", client=server(answer))


def test_a_model_of_a_server_needs_its_url() -> None:
    with pytest.raises(Unavailable, match="no url"):
        Served("nomic", "")
