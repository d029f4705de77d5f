"""Logs in a real journal: whose line it is, floods, a journal that is away; and `animactl logs` beside journalctl."""

import json
from collections.abc import Iterator

import pytest

from anima.journald import KNOWN
from anima.log.lines import parse_line
from tests.system.box import Box, Service
from tests.system.conftest import eventually

pytestmark = pytest.mark.system

HOME = "/home/person/.anima"
SITE = "/opt/anima/lib"
#: A package whose hook does what it is told after a turn: 100,000 lines, a print from C, a loop that does not end.
HOOK = """
import ctypes, logging, sys

def after_turn(about):
    said = about.get("answer", "")
    if "flood" in said:
        for number in range(100_000):
            logging.getLogger("anima.flood").info("line %d of the flood", number)
    if "print" in said:
        print("printed by a package")
        ctypes.CDLL(None).puts(b"put by C"), ctypes.CDLL(None).fflush(None)
        raise ValueError("first line\\nsecond line")
"""


@pytest.fixture(scope="module")
def service(box: Box) -> Iterator[Service]:
    """The service of person with two agents, arya and bran, and a package that hooks into every turn."""
    service = Service(box, "person", HOME, "/run/user/4200/anima")
    place = box.run("sh", "-c", f"echo {SITE}/*/site-packages")
    box.write(f"{place}/loud.py", HOOK)
    box.write(f"{place}/loud-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: loud\nVersion: 1\n")
    box.write(f"{place}/loud-1.dist-info/entry_points.txt", "[anima.hooks]\nloud.after_turn = loud:after_turn\n")
    for name in ("arya", "bran"):
        settings = 'model = "scripted:play.jsonl"\n'
        box.write(f"{HOME}/agents/{name}/agent.toml", settings, user="person")
        box.write(f"{HOME}/agents/{name}/persona.md", f"You are {name}.\n", user="person")
        play = [{"match": word, "text": f"I {word}"} for word in ("flood", "print")]
        lines = "".join(json.dumps(each) + "\n" for each in (*play, {"match": "", "text": "well"}))
        box.write(f"{HOME}/agents/{name}/play.jsonl", lines, user="person")
    done = service.ctl("install")
    assert done.returncode == 0, done.stdout + done.stderr
    yield service
    assert service.ctl("uninstall", "--purge", "--yes").returncode == 0
    box.run("sh", "-c", f"rm -r {place}/loud*")


def entries(box: Box, *matches: str) -> list[dict[str, str]]:
    told = box.run("journalctl", "-q", "--all", "-o", "json", *matches)
    return [json.loads(line) for line in told.splitlines()]


def answers_in(found: list[dict[str, str]]) -> int:
    return sum(each["MESSAGE"].startswith("answered") for each in found)


def test_every_process_logs_under_its_own_name_and_pid(service: Service):
    processes = service.processes()
    for name, told in processes.items():
        plain = name.removeprefix("agent:")
        found = entries(service.box, f"SYSLOG_IDENTIFIER=anima-{plain}", f"_PID={told['pid']}")
        assert {each["ANIMA_PROCESS"] for each in found} <= {name}
        assert found or name != "agent:arya", "it was asked when it was installed"
        assert all(each.get("ANIMA_AGENT") == (plain if plain != name else None) for each in found)
    root = entries(service.box, "ANIMA_PROCESS=supervisor", f"_PID={service.main_pid()}")
    assert {each["SYSLOG_IDENTIFIER"] for each in root} == {"anima-supervisor"}
    assert not service.box.exists(f"{HOME}/log/supervisor.log")


def test_a_line_in_a_turn_says_which_and_the_journal_shows_one_agent_and_no_other(service: Service):
    assert service.ctl("ask", "arya", "hello").returncode == 0
    assert service.ctl("ask", "bran", "hello").returncode == 0
    found = entries(service.box, "ANIMA_AGENT=arya")
    assert {each["ANIMA_PROCESS"] for each in found} == {"agent:arya"}
    last = next(each for each in reversed(found) if each.get("ANIMA_TURN"))
    assert (last["ANIMA_SESSION"], last["CODE_FUNC"]) == ("main", "_end")
    assert int(last["ANIMA_SEQ"]) > 0
    turn = entries(service.box, f"ANIMA_TURN={last['ANIMA_TURN']}")
    assert all(each["ANIMA_TURN"] == last["ANIMA_TURN"] for each in turn)


def words(lines: str) -> list[str]:
    """What lines of `animactl logs` say, without moment, level and origin."""
    parsed = [parse_line(line) for line in lines.splitlines()]
    assert None not in parsed
    return [each.text for each in parsed if each]


