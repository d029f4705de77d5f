"""The whole house: what was said is answered once, whoever dies meanwhile."""

import json
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from anima.wire.events import decode_event
from tests.system import person
from tests.system.conftest import House, eventually

pytestmark = pytest.mark.system
SLOW = {"text": "one two three four five six seven eight nine ten", "delay_s": 0.15}


def running_turn(house: House) -> bool:
    return any(each["kind"] == "turn_started" for each in house.events("--kind", "turn_started"))


def kinds(events: list[dict[str, Any]], turn: str) -> list[str]:
    return [each["kind"] for each in events if each["id"] == turn or each["data"].get("turn") == turn]


def test_a_question_is_answered_and_stored_in_the_order_it_happened(house: House) -> None:
    house.agent("arya", {"text": "hello there"})
    house.start()
    assert house.ask("arya", "hi") == "hello there"
    (asked,) = house.events("--kind", "user_message")
    story = kinds(house.events("--agent", "arya"), asked["id"])
    assert story == [
        "user_message",
        "turn_started",
        "budget_reserved",
        "model_called",
        "model_recorded",
        "agent_message",
        "turn_ended",
    ]
    assert [each["seq"] for each in house.events()] == list(range(1, len(house.events()) + 1))


@pytest.mark.parametrize("victim", ["agent:arya", "journal"])
def test_whoever_is_killed_within_a_turn_the_message_is_answered_once(house: House, victim: str) -> None:
    house.agent("arya", SLOW)
    house.start()
    house.send("arya", "count, please")
    eventually(lambda: running_turn(house), "the turn has not begun")
    killed = house.kill(victim)
    house.until_up(victim, other_than=killed)
    ledger = house.until_answered(1)
    assert ledger["answered"] == 1
    assert len(house.events("--kind", "agent_message")) == 1


def test_an_agent_killed_leaves_its_siblings_alone_and_its_death_is_a_fact(house: House) -> None:
    house.agent("arya")
    house.agent("bran")
    house.start()
    others = {name: house.pid(name) for name in ("agent:bran", "journal")}
    killed = house.kill("agent:arya")
    house.until_up("agent:arya", other_than=killed)
    assert {name: house.pid(name) for name in others} == others
    ended = eventually(lambda: house.events("--kind", "process_ended"), "the death is not in the journal")
    assert (ended[-1]["data"]["name"], ended[-1]["data"]["signal"], ended[-1]["data"]["pid"]) == ("agent:arya", 9, killed)


def test_the_supervisor_killed_takes_everyone_with_it_and_the_next_one_goes_on(house: House) -> None:
    house.agent("arya", SLOW)
    house.start()
    house.send("arya", "count, please")
    eventually(lambda: running_turn(house), "the turn has not begun")
    pids = [each["pid"] for each in house.processes().values()]
    assert house.supervisor
    house.supervisor.kill()
    house.supervisor.wait()
    eventually(lambda: not any(_alive(pid) for pid in pids), "a child outlived its supervisor", timeout_s=2)
    house.start()
    assert house.until_answered(1)["answered"] == 1


def _alive(pid: int) -> bool:
    try:
        with Path(f"/proc/{pid}/stat").open() as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_message_that_kills_its_agent_three_times_is_failed_and_told_and_the_next_one_served(house: House) -> None:
    house.agent("arya", {"match": "poison", "text": "argh", "exit": 1}, {"text": "fine"})
    house.start()
    done = house.ctl("ask", "arya", "poison")
    assert done.returncode == 1
    assert "3 times" in done.stdout + done.stderr
    assert house.ask("arya", "and you?") == "fine"
    ledger = house.audit()
    assert (ledger["failed"], ledger["answered"], ledger["lost"], ledger["doubled"]) == (1, 1, 0, 0)


def test_a_message_that_only_ran_beside_a_deadly_one_is_not_given_up_with_it(house: House) -> None:
    house.agent("arya", {"match": "poison", "text": "argh", "delay_s": 0.1, "exit": 1}, SLOW)
    house.start()
    house.send("arya", "take your time", "innocent")
    eventually(lambda: running_turn(house), "the turn has not begun")
    house.send("arya", "poison", "guilty")
    ledger = house.until_answered(2)
    assert (ledger["answered"], ledger["failed"]) == (1, 1)


