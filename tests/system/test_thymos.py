"""Feelings in a whole house: from facts, through deaths, to the words a model hears."""

import contextlib
import json
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.caller import Caller
from tests.system.conftest import REPO, House, eventually

pytestmark = pytest.mark.system

EXAMPLE = "anima_feelings_frustration"


def shown(house: House, name: str) -> dict[str, Any]:
    done = house.ctl("thymos", "show", name, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def minds(house: House) -> list[dict[str, Any]]:
    return [each["data"] for each in house.events("--kind", "brought_to_mind")]


def test_who_fails_again_and_again_hears_it_and_thinks_longer(house: House) -> None:
    calls = [{"tool": "read_file", "args": {"path": f"nowhere{n}"}} for n in range(5)]
    house.agent("arya", {"match": "try", "calls": calls, "once": True}, {"text": "done"}, thinking_tokens_max=1000)
    house.start()
    house.ask("arya", "try it")
    eventually(lambda: shown(house, "arya")["levels"]["frustration"] > 30, "it is not frustrated")
    assert "I keep hitting walls. What am I missing?" in house.ctl("thymos", "feel", "arya").stdout
    house.ask("arya", "and now?")
    last = minds(house)[-1]
    assert last["inserts"][0][:2] == ["voice", "inner_voice"]
    assert "hitting walls" in last["inserts"][0][2]
    assert 1500 < last["thinking_tokens_max"] <= 2000
    viewport = house.ctl("viewport", "arya", "--json").stdout
    assert "hitting walls" in viewport
    turn = house.events("--kind", "user_message")[-1]["id"]
    replayed = [json.loads(line) for line in house.ctl("replay", turn, "--json").stdout.splitlines()]
    assert [each["same"] for each in replayed if each.get("kind") == "step"] == [True], "a replay shows other words"


def test_levels_after_kills_are_those_of_a_fold_from_the_beginning(house: House) -> None:
    house.agent("arya")
    house.agent("bran")
    house.start()
    for round_ in range(3):
        for name in ("arya", "bran"):
            house.ask(name, "well done, thank you!" if name == "arya" else "that is wrong")
            house.ctl("thymos", "nudge", name, "threat", "--strength", str(round_ + 1))
        house.kill("thymos")
    house.until_up("thymos")
    why = {name: house.ctl("thymos", "why", name, "--json", "-n", "1000").stdout for name in ("arya", "bran")}
    assert json.loads(why["arya"])["moves"]
    house.stop()
    house.home.thymos.unlink()
    house.start()
    for name, told in why.items():
        assert house.ctl("thymos", "why", name, "--json", "-n", "1000").stdout == told


def test_without_thymos_a_turn_is_answered_with_the_last_words_heard(house: House) -> None:
    house.agent("arya")
    house.start()
    house.ask("arya", "hello")
    for _ in range(4):
        house.ctl("thymos", "nudge", "arya", "tool_failed")
    eventually(lambda: "hitting walls" in house.ctl("thymos", "feel", "arya").stdout, "it does not feel")
    house.ask("arya", "hello")
    assert house.ctl("stop", "thymos").returncode == 0
    house.ask("arya", "my name is Ada")
    assert house.ask("arya", "what is my name?") == "You said your name is Ada."
    assert "hitting walls" in minds(house)[-1]["inserts"][0][2]
    eventually(lambda: "the last words heard stand" in house.home.log_file("agent:arya").read_text(), "the log says nothing")
    assert "`animactl start thymos`" in house.ctl("thymos", "feel", "arya").stderr


def test_souls_are_made_shown_and_told_apart_and_growth_has_its_reasons(house: House) -> None:
    house.agent("arya")
    house.agent("bran")
    house.start()
    assert "neutral soul" in house.ctl("psyche", "show", "arya").stderr
    assert house.ctl("psyche", "archetype", "arya", "anxious").returncode == 0
    assert house.ctl("psyche", "archetype", "bran", "seed:winter").returncode == 0
    eventually(lambda: "threat" in house.ctl("psyche", "show", "arya").stdout, "nothing was made")
    first = house.ctl("psyche", "show", "bran", "--json").stdout
    assert house.ctl("psyche", "set", "bran", "praise", "dopamine", "2.5").returncode == 0
    eventually(lambda: house.ctl("psyche", "show", "bran", "--json").stdout != first, "nothing was set")
    assert "2.50" in house.ctl("psyche", "diff", "bran", "arya").stdout
    for _ in range(4):
        house.ctl("thymos", "nudge", "arya", "threat")
    eventually(lambda: "no harm came of it" in house.ctl("psyche", "history", "arya").stdout, "it does not get used to it")
    for wrong, words in (
        (("psyche", "archetype", "arya", "evil"), "there is no archetype 'evil'; there are neutral, calm"),
        (("psyche", "set", "arya", "praise", "dopamine", "9"), "a gain is a number from 0 to 3"),
        (("psyche", "set", "arya", "hunger", "dopamine", "1"), "there is no stimulus 'hunger'"),
        (("thymos", "nudge", "arya", "prais"), "did you mean 'praise'?"),
        (("thymos", "nudge", "arya", "praise", "--strength", "nan"), "out of range"),
        (("thymos", "why", "arya", "bile"), "unknown hormone"),
        (("thymos", "plot", "arya", "--since", "ages", "--out", "x.svg"), "no span of time"),
        (("thymos", "show", "nobody"), "unknown agent"),
    ):
        done = house.ctl(*wrong)
        assert done.returncode == 1, wrong
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """The example package, where pip would have put it."""
    site = Path(sysconfig.get_path("purelib"))
    about = site / f"{EXAMPLE}-0.1.0.dist-info"
    shutil.copy(REPO / "examples" / "anima-feelings-frustration" / f"{EXAMPLE}.py", site)
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: anima-feelings-frustration\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text(f"[anima.feelings]\nfrustration = {EXAMPLE}:feelings\n")
    try:
        yield
    finally:
        (site / f"{EXAMPLE}.py").unlink()
        shutil.rmtree(about)


def test_a_package_brings_a_feeling_through_its_entry_point(house: House) -> None:
    with installed():
        house.agent("arya")
        house.start()
        with Caller(house) as caller:
            caller.call("exec", command="echo permission denied")
        eventually(lambda: house.events("--kind", "stimulus"), "the package finds nothing")
        (found,) = house.events("--kind", "stimulus")
        assert found["data"]["reason"] == "frustration: exec ended well and said 'permission denied'"
        eventually(lambda: shown(house, "arya")["levels"]["frustration"] > 1, "nobody feels it")


def test_glands_of_one_s_own_and_settings_that_make_no_sense(house: House) -> None:
    house.agent("arya", glands={"cortisol_baseline": 33.0})
    house.agent("bran")
    house.start()
    assert shown(house, "arya")["baselines"]["cortisol"] == 33.0
    assert shown(house, "bran")["baselines"]["cortisol"] == 10.0
    for table, key, value in (
        ("glands", "cortisol_half_life_s", -1.0),
        ("glands", "bile_baseline", 1.0),
        ("thymos", "appraisal", "stars"),
    ):
        house.agent("bran", **{table: {key: value}})
        done = house.ctl("reload")
        assert done.returncode == 1
        assert key in done.stderr
    house.agent("bran")
    assert house.ctl("reload").returncode == 0
