"""A turn of a running house, played again from the command line, byte for byte, and as a script for another agent."""

import json

import pytest

from tests.system.conftest import House

pytestmark = pytest.mark.system

LIST = {"tool": "list_folder", "args": {"path": "."}}

JUDGE = {"match": "^Before draft 1 ", "text": "REVISE: say how many"}


def test_a_turn_is_replayed_departs_where_its_persona_was_edited_and_becomes_a_script(house: House) -> None:
    house.agent("arya", {"deltas": ["I ", "loök."], "calls": [LIST]}, {"text": "nothing there"})
    house.agent("bran", {"text": "some"}, {"text": "three"}, JUDGE, reflection={"on": True})
    house.start()
    assert house.ask("arya", "what is there?") == "nothing there"
    seq = str(house.events("--kind", "user_message")[0]["seq"])
    done = house.ctl("ask", "bran", "how many?")
    assert done.stdout.strip() == "three", "only the final answer is shown"
    (verdict,) = house.events("--kind", "reflected")
    assert (verdict["data"]["draft"], verdict["data"]["verdict"]) == ("some", "revise")
    head = verdict["seq"]

    turn, first, second, end = [json.loads(line) for line in house.ctl("replay", seq, "--json").stdout.splitlines()]
    assert turn["question"] == "what is there?"
    assert (first["same"], second["same"]) == (True, True), first["diff"] + second["diff"]
    assert first["calls"][0]["tool"] == "list_folder"
    assert first["calls"][0]["text"] == house.events("--kind", "tool_response")[0]["data"]["text"]
    assert (end["answer"], end["same"]) == ("nothing there", True)

    (house.home.agent("arya") / "persona.md").write_text("You are nobody.\n")
    shown = house.ctl("replay", turn["turn"][:20], "--diff").stdout
    assert "departs at step 1" in shown
    assert "+You are nobody." in shown.splitlines()

    target = house.home.root / "bug.jsonl"
    house.ctl("replay", seq, "--export", str(target))
    (house.home.agent("arya") / "play.jsonl").write_text(target.read_text())
    live = [
        json.loads(line) for line in house.ctl("replay", seq, "--model", "scripted:play.jsonl", "--json").stdout.splitlines()
    ]
    assert live[-1]["answer"] == "nothing there", "the script says what was said"
    stored = [each["kind"] for each in house.events("--since", str(head), "--agent", "arya")]
    assert set(stored) <= {"soul_changed"}, "a replay stores nothing; what a turn did to a soul is told a second later"
    wrong = house.ctl("replay", "987654")
    assert wrong.returncode == 1
    assert "there is no event 987654" in wrong.stderr