def test_messages_to_several_sessions_are_each_answered_in_order(house: House) -> None:
    house.agent("arya", {"text": "ok"})
    house.start()
    for number in range(3):
        for session in ("a", "b"):
            house.send("arya", f"{session}{number}", session)
    house.until_answered(6)
    asked = {each["id"]: each["data"]["text"] for each in house.events("--kind", "user_message")}
    ended = [asked[each["data"]["turn"]] for each in house.events("--kind", "turn_ended")]
    for session in ("a", "b"):
        assert [text for text in ended if text[0] == session] == [f"{session}{number}" for number in range(3)]


def test_an_interrupted_turn_is_told_as_such(house: House) -> None:
    house.agent("arya", {"match": "hang", "text": "hm", "hang": True}, {"text": "fine"})
    house.start()
    house.send("arya", "hang")
    eventually(lambda: running_turn(house), "the turn has not begun")
    person.interrupt(house, "arya")
    assert house.until_answered(1)["interrupted"] == 1
    assert house.ask("arya", "still there?") == "fine"


def test_a_stop_puts_a_turn_down_and_the_next_start_takes_it_up(house: House) -> None:
    house.agent("arya", {"text": "hm", "hang": True})
    house.start()
    house.send("arya", "hi")
    eventually(lambda: running_turn(house), "the turn has not begun")
    assert house.stop() == 0
    house.agent("arya", {"text": "at last"})
    house.start()
    assert house.until_answered(1)["answered"] == 1
    assert house.events("--kind", "turn_paused")


def test_everyone_is_stopped_in_reverse_order_and_the_journal_has_seen_it_all(house: House) -> None:
    house.agent("arya")
    house.agent("bran")
    house.start()
    house.do("stop", "all", wait=True)
    ended = eventually(
        lambda: (found := house.events("--kind", "process_ended")) and len(found) == 2 and found,
        "the ends are not in the journal",
    )
    assert {each["data"]["name"] for each in ended} == {"agent:arya", "agent:bran"}
    assert all(each["data"]["exit"] == 0 for each in ended)
    house.do("start", "all", wait=True)
    assert house.stop() == 0
    with sqlite3.connect(house.home.journal) as journal:
        rows = journal.execute("SELECT blob FROM events WHERE kind = 'process_ended' ORDER BY seq").fetchall()
    journal.close()
    ends = [decode_event(row[0]).data for row in rows]
    assert [each["cause"] for each in ends] == ["stop"] * 8, "the journal stopped last, and saw it all"
    order = [each["name"] for each in ends[2:]]
    assert order[2:] == ["purser", "sandbox", "thymos", "mneme"], "they stop in the reverse order of their births"


def test_an_agent_with_a_wrong_folder_is_down_with_its_reason_and_the_others_live(house: House) -> None:
    house.agent("arya")
    house.agent("bran")
    (house.home.agent("bran") / "agent.toml").write_text("model = 'reflex'\ncolour = 'blue'\n")
    house.agent("cersei")
    (house.home.agent("cersei") / "persona.md").write_text("")
    house.start()
    processes = house.processes()
    assert processes["agent:arya"]["state"] == "up"
    assert processes["agent:bran"]["state"] == processes["agent:cersei"]["state"] == "failed"
    assert "agent.toml:2" in processes["agent:bran"]["reason"]
    assert "colour" in processes["agent:bran"]["reason"]
    assert "persona.md" in processes["agent:cersei"]["reason"]


def test_a_wrong_configuration_leaves_the_old_one_at_reload_and_a_right_one_touches_only_what_changed(house: House) -> None:
    house.agent("arya", {"text": "old"})
    house.agent("bran")
    house.start()
    before = {name: house.pid(name) for name in ("agent:arya", "agent:bran", "journal")}
    (house.home.agent("arya") / "agent.toml").write_text("model = 3\n")
    refused = house.do("reload")
    assert not refused["ok"]
    assert "agent.toml:1" in refused["error"]
    assert house.ask("arya", "hi") == "old"
    house.agent("arya", {"text": "new"}, description="changed")
    assert house.do("reload")["changed"] == ["agent:arya"]
    house.until_up("agent:arya", other_than=before["agent:arya"])
    assert {name: house.pid(name) for name in ("agent:bran", "journal")} == {
        name: before[name] for name in ("agent:bran", "journal")
    }
    assert house.ask("arya", "hi again", "--session", "other") == "new"


