"""What agents may spend, in a whole house: they stop at their limit, the switch stops them at once, the purser watches."""

import json
from typing import Any

import pytest

from tests.system.conftest import House, eventually

pytestmark = pytest.mark.system


def told(house: House, name: str) -> dict[str, Any]:
    """What the purser says of one agent."""
    done = house.ctl("budget", name, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)[0])


def doing(house: House, name: str) -> str:
    return str(house.processes()[f"agent:{name}"]["status"])


def test_an_agent_with_two_calls_a_day_makes_two_and_says_why_it_makes_no_third(house: House) -> None:
    house.agent("arya", budget={"day_calls": 2})
    house.start()
    house.ask("arya", "my name is Ada")
    house.ask("arya", "what is my name?")
    third = house.ctl("ask", "arya", "and again?")
    assert third.returncode == 1
    assert "2 of 2 model calls are spent today (day_calls)" in third.stderr
    house.kill("agent:arya")
    house.until_up("agent:arya")
    assert "day_calls" in house.ctl("ask", "arya", "and after a death?").stderr
    assert len(house.events("--kind", "budget_reserved")) == len(house.events("--kind", "model_called")) == 2
    eventually(lambda: told(house, "arya")["today"]["spent"]["calls"] == 2, "the purser does not count them")
    assert told(house, "arya")["limits"] == [{"setting": "day_calls", "at_most": 2, "left": 0.0}]
    assert "person, reflex" in house.ctl("budget").stdout
    assert not told(house, "arya")["frozen"], "it kept to its budget, so nobody froze it"


def test_a_frozen_agent_breaks_off_at_once_and_answers_when_it_is_thawed(house: House) -> None:
    house.agent("arya", {"match": "again", "text": "fine"}, {"text": "one two", "hang": True, "attempts": 1})
    house.start()
    house.send("arya", "count")
    eventually(lambda: house.events("--kind", "budget_reserved"), "it does not begin")
    assert house.ctl("freeze", "arya", "--reason", "enough").returncode == 0
    eventually(lambda: house.events("--kind", "turn_paused"), "what runs is not put down")
    assert doing(house, "arya") == "frozen: enough"
    refused = house.ctl("ask", "arya", "are you there?")
    assert "arya is frozen: enough" in refused.stderr
    house.send("arya", "count again")
    house.kill("agent:arya")
    house.until_up("agent:arya")
    assert doing(house, "arya") == "frozen: enough", "it forgot over its death"
    assert not house.events("--kind", "turn_ended")
    assert house.ctl("thaw", "all").returncode == 0
    eventually(lambda: len(house.events("--kind", "turn_ended")) == 2, "it does not go on")
    assert {each["data"]["outcome"] for each in house.events("--kind", "turn_ended")} == {"answered"}
    assert house.audit()["lost"] == 0
    assert told(house, "arya")["today"]["reserved"]["calls"] == 1, "what was broken off counts as reserved"


def test_a_killed_purser_has_missed_nothing(house: House) -> None:
    house.agent("arya")
    house.start()
    house.ask("arya", "my name is Ada")
    eventually(lambda: told(house, "arya")["today"]["spent"]["calls"] == 1, "the purser does not count")
    before = house.kill("purser")
    house.ask("arya", "what is my name?")
    house.until_up("purser", other_than=before)
    eventually(lambda: told(house, "arya")["today"]["spent"]["calls"] == 2, "it missed a call")
    assert house.processes()["purser"]["restarts"] == 1
