"""A recognisable secret, and all the ways a house could give it away."""

import faulthandler
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from anima.supervisor import kernel
from tests.a_keyring import a_keyring
from tests.system.caller import Caller
from tests.system.conftest import House, eventually
from tests.system.odd_server import odd_server

pytestmark = [pytest.mark.system, pytest.mark.skipif(sys.platform != "linux", reason="uses /proc")]

SECRET = "sk-recognisable-4711-0815"
FROM_ENVIRONMENT = "sk-recognisable-too-1234"

#: Cores as large as can be.
WITH_CORES = ("prlimit", "--core=unlimited") if os.geteuid() == 0 else ()

#: None of root's rights: as any other user, whoever runs the tests.
PLAIN = """
import ctypes, os, sys
for right in range(64):
    ctypes.CDLL(None).prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP
os.execvp(sys.argv[1], sys.argv[1:])
"""
AS_PLAIN = (sys.executable, "-c", PLAIN)

LOOK = """
import sys
for pid in sys.argv[1:]:
    for name in ("environ", "mem"):
        try:
            with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
                file.read(1 if name == "environ" else 0)
            print(pid, name)
        except OSError as error:
            assert error.errno in (1, 13), error
"""


def readable(*pids: int) -> set[tuple[int, str]]:
    """Which files of which processes somebody of the same user can read."""
    told = subprocess.run([*AS_PLAIN, sys.executable, "-c", LOOK, *map(str, pids)], capture_output=True, text=True, check=True)
    return {(int(pid), name) for pid, name in (line.split() for line in told.stdout.splitlines())}


def tattling(handler) -> None:
    """A provider that quotes the key it refuses."""
    body = json.dumps({"error": {"type": "invalid", "message": f"no such key: {handler.headers['authorization']}"}}).encode()
    handler.send_response(401)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def found_in(folder: Path) -> list[str]:
    """The files below that hold a secret, whatever they are."""
    secrets = (SECRET.encode(), FROM_ENVIRONMENT.encode())
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sorted(str(path.relative_to(folder)) for path in files if any(each in path.read_bytes() for each in secrets))


@pytest.fixture
def full_of_secrets(house: House, tmp_path: Path) -> Iterator[House]:
    """A house with one in its file and one in its environment, agents that misuse them, and a copy of both for their tools."""
    assert house.ctl("secrets", "set", "brand", stdin=f"{SECRET}\n").returncode == 0
    house.environ["ANTHROPIC_API_KEY"] = FROM_ENVIRONMENT
    (tmp_path / "copy").write_text(f"the key is {SECRET}\nand {FROM_ENVIRONMENT}\n")
    house.settings += "[models]\nopenai_api_key = '${credential:brand}'\n"
    look = {"tool": "exec", "args": {"command": f"cat {tmp_path}/copy"}}
    house.agent("arya", {"calls": [look]}, {"say": "done"}, policy={"read": [str(tmp_path)]})
    house.agent("bran", model="tattling")
    house.agent("cersei", time_zone="${credential:brand}")  # where it has no business
    with odd_server(tattling) as url:
        house.home.models.mkdir(parents=True)
        definition = f"provider = 'compatible'\nmodel = 'm'\nbase_url = '{url}/v1'\napi_key = '${{credential:brand}}'\n"
        (house.home.models / "tattling.toml").write_text(definition)
        house.start(wrap=WITH_CORES)
        yield house


def test_a_secret_is_in_no_log_no_row_no_answer_and_no_core_whatever_happens(
    full_of_secrets: House, caller: Caller, tmp_path: Path
) -> None:
    house, cores = full_of_secrets, set(Path("/").glob("core*"))
    told = caller.call("exec", command=f"env; cat /proc/*/environ | tr '\\0' '\\n'; cat {tmp_path}/copy")
    assert "the key is ***\nand ***" in told["text"]
    assert "USER=agent" in told["text"]
    refused = [house.ctl("ask", "arya", "look around"), house.ctl("ask", "bran", "hello")]
    assert "no such key: Bearer ***" in refused[1].stderr
    assert "'***' is not a time zone" in house.processes()["agent:cersei"]["reason"]
    pid = house.kill("agent:arya", signal.SIGABRT)
    house.until_up("agent:arya", other_than=pid)
    assert "Fatal Python error: Aborted" in house.log("arya")
    house.home.config.write_text(house.settings + "[log]\nlevel = '${credential:brand}'\n")
    refused.append(house.ctl("reload"))
    assert "log.level: '***' is not known" in refused[2].stderr
    house.home.config.write_text(house.settings)
    commands = ("config show", "config show arya", "secrets list", "status", "events --json -n 1000", "logs arya", "doctor")
    for done in (*refused, *(house.ctl(*command.split()) for command in commands)):
        assert "recognisable" not in done.stdout + done.stderr, done.args
    house.stop()
    assert found_in(house.home.root) == ["secrets.toml"]
    assert set(Path("/").glob("core*")) == cores