def test_what_a_prompt_includes_is_part_of_the_configuration(house: House) -> None:
    house.agent("arya", persona="You know: {{include:facts.md}}\n")
    facts = house.home.agent("arya") / "facts.md"
    facts.write_text("water is wet\n")
    house.start()
    before = house.pid("agent:arya")
    facts.unlink()
    refused = house.do("reload")
    assert not refused["ok"]
    assert "persona.md:1" in refused["error"]
    facts.write_text("water is dry\n")
    assert house.do("reload")["changed"] == ["agent:arya"]
    house.until_up("agent:arya", other_than=before)
    assert "water is dry" in house.ctl("system", "arya").stdout


def test_a_stopped_consumer_catches_up_when_it_goes_on(house: House) -> None:
    house.agent("arya", {"text": "ok"})
    house.start()
    house.do("pause", "arya", wait=True)
    for number in range(5):
        house.send("arya", f"message {number}")
    house.do("resume", "arya", wait=True)
    assert house.until_answered(5)["answered"] == 5


def test_a_frozen_agent_is_ended_with_its_stack_in_the_log_and_its_message_answered(house: House) -> None:
    house.settings = "[supervisor]\nbeat_s = 0.2\n"
    house.agent("arya", SLOW)
    house.start()
    house.send("arya", "count")
    eventually(lambda: running_turn(house), "the turn has not begun")
    frozen = house.kill("agent:arya", signal.SIGSTOP)
    house.until_up("agent:arya", other_than=frozen)
    assert house.until_answered(1)["answered"] == 1
    assert "most recent call first" in house.log("agent:arya")


def test_a_key_never_stands_in_a_log_the_journal_or_an_answer(house: House) -> None:
    secret = "sk-ant-very-secret-0123456789"
    house.agent("arya", model="anthropic:claude-x")
    house.environ["ANTHROPIC_API_KEY"] = secret
    house.environ["ANTHROPIC_BASE_URL"] = "http://127.0.0.1:9"
    house.agent("bran", turn_timeout_s=1.0, model="anthropic:claude-x")
    house.start()
    done = house.ctl("ask", "bran", "hi", "--timeout", "20")
    assert done.returncode == 1
    seen = (
        done.stdout + done.stderr + json.dumps(house.events()) + "".join(path.read_text() for path in house.home.log.glob("*"))
    )
    assert secret not in seen


def test_files_and_threads_of_the_supervisor_are_back_to_where_they_were_after_many_deaths(house: House) -> None:
    house.agent("arya")
    house.start()
    house.until_up("agent:arya", other_than=house.kill("agent:arya"))
    before = house.held()
    for _ in range(3):
        house.until_up("agent:arya", other_than=house.kill("agent:arya"))
    eventually(lambda: house.held() == before, f"the root held {before} before and holds {house.held()} now")


def test_an_agent_whose_model_nobody_chose_says_so_in_one_line(house: House) -> None:
    house.agent("arya", model="")
    house.start()
    done = house.ctl("system", "arya")
    told = done.stdout + done.stderr
    assert "no model is configured" in told
    assert "ANTHROPIC_API_KEY" in told


def test_no_more_sessions_than_allowed_are_served_at_the_same_time(house: House) -> None:
    house.agent("arya", {"text": "hm", "hang": True}, sessions_parallel_max=2)
    house.start()
    for session in ("a", "b", "c"):
        house.send("arya", "hello", session)
    eventually(lambda: len(house.events("--kind", "turn_started")) == 2, "two turns have not begun")
    person.interrupt(house, "arya", "a")
    eventually(lambda: len(house.events("--kind", "turn_started")) == 3, "a place that became free was not given")
