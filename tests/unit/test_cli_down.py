"""Commands without a house: they say so, in one line, and what needs none works all the same."""

import json
import os
import resource
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from anima.cli import hands, root
from anima.cli.chain import Verifier, verify_file
from anima.cli.main import app
from anima.errors import ConfigError, Refused, Unavailable
from anima.paths import Home
from anima.supervisor.control import parse_request
from anima.wire.chain import START, link

REPO = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "h", tmp_path / "h" / "run")


def ctl(home: Home, *arguments: str, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[str]:
    keep = {key: value for key, value in os.environ.items() if key not in {"RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"}}
    program = [sys.executable, "-c", "from anima.cli.main import main; main()", *arguments]
    environ = {**keep, "ANIMA_HOME": str(home.root), "PYTHONPATH": str(REPO), **environ}
    done = subprocess.run(program, env=environ, input=stdin, capture_output=True, check=False, timeout=30)
    return subprocess.CompletedProcess(program, done.returncode, done.stdout.decode(), done.stderr.decode())


COMMANDS = sorted({command.name or "" for command in app.registered_commands})


def test_every_command_has_a_help_with_an_example(home: Home):
    for command in COMMANDS:
        told = ctl(home, command, "--help")
        assert told.returncode == 0
        assert f"animactl {command}" in told.stdout.partition("Example: ")[2], f"{command} shows no example of itself"
    for command in ("check", "show"):
        assert "Example: animactl config" in ctl(home, "config", command, "--help").stdout
    assert "Example: animactl tool call" in ctl(home, "tool", "call", "--help").stdout
    assert "Example: animactl intents" in ctl(home, "intents", "--help").stdout
    assert "Example: animactl intents resolve" in ctl(home, "intents", "resolve", "--help").stdout
    assert "…" not in ctl(home, "--help").stdout
    assert "..." not in ctl(home, "--help").stdout.replace("ARGS]...", ""), "a first sentence is longer than its line"


def test_backup_says_which_keys_are_in_it_and_which_are_not(home: Home):
    told = " ".join(ctl(home, "backup", "--help").stdout.split())
    assert "secrets.toml and logs are not in it" in told
    assert "A key that is written into anima.toml or models/ itself is" in told


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "ask arya hi",
        "send arya hi",
        "chat arya",
        "events",
        "audit",
        "reload",
        "stop all",
        "system arya",
        "clear arya",
        "tools",
        "tool call now",
        "tool call now --agent arya",
        "approvals",
        "approvals -f",
        "approve 01",
        "deny 01 --always",
        "answer 01 yes",
        "intents",
        "intents resolve 01 done",
        "jobs arya",
    ],
)
def test_a_command_that_needs_the_house_says_how_to_start_it(home: Home, command: str):
    told = ctl(home, *command.split())
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr == f"animactl: the house at {home.root} is not running; start it with `animactl up --detach`\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["ask"], ["status", "--jsn"], ["ask", "arya", "x", "--timeout", "soon"]])
def test_a_command_called_wrongly_exits_2(home: Home, arguments: list[str]):
    told = ctl(home, *arguments)
    assert told.returncode == 2
    assert "Traceback" not in told.stderr


def test_a_message_nobody_could_store_is_refused_before_the_house_is_asked(home: Home):
    for arguments, stdin, words in (
        (["ask", "arya"], b"", "nothing to say"),
        (["ask", "arya"], b"\xff\xfe", "not UTF-8"),
        (["send", "arya"], b"x" * (5 << 20), "more than"),
        (["send", "arya", "-f", "/nonexistent"], b"", "No such file"),
        (["ask", "arya", "caf\udce9"], b"", "not UTF-8"),
    ):
        told = ctl(home, *arguments, stdin=stdin)
        assert (told.returncode, told.stderr.count("\n")) == (1, 1)
        assert words in told.stderr


def test_agents_can_be_made_and_listed_while_the_house_is_down(home: Home):
    assert ctl(home, "create", "arya", "-m", "reflex").returncode == 0
    told = ctl(home, "create", "arya")
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    told = ctl(home, "create", "a/b")
    assert (told.returncode, "cannot name an agent" in told.stderr) == (1, True)
    (home.agents / "arya" / "agent.toml").write_text("modle = 1\n")
    assert "modle: unknown key; did you mean 'model'?" in ctl(home, "list").stdout
    [agent] = json.loads(ctl(home, "list", "--json").stdout)
    assert (agent["name"], agent["state"]) == ("arya", "down")
    assert ctl(home, "config", "check").returncode == 1
    assert ctl(home, "doctor").returncode == 1


def test_settings_are_shown_as_toml_that_reads_back_and_secrets_are_not(home: Home):
    import tomllib

    home.root.mkdir()
    models = '[models]\nanthropic_api_key = "sk-very-secret"\nanthropic_base_url = "http://sk-very-secret@host"\n'
    home.config.write_text(f'{models}[embedding]\nkey = "sk-very-secret"\n')
    told = ctl(home, "config", "show")
    shown = tomllib.loads(told.stdout)
    assert set(shown) == {"models", "sandbox", "supervisor", "log", "record", "budget", "embedding"}
    assert "very-secret" not in told.stdout
    assert shown["models"]["anthropic_base_url"] == "http://***@host"
    ctl(home, "create", "arya", "-m", 'scripted:/a "b" \\c')
    assert tomllib.loads(ctl(home, "config", "show", "arya").stdout)["model"] == 'scripted:/a "b" \\c'


def test_colours_are_for_terminals_that_want_them(home: Home):
    assert "\x1b" not in ctl(home, "doctor").stdout + ctl(home, "status").stderr


