"""The hands as a person sees and steers them: calls by hand, approvals, questions, doubts, jobs; at terminals and in pipes."""

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from anima.cli.terminal import columns_of
from anima.wire.events import InterruptAsked
from tests.system.caller import Caller, doing, gone, wait_for
from tests.system.conftest import House, a_house, eventually
from tests.system.test_cli import PROGRAM, Terminal, terminal

pytestmark = pytest.mark.system

ACT = "echo acted >> deeds"


def call(tool: str, **args: object) -> dict[str, object]:
    return {"tool": tool, "args": args}


def scene(match: str, *calls: dict[str, object]) -> list[dict[str, object]]:
    return [{"match": match, "calls": list(calls)}, {"match": match, "text": "all is well"}]


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[House, Caller]]:
    """One house for all tests that leave it as they found it."""
    with a_house() as house:
        house.agent("arya", *scene("look", call("list_directory")), {"text": "hm"})
        house.agent(
            "bran",
            *scene("act", call("exec", command=ACT)),
            *scene("hide", call("exec", command="echo \u202eevil\x1b[2J; echo two")),
            *scene("choose", call("ask_person", question="red or blue?", choices=["red", "blue"])),
            {"text": "hm"},
            policy={"approve": "risky"},
        )
        house.start()
        with Caller(house) as caller:
            yield house, caller


def waiting(house: House, tool: str) -> dict[str, object]:
    """The row of the one call of a tool that waits for a person."""

    def found() -> dict[str, object] | None:
        rows = [each for each in json.loads(house.ctl("approvals", "--json").stdout) if each["tool"] == tool]
        assert len(rows) < 2, rows
        return rows[0] if rows else None

    return dict(eventually(found, "nobody is asked"))


def until_line(stream: object, words: str) -> str:
    """The next line with these words, from a command that prints as it goes."""
    for line in stream:  # type: ignore[attr-defined]
        if words in line:
            return str(line)
    pytest.fail(f"it ended without {words!r}")


# -- tools ---------------------------------------------------------------------------------------------------------------