def test_nobody_of_the_same_user_reads_the_memory_or_the_environment_of_a_process_of_the_house(house: House) -> None:
    house.environ["ANTHROPIC_API_KEY"] = FROM_ENVIRONMENT
    house.agent("arya")
    house.start(wrap=AS_PLAIN)
    assert house.supervisor
    root = psutil.Process(house.supervisor.pid)
    family = {root.pid, *(child.pid for child in root.children())}
    assert len(family) == 7
    with subprocess.Popen([*AS_PLAIN, "sleep", "100"]) as other:
        try:
            eventually(lambda: psutil.Process(other.pid).name() == "sleep", "sleep does not begin")
            assert readable(*family, other.pid) == {(other.pid, "environ"), (other.pid, "mem")}
        finally:
            other.kill()
    for pid in family:
        assert psutil.Process(pid).rlimit(psutil.RLIMIT_CORE) == (0, 0)
    for below in set(root.children(recursive=True)) - set(root.children()):  # what makes jails: readable, and nothing to find
        assert "recognisable" not in str(below.environ())


def test_nor_of_the_process_that_tries_new_code(house: House) -> None:
    house.start(wrap=AS_PLAIN)
    assert house.supervisor
    root = psutil.Process(house.supervisor.pid)

    def trying() -> psutil.Process | None:
        return next((child for child in root.children() if "--preflight" in child.cmdline()), None)

    def is_hidden() -> bool:
        process.suspend()
        try:
            return not readable(process.pid)
        finally:
            process.resume()

    with ThreadPoolExecutor() as other:
        asked = other.submit(house.ctl, "upgrade", "--check")
        process = eventually(trying, "the new code is not tried")
        eventually(is_hidden, "it can be read", pause_s=0.05)  # from its first import on; before, it has read no key
        assert asked.result().returncode == 0, asked.result().stderr


def test_the_keyring_is_asked_by_the_root_alone_once_at_the_start_and_once_at_a_reload(house: House, tmp_path: Path) -> None:
    a_keyring(tmp_path)
    house.environ["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    assert house.ctl("secrets", "set", "brand", "--keyring", stdin=SECRET).returncode == 0
    for name in ("arya", "bran"):
        house.agent(name, policy={"search_provider": "brave", "search_key": "${credential:brand}"})
    (tmp_path / "asked").unlink()
    house.start()
    house.until_up("agent:bran", other_than=house.kill("agent:bran"))
    assert (tmp_path / "asked").read_text() == "get brand\n"
    assert house.do("reload")["ok"]
    assert (tmp_path / "asked").read_text() == "get brand\n" * 2
    assert all(house.pid(f"agent:{name}") for name in ("arya", "bran")), "nothing had changed"
    house.stop()
    assert found_in(house.home.root) == []


def test_what_a_process_takes_is_known_to_those_who_may_not_look_into_it(house: House) -> None:
    house.start(wrap=AS_PLAIN)
    look = f"from anima.cli.memory import pss_bytes; print(pss_bytes({house.pid('journal')}))"
    told = subprocess.run(
        [*AS_PLAIN, sys.executable, "-c", look], capture_output=True, text=True, check=True, env=house.environ
    )
    assert int(told.stdout) > 1 << 20


def test_a_house_whose_children_are_started_by_exec_is_as_closed(house: House) -> None:
    house.settings += "spawn = 'exec'\n"
    house.agent("arya")
    house.start(wrap=AS_PLAIN)
    assert house.supervisor
    root = psutil.Process(house.supervisor.pid)
    assert not readable(root.pid, *(child.pid for child in root.children()))


def dumps(*first: Callable[[], object]) -> bool:
    """Whether a process that does these things and aborts leaves a core, or gives one to the program that takes them here."""
    pid = os.fork()
    if pid == 0:
        faulthandler.disable()  # of the one who runs the tests
        try:
            for each in first:
                each()
            os.abort()
        finally:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status)
    return os.WCOREDUMP(status)


def test_hiding_memory_prevents_a_core_also_where_the_limit_would_allow_one(tmp_path: Path, monkeypatch) -> None:
    def allowed() -> None:
        os.chdir(tmp_path)
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    if not dumps(allowed):
        pytest.skip("this machine takes no cores at all (ulimit -H -c, /proc/sys/kernel/core_pattern)")
    assert not dumps(allowed, kernel.hide_memory)
    monkeypatch.setattr(kernel, "resource", SimpleNamespace(RLIMIT_CORE=0, setrlimit=lambda *_: None))
    assert not dumps(allowed, kernel.hide_memory), "where cores are piped to a program, nobody asks the limit"


def test_a_keyring_that_keeps_a_reload_waiting_is_not_called_a_standstill_of_the_machine(house: House, tmp_path: Path):
    a_keyring(tmp_path)
    house.environ["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    assert house.ctl("secrets", "set", "brand", "--keyring", stdin=SECRET).returncode == 0
    (tmp_path / "values.json").unlink()  # it has no answer before, and none after: nothing changes
    house.agent("arya")
    house.start()
    arya = house.until_up("agent:arya")
    (tmp_path / "locked").touch()
    done = house.ctl("reload", timeout_s=60)
    assert done.returncode == 0, done.stderr
    assert house.until_up("agent:arya") == arya, "nobody is blamed for it"
    assert "stood still" not in house.log("supervisor")
    house.stop()