def test_the_log_of_an_unknown_process_names_a_near_one(home: Home):
    ctl(home, "create", "arya")
    told = ctl(home, "logs", "ary")
    assert (told.returncode, "did you mean 'arya'?" in told.stderr) == (1, True)
    assert ctl(home, "logs", "arya").returncode == 0


def test_a_runtime_path_too_long_for_a_socket_is_said_in_one_sentence(tmp_path: Path):
    deep = tmp_path / ("x" * 100)
    told = ctl(Home(deep, deep / "run"), "up", "--detach")
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert "too long for a Unix socket" in told.stderr


def test_a_home_that_cannot_be_written_is_said_in_one_sentence(home: Home):
    home.root.write_text("a file where a folder is meant stops root, too")
    for command in (["create", "arya"], ["up", "--detach"]):
        told = ctl(home, *command)
        assert (told.returncode, told.stderr.count("\n")) == (1, 1)


def test_a_program_without_standard_streams_does_not_fall_over(home: Home):
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -c 'from anima.cli.main import main; main()' send arya hi <&- 2>&1"],
        env={**os.environ, "ANIMA_HOME": str(home.root), "PYTHONPATH": str(REPO)},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert b"is not running" in done.stdout


def test_no_command_imports_what_only_others_need():
    heavy = "asyncio zmq psutil sqlite_utils sqlite3 msgpack anthropic pydantic rich httpx"
    program = f"import sys, anima.cli.main; print(*[name for name in {heavy.split()!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPO, timeout=30)
    assert done.stdout.strip() == ""


def answering(home: Home, *answers: dict[str, object]) -> threading.Thread:
    """A supervisor that answers one request per connection, in this order, and parses them as the real one does."""
    home.run.mkdir(parents=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(home.control))
    server.listen()

    def serve() -> None:
        with server:
            for answer in answers:
                connection, _ = server.accept()
                with connection, connection.makefile("rwb") as stream:
                    parse_request(stream.readline())
                    stream.write(json.dumps(answer).encode() + b"\n")
                    stream.flush()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_a_refusal_of_the_supervisor_becomes_the_error_it_names(home: Home):
    served = answering(
        home,
        {"ok": False, "error": "no such agent", "sort": "Refused"},
        {"ok": False, "error": "wrong key", "sort": "ConfigError"},
        {"ok": False, "error": "odd", "sort": "SystemExit"},
        {"ok": False},
    )
    for sort, words in (
        (Refused, "no such agent"),
        (ConfigError, "wrong key"),
        (Refused, "odd"),
        (Refused, "without a reason"),
    ):
        with pytest.raises(sort, match=words):
            root.request(home, "reload")
    served.join(5)


def test_waiting_for_a_process_ends_when_it_is_there_or_the_time_is_up(home: Home):
    def told(state: str) -> dict[str, object]:
        return {"ok": True, "processes": [{"name": "agent:arya", "state": state, "reason": ""}]}

    served = answering(home, {"ok": True, "processes": []}, told("starting"), told("up"), told("starting"), told("starting"))
    assert root.wait_until(home, "agent:arya", {"up"}, 5.0)["state"] == "up"
    with pytest.raises(Unavailable, match="agent:arya is still starting"):
        root.wait_until(home, "agent:arya", {"up"}, 0.0)
    with pytest.raises(Refused, match="did you mean 'arya'"):
        root.agent_process(home, "arja")
    served.join(5)


def test_a_sandbox_that_is_parked_is_said_with_what_frees_it(home: Home):
    parked = {"name": "sandbox", "state": "failed", "reason": "it died ten times"}
    served = answering(home, {"ok": True, "processes": [parked]}, {"ok": True, "processes": []})
    with pytest.raises(Unavailable, match=r"it died ten times.*animactl reset sandbox"):
        hands.check(home)
    with pytest.raises(Unavailable, match="no process called sandbox"):
        hands.check(home)
    served.join(5)


def rows(count: int) -> list[tuple[int, float, bytes, bytes]]:
    found, previous = [], START
    for seq in range(1, count + 1):
        previous = link(previous, seq, float(seq), b"blob %d" % seq)
        found.append((seq, float(seq), b"blob %d" % seq, previous))
    return found


def test_a_sound_chain_is_verified_in_any_number_of_pieces():
    verifier = Verifier()
    assert not any(verifier.take(piece) for piece in (rows(10)[:3], [], rows(10)[3:]))
    assert verifier.count == 10


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda good: good[:4] + good[5:], "row 5 is missing"),
        (lambda good: good[1:], "row 1 is missing"),
        (lambda good: [*good[:4], (5, 5.0, b"blob X", good[4][3]), *good[5:]], "row 5 is not what was stored"),
        (lambda good: [*good[:4], (5, 5.5, *good[4][2:]), *good[5:]], "row 5 is not what was stored"),
        (lambda good: [*good[:4], (*good[4][:3], bytes(16)), *good[5:]], "row 5 is not what was stored"),
    ],
)
def test_a_hole_or_a_changed_row_is_found_and_named(damage, words: str):
    assert words in Verifier().take(damage(rows(8)))


def test_a_file_that_is_no_journal_is_said_to_be_none(tmp_path: Path):
    path = tmp_path / "journal.db"
    assert verify_file(path) == (0, "")
    path.write_bytes(b"not a database at all, but long enough to be taken for one" * 20)
    with pytest.raises(ConfigError, match="cannot be read"):
        verify_file(path)


def test_the_limit_of_open_files_is_not_changed_by_looking_at_it():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    from anima.cli.checks import checks

    for check in checks():
        list(check(Home(Path("/nonexistent/home"), Path("/nonexistent/run"))))
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
