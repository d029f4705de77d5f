"""Commands as a person and a script use them, on a whole house, through terminals and pipes."""

import itertools
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.system.conftest import House, eventually

pytestmark = pytest.mark.system

PROGRAM = [sys.executable, "-c", "from anima.cli.main import main; main()"]
SLOW = {"deltas": ["slow "] * 400, "delay_s": 0.05, "match": "slow"}
FINE = {"text": "a fine answer of a few words that has to be wrapped on a narrow terminal", "match": "."}


class Terminal:
    """A command on a terminal of its own, 40 columns wide."""

    def __init__(self, fd: int, pid: int) -> None:
        self.fd, self.pid = fd, pid
        self.seen = ""
        self._place = 0

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def until(self, text: str, timeout_s: float = 15.0) -> str:
        """What appeared up to and including `text`, since the last call."""
        deadline = time.monotonic() + timeout_s
        while text not in self.seen[self._place :]:
            if not select.select([self.fd], [], [], max(deadline - time.monotonic(), 0))[0]:
                pytest.fail(f"{text!r} did not appear; there was {self.seen[self._place :]!r}")
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:  # the command has left
                assert text in self.seen[self._place :], f"it left before {text!r}: {self.seen!r}"
        end = self.seen.index(text, self._place) + len(text)
        found, self._place = self.seen[self._place : end], end
        return found

    def interrupts(self, text: str) -> None:
        """Ctrl-C at a prompt until `text` appears; see `insists_to_leave` for why a key may have to follow it."""
        self.type("\x03")
        deadline = time.monotonic() + 15
        keys = itertools.cycle((" ", " ", "\x03"))  # as a person would: once more if nothing comes of it
        while text not in self.seen[self._place :] and time.monotonic() < deadline:
            if select.select([self.fd], [], [], 2.0)[0]:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            else:
                self.type(next(keys))
        self.until(text)

    def insists_to_leave(self) -> int:
        """Ctrl-C at the prompt, and again: one that falls between the prompt and readline's wait is seen with the next key."""

        def again() -> tuple[int] | None:
            ended = self._ended()
            if ended is None:
                with suppress(OSError):  # it left in this very moment
                    self.type("\x03")
            return ended

        return int(eventually(again, "it does not leave", pause_s=0.5)[0])

    def leaves(self) -> int:
        """Its exit code."""
        return int(eventually(self._ended, "it does not leave")[0])

    def _ended(self) -> tuple[int] | None:
        if select.select([self.fd], [], [], 0)[0]:  # a full terminal would keep it from leaving
            with suppress(OSError):
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self.pid = 0
        return (os.waitstatus_to_exitcode(status),)


@contextmanager
def terminal(house: House, *arguments: str) -> Iterator[Terminal]:
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(
            sys.executable, [*PROGRAM, *arguments], {**house.environ, "TERM": "xterm", "COLUMNS": "40", "INPUTRC": "/dev/null"}
        )
    shown = Terminal(fd, pid)
    try:
        yield shown
    finally:
        if shown.pid:
            os.kill(shown.pid, signal.SIGKILL)
            os.waitpid(shown.pid, 0)
        os.close(fd)


@pytest.fixture
def talking(house: House) -> House:
    house.agent("arya", SLOW, FINE)
    house.start()
    return house


def test_a_chat_shows_what_was_said_streams_wraps_and_hears_others(talking: House):
    talking.ask("arya", "something earlier")
    with terminal(talking, "chat", "arya") as chat:
        chat.until("something earlier")
        chat.until("narrow terminal\r\n")
        chat.until("you> ")
        chat.type("hello\r")
        answer = chat.until("narrow terminal\r\n")
        shown = answer[answer.index("arya> ") :].replace("\r", "").split("\n")
        assert all(len(line) <= 40 for line in shown), shown
        chat.until("you> ")
        talking.ask("arya", "said elsewhere")
        chat.until("you> said elsewhere")
        chat.until("arya> a fine answer")
        chat.type("/help\r")
        chat.until("Ctrl-C interrupts")
        chat.type("/clear\r")
        chat.until("the conversation begins anew")
        chat.until("you> ")  # a Ctrl-D typed ahead of the prompt is the terminal's, which swallows it
        chat.type("\x04")
        assert chat.leaves() == 0
    with terminal(talking, "chat", "arya") as chat:
        assert "hello" not in chat.until("you> ")
        chat.type("/quit\r")
        assert chat.leaves() == 0
    assert talking.audit()["answered"] == 3


