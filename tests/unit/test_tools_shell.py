"""exec, python, the shell that stays and background commands: bounded, interruptible, and nothing left behind."""

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from anima.tools.context import Context
from anima.tools.run import perform, run
from anima.tools.shell.host import read_frame, send_frame, serve
from anima.tools.shell.kept import Kept
from anima.tools.shell.pump import Keeper
from anima.tools.tool import Result, ToolError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def do(tmp_path: Path):
    ctx = Context(tmp_path, call="call-1", wall_s=60).fields()
    return lambda name, **args: run(name, args, ctx)


def wait_until(holds, deadline_s: float = 10.0) -> None:
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, "it did not come to hold in time"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# -- exec ----------------------------------------------------------------------------------------------------------------


def test_exit_code_stdout_and_stderr_come_apart(do):
    found = do("exec", command="echo out; echo err >&2; exit 7")
    assert not found["ok"]
    assert found["data"]["exit"] == 7
    assert found["data"]["stdout"] == "out\n"
    assert found["data"]["stderr"] == "err\n"
    assert found["text"].startswith("[exit code 7, ")
    assert "[stdout]\nout\n[stderr]\nerr" in found["text"]


def test_words_reach_the_program_to_the_letter(do):
    found = do("exec", argv=[sys.executable, "-c", "import sys; print(sys.argv[1:])", "$HOME; a|b", "*", "\u00e4 'x'"])
    assert found["data"]["stdout"] == "['$HOME; a|b', '*', \"\u00e4 'x'\"]\n"


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ({}, "give either"),
        ({"command": "true", "argv": ["true"]}, "give either"),
        ({"argv": ["no-such-program"]}, "'no-such-program' is not installed here"),
        ({"argv": ["a\0b"]}, "cannot be run"),
        ({"command": "true", "cwd": "nowhere"}, "nowhere does not exist"),
        ({"command": "true", "timeout_s": 1e9}, "at most"),
    ],
)
def test_a_command_that_cannot_start_is_told(do, args, complaint):
    found = do("exec", **args)
    assert not found["ok"]
    assert complaint in found["text"]


def test_a_command_reads_what_it_is_given_and_else_nothing(do):
    assert do("exec", command="cat", stdin="x" * 200_000)["data"]["stdout_bytes"] == 200_000
    assert do("exec", command="cat; echo end")["data"]["stdout"] == "end\n"
    assert do("exec", command="true", stdin="x" * 1_000_000)["ok"], "a program that does not read is no error"


def test_what_is_still_in_the_pipe_when_a_command_ends_is_not_lost(do):
    for _ in range(40):
        assert do("exec", command="head -c 131072 /dev/zero; head -c 131072 /dev/zero >&2")["data"]["stdout_bytes"] == 131_072


@pytest.mark.timeout(60)
def test_a_gigabyte_of_output_fills_no_memory_and_head_and_tail_are_kept(tmp_path):
    (tmp_path / "spill").mkdir()
    ctx = Context(tmp_path, call="big", spill=tmp_path / "spill", wall_s=60)
    command = "echo first; head -c 200000000 /dev/zero | tr '\\0' x; echo; echo last; head -c 100000 /dev/zero >&2"
    before = psutil.Process().memory_info().rss
    found = perform("exec", {"command": command}, ctx)
    assert psutil.Process().memory_info().rss - before < 100_000_000
    assert found.ok
    assert found.data["stdout_bytes"] == 200_000_000 + 12
    assert found.data["stdout"].startswith("first\nxxx")
    assert found.data["stdout"].endswith("x\nlast\n")
    assert "bytes left out; the whole is in" in found.text
    assert len(found.text.encode()) < 80_000
    kept = tmp_path / "spill" / "big.stdout.txt"
    assert kept.stat().st_size == 32 * 1024 * 1024
    assert kept.read_bytes()[:10] == b"first\nxxxx"


