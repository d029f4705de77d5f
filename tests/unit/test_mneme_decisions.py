"""What is decided about a memory before it is stored: when that was, whether it is a secret, whether it is known."""

import contextlib
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import BadMessage
from anima.mneme.facts import compare
from anima.mneme.importing import batch_id, moment, read_row
from anima.mneme.recalling import age
from anima.mneme.said import deed, outcome, wished
from anima.mneme.secrets import cleaned, is_card

MAY_8 = datetime(2023, 5, 8, 13, 56, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "told",
    [
        "1:56 pm on 8 May, 2023",
        "8 May 2023 13:56",
        "May 8, 2023 1:56 PM",
        "13:56 on the 8th of May 2023",
        "2023-05-08T13:56:00",
        "2023-05-08 13:56:00+00:00",
        "2023-05-08T15:56:00+02:00",
        "Mon, 08 May 2023 13:56:00 +0000",
        "Mon, 8 May 2023 15:56:00 +0200",
        MAY_8,
        int(MAY_8 * 1_000),
        str(int(MAY_8)),
    ],
)
def test_a_time_is_understood_however_it_is_written(told: object) -> None:
    assert moment(told) == MAY_8


@pytest.mark.parametrize(
    "told", ["yesterday", "", "12", "40 May 2023", "8 Maybe 2023", None, True, float("nan"), 1e300, [], "1e9"]
)
def test_what_is_no_time_is_refused_in_a_sentence(told: object) -> None:
    with pytest.raises(BadMessage, match="no "):
        moment(told)


@given(st.integers(0, 200 * 366 * 24 * 60))
def test_every_minute_written_out_comes_back(minutes: int) -> None:
    at = datetime(1971, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    months = re.findall(r"\w+", "January February March April May June July August September October November December")
    half = "am" if at.hour < 12 else "pm"
    told = f"{at.hour % 12 or 12}:{at.minute:02} {half} on {at.day} {months[at.month - 1]}, {at.year}"
    assert moment(told) == moment(at.isoformat()) == at.timestamp()


@given(st.text())
def test_any_text_is_a_time_or_a_bad_message(told: str) -> None:
    with contextlib.suppress(BadMessage):
        assert isinstance(moment(told), float)


FIELDS = st.sampled_from(["id", "ts", "session", "speaker", "text", "sort", "mood", "importance"])


@given(st.text(max_size=200) | st.dictionaries(FIELDS, st.integers() | st.text()).map(json.dumps))
def test_a_line_is_a_memory_or_a_bad_message(line: str) -> None:
    with contextlib.suppress(BadMessage):
        row = read_row(line)
        assert row["id"]
        assert row["text"].strip()


def test_a_line_without_an_id_has_the_same_one_whenever_it_is_read() -> None:
    line = json.dumps({"ts": "2023-05-08", "text": "I have a dog"})
    assert read_row(line)["id"] == read_row(line)["id"] != read_row(line.replace("dog", "cat"))["id"]
    assert batch_id("arya", ["a", "b"]) == batch_id("arya", ["a", "b"]) != batch_id("bran", ["a", "b"])


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("my card is 4111 1111 1111 1111, thanks", "card number"),
        ("use 5500-0055-5555-5559", "card number"),
        ("the key is sk-ant-api03-AbCdEfGhIjKlMnOpQrStUv", "API key"),
        ("AKIAIOSFODNN7EXAMPLE", "API key"),
        (f"push with ghp_{'a1' * 18}", "token"),
        ("xoxb-123456789012-abcdefABCDEF", "token"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U", "token"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----", "private key"),
        ("my password is hunter22!", "password"),
        ("password: correcthorse", "password"),
        ("das Passwort lautet Geheim99", "password"),
    ],
)
def test_a_secret_is_known_by_its_form_and_not_kept(said: str, kind: str) -> None:
    clean = cleaned(said)
    assert clean.found == (kind,)
    assert f"[{kind} not kept]" in clean.text
    assert cleaned(clean.text).text == clean.text, "what was taken out is not looked at again"


@pytest.mark.parametrize(
    "said",
    [
        "the password is wrong",
        "call me at 0171 1234567890",
        "order 1234567890123456 has come",
        "I was born on 2023-05-08 at 13:56:00",
        "the token ring is old",
        "1683554160000 is a time in milliseconds",
        "we drove 40 km to the sea",
    ],
)
def test_what_is_no_secret_stays(said: str) -> None:
    assert cleaned(said).text == said


def test_a_value_that_is_secret_by_configuration_is_not_kept_whatever_it_looks_like() -> None:
    assert "blue-sky" not in cleaned("they call it blue-sky here", {"blue-sky"}).text


def test_what_is_nothing_but_a_secret_is_bare() -> None:
    assert cleaned("4111111111111111").bare
    assert not cleaned("Ada pays for the flat with 4111111111111111").bare


@given(st.integers(10**11, 10**17))
def test_one_check_digit_at_most_makes_a_card(number: int) -> None:
    assert sum(is_card(f"{number}{check}") for check in range(10)) <= 1


@given(st.text())
def test_cleaning_never_fails(said: str) -> None:
    cleaned(said)


@pytest.mark.parametrize(
    ("new", "old", "sort"),
    [
        ("Ada lives in Rome", "ada lives in Rome.", "same"),
        ("The user really likes green tea a lot", "the user likes green tea a lot", "same"),
        ("Ada has two cats called Tom and Kit at home", "Ada has two cats, called Tom and Kit", "alike"),
        ("Ada moved to Rome", "Ada lives in Paris", "against"),
        ("My name is Bob", "My name is Ada", "against"),
        ("Ada's favourite colour is blue", "Ada's favorite color is red", "against"),
        ("Ada is 31 years old", "Ada is 30 years old", "against"),
        ("Ada does not like tea", "Ada likes tea", "against"),
        ("Ada likes coffee", "Ada likes tea", "new"),
        ("Bob lives in Rome", "Ada lives in Paris", "new"),
        ("the meeting is at 10", "the meeting is at 11", "new"),
    ],
)
def test_a_fact_is_new_known_or_against_an_old_one(new: str, old: str, sort: str) -> None:
    assert compare(new, [("1", old)]).sort == sort


def test_what_an_answer_wishes_to_remember_is_found_and_the_rest_is_the_episode() -> None:
    assert wished("Fine. [REMEMBER: Ada  likes tea] Bye [remember: x]") == ("Fine.  Bye", ["Ada likes tea", "x"])
    assert wished("Nothing [REMEMBER:] here") == ("Nothing [REMEMBER:] here", [])


def test_a_deed_is_told_in_brief() -> None:
    assert len(deed("exec", {"command": "ls " + "x" * 1_000})) < 300
    assert outcome("exec()", "done", "a\nb") == "exec() -> done: a b"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 seconds ago"), (90, "1 minute ago"), (86_400 * 22, "3 weeks ago"), (86_400 * 800, "2 years ago")],
)
def test_an_age_is_told_in_words(seconds: float, told: str) -> None:
    assert age(seconds) == told
