"""Memory in a whole house: nothing is missing and nothing doubled, whoever is killed when, and what was told once is known."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import House, eventually

pytestmark = pytest.mark.system


def rows(house: House, name: str = "arya") -> list[dict[str, Any]]:
    """Everything the agent remembers."""
    done = house.ctl("memory", "export", name)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def found(house: House, query: str, *more: str, name: str = "arya") -> list[str]:
    done = house.ctl("memory", "search", name, query, "--json", *more)
    assert done.returncode == 0, done.stderr
    return [each["text"] for each in json.loads(done.stdout)["hits"]]


def life(path: Path, count: int, words: str = "about the weather and the garden", **broken: str) -> Path:
    """A file of `count` turns; `broken` are lines by number ("l17") that are something else."""
    lines = [
        json.dumps(
            {
                "id": f"D{number // 40}:{number}",
                "ts": "1:56 pm on 8 May, 2023",
                "session": f"D{number // 40}",
                "speaker": ("Bob", "Eve")[number % 2],
                "text": f"turn{number} {words}",
            }
        )
        for number in range(count)
    ]
    for place, line in broken.items():
        lines[int(place[1:]) - 1] = line
    path.write_text("\n".join(lines) + "\n")
    return path


def test_what_was_told_once_is_in_the_prompt_after_200_000_tokens_of_other_talk(house: House, tmp_path: Path) -> None:
    house.agent("arya", {"text": "I see."})
    house.start()
    house.ask("arya", "my dog Pixel was born in Lisbon")
    for number in range(8):  # 30,000 words a message: twice the window of a model nobody knows
        assert house.ctl("ask", "arya", stdin=f"chapter {number}: " + "lorem ipsum dolor sit amet " * 6_000).returncode == 0
    talk = life(tmp_path / "talk.jsonl", 3_000, "lorem ipsum dolor " * 25)
    assert house.ctl("memory", "import", "arya", str(talk)).returncode == 0
    house.ask("arya", "where was Pixel born?")
    told = json.loads(house.ctl("events", "--json", "-n", "1", "--kind", "brought_to_mind").stdout)
    shown = {name: text for _, name, text in told["data"]["inserts"]}
    assert "my dog Pixel was born in Lisbon" in shown["recall"]
    assert "in main, user" in shown["recall"]
    assert house.events("--kind", "snapshot_stored"), "what left the window is not summarised"
    window = json.loads(house.ctl("viewport", "arya", "--json").stdout)
    assert any("Lisbon" in each["what"] for each in window["left"]) or window["older"], "it never left the window"


def test_a_mneme_killed_during_an_import_and_during_talk_misses_nothing_and_doubles_nothing(
    house: House, tmp_path: Path
) -> None:
    house.agent("arya")
    house.start()
    file = life(tmp_path / "life.jsonl", 12_000)
    result: list[int] = []
    importing = threading.Thread(
        target=lambda: result.append(house.ctl("memory", "import", "arya", str(file)).returncode), daemon=True
    )
    importing.start()
    for number in range(3):
        eventually(lambda: house.events("--kind", "memories_imported", "-n", "1"), "the import does not begin")
        before = house.kill("mneme")
        house.ask("arya", f"my number is {number}, said while nobody listens")
        house.until_up("mneme", other_than=before)
    importing.join(60)
    assert result == [0]
    ids = [each["id"] for each in rows(house)]
    assert len(ids) == len(set(ids))
    assert sum(each.startswith("D") for each in ids) == 12_000
    assert sum("said while nobody listens" in text for text in found(house, "while nobody listens")) == 3
    assert house.ctl("memory", "import", "arya", str(file)).stdout.startswith("0 memories imported, 12,000 were known")


def test_a_broken_line_is_named_and_the_rest_imported_and_found_and_exported_as_it_was(house: House, tmp_path: Path) -> None:
    house.agent("arya")
    house.agent("bran")
    house.start()
    file = life(
        tmp_path / "life.jsonl", 40, l17="{broken", l20='{"text": "no time"}', l23='{"ts": "2023-05-08", "text": "🦊 fox"}'
    )
    done = house.ctl("memory", "import", "arya", str(file))
    assert done.returncode == 1
    assert "38 memories imported" in done.stdout
    assert "line 17 of" in done.stderr
    assert "line 20 of" in done.stderr
    assert found(house, "turn7", "-k", "1") == ["turn7 about the weather and the garden"]
    assert found(house, "fox", "-k", "1") == ["🦊 fox"]
    house.ctl("memory", "add", "arya", "Bob lives in Paris")
    house.ctl("memory", "add", "arya", "Bob lives in Rome")
    exported = house.ctl("memory", "export", "arya").stdout
    copy = tmp_path / "copy.jsonl"
    copy.write_text(exported)
    assert house.ctl("memory", "import", "bran", str(copy)).returncode == 0
    assert house.ctl("memory", "export", "bran").stdout == exported
    assert house.ctl("memory", "export", "arya", "--markdown", str(tmp_path / "md")).returncode == 0
    assert "turn7 about" in (tmp_path / "md" / "D0.md").read_text()
    asked = tmp_path / "queries.jsonl"
    asked.write_text('{"query": "turn7"}\nnonsense\n{"query": ""}\n')
    done = house.ctl("memory", "search", "arya", "--queries", str(asked))
    assert done.returncode == 1
    assert "line 2 of" in done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["query"] for each in answers] == ["turn7", ""]
    assert set(answers[0]["hits"][0]) >= {"id", "score", "text", "ts", "session", "speaker"}
    assert answers[1]["hits"] == []


def test_a_person_changes_what_is_remembered_and_what_is_nonsense_is_said_in_a_sentence(house: House) -> None:
    house.agent("arya")
    house.start()
    kept = house.ctl("memory", "add", "arya", "Ada likes tea").stdout.split()[0]
    assert "known already" in house.ctl("memory", "add", "arya", "ada likes tea").stdout
    assert house.ctl("memory", "edit", "arya", kept, "Ada loves tea", "--importance", "0.9").returncode == 0
    assert found(house, "loves") == ["Ada loves tea"]
    assert house.ctl("memory", "pin", "arya", kept).returncode == 0
    assert "Ada loves tea" in house.ctl("viewport", "arya").stdout
    assert house.ctl("memory", "unpin", "arya", kept).returncode == 0
    assert "importance: 0.9" in house.ctl("memory", "show", "arya", kept).stdout
    assert "fact: 1" in house.ctl("memory", "stats", "arya").stdout
    assert house.ctl("memory", "forget", "arya", kept).returncode == 0
    assert found(house, "tea") == []
    for words, sentence in (
        (("add", "arya", "my key is sk-ant-api03-AbCdEfGhIjKlMnOpQrStUv"), "is a secret"),
        (("show", "arya", kept), "has no memory"),
        (("edit", "arya", kept), "nothing to change"),
        (("search", "arya", "x", "--since", "ages"), "no span and no date"),
        (("search", "nobody", "x"), "nobody"),
        (("import", "arya", "/nowhere.jsonl"), "cannot be read"),
    ):
        done = house.ctl("memory", *words)
        assert done.returncode == 1, (words, done.stdout)
        assert sentence in done.stderr
    assert house.ctl("memory", "search", "arya", 'a"b* OR (c NEAR', "-k", "3").returncode == 0
    assert house.ctl("memory", "search", "arya", "word " * 20_000).returncode == 0


def test_a_model_remembers_recalls_and_forgets_by_its_tools_and_others_do_not_hear_of_it(house: House) -> None:
    house.agent(
        "arya",
        {"match": "keep", "attempts": 1, "calls": [{"tool": "remember", "args": {"text": "Bob's sister is ill"}}]},
        {"match": "look", "calls": [{"tool": "recall", "args": {"query": "sister"}}]},
        {"text": "done"},
    )
    house.start()
    assert house.ctl("ask", "arya", "keep it", "--session", "bob").returncode == 0
    house.ask("arya", "look it up", "--session", "alice")
    house.ask("arya", "look it up", "--session", "bob")
    told = {
        each["session"]: each["data"] for each in house.events("--kind", "tool_response") if each["data"]["tool"] == "recall"
    }
    assert "Bob's sister is ill" in told["bob"]["text"]
    assert "sister" not in told["alice"]["text"].replace("about 'sister'", "")
    assert all(each["ok"] for each in told.values())


def test_a_house_goes_on_without_mneme_and_a_file_that_is_damaged_is_refused_and_written_again(house: House) -> None:
    house.agent("arya")
    house.start()
    house.ask("arya", "my name is Ada")
    assert found(house, "Ada")
    assert house.ctl("stop", "mneme").returncode == 0
    assert house.ask("arya", "what is my name?") == "You said your name is Ada."
    damaged = bytearray(house.home.mneme.read_bytes())
    damaged[100 : len(damaged)] = b"\xff" * (len(damaged) - 100)
    house.home.mneme.write_bytes(damaged)
    house.ctl("start", "mneme")
    eventually(lambda: house.processes()["mneme"]["state"] == "failed", "a damaged file is not refused")
    assert "move it away" in house.log("mneme") + json.dumps(house.processes()["mneme"])
    house.home.mneme.rename(house.home.mneme.with_name("broken.db"))
    house.ctl("reset", "mneme")
    house.until_up("mneme")
    assert len(found(house, "Ada")) >= 2, "it is not written again from the journal"


def test_a_name_that_was_told_once_is_known_when_the_window_shows_it_no_longer_also_without_a_model(house: House) -> None:
    house.agent("arya", viewport={"window_tokens": 8_000})
    house.start()
    house.ask("arya", "my name is Ada")
    for number in range(6):
        assert (
            house.ctl("ask", "arya", stdin=f"what do you think of chapter {number}?\n" + "lorem ipsum dolor " * 700).returncode
            == 0
        )
    window = json.loads(house.ctl("viewport", "arya", "--json").stdout)
    assert any("my name is" in each["what"] for each in window["left"]), "it never left the window"
    assert house.ask("arya", "what is my name?") == "You said your name is Ada."


def test_what_has_no_word_of_the_question_is_found_by_its_meaning_also_after_all_vectors_were_made_anew(
    house: House, tmp_path: Path
) -> None:
    house.agent("arya")
    house.start()
    texts = ("I adopted a kitten from the shelter", "The train to Basel was late again", "Interest rates went up in spring")
    file = tmp_path / "life.jsonl"
    lines = [
        {"id": f"D{place}", "ts": "2023-05-08", "session": f"D{place}", "speaker": "Ada", "text": text}
        for place, text in enumerate(texts)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert house.ctl("memory", "import", "arya", str(file), "--wait").returncode == 0
    asked = "Does she own a pet?"
    assert found(house, asked, "-k", "1") == [texts[0]]
    refused = house.ctl("memory", "reindex", "arya", "--model", "another")
    assert refused.returncode == 1
    assert "all-MiniLM-L6-v2" in refused.stderr
    done = house.ctl("memory", "reindex", "arya")
    assert (done.returncode, "all-MiniLM-L6-v2" in done.stdout) == (0, True)
    told = json.loads(house.ctl("memory", "search", "arya", asked, "--json", "--explain", "-k", "1").stdout)
    assert set(told["hits"][0]["parts"]) >= {"meaning", "length"}