def agree(service: Service, name: str) -> list[str]:
    """What both tell of an agent, line by line; fails if they do not."""
    told = service.ctl("logs", name, "-n", "1000000")
    assert told.returncode == 0, told.stderr
    theirs = service.box.run("journalctl", "-q", "--all", "-o", "cat", f"ANIMA_AGENT={name}")
    assert words(told.stdout) == theirs.splitlines()
    return theirs.splitlines()


def test_what_a_package_prints_or_raises_and_the_stack_of_a_hung_agent_are_the_agents_own(service: Service):
    assert service.ctl("ask", "arya", "print").returncode == 0
    eventually(lambda: "ValueError: first line" in "\n".join(agree(service, "arya")), "the traceback is not there")
    told = agree(service, "arya")
    assert "printed by a package" in told
    assert "put by C" in told
    pid = service.processes()["agent:arya"]["pid"]
    service.kill(pid, "ABRT")
    service.until_up("agent:arya", other_than=pid)
    eventually(lambda: "Fatal Python error: Aborted" in agree(service, "arya"), "the stack is not there")
    assert "Fatal Python error: Aborted" not in agree(service, "bran")


def test_a_flooding_agent_is_limited_counted_and_silences_nobody(service: Service):
    assert service.ctl("ask", "arya", "flood").returncode == 0
    assert service.ctl("ask", "bran", "hello").returncode == 0
    assert service.ctl("ask", "arya", "hello").returncode == 0
    eventually(
        lambda: any(line.startswith("dropped ") for line in words(service.ctl("logs", "arya").stdout)), "nothing was dropped"
    )
    flooded = [each for each in words(service.ctl("logs", "arya", "-n", "1000000").stdout) if "of the flood" in each]
    assert 1_000 < len(flooded) < 10_000
    assert agree(service, "bran")[-1].startswith("answered")


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_a_journal_that_is_away_is_missed_by_nobody_and_files_take_over_and_hand_back(service: Service, how: str):
    box = service.box
    before = answers_in(entries(box, "ANIMA_AGENT=bran"))
    journald = box.run("systemctl", "show", "journal", "--property=MainPID", "--value")
    box.run("systemctl", "stop", "journal") if how == "stopped" else box.run("kill", "-STOP", journald)
    try:
        for number in range(3):
            asked = service.ctl("ask", "bran", f"hello {how} {number}", timeout_s=30)
            assert asked.returncode == 0, asked.stderr
        if how == "stopped":
            assert "answered" in box.read(f"{HOME}/log/bran.log")
            told = service.ctl("logs", "bran", "-n", "1")
            assert words(told.stdout)[0].startswith("answered"), told.stderr
    finally:
        box.run("systemctl", "start", "journal") if how == "stopped" else box.run("kill", "-CONT", journald)

    def answers_in_the_journal_again() -> bool:
        assert service.ctl("ask", "bran", "hello again").returncode == 0
        return answers_in(entries(box, "ANIMA_AGENT=bran")) > before

    eventually(answers_in_the_journal_again, "nobody handed back", pause_s=0.3)
    if how == "stopped":
        assert entries(box, "ANIMA_AGENT=bran", f"MESSAGE_ID={KNOWN['handed_back']}"), (
            "the first entry it took again was preceded by where the others are"
        )
    both = words(service.ctl("logs", "bran", "-n", "1000000").stdout)
    in_file = box.run("sh", "-c", f"grep -c answered {HOME}/log/bran.log || true")
    in_journal = answers_in(entries(box, "ANIMA_AGENT=bran"))
    assert sum("answered" in each for each in both) == int(in_file) + in_journal


def test_logs_goes_on_with_what_the_journal_gets(service: Service):
    box, out = service.box, "/tmp/followed"
    assert service.ctl("ask", "bran", "hello").returncode == 0
    command = f"export ANIMA_HOME={HOME}; timeout 20 /opt/anima/bin/animactl logs bran -f -n 1 > {out} 2>&1"
    box.run("sh", "-c", f"({command}) >/dev/null 2>&1 &", user="person")
    eventually(lambda: len(box.read(out).splitlines()) == 1, "it shows nothing")
    for _ in range(2):
        assert service.ctl("ask", "bran", "hello").returncode == 0
    eventually(lambda: len(words(box.read(out))) >= 3, f"it does not go on: {box.read(out)}")
    shown = words(box.read(out))
    assert shown == words(service.ctl("logs", "bran", "-n", str(len(shown))).stdout)