def test_all_tools_are_listed_with_risk_class_and_limits_also_for_programs(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    table = house.ctl("tools").stdout.splitlines()
    assert table[0].split() == ["TOOL", "RISK", "CLASS", "WALL", "OUTPUT", "WHAT", "IT", "DOES"]
    assert any(line.split()[:3] == ["exec", "dangerous", "unsafe"] for line in table)
    listed = json.loads(house.ctl("tools", "--json").stdout)
    wanted = {"name", "summary", "schema", "effect", "risk", "wall_s", "output_bytes", "why_not"}
    assert len(listed) == len(table) - 1
    assert all(wanted <= set(each) for each in listed)


def test_one_tool_is_told_in_full_and_its_schema_is_json(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    told = house.ctl("tools", "read_file").stdout
    assert "--arg path=text" in told
    assert "changes nothing" in told
    schema = json.loads(house.ctl("tools", "read_file", "--schema").stdout)
    assert (schema["type"], schema["additionalProperties"]) == ("object", False)
    assert set(json.loads(house.ctl("tools", "--schema").stdout)) >= {"read_file", "exec"}
    told = house.ctl("tools", "read_fil")
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert "did you mean 'read_file'?" in told.stderr


def test_tools_an_agent_may_not_use_stand_last_with_the_reason(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    above, _, below = house.ctl("tools", "--agent", "arya").stdout.partition("\nnot for arya:\n")
    assert "web_fetch" not in [line.split()[0] for line in above.splitlines()]
    assert "network in [policy]" in next(line for line in below.splitlines() if "web_fetch" in line)
    told = house.ctl("tools", "--agent", "nobody")
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)


def test_a_narrow_terminal_keeps_names_and_words(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    with terminal(house, "tools") as shown:
        shown.until("write_file")
        assert shown.leaves() == 0
        lines = shown.seen.replace("\r", "").splitlines()
    assert max(map(columns_of, lines)) <= 40
    assert "Read a text file" in shown.seen


# -- calls by hand -------------------------------------------------------------------------------------------------------


def test_a_tool_called_by_hand_prints_its_answer_and_the_journal_has_it_as_any_other(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    done = house.ctl("tool", "call", "exec", "--agent", "arya", "--arg", "command=echo hello; echo world", "--session", "h")
    assert done.returncode == 0, done.stderr
    assert "hello\nworld" in done.stdout
    stored = next(each for each in caller.events("tool_call") if each.session == "h")
    assert (stored.source, stored.data["turn"], stored.agent) == ("cli", "", "arya")
    assert [each.kind for each in caller.of(stored.id, "tool_started", "tool_response")] == ["tool_started", "tool_response"]


def test_the_json_of_a_call_has_the_shape_programs_rely_on(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    done = house.ctl("tool", "call", "now", "--agent", "arya", "--json")
    told = json.loads(done.stdout)
    assert list(told) == ["id", "agent", "session", "tool", "outcome", "ok", "text", "duration_s", "data"]
    assert (told["outcome"], told["ok"], told["agent"]) == ("done", True, "arya")


def test_arguments_are_read_as_the_schema_says_from_options_and_from_standard_input(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    content = "\n".join(map(str, range(50)))
    given = json.dumps({"path": "numbers", "content": content})
    assert house.ctl("tool", "call", "write_file", "--agent", "arya", "--args", "-", stdin=given).returncode == 0
    page = ["--arg", "path=numbers", "--arg", "offset=10", "--arg", "limit=2"]
    assert house.ctl("tool", "call", "read_file", "--agent", "arya", *page).stdout.split()[:2] == ["9", "10"]
    words = ["--arg", "argv=echo", "--arg", "argv=$HOME", "--arg", "argv=a b"]
    assert "$HOME a b" in house.ctl("tool", "call", "exec", "--agent", "arya", *words).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["exec", "--agent", "arya", "--arg", "command"], "name=value"),
        (["exec", "--agent", "arya", "--arg", "comand=x"], "did you mean 'command'?"),
        (["exec", "--agent", "arya", "--args", "[1]"], "not a JSON object"),
        (["exec", "--agent", "arya", "--arg", "timeout_s=soon"], "not a number"),
        (["exce", "--agent", "arya"], "did you mean 'exec'?"),
        (["now", "--agent", "ary"], "did you mean 'arya'?"),
        (["now"], "say whose call it is with --agent; there are arya, bran"),
        (["now", "--agent", "arya", "--session", ""], "cannot name a session"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_and_nothing_is_stored(
    shared: tuple[House, Caller], arguments: list[str], words: str
) -> None:
    house, caller = shared
    before = len(caller.events("tool_call"))
    told = house.ctl("tool", "call", *arguments)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1)
    assert words in told.stderr
    assert len(caller.events("tool_call")) == before


def test_what_a_call_came_to_is_its_exit_code(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    failed = house.ctl("tool", "call", "read_file", "--agent", "arya", "--arg", "path=gone")
    assert (failed.returncode, failed.stderr) == (1, "animactl: read_file failed\n")
    assert "does not exist" in failed.stdout
    denied = house.ctl("tool", "call", "web_fetch", "--agent", "arya", "--arg", "url=https://example.org/")
    assert (denied.returncode, denied.stderr) == (3, "animactl: web_fetch was denied\n")
    late = house.ctl(
        "tool", "call", "exec", "--agent", "arya", "--arg", "command=sleep 4301.1", "--timeout", "0.5", "-s", "late"
    )
    assert late.returncode == 1
    assert "no response within 0.5 s; the call is kept" in late.stderr
    limited = house.ctl("tool", "call", "exec", "--agent", "arya", "--arg", "command=sleep 4302.1", "--wall", "1", "-s", "w")
    assert limited.returncode == 1
    with Caller(house) as caller:
        caller.append(InterruptAsked(), "arya", "late")
    gone("sleep 430")


def test_ctrl_c_interrupts_a_call_by_hand_tells_its_output_and_leaves_others_alone(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    other = caller.submit("exec", command="sleep 4303.2; echo undisturbed")
    wait_for("sleep 4303.2")
    with terminal(house, "tool", "call", "exec", "--agent", "arya", "--arg", "command=echo begun; sleep 43''03.1") as shown:
        wait_for("sleep 4303.1")
        shown.type("\x03")
        shown.until("begun")
        shown.until("interrupted")
        assert shown.leaves() == 130
        assert "Traceback" not in shown.seen
    gone("sleep 4303.1")
    assert doing("sleep 4303.2"), "another call of the same session was interrupted, too"
    caller.append(InterruptAsked())
    assert caller.response(other)["outcome"] == "interrupted"


def test_a_call_that_waits_for_a_person_says_how_to_decide_and_goes_on_when_they_do(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    late = house.ctl("tool", "call", "exec", "--agent", "bran", "--arg", "command=true", "--timeout", "1")
    assert late.returncode == 3
    assert "animactl approve " in late.stderr
    assert "nobody has decided" in late.stderr
    assert house.ctl("deny", str(waiting(house, "exec")["id"])).returncode == 0
    running = subprocess.Popen(
        [*PROGRAM, "tool", "call", "exec", "--agent", "bran", "--arg", "command=echo granted"],
        env=house.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr
    line = until_line(running.stderr, "animactl approve ")
    assert house.ctl("approve", line.split()[-1]).returncode == 0
    out, _ = running.communicate(timeout=30)
    assert (running.returncode, "granted" in out) == (0, True)


# -- a person's word -----------------------------------------------------------------------------------------------------


def test_an_approval_shows_what_would_be_done_with_nothing_hidden(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    caller.say("hide", "bran", "hide")
    row = waiting(house, "exec")
    told = house.ctl("approvals").stdout
    assert str(row["id"])[:8] in told
    assert "exec, dangerous" in told
    assert "bran/hide" in told
    assert "\\u202eevil\\x1b[2J; echo two" in told
    with terminal(house, "approvals") as shown:
        shown.until("animactl deny ID")
        assert shown.leaves() == 0
        lines = shown.seen.replace("\r", "").splitlines()
    assert max(columns_of(line) for line in lines if "`" not in line) <= 40
    assert "\x1b[2J" not in shown.seen
    assert house.ctl("deny", str(row["id"])).returncode == 0


def test_a_word_about_a_call_that_is_unknown_or_decided_is_refused_in_one_sentence(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    intent = caller.submit("exec", "bran", "once", command="true")
    waiting(house, "exec")
    assert house.ctl("approve", intent).stdout.startswith("approved exec of bran")
    caller.response(intent)
    for command in (
        ["approve", intent],
        ["deny", intent],
        ["approve", "no-such"],
        ["answer", intent, "x"],
        ["answer", "x", ""],
    ):
        told = house.ctl(*command)
        assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1), command
    assert "is done already" in house.ctl("deny", intent).stderr
    assert "no call has an id" in house.ctl("approve", "no-such").stderr
    assert len(caller.of(intent, "approval_given")) == 1


def test_a_beginning_that_two_ids_have_is_refused_and_longer_ones_named(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    both = [caller.submit("exec", "bran", "two", command=f"echo {number}") for number in range(2)]
    eventually(lambda: len(json.loads(house.ctl("approvals", "--json").stdout)) == 2, "nobody is asked twice")
    told = house.ctl("approve", both[0][:6])  # the time they have in common
    assert told.returncode == 1
    assert "could be" in told.stderr
    heads = [line.split()[0] for line in house.ctl("approvals").stdout.splitlines() if "bran/two" in line]
    for head in heads:
        assert house.ctl("deny", head).returncode == 0
    assert {caller.response(intent)["outcome"] for intent in both} == {"denied"}


def test_a_beginning_read_off_a_settled_call_does_not_decide_about_another(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    settled = caller.submit("exec", "bran", "near", command="true")
    waiting(house, "exec")
    assert house.ctl("deny", settled).returncode == 0
    caller.response(settled)
    intent = caller.submit("exec", "bran", "near", command="touch approved")
    waiting(house, "exec")
    told = house.ctl("approve", settled[:4])  # the time they have in common
    assert (told.returncode, "could be" in told.stderr) == (1, True)
    assert not caller.of(intent, "approval_given")
    assert house.ctl("deny", intent[:18]).returncode == 0
    assert caller.response(intent)["outcome"] == "denied"


def test_a_question_is_answered_from_the_command_line(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    turn = caller.say("choose", "bran", "choose")
    row = waiting(house, "ask_person")
    told = house.ctl("approvals").stdout
    assert "red or blue?" in told
    assert "2. blue" in told
    assert "is a question" in house.ctl("approve", str(row["id"])).stderr
    done = house.ctl("answer", str(row["id"])[:18], "blue")
    assert done.returncode == 0, done.stderr
    assert caller.reply(turn) == "all is well"
    assert "blue" in caller.response(str(row["id"]))["text"]


def test_approvals_are_followed_as_they_come_and_go(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    follower = subprocess.Popen([*PROGRAM, "approvals", "-f", "--json"], env=house.environ, stdout=subprocess.PIPE, text=True)
    try:
        first = caller.submit("exec", "bran", "follow", command="echo 1")
        assert follower.stdout
        assert json.loads(follower.stdout.readline())["id"] == first
        second = caller.submit("exec", "bran", "follow", command="echo 2")
        assert json.loads(follower.stdout.readline())["id"] == second
    finally:
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 130
    for intent in (first, second):
        assert house.ctl("deny", intent).returncode == 0


def test_always_and_never_are_words_for_every_later_call(house: House, caller: Caller) -> None:
    house.agent("arya", policy={"approve": "risky"})
    house.start()
    first = caller.submit("exec", command="true")
    waiting(house, "exec")
    told = house.ctl("deny", first, "--always", "--reason", "no commands here")
    assert "so is every later call of exec by arya" in told.stdout
    again = house.ctl("tool", "call", "exec", "--arg", "command=true")
    assert again.returncode == 3
    assert not waiting_rows(house)


def waiting_rows(house: House) -> list[object]:
    return list(json.loads(house.ctl("approvals", "--json").stdout))


# -- what became of calls ------------------------------------------------------------------------------------------------


def test_a_call_in_doubt_is_shown_and_resolved_by_a_person(house: House, caller: Caller) -> None:
    house.agent("arya")
    house.start()
    intent = caller.submit("exec", command="sleep 4304.1")
    wait_for("sleep 4304.1")
    killed = house.kill("sandbox")
    house.until_up("sandbox", other_than=killed)
    assert caller.response(intent)["outcome"] == "unknown"
    (row,) = json.loads(house.ctl("intents", "--state", "in-doubt", "--json").stdout)
    assert (row["id"], row["tool"], row["state"]) == (intent, "exec", "in-doubt")
    assert "resolve ID" in house.ctl("intents").stderr
    told = house.ctl("intents", "resolve", intent[:18], "maybe")
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    done = house.ctl("intents", "resolve", intent[:18], "failed", "--note", "nothing was there")
    assert (done.returncode, done.stdout) == (0, "exec of arya is resolved: failed\n"), done.stderr
    again = house.ctl("intents", "resolve", intent[:18], "done")
    assert (again.returncode, "resolved already" in again.stderr) == (1, True)
    assert not json.loads(house.ctl("intents", "--state", "in-doubt", "--json").stdout)
    assert "failed: nothing was there" in house.ctl("events", "-k", "intent_resolved").stdout


def test_calls_are_listed_newest_last_and_by_agent_and_state(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    caller.call("think", thought="one")
    caller.call("think", thought="two\nlines")
    rows = json.loads(house.ctl("intents", "--agent", "arya", "--json", "-n", "2").stdout)
    assert [each["args"]["thought"] for each in rows] == ["one", "two\nlines"]
    table = house.ctl("intents", "--agent", "arya", "-n", "2").stdout.splitlines()
    assert table[0].split() == ["ID", "STATE", "AGENT", "SESSION", "AGE", "CALL"]
    assert table[-1].endswith('think thought="two\\nlines"')
    told = house.ctl("intents", "--state", "doubt")
    assert (told.returncode, "did you mean" in told.stderr) == (1, True)


# -- jobs ----------------------------------------------------------------------------------------------------------------


def test_background_commands_are_listed_read_followed_and_ended(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    assert "no background command" in house.ctl("jobs", "arya").stderr
    command = "for n in 1 2 3; do echo line $n; done; until [ -e go ]; do sleep 0.1; done; echo later; sleep 4305.1"
    job = caller.call("background_start", where="jobs", command=command)["data"]["job"]
    (row,) = json.loads(house.ctl("jobs", "arya", "--json").stdout)
    assert (row["id"], row["session"], row["state"], row["command"]) == (job, "jobs", "running", command)
    assert "4305.1" in house.ctl("jobs", "arya").stdout
    follower = subprocess.Popen(
        [*PROGRAM, "jobs", "arya", "--tail", job, "-n", "2", "-f"], env=house.environ, stdout=subprocess.PIPE, text=True
    )
    assert follower.stdout
    assert [follower.stdout.readline() for _ in range(2)] == ["line 2\n", "line 3\n"]
    (house.home.workspace("arya") / "go").touch()
    assert follower.stdout.readline() == "later\n"
    assert house.ctl("jobs", "arya", "--tail", job, "-n", "1").stdout == "later\n"
    for arguments in (["--tail", "job77"], ["--kill", job, "--session", "elsewhere"], ["--kill", job, "--tail", job]):
        told = house.ctl("jobs", "arya", *arguments)
        assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    done = house.ctl("jobs", "arya", "--kill", job)
    assert done.returncode == 0, done.stderr
    assert "was stopped" in done.stdout
    gone("sleep 4305.1")
    assert follower.wait(15) == 0


# -- beside a conversation -----------------------------------------------------------------------------------------------


def until_prompt(chat: Terminal, prompt: str = "you> ") -> str:
    return chat.until(prompt)


def test_a_chat_shows_calls_and_asks_for_approval_there_and_then(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    deeds = house.home.workspace("bran") / "deeds"
    with terminal(house, "chat", "bran", "--session", "chat") as chat:
        until_prompt(chat)
        chat.type("act\r")
        shown = until_prompt(chat, "y/n/always> ")
        assert "bran wants to call exec (dangerous)" in shown
        assert ACT in shown
        assert not deeds.exists()
        chat.type("perhaps\r")
        chat.until("y allows it")
        until_prompt(chat, "y/n/always> ")
        chat.type("y\r")
        chat.until("exec: ok")
        chat.until("all is well")
        until_prompt(chat)
        chat.type("/quit\r")
        assert chat.leaves() == 0
        lines = chat.seen.replace("\r", "").split("\n")[1:]  # the first is the terminal's to fold
    assert deeds.read_text() == "acted\n"
    assert all(columns_of(line) <= 40 for line in lines if "\x1b" not in line), lines
    deeds.unlink()


def test_a_chat_is_told_of_a_word_from_elsewhere_and_goes_on(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    with terminal(house, "chat", "bran", "--session", "elsewhere") as chat:
        until_prompt(chat)
        chat.type("act\r")
        until_prompt(chat, "y/n/always> ")
        assert house.ctl("deny", str(waiting(house, "exec")["id"])).returncode == 0
        chat.until("(exec: denied)")
        chat.until("all is well")
        chat.type("\r")
        until_prompt(chat)
        chat.type("/quit\r")
        assert chat.leaves() == 0


def test_ctrl_c_at_a_request_interrupts_the_turn(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    with terminal(house, "chat", "bran", "--session", "interrupted") as chat:
        until_prompt(chat)
        chat.type("act\r")
        until_prompt(chat, "y/n/always> ")
        chat.interrupts("asked to stop")
        chat.until("it was interrupted")
        until_prompt(chat)
        chat.type("/quit\r")
        assert chat.leaves() == 0
    assert not waiting_rows(house)


def test_what_waited_before_a_chat_was_opened_is_asked_first(shared: tuple[House, Caller]) -> None:
    house, caller = shared
    turn = caller.say("choose", "bran", "before")
    waiting(house, "ask_person")
    with terminal(house, "chat", "bran", "--session", "before") as chat:
        chat.until("red or blue?")
        until_prompt(chat, "answer> ")
        chat.type("2\r")
        chat.until("all is well")
        until_prompt(chat)
        chat.type("/quit\r")
        assert chat.leaves() == 0
    assert caller.reply(turn) == "all is well"
    assert any(each.data["text"] == "blue" for each in caller.events("question_answered"))


def test_ask_prints_how_to_approve_and_waits_on(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    with terminal(house, "ask", "bran", "act", "--session", "ask") as shown:
        shown.until(ACT)
        shown.until("animactl approve ")
        row = waiting(house, "exec")
        assert house.ctl("approve", str(row["id"])).returncode == 0
        shown.until("exec: ok")
        shown.until("all is well")
        assert shown.leaves() == 0
    (house.home.workspace("bran") / "deeds").unlink()


def test_ask_in_a_pipe_prints_the_answer_alone_and_asks_on_stderr(shared: tuple[House, Caller]) -> None:
    house, _ = shared
    told = house.ctl("ask", "bran", "act", "--session", "pipe", "--timeout", "2")
    assert (told.returncode, told.stdout) == (1, "")
    assert ACT in told.stderr
    assert "animactl approve " in told.stderr
    assert house.ctl("deny", str(waiting(house, "exec")["id"])).returncode == 0
    told = house.ctl("ask", "arya", "look", "--session", "pipe")
    assert (told.returncode, told.stdout, told.stderr) == (0, "all is well\n", "")