def test_ctrl_c_interrupts_a_turn_and_leaves_at_the_prompt(talking: House):
    with terminal(talking, "chat", "arya") as chat:
        chat.until("you> ")
        chat.type("slow please\r")
        chat.until("slow slow slow")
        chat.type("\x03")
        chat.until("interrupted")
        chat.until("you> ")
        chat.type("fine?\r")
        chat.until("narrow terminal")
        chat.until("you> ")
        assert chat.insists_to_leave() == 0
    ledger = talking.audit()
    assert (ledger["interrupted"], ledger["answered"]) == (1, 1)


def test_ctrl_c_twice_leaves_the_chat_and_the_turn_is_interrupted_all_the_same(talking: House):
    with terminal(talking, "chat", "arya") as chat:
        chat.until("you> ")
        chat.type("slow please\r")
        chat.until("slow slow slow")
        pid = talking.pid("agent:arya")
        os.kill(pid, signal.SIGSTOP)  # so that it cannot answer the first one before the second
        chat.type("\x03")
        chat.until("again leaves")
        chat.type("\x03")
        assert chat.leaves() == 0
        os.kill(pid, signal.SIGCONT)
    assert talking.until_answered(1)["interrupted"] == 1


def test_a_chat_survives_the_death_of_the_agent_and_of_the_whole_house(talking: House):
    with terminal(talking, "chat", "arya") as chat:
        chat.until("you> ")
        chat.type("slow please\r")
        chat.until("slow slow slow")
        talking.kill("agent:arya")
        chat.until("starting over")
        chat.until("slow slow")
        assert talking.stop() == 0
        chat.until("the house went away")
        talking.start()
        chat.until("starting over")
        chat.until("slow slow")
        chat.type("\x03")
        chat.until("interrupted)")
        chat.until("you> ")
        chat.type("hello\r")
        chat.until("narrow terminal")


def test_an_answer_is_streamed_on_a_terminal_and_control_characters_are_not(house: House):
    house.agent("arya", {"deltas": ["one ", "\x1b[2J", "two\n"]})
    house.start()
    with terminal(house, "ask", "arya", "count") as shown:
        assert shown.until("two") == "one [2Jtwo"
        assert shown.leaves() == 0


def test_ctrl_c_leaves_a_question_quietly_and_the_message_is_kept(talking: House):
    with terminal(talking, "ask", "arya", "slow please") as shown:
        shown.until("slow slow")
        shown.type("\x03")
        assert shown.leaves() == 130
        assert "Traceback" not in shown.seen
    assert talking.audit()["waiting"] == 1


def test_a_pipe_gets_the_answer_alone_and_each_line_of_a_piped_chat_is_a_message(house: House):
    house.agent("arya")
    house.start()
    told = house.ctl("chat", "arya", stdin="my name is Eve\n\nwhat is my name?\n")
    assert told.returncode == 0, told.stderr
    assert len(told.stdout.splitlines()) == 2
    assert "Eve" in told.stdout.splitlines()[1]
    told = house.ctl("ask", "arya", "summarise", stdin="The sun is a star. Planets go around it.")
    assert (told.returncode, told.stderr) == (0, "")
    told = house.ctl("chat", "arya", stdin=b"hello\n\xff\n")
    assert told.returncode == 1
    assert "line 2 of standard input is not UTF-8" in told.stderr


def test_ask_json_has_the_shape_programs_rely_on(house: House):
    house.agent("arya")
    house.start()
    told = json.loads(house.ctl("ask", "arya", "hello", "--json", "--session", "s1").stdout)
    assert list(told) == ["agent", "session", "turn", "seq", "text", "model", "steps", "usage"]
    assert (told["agent"], told["session"], told["model"], told["steps"]) == ("arya", "s1", "reflex", 1)
    assert set(told["usage"]) == {"tokens_in", "tokens_out"}
    [message] = house.events("--kind", "user_message")
    assert (message["id"], message["seq"]) == (told["turn"], told["seq"])