def test_what_is_kept_of_a_stream_is_its_head_its_tail_and_its_whole(tmp_path):
    for sizes in ([5] * 7, [100], [1, 60, 1, 60], [3]):
        keeper = Keeper(30, tmp_path / "spill")
        whole = b""
        for index, size in enumerate(sizes):
            piece = bytes([97 + index]) * size
            keeper.add(piece)
            whole += piece
        assert keeper.total == len(whole)
        text = keeper.text()
        if len(whole) <= 30:
            assert text.encode() == whole
            assert keeper.spilled == ""
        else:
            assert text.encode().startswith(whole[:20])
            assert text.encode().endswith(whole[-10:])
            assert f"{len(whole) - 30:,} of {len(whole):,} bytes left out" in text
            assert Path(keeper.spilled).read_bytes() == whole


def test_a_command_that_takes_too_long_is_stopped_with_all_it_started(do, tmp_path):
    started = time.monotonic()
    found = do("exec", command="echo begun; sleep 300 & echo $! > pid; trap '' TERM; sleep 300; sleep 300", timeout_s=1)
    assert time.monotonic() - started < 20
    assert not found["ok"]
    assert found["text"].startswith("[stopped after 1 s, its time limit")
    assert found["data"]["stdout"] == "begun\n"
    assert found["data"]["reason"] == "timeout"
    wait_until(lambda: gone(int((tmp_path / "pid").read_text())))


def test_what_a_command_leaves_running_is_ended_and_told(do, tmp_path):
    started = time.monotonic()
    found = do("exec", command="sleep 300 & echo $! > pid; echo done")
    assert time.monotonic() - started < 20, "the pipe held open by what was left does not hold up the answer"
    assert found["ok"]
    assert "it left processes behind, which were ended" in found["text"]
    wait_until(lambda: gone(int((tmp_path / "pid").read_text())))


def test_a_command_ended_by_a_signal_is_told_so(do):
    found = do("exec", argv=["sh", "-c", "kill -SEGV $$"])
    assert found["data"]["signal"] == signal.SIGSEGV
    assert "ended by SIGSEGV" in found["text"]


def test_output_that_is_no_text_is_made_readable(do):
    found = do("exec", command="printf '\\377\\033[31mred\\033[0m\\000\\n'")
    assert found["data"]["stdout"] == "\ufffdred\ufffd\n"


