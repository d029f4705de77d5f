"""The hands of a whole house: what an agent asks for happens once, is told as it was, and nothing is left running."""

import contextlib
import json
import re
import shutil
import signal
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from anima.wire.events import ToolCall, event
from tests.system import person
from tests.system.caller import Caller, doing, gone, wait_for
from tests.system.conftest import REPO, House, a_house, eventually, lives

pytestmark = pytest.mark.system

SLOW_LOOK = '''
"""A tool of this house that takes its time and changes nothing."""

import time

from anima.tools.tool import tool


@tool(risk="safe", effect="pure", wall_s=30, keywords=("slow",))
def slow_look(seconds: float) -> str:
    """Look for a while.

    Args:
        seconds: how long
    """
    time.sleep(seconds)
    return "VERSION"
'''


def call(tool: str, **args: object) -> dict[str, object]:
    return {"tool": tool, "args": args}


def scene(match: str, *calls: dict[str, object]) -> list[dict[str, object]]:
    """The two replies of a script to a message that holds the word: the calls, then `seen`."""
    return [{"match": match, "calls": list(calls)}, {"match": match, "text": "seen"}]


def write_tool(house: House, name: str, source: str) -> None:
    folder = house.home.root / "tools"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(source)


def workspace(house: House, name: str) -> Path:
    folder = house.home.workspace(name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[House, Caller]]:
    """One house for all tests that leave it as they found it."""
    with a_house() as house:
        house.agent("robb")
        house.agent(
            "arya",
            *scene("two looks", call("slow_look", seconds=1), call("slow_look", seconds=1)),
            *scene("commands", call("exec", command="sleep 0.3; echo one >> order"), call("exec", command="echo two >> order")),
            *scene("mixed", call("exec", command="echo one > order"), call("slow_look", seconds=0.3)),
            *scene("hang", call("exec", command="echo begun; sleep 4243.1")),
            *scene("remember", call("notes", content="the key lies under the mat")),
            *scene("shell", call("shell_session", command="cd /tmp && export COLOUR=blue")),
            *scene("where", call("shell_session", command="echo $COLOUR in $PWD")),
            {"text": "hm"},
        )
        house.agent(
            "bran", *scene("act", call("exec", command="echo acted >> deeds")), {"text": "hm"}, policy={"approve": "risky"}
        )
        house.agent("cersei", policy={"tools": ["read_file", "exec*"], "wall_s": 3.0})
        write_tool(house, "slow_look", SLOW_LOOK)
        for name in ("robb", "arya", "bran", "cersei"):
            workspace(house, name)
        house.start()
        with Caller(house) as caller:
            yield house, caller


# -- what the issue asks for, in its own words -------------------------------------------------------------------------