def test_a_question_whose_time_is_up_says_that_the_message_is_kept(talking: House):
    told = talking.ctl("ask", "arya", "slow please", "--timeout", "0.5")
    assert told.returncode == 1
    assert "no answer within 0.5 s" in told.stderr
    assert f"(seq {talking.events('--kind', 'user_message')[0]['seq']})" in told.stderr
    assert told.stderr.count("\n") == 1


def test_an_agent_that_will_not_answer_is_said_at_once_and_nothing_is_sent(house: House):
    house.agent("arya")
    house.agent("odd", persona=" ")
    house.start()
    for name, words in (("ary", "did you mean 'arya'?"), ("odd", "animactl reset odd")):
        told = house.ctl("ask", name, "hello")
        assert (told.returncode, told.stderr.count("\n")) == (1, 1)
        assert words in told.stderr
    assert house.ctl("pause", "arya").returncode == 0
    assert "animactl resume arya" in house.ctl("ask", "arya", "hello").stderr
    assert house.ctl("resume", "arya").stdout == "arya is up\n"
    assert house.ctl("stop", "arya").stdout == "arya is down: stopped\n"
    assert "animactl start arya" in house.ctl("ask", "arya", "hello").stderr
    assert house.audit()["accepted"] == 0
    told = house.ctl("send", "arya", "for later")
    assert told.returncode == 0
    assert int(told.stdout) > 0
    told = house.ctl("start", "all")
    assert (told.returncode, told.stdout) == (1, "arya is up\n")
    assert "odd" in told.stderr
    assert house.until_answered(1)["answered"] == 1


def test_an_agent_that_is_parked_while_one_waits_ends_the_wait_with_the_reason(house: House):
    house.agent("arya", {"text": "x", "exit": 78})
    house.start()
    told = house.ctl("ask", "arya", "hello")
    assert told.returncode == 1
    assert "animactl reset arya" in told.stderr
    assert "the message is kept" in told.stderr


@pytest.mark.parametrize("model", ["scripted:gone.jsonl", "no-such-model", "anthropic:x"])
def test_a_model_that_cannot_think_is_told_to_the_one_who_asks(house: House, model: str):
    house.agent("arya", model=model)
    house.start()
    told = house.ctl("ask", "arya", "hello", ANTHROPIC_API_KEY="")
    assert told.returncode == 1
    assert told.stdout == ""
    assert told.stderr.startswith("animactl: arya")
    assert told.stderr.count("\n") == 1


def test_a_house_goes_up_and_down_by_command_and_saying_it_twice_does_no_harm(house: House):
    first = house.ctl("up", "--detach")
    try:
        assert first.returncode == 0, first.stderr
        assert first.stdout.count("\n") == 1
        again = house.ctl("up", "--detach")
        assert (again.returncode, "already running" in again.stdout) == (0, True)
        refused = house.ctl("up")
        assert (refused.returncode, "already running" in refused.stderr) == (1, True)
        created = house.ctl("create", "arya", "--model", "reflex")
        assert created.returncode == 0, created.stderr
        assert house.ask("arya", "hello")
        assert house.ctl("list", "--names").stdout == "arya\n"
        told = json.loads(house.ctl("status", "--json").stdout)
        assert list(told["supervisor"]) == ["pid", "version", "uptime_s", "generation", "upgrade"]
        names = ["name", "kind", "state", "pid", "restarts", "uptime_s", "pss_bytes", "status", "reason"]
        names += ["generation"]
        assert all(list(process) == names and process["pss_bytes"] > 0 for process in told["processes"])
        assert "journal: " in house.ctl("doctor", "--deep").stdout
    finally:
        done = house.ctl("down")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert not house.leftovers()
    assert house.ctl("down").returncode == 0


def test_a_house_that_cannot_start_says_why_in_one_line(house: House):
    house.home.root.mkdir()
    house.home.config.write_text("[supervisor]\nbeat = 1\n")
    told = house.ctl("up", "--detach")
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert "anima.toml:2: supervisor.beat: unknown key; did you mean 'beat_s'?" in told.stderr
    house.home.config.unlink()
    house.home.state.write_text("a file where a folder belongs")
    told = house.ctl("up", "--detach")
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert "state" in told.stderr


