"""What an agent's model sees, as a person looks at it."""

import json

import pytest

from tests.system.conftest import House

pytestmark = pytest.mark.system


def test_a_person_sees_what_the_model_sees_what_it_does_not_and_pins_what_it_always_shall(house: House):
    house.agent("arya", {"text": "noted"}, viewport={"window_tokens": 20_000}, memory={"on": False})
    house.start()
    house.ask("arya", "the key lies under the mat")
    told = house.ctl("viewport", "arya")
    assert [line.split()[0] for line in told.stdout.splitlines()] == ["ROLE", "user", "assistant"]
    assert "of 20,000 tokens" in told.stderr
    assert "Nothing is left out." in house.ctl("viewport", "arya", "--explain").stdout

    (first,) = house.events("--kind", "user_message")
    assert "is pinned" in house.ctl("pin", "arya", str(first["seq"])).stdout
    for number in range(3):
        house.ask("arya", f"{number} " + "word " * 3_000)
    explained = house.ctl("viewport", "arya", "--explain").stdout
    assert "it is older than the window" in explained
    assert "from 4 replies: usually off by" in explained
    seen = json.loads(house.ctl("viewport", "arya", "--json").stdout)
    assert seen["shown"][0]["text"] == "<pinned>\nthe key lies under the mat\n</pinned>"
    house.ctl("pin", "arya", str(first["seq"]), "--off")
    assert "mat" not in house.ctl("viewport", "arya").stdout


def test_what_cannot_be_looked_at_or_pinned_is_said_in_a_sentence(house: House):
    house.agent("arya")
    house.start()
    for words, sentence in (
        (("viewport", "nobody"), "nobody"),
        (("viewport", "arya", "--session", " "), "cannot name a session"),
        (("pin", "arya", "9999"), "has no event 9999"),
        (("pin", "arya", "1"), "event 1"),
    ):
        told = house.ctl(*words)
        assert told.returncode == 1, told
        assert sentence in told.stderr
        assert told.stderr.count("\n") == 1
    assert house.ctl("viewport", "arya", "--session", "never-used").stdout.split() == ["ROLE", "TOKENS", "TEXT"]