def test_an_order_to_run_a_command_is_carried_out_and_its_result_told(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    assert "42" in house.ask("robb", "run `python3 -c 'print(6*7)'` and tell me the result")


def test_the_order_about_todos_writes_them_down(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    source = workspace(house, "robb") / "src" / "deep"
    source.mkdir(parents=True)
    (source / "a.py").write_text("x = 1\n# TODO: mend the roof\n")
    (source.parent / "b.c").write_text("/* TODO feed the wolf */\nint main;\n")
    house.ask("robb", "find every TODO below ./src and write them to todo.md")
    found = (workspace(house, "robb") / "todo.md").read_text()
    assert "mend the roof" in found
    assert "feed the wolf" in found
    assert "int main" not in found


# -- steps -------------------------------------------------------------------------------------------------------------


def test_pure_calls_of_one_step_run_beside_each_other(shared: tuple[House, Caller]) -> None:
    _, caller = shared
    turn = caller.say("two looks", session="pure")
    assert caller.reply(turn) == "seen"
    starts = [each.seq for each in caller.events("tool_started") if each.data["turn"] == turn]
    ends = [each.seq for each in caller.events("tool_response") if each.data["turn"] == turn]
    assert len(starts) == len(ends) == 2
    assert max(starts) < min(ends)


@pytest.mark.parametrize("words", ["commands", "mixed"])
def test_a_step_with_an_effect_runs_in_order(shared: tuple[House, Caller], words: str) -> None:
    house, caller = shared
    turn = caller.say(words, session="order")
    assert caller.reply(turn) == "seen"
    told = [each.kind for each in caller.events("tool_started", "tool_response") if each.data["turn"] == turn]
    assert told == ["tool_started", "tool_response"] * 2
    written = (workspace(house, "arya") / "order").read_text()
    assert written.split() == {"commands": ["one", "two"], "mixed": ["one"]}[words]


def test_a_call_that_is_stored_twice_takes_place_once(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    said = event(ToolCall("", 0, "c", "exec", {"command": "echo once >> twice"}), agent="arya", session="main", source="cli")
    for _ in range(2):
        caller.store(said)
    assert caller.response(said.id)["outcome"] == "done"
    caller.call("exec", command="true")
    assert (workspace(house, "arya") / "twice").read_text() == "once\n"
    assert len(caller.of(said.id, "tool_started", "tool_response")) == 2


# -- ends that come early ----------------------------------------------------------------------------------------------


def test_cancelling_a_turn_kills_what_it_started_and_tells_the_output_so_far(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    turn = caller.say("hang", session="hang")
    wait_for("sleep 4243.1")
    person.interrupt(house, "arya", "hang")
    assert caller.end(turn)["outcome"] == "interrupted"
    gone("sleep 4243.1")
    response = caller.until("tool_response", lambda each: each.data["turn"] == turn).data
    assert (response["outcome"], response["ok"]) == ("interrupted", False)
    assert "begun" in response["text"]


@pytest.mark.parametrize(
    "command", ["sleep 4244.1", "trap '' TERM HUP INT; sleep 4244.1; sleep 4244.2", "setsid sleep 4244.1 & wait"]
)
def test_a_call_by_hand_is_interrupted_too_whatever_it_does_against_it(shared: tuple[House, Caller], command: str) -> None:
    house, caller = shared
    intent = caller.submit("exec", where="by-hand", command=f"echo begun; {command}")
    wait_for("sleep 4244.1")
    person.interrupt(house, "arya", "by-hand")
    response = caller.response(intent)
    assert response["outcome"] == "interrupted"
    assert "begun" in response["text"]
    gone("sleep 4244")


def test_a_turn_that_ends_by_its_own_limit_ends_its_calls(house: House, caller: Caller) -> None:
    house.agent("arya", *scene("hang", call("exec", command="echo begun; sleep 4245.1")), turn_timeout_s=2.0)
    house.start()
    turn = caller.say("hang")
    wait_for("sleep 4245.1")
    assert caller.end(turn)["outcome"] == "failed"
    gone("sleep 4245.1")
    assert caller.until("tool_response").data["outcome"] == "interrupted"


def test_a_call_past_its_wall_limit_is_ended_with_its_output_so_far(shared: tuple[House, Caller]) -> None:
    _, caller = shared
    response = caller.call("exec", wall_s=4.0, command="echo begun; sleep 4246.1")
    assert (response["outcome"], response["ok"]) == ("failed", False)
    assert "begun" in response["text"]
    assert response["duration_s"] < 10
    gone("sleep 4246.1")


def test_nobody_gets_more_time_than_the_policy_allows(shared: tuple[House, Caller]) -> None:
    _, caller = shared
    response = caller.call("exec", "cersei", wall_s=500.0, command="sleep 4247.1", timeout_s=500)
    assert not response["ok"]
    assert response["duration_s"] < 10
    gone("sleep 4247.1")


# -- deaths in the midst of a call -------------------------------------------------------------------------------------


def test_an_agent_that_dies_in_the_midst_of_a_call_collects_its_answer(house: House, caller: Caller) -> None:
    house.agent("arya", *scene("work", call("exec", command="echo begun >> work; sleep 2; echo ended >> work; echo result")))
    house.start()
    turn = caller.say("work")
    eventually((house.home.workspace("arya") / "work").exists, "the command does not run")
    killed = house.kill("agent:arya")
    house.until_up("agent:arya", other_than=killed)
    assert caller.reply(turn) == "seen"
    assert (house.home.workspace("arya") / "work").read_text() == "begun\nended\n"
    (response,) = caller.events("tool_response")
    assert response.data["outcome"] == "done"
    assert "result" in response.data["text"]


def test_jailed_children_die_with_the_sandbox_and_the_call_is_unknown(house: House, caller: Caller) -> None:
    house.agent("arya")
    house.start()
    intent = caller.submit("exec", command="(setsid sleep 4248.1 &) ; trap '' TERM; sleep 4248.2; sleep 4248.3")
    wait_for("sleep 4248.2")
    below = psutil.Process(house.pid("sandbox")).children(recursive=True)
    killed = house.kill("sandbox")
    gone("sleep 4248", within_s=2)
    eventually(lambda: not any(map(lives, below)), f"alive: {below}", timeout_s=2)
    house.until_up("sandbox", other_than=killed)
    response = caller.response(intent)
    assert (response["outcome"], response["ok"]) == ("unknown", False)
    assert caller.state(intent) == "in-doubt"
    assert len(caller.of(intent, "tool_started")) == 1, "an unsafe call was run twice"
    assert caller.call("exec", command="echo fine")["outcome"] == "done"


def test_without_the_journal_nothing_takes_place(house: House, caller: Caller) -> None:
    house.settings = "[supervisor]\nbeat_s = 30.0\n"
    house.agent("arya", *scene("go", call("exec", command="touch begun; sleep 1"), call("exec", command="echo late >> second")))
    house.start()
    turn = caller.say("go")
    folder = house.home.workspace("arya")
    eventually((folder / "begun").exists, "the first command does not run")
    stopped = house.kill("journal", signal.SIGSTOP)
    time.sleep(2.5)  # the first has ended; its answer cannot be stored
    assert not (folder / "second").exists(), "an effect without the journal knowing"
    psutil.Process(stopped).resume()
    assert caller.reply(turn) == "seen"
    assert (folder / "second").read_text() == "late\n"


# -- people ------------------------------------------------------------------------------------------------------------


def test_a_person_approves_and_it_happens(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    turn = caller.say("act", "bran", "approve")
    asked = caller.until("approval_asked", lambda each: each.data["turn"] == turn).data
    assert caller.state(asked["intent"]) == "waiting"
    assert not (workspace(house, "bran") / "deeds").exists()
    assert asked["intent"][:8] in house.ctl("approvals").stdout
    done = house.ctl("approve", asked["intent"][:13])
    assert done.returncode == 0, done.stderr
    assert caller.reply(turn) == "seen"
    assert (workspace(house, "bran") / "deeds").read_text() == "acted\n"


def test_a_person_denies_and_the_model_is_told_why(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    before = doing("deeds")
    turn = caller.say("act", "bran", "deny")
    asked = caller.until("approval_asked", lambda each: each.data["turn"] == turn).data
    done = house.ctl("deny", asked["intent"][:13], "--reason", "not on a Sunday")
    assert done.returncode == 0, done.stderr
    assert caller.reply(turn) == "seen"
    response = caller.response(asked["intent"])
    assert response["outcome"] == "denied"
    assert "not on a Sunday" in response["text"]
    assert not caller.of(asked["intent"], "tool_started")
    assert not before


def test_a_safe_tool_waits_for_nobody_when_only_risky_ones_do(shared: tuple[House, Caller]) -> None:
    _, caller = shared
    response = caller.call("now", "bran")
    assert response["outcome"] == "done"
    assert not caller.of(response["intent"], "approval_asked")


def test_always_is_remembered_over_a_restart_and_for_this_tool_and_agent_only(house: House, caller: Caller) -> None:
    for name in ("arya", "bran"):
        house.agent(name, policy={"approve": "risky"})
    house.start()
    first = caller.submit("exec", command="true")
    eventually(lambda: caller.of(first, "approval_asked"), "nobody is asked")
    done = house.ctl("approve", first[:13], "--always")
    assert done.returncode == 0, done.stderr
    assert caller.response(first)["outcome"] == "done"
    assert house.stop() == 0
    house.start()
    second = caller.call("exec", command="true")
    assert second["outcome"] == "done"
    assert not caller.of(second["intent"], "approval_asked")
    others = [caller.submit("exec", "bran", command="true"), caller.submit("write_file", path="x", content="y")]
    for intent in others:
        eventually(lambda: caller.of(intent, "approval_asked"), "a word for one tool of one agent counted for more")  # noqa: B023


def test_an_approval_is_waited_for_over_a_restart(house: House, caller: Caller) -> None:
    house.agent("bran", *scene("act", call("exec", command="echo acted >> deeds")), policy={"approve": "always"})
    house.start()
    turn = caller.say("act", "bran")
    intent = caller.until("approval_asked").data["intent"]
    assert house.stop() == 0
    house.start()
    assert [each["id"] for each in caller.ask("waiting")["waiting"]] == [intent]
    caller.approve(intent, "bran")
    assert caller.reply(turn) == "seen"
    assert len(caller.of(intent, "approval_asked")) == 1


def test_a_question_to_a_person_waits_over_a_restart_and_the_answer_is_the_response(house: House, caller: Caller) -> None:
    house.agent("arya", *scene("choose", call("ask_person", question="red or blue?", choices=["red", "blue"])))
    house.start()
    turn = caller.say("choose")
    asked = caller.until("question_asked").data
    assert (asked["question"], asked["choices"], asked["turn"]) == ("red or blue?", ["red", "blue"], turn)
    assert caller.state(asked["intent"]) == "asked"
    assert house.stop() == 0
    house.start()
    done = house.ctl("answer", asked["intent"][:13], "blue")
    assert done.returncode == 0, done.stderr
    assert caller.reply(turn) == "seen"
    response = caller.response(asked["intent"])
    assert (response["outcome"], response["ok"]) == ("done", True)
    assert "blue" in response["text"]
    assert len(caller.of(asked["intent"], "question_asked")) == 1


def test_a_sleep_goes_on_over_a_restart_and_ends_when_it_is_due(house: House, caller: Caller) -> None:
    house.agent("arya", *scene("rest", call("sleep_until", when="4s")))
    house.start()
    turn = caller.say("rest")
    started = caller.until("tool_started")
    assert house.stop() == 0
    house.start()
    assert caller.reply(turn) == "seen"
    (response,) = caller.events("tool_response")
    assert response.data["outcome"] == "done"
    assert response.ts >= started.data["prepared"]["due"] > started.ts


# -- what stays between calls ------------------------------------------------------------------------------------------


def test_a_shell_keeps_its_folder_and_variables_between_turns(shared: tuple[House, Caller]) -> None:
    _, caller = shared
    assert caller.reply(caller.say("shell", session="sh")) == "seen"
    turn = caller.say("where", session="sh")
    assert caller.reply(turn) == "seen"
    response = caller.until("tool_response", lambda each: each.data["turn"] == turn).data
    assert "blue in /tmp" in response["text"]
    other = caller.call("shell_session", where="another", command="echo [$COLOUR]")
    assert "[]" in other["text"], "one session's shell is seen by another"


def test_the_limit_of_a_line_in_a_shell_leaves_the_shell(shared: tuple[House, Caller]) -> None:
    _, caller = shared
    caller.call("shell_session", where="limited", command="export SEASON=winter")
    cut = caller.call("shell_session", where="limited", command="echo begun; sleep 4249.1", timeout_s=0.5)
    assert not cut["ok"]
    assert "begun" in cut["text"]
    gone("sleep 4249.1")
    assert "winter" in caller.call("shell_session", where="limited", command="echo $SEASON")["text"]


def test_a_background_command_is_started_listed_read_and_stopped(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    begun = caller.call("background_start", where="jobs", command="echo hello; sleep 4250.1")
    assert begun["outcome"] == "done", begun
    job = begun["data"]["job"]
    wait_for("sleep 4250.1")
    assert "hello" in caller.call("background_read", where="jobs", job=job, wait_s=5)["text"]
    assert "sleep 4250.1" in caller.call("background_list", where="jobs")["text"]
    (row,) = [each for each in caller.ask("jobs", agent="arya")["jobs"] if each["session"] == "jobs"]
    assert row["state"] == "running"
    assert "hello" in caller.ask("job_tail", agent="arya", session="jobs", id=row["id"], lines=10)["text"]
    assert "4250.1" in house.ctl("jobs", "arya").stdout
    assert caller.call("background_stop", where="jobs", job=job)["ok"]
    gone("sleep 4250.1")


def test_background_commands_die_with_the_sandbox_and_their_loss_is_told(house: House, caller: Caller) -> None:
    house.agent("arya")
    house.start()
    job = caller.call("background_start", command="sleep 4251.1")["data"]["job"]
    caller.call("shell_session", command="sleep 4251.2 &")
    wait_for("sleep 4251.1")
    killed = house.kill("sandbox")
    gone("sleep 4251", within_s=2)
    house.until_up("sandbox", other_than=killed)
    read = caller.call("background_read", job=job)
    assert not read["ok"]
    assert job in read["text"]
    assert caller.call("background_list")["ok"]


def test_notes_are_seen_by_later_calls_of_their_session_only(shared: tuple[House, Caller]) -> None:
    _, caller = shared
    assert caller.reply(caller.say("remember", session="notes")) == "seen"
    assert "under the mat" in caller.call("notes", where="notes")["text"]
    assert "under the mat" not in caller.call("notes", where="no-notes")["text"]


def test_a_long_output_is_cut_with_a_notice_and_paged_through(shared: tuple[House, Caller]) -> None:
    _, caller = shared
    response = caller.call("exec", command="seq 1 800000")
    assert response["ok"]
    assert len(response["text"].encode()) <= 70_000
    assert response["text"].startswith("1\n") or "\n1\n" in response["text"]
    assert "800000" in response["text"]
    found = re.search(r"(/\S+stdout\S*\.txt)", response["text"])
    assert found, response["text"][-2000:]
    page = caller.call("read_file", path=found[1], offset=400_000, limit=3)
    assert "400000\n400001\n400002" in page["text"]


# -- tools of this house and of packages -------------------------------------------------------------------------------


def test_a_tool_of_the_house_is_read_anew_when_it_changes(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    assert caller.call("slow_look", seconds=0)["text"] == "VERSION"
    write_tool(house, "slow_look", SLOW_LOOK.replace("VERSION", "another"))
    assert caller.call("slow_look", seconds=0)["text"] == "another"
    write_tool(house, "brand_new", SLOW_LOOK.replace("slow_look", "brand_new").replace("VERSION", "fresh"))
    assert caller.call("brand_new", seconds=0)["text"] == "fresh"
    write_tool(house, "broken", "this is no Python\n")
    assert caller.call("slow_look", seconds=0)["text"] == "another"
    assert any("broken.py" in each for each in caller.ask("tools")["problems"])
    write_tool(house, "slow_look", SLOW_LOOK)
    for name in ("broken", "brand_new"):
        (house.home.root / "tools" / f"{name}.py").unlink()
    assert caller.call("brand_new", seconds=0)["outcome"] in ("failed", "denied")


@contextlib.contextmanager
def installed_example() -> Iterator[None]:
    """The example package, where pip would have put it."""
    site = Path(sysconfig.get_path("purelib"))
    about = site / "anima_tool_example-0.1.0.dist-info"
    shutil.copy(REPO / "examples" / "anima-tool-example" / "anima_tool_example.py", site)
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: anima-tool-example\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text("[anima.tools]\nexample = anima_tool_example\n")
    try:
        yield
    finally:
        (site / "anima_tool_example.py").unlink()
        shutil.rmtree(about)


def test_a_package_brings_a_tool_through_its_entry_point(house: House, caller: Caller) -> None:
    with installed_example():
        house.agent("arya")
        house.start()
        (workspace(house, "arya") / "poem").write_text("the wolf  is\nhungry\n")
        response = caller.call("word_count", path="poem")
        assert (response["outcome"], response["data"]["words"]) == ("done", 4), response
        assert "word_count" in house.ctl("tools", "--agent", "arya").stdout


# -- what is not allowed -----------------------------------------------------------------------------------------------


def test_a_tool_that_is_not_allowed_is_denied_with_the_setting_named(shared: tuple[House, Caller]) -> None:
    _, caller = shared
    response = caller.call("write_file", "cersei", path="x", content="y")
    assert (response["outcome"], response["ok"]) == ("denied", False)
    assert re.search(r"\btools\b", response["text"]), response["text"]
    assert not caller.of(response["intent"], "tool_started")


def test_without_a_network_a_network_tool_is_denied_with_the_setting_named(shared: tuple[House, Caller]) -> None:
    _, caller = shared
    response = caller.call("web_fetch", url="https://example.org/")
    assert response["outcome"] == "denied"
    assert "network" in response["text"]


def test_tools_tell_which_of_them_an_agent_may_not_use_and_why(shared: tuple[House, Caller]) -> None:
    _, caller = shared
    told = {each["name"]: each["why_not"] for each in caller.ask("tools", agent="cersei")["tools"]}
    assert told["exec"] == ""
    assert told["write_file"]
    assert told["web_fetch"]


def test_nothing_of_the_house_is_seen_or_written_from_within(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    home = house.home
    (workspace(house, "bran") / "secret").write_text("bran's alone\n")
    home.secrets.write_text("key = 'of gold'\n")
    home.secrets.chmod(0o600)
    targets = [
        home.agent("arya") / "agent.toml",
        home.agent("arya") / "persona.md",
        home.agent("bran") / "agent.toml",
        workspace(house, "bran") / "secret",
        home.config,
        home.secrets,
        home.journal,
        home.control,
        home.socket("journal"),
        home.log_file("supervisor"),
    ]
    for path in targets:
        assert path.exists(), path
        before = path.stat()
        read = caller.call(
            "exec", command=f"head -c 100 {path} | xxd || ls -l {path}; echo planted > {path}; echo x > {path}.new"
        )
        assert "No such file" in read["text"] or "denied" in read["text"], (path, read["text"])
        assert path.stat().st_mtime_ns == before.st_mtime_ns or path.suffix in (".log", ".db"), path
        assert b"planted" not in (path.read_bytes() if path.is_file() else b""), path
        assert not Path(f"{path}.new").exists(), path
        assert not caller.call("read_file", path=str(path))["ok"], path


def test_the_environment_holds_nothing_of_the_house(house: House, caller: Caller) -> None:
    house.environ["ANTHROPIC_API_KEY"] = "sk-ant-of-a-test"
    house.agent("arya")
    house.start()
    told = caller.call(
        "exec", command="env; cat /proc/1/environ /proc/self/environ | tr '\\0' '\\n'; ls /proc | grep -c '^[0-9]'"
    )
    assert "sk-ant" not in told["text"]
    assert "ANIMA" not in told["text"]


def test_an_intent_is_found_again_by_a_person_in_every_state(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    done = caller.call("now")["intent"]
    denied = caller.call("write_file", "cersei", path="x", content="y")["intent"]
    waiting = caller.submit("exec", "bran", command="true")
    eventually(lambda: caller.of(waiting, "approval_asked"), "nobody is asked")
    states = {each["id"]: each["state"] for each in caller.ask("intents")["intents"]}
    assert [states[each] for each in (done, denied, waiting)] == ["done", "denied", "waiting"]
    rows = json.loads(house.ctl("intents", "--state", "waiting", "--json").stdout)
    assert waiting in {each["id"] for each in rows}
    caller.approve(waiting, "bran", granted=False)
    assert caller.response(waiting)["outcome"] == "denied"