def test_an_agent_created_with_wrong_settings_elsewhere_says_what_is_wrong(house: House):
    house.agent("arya")
    house.start()
    (house.home.agent("arya") / "agent.toml").write_text("nonsense = 1\n")
    told = house.ctl("create", "bran")
    assert told.returncode == 1
    assert "agent.toml:1: nonsense: unknown key" in told.stderr
    told = house.ctl("config", "check")
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)


def test_events_can_be_followed_filtered_and_read_by_programs(house: House):
    house.agent("arya")
    house.start()
    follower = subprocess.Popen(
        [*PROGRAM, "events", "-f", "-n", "0", "--json", "--agent", "arya", "-k", "agent_message"],
        env=house.environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(0.5)  # nothing says that it listens; what it missed by then it reads from the journal only if n > 0
        house.ask("arya", "hello")
        assert follower.stdout
        told = json.loads(follower.stdout.readline())
    finally:
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 130
    assert told["kind"] == "agent_message"
    assert set(told) == {"seq", "ts", "id", "kind", "agent", "session", "source", "cause", "data"}
    everything = house.events()
    assert house.events("--since", str(everything[2]["seq"])) == everything[3:]
    assert house.ctl("events", "--agent", "nobody").stdout == ""
    assert [each["seq"] for each in house.events("--since", "0")] == [each["seq"] for each in everything]
    told = house.ctl("events", "--kind", "user_mesage")
    assert (told.returncode, "did you mean 'user_message'?" in told.stderr) == (1, True)


def test_whoever_stops_reading_ends_a_command_quietly(house: House):
    house.agent("arya")
    house.start()
    for number in range(5):
        house.ask("arya", f"{number} " + "x" * 100_000)
    command = f"{sys.executable} -c 'from anima.cli.main import main; main()' events --json -n 1000 | head -c 10"
    done = subprocess.run(["sh", "-c", command], env=house.environ, capture_output=True, check=False, timeout=30)
    assert (done.stdout, done.stderr) == (b'{"seq": 1,', b"")


def test_a_log_is_followed_across_its_rotation(house: House, tmp_path: Path):
    house.home.log.mkdir(parents=True)
    log = house.home.log_file("arya")
    log.write_text("one\ntwo\n")
    follower = subprocess.Popen(
        [*PROGRAM, "logs", "arya", "-f", "-n", "1"], env=house.environ, stdout=subprocess.PIPE, text=True
    )
    try:
        assert follower.stdout
        assert follower.stdout.readline() == "two\n"
        with log.open("a") as file:
            file.write("thr")
            file.flush()
            file.write("ee\n")
        assert follower.stdout.readline() == "three\n"
        with log.open("a") as file:
            log.rename(log.with_name("arya.log.1"))
            file.write("last of the old\n")
        log.write_text("first of the new\n")
        assert [follower.stdout.readline(), follower.stdout.readline()] == ["last of the old\n", "first of the new\n"]
    finally:
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 130


def test_the_prompt_of_an_agent_and_a_conversation_begun_anew(house: House):
    house.agent("arya", persona="You are the one and only Arya.")
    house.start()
    told = house.ctl("system", "arya")
    assert "the one and only Arya" in told.stdout
    assert "model: reflex" in told.stderr
    house.ask("arya", "my name is Eve")
    assert "Eve" in house.ask("arya", "what is my name?")
    assert house.ctl("clear", "arya").returncode == 0
    assert "Eve" not in house.ask("arya", "what is my name?")


def test_top_shows_what_each_process_uses(house: House) -> None:
    house.agent("arya")
    house.start()
    done = house.ctl("top", "--json", "-n", "2", "--every", "0.1")
    assert done.returncode == 0, done.stderr
    looks = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(looks) == 2
    rows = {row["name"]: row for row in looks[1]["processes"]}
    assert {"supervisor", "journal", "sandbox", "agent:arya"} <= set(rows)
    assert rows["agent:arya"]["memory_bytes"] > 1_000_000
    assert rows["agent:arya"]["tasks"] >= 1
    assert "PROCESS" in house.ctl("top").stdout
    refused = house.ctl("top", "--sort", "colour")
    assert refused.returncode
    assert "--sort colour is not known" in refused.stderr