def test_a_live_call_repeats_its_output_as_it_comes(tmp_path):
    script = (
        "import sys; from anima.tools.run import run\n"
        "run('exec', {'command': 'echo out; echo err >&2'}, {'workdir': sys.argv[1], 'live': True})\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=True)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_python_runs_a_program_that_may_import_from_the_workspace(do, tmp_path):
    (tmp_path / "mine.py").write_text("answer = 42")
    assert do("python", code="import mine\nprint(mine.answer)")["data"]["stdout"] == "42\n"
    found = do("python", code="1/0")
    assert found["data"]["exit"] == 1
    assert "ZeroDivisionError" in found["data"]["stderr"]
    assert "SyntaxError" in do("python", code="def")["data"]["stderr"]


# -- the shell that stays ------------------------------------------------------------------------------------------------


@pytest.fixture
def kept():
    kept = Kept()
    yield kept
    kept.close()


@pytest.fixture
def sh(tmp_path: Path, kept: Kept):
    def call(command: str = "", **args) -> Result:
        ctx = Context(tmp_path, call=args.pop("call", "call-1"), wall_s=60, kept=kept)
        return perform("shell_session", {"command": command, **args}, ctx)

    return call


def test_directory_variables_and_functions_last_between_calls(sh, tmp_path):
    (tmp_path / "d").mkdir()
    first = sh("cd d; A=one; f() { echo f$1; }; export B=two")
    assert first.data["fresh"]
    assert first.data["cwd"] == str(tmp_path / "d")
    second = sh("pwd; echo $A; f x; python3 -c 'import os; print(os.environ[\"B\"])'")
    assert second.data["stdout"] == f"{tmp_path / 'd'}\none\nfx\ntwo\n"
    assert not second.data["fresh"]


@pytest.mark.parametrize(
    ("command", "exit_code", "out", "err"),
    [
        ("echo a # a comment", 0, "a\n", ""),
        ("echo 'one\ntwo'\necho three", 0, "one\ntwo\nthree\n", ""),
        ("cat <<END\nhere\nEND", 0, "here\n", ""),
        ("false", 1, "", ""),
        ("(exit 42)", 42, "", ""),
        ("cat; read x; echo got-$x", 0, "got-\n", ""),
        ("printf 'no newline'", 0, "no newline", ""),
        ("echo both; echo err >&2", 0, "both\n", "err\n"),
        ("exec 9>&-; echo still", 0, "still\n", ""),
    ],
)
def test_each_command_has_its_own_outputs_and_exit_code(sh, command, exit_code, out, err):
    for _ in range(2):
        found = sh(command)
        assert (found.data["exit"], found.data["stdout"], found.data["stderr"]) == (exit_code, out, err)


def test_a_quote_left_open_is_an_error_and_not_the_end_of_the_shell(sh):
    found = sh("echo 'open")
    assert found.data["exit"] != 0
    assert "unexpected EOF" in found.data["stderr"] or "nterminated" in found.data["stderr"]
    assert sh("echo fine").data["stdout"] == "fine\n"


def test_a_command_cannot_pretend_to_have_ended(sh):
    found = sh(
        "for n in 0 1 2; do printf 'deadbeef 0 /fake\\0' >&$((n + 7)); done 2>/dev/null; echo real\n"
        "fails() { return 3; }; fails"
    )
    assert found.data["exit"] == 3
    assert found.data["stdout"].endswith("real\n")


def test_large_outputs_on_both_streams_do_not_block(sh):
    found = sh("head -c 3000000 /dev/zero | tr '\\0' a; head -c 3000000 /dev/zero | tr '\\0' b >&2")
    assert (found.data["stdout_bytes"], found.data["stderr_bytes"]) == (3_000_000, 3_000_000)


def test_a_command_that_takes_too_long_is_interrupted_and_the_shell_stays(sh):
    sh("A=kept")
    found = sh("echo begun; sleep 300", timeout_s=1)
    assert found.data["reason"] == "timeout"
    assert found.data["stdout"] == "begun\n"
    found = sh("echo $A")
    assert found.data["stdout"] == "kept\n"
    found = sh("python3 -c 'import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(300)'", timeout_s=1)
    assert found.data["reason"] == "timeout"
    assert sh("echo $A").data["stdout"] == "kept\n"


def test_an_interrupt_reaches_the_command_even_if_whoever_started_us_ignores_it(sh):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        found = sh("trap 'echo caught; trap - INT' INT; sleep 300", timeout_s=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert found.data["exit"] == 128 + signal.SIGINT, "it was asked first, not killed at once"


def test_a_loop_of_the_shell_itself_costs_the_shell_and_that_is_said(sh):
    sh("A=lost")
    found = sh("while :; do :; done", timeout_s=1)
    assert found.data["gone"]
    assert "the shell ended; the next command begins a new one" in found.text
    found = sh("echo [$A]")
    assert found.data["stdout"] == "[]\n"
    assert found.data["fresh"]


@pytest.mark.parametrize("command", ["exit 3", "echo out; exit 3", "exec sh -c 'exit 3'", "set -e; (exit 3)"])
def test_a_command_that_ends_the_shell_is_told(sh, command):
    found = sh(command)
    assert found.data["gone"]
    assert found.data["exit"] == 3
    assert sh("echo again").data["stdout"] == "again\n"


def test_commands_for_one_shell_take_turns_and_mix_nothing(sh):
    answers: dict[int, Result] = {}
    sh("true")

    def ask(number: int) -> None:
        answers[number] = sh(f"for i in 1 2 3; do echo {number}; sleep 0.05; done", call=f"c{number}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: found.data["stdout"] for number, found in answers.items()} == {n: f"{n}\n" * 3 for n in range(4)}


def test_another_call_can_interrupt_a_running_command(sh, kept):
    asked = threading.Thread(target=lambda: answers.append(sh("echo begun; sleep 300", call="long")))
    answers: list[Result] = []
    asked.start()
    wait_until(lambda: "long" in kept.interrupts)
    time.sleep(0.3)
    assert kept.interrupt("long")
    asked.join(20)
    assert answers[0].data["reason"] == "interrupted"
    assert answers[0].data["stdout"] == "begun\n"
    assert not kept.interrupt("long")


def test_several_shells_stand_beside_each_other_up_to_a_limit(sh):
    sh("A=1", session="one")
    assert sh("echo [$A]", session="two").data["stdout"] == "[]\n"
    assert sh("echo [$A]", session="one").data["stdout"] == "[1]\n"
    assert sh(session="one", restart=True).ok
    assert sh("echo [$A]", session="one").data["stdout"] == "[]\n"
    sh("true", session="three")
    sh("true", session="four")
    with pytest.raises(ToolError, match="4 shells already"):
        sh("true", session="five")


def test_a_plain_sh_works_as_well(tmp_path):
    from anima.tools.shell.sh import Shell

    shell = Shell("/bin/sh", tmp_path)
    try:
        out = Keeper(1000)
        ended = shell.run("A=5; echo $A; (exit 4)", 10, out, Keeper(1000))
        assert (ended.exit, out.text()) == (4, "5\n")
        out = Keeper(1000)
        assert shell.run("echo $A", 10, out, Keeper(1000)).exit == 0
        assert out.text() == "5\n"
    finally:
        shell.close()


# -- background ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bg(tmp_path: Path, kept: Kept):
    return lambda name, **args: perform(f"background_{name}", args, Context(tmp_path, call="c", kept=kept))


def test_a_background_command_is_started_read_fed_and_stopped(bg):
    job = bg("start", command="while read line; do echo got $line; done; echo end").data["job"]
    assert bg("list").data["jobs"][0]["state"] == "running"
    bg("write", job=job, text="one\n")
    first = bg("read", job=job, wait_s=10)
    assert first.text.startswith("got one\n[running; go on with since=8]")
    bg("write", job=job, text="two\n", end=True)
    wait_until(lambda: bg("list").data["jobs"][0]["state"] == "exit code 0")
    assert "got two\nend" in bg("read", job=job, since=8).text
    with pytest.raises(ToolError, match="takes no input any more"):
        bg("write", job=job, text="x")
    assert "had ended already (exit code 0)" in bg("stop", job=job).text


def test_stopping_ends_everything_a_background_command_started(bg, tmp_path):
    job = bg("start", command="sleep 300 & echo $! > pid; trap '' TERM; sleep 300; sleep 300").data["job"]
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    assert "was stopped" in bg("stop", job=job).text
    wait_until(lambda: gone(int((tmp_path / "pid").read_text())))


def test_old_output_goes_first_and_that_is_told(bg):
    job = bg("start", command="head -c 3000000 /dev/zero | tr '\\0' x; echo; echo tail").data["job"]
    wait_until(lambda: bg("list").data["jobs"][0]["state"] != "running")
    wait_until(lambda: bg("list").data["jobs"][0]["bytes"] == 3_000_006)
    found = bg("read", job=job, since=0)
    assert "bytes are gone; the newest are kept" in found.text
    assert found.data["more"]
    assert bg("list").data["jobs"][0]["tail"].endswith("tail\n")


def test_a_command_that_does_not_read_does_not_block_its_writer(bg):
    job = bg("start", command="sleep 300").data["job"]
    with pytest.raises(ToolError, match="does not read its input"):
        bg("write", job=job, text="x" * 1_000_000)


def test_what_is_not_there_is_told_with_what_is(bg):
    bg("start", command="true")
    with pytest.raises(ToolError, match="no background command 'job9'; there are: job1"):
        bg("read", job="job9")
    with pytest.raises(ToolError, match="there is no command"):
        bg("start", command=" ")


def test_there_are_never_more_background_commands_than_may_be(bg):
    for _ in range(16):
        bg("start", command="sleep 300")
    with pytest.raises(ToolError, match="16 background commands run already"):
        bg("start", command="sleep 300")


# -- the child they live in ----------------------------------------------------------------------------------------------


def test_without_a_child_that_stays_these_tools_say_so(do):
    for name, args in (("shell_session", {"command": "true"}), ("background_list", {})):
        assert "a child that stays between calls" in do(name, **args)["text"]


def test_the_long_lived_child_serves_calls_side_by_side_and_ends_all_at_the_end(tmp_path):
    ours, theirs = socket.socketpair()
    server = threading.Thread(target=serve, args=(theirs.fileno(), theirs.fileno()))
    server.start()
    ctx = Context(tmp_path, call="c1").fields()

    def ask(number: int, **request) -> None:
        send_frame(ours.fileno(), {"id": number, **request})

    ask(1, name="shell_session", args={"command": "A=5; sleep 300"}, context=ctx)
    ask(2, name="background_start", args={"command": "echo $$ > pid; exec sleep 300"}, context=ctx)
    answer = read_frame(ours.fileno())
    assert (answer["id"], answer["ok"]) == (2, True)
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    time.sleep(0.3)
    ask(3, interrupt="c1")
    answers = {found["id"]: found for found in (read_frame(ours.fileno()), read_frame(ours.fileno()))}
    assert answers[3]["ok"]
    assert answers[1]["data"]["reason"] == "interrupted"
    ask(4, name="shell_session", args={"command": "echo $A"}, context=ctx)
    assert read_frame(ours.fileno())["data"]["stdout"] == "5\n"
    ask(5, name="nothing", args={}, context=ctx)
    assert "there is no tool 'nothing'" in read_frame(ours.fileno())["text"]
    ask(6, args=5)
    assert not read_frame(ours.fileno())["ok"]
    ours.close()
    server.join(20)
    assert not server.is_alive()
    theirs.close()
    wait_until(lambda: gone(int((tmp_path / "pid").read_text())))


def test_the_long_lived_child_works_over_its_standard_streams(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", "from anima.tools.shell.host import serve_standard; serve_standard()"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with child:
        send_frame(
            child.stdin.fileno(),
            {"id": 1, "name": "shell_session", "args": {"command": "echo hi"}, "context": Context(tmp_path, call="c").fields()},
        )
        assert read_frame(child.stdout.fileno())["data"]["stdout"] == "hi\n"
        child.stdin.close()
        assert child.wait(20) == 0


@pytest.mark.parametrize("noise", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02\xc1\xc1", b"\x00\x00\x00\x01\x05", b"\x00\x00", b""])
def test_noise_on_the_link_ends_the_child_and_breaks_nothing(noise):
    ours, theirs = socket.socketpair()
    server = threading.Thread(target=serve, args=(theirs.fileno(), theirs.fileno()))
    server.start()
    ours.sendall(noise)
    ours.shutdown(socket.SHUT_WR)
    server.join(20)
    assert not server.is_alive()
    ours.close()
    theirs.close()


def test_nothing_is_left_open_or_running_by_any_of_this(tmp_path):
    def state() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), len(psutil.Process().children(recursive=True))

    run("exec", {"command": "true"}, {"workdir": str(tmp_path)})
    before = state()
    kept = Kept()
    ctx = Context(tmp_path, call="c", kept=kept)
    for _ in range(5):
        perform("exec", {"command": "echo x; sleep 0.01 &"}, ctx)
        perform("shell_session", {"command": "echo x", "restart": True}, ctx)
        perform("background_start", {"command": "sleep 300"}, ctx)
    kept.close()
    del kept, ctx
    wait_until(lambda: state()[1] <= before[1])
    import gc

    gc.collect()
    assert state()[0] <= before[0] + 1
