"""What becomes of a jail when somebody dies, a layer is not there, or its owner is not root."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jail_table
import psutil
import pytest
from conftest import eventually
from jail_ground import REPO, Ground, Yard, laid, marked, yard

pytestmark = pytest.mark.system

OWNER = str(Path(__file__).with_name("jail_owner.py"))
NOBODY = 65534


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Yard]:
    with yard(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with laid(tmp_path_factory.mktemp("lives")) as at:
        yield at


def asked(at: Ground, target: str, *arguments: Any, **more: Any) -> str:
    """The order for jail_owner.py, in the policy of the proofs."""
    spec = {"workspace": at.work, "read": [at.books], "write": [at.out], "protected": at.guarded, **more.pop("spec", {})}
    return json.dumps(
        {"target": target, "arguments": arguments, "spec": spec, **more},
        default=lambda each: each if isinstance(each, list) else str(each),
    )


def owned(at: Ground, target: str, *arguments: Any, wrap: tuple[str, ...] = (), **more: Any) -> list[Any]:
    """What an owner of its own printed, line by line."""
    words = [*wrap, sys.executable, OWNER, asked(at, target, *arguments, **more)]
    done = subprocess.run(words, capture_output=True, timeout=100, cwd="/", check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith((b"{", b"["))]


def zygote() -> psutil.Process:
    """The process that makes the jails of this one."""
    (found,) = [each for each in psutil.Process().children() if any("zygote" in word for word in each.cmdline())]
    return found


# -- deaths -------------------------------------------------------------------------------------------------------------------


def test_with_the_owner_killed_nothing_of_its_jails_is_left(ground: Ground) -> None:
    mark = f"owner-{os.getpid()}"
    owner = subprocess.Popen([sys.executable, OWNER, asked(ground, "stay", mark)], stdout=subprocess.PIPE)
    assert owner.stdout
    assert owner.stdout.readline() == b"here\n"
    eventually(lambda: marked(mark), "the jailed daemon is not there")
    family = psutil.Process(owner.pid).children(recursive=True)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    eventually(lambda: not marked(mark), "the jailed daemon is left", 5)
    eventually(lambda: not [each for each in family if each.is_running()], f"left: {family}", 5)


def test_with_the_zygote_killed_its_calls_end_with_a_sentence_and_the_next_one_runs(ours: Yard) -> None:
    mark = f"zygote-{os.getpid()}"

    async def bereft() -> Any:
        heard = asyncio.Event()
        run = asyncio.create_task(ours.jails.run(ours.order("stay", mark), lambda *_: heard.set()))
        await heard.wait()
        zygote().kill()
        return await run

    outcome = ours.runner.run(bereft())
    assert outcome.how == "killed"
    assert outcome.reason.endswith((".", "again", "ended", "died")) or len(outcome.reason) > 20, outcome.reason
    eventually(lambda: not marked(mark), "the jailed daemon is left", 5)
    assert ours.answer("say", "again") == "again"


def test_with_the_first_process_of_a_jail_killed_the_others_go_on(ours: Yard) -> None:
    mark = f"init-{os.getpid()}"

    async def one_dies() -> tuple[Any, Any]:
        heard = asyncio.Event()
        other = asyncio.create_task(ours.jails.run(ours.order("be_seen", 3.0)))
        run = asyncio.create_task(ours.jails.run(ours.order("stay", mark), lambda *_: heard.set()))
        await heard.wait()
        victim = psutil.Process(marked(mark)[0])
        while (parent := victim.parent()) and parent.pid != zygote().pid:
            victim = parent
        victim.kill()
        return await run, await other

    killed, other = ours.runner.run(one_dies())
    assert killed.how == "killed", killed
    assert other.value == "was not met", other
    eventually(lambda: not marked(mark), "the jailed daemon is left", 5)


def test_a_jailed_child_that_is_killed_is_told_with_its_signal(ours: Yard) -> None:
    outcome = ours.run("end_by", signal.SIGKILL)
    assert (outcome.how, outcome.signal) == ("killed", signal.SIGKILL), outcome
    outcome = ours.run("end_by", signal.SIGSEGV)
    assert (outcome.how, outcome.signal) == ("killed", signal.SIGSEGV), outcome
    assert not list(ours.at.work.glob("core*"))


def test_a_jailed_child_cannot_end_its_own_jail_s_first_process_nor_forge_an_answer(ours: Yard) -> None:
    outcome = ours.run("kill_everybody")
    assert outcome.how in ("answered", "killed"), outcome
    assert ours.answer("say", "others live") == "others live"


# -- the long-lived child -----------------------------------------------------------------------------------------------------


def test_a_child_that_stays_is_jailed_like_any_other(ours: Yard) -> None:
    at = ours.at
    attacks = [
        ["read", "read", str(at.house / "keys.env")],
        ["tcp", "tcp", "127.0.0.1", at.listeners.tcp],
        ["bus", "unix", at.listeners.bus],
        ["userns", "user_namespace"],
        ["fds", "inherited"],
    ]

    async def talk() -> tuple[dict[str, Any], Any]:
        line = await ours.jails.converse(ours.order("converse"))
        await line.send(json.dumps(attacks).encode() + b"\n")
        heard = b""
        async with asyncio.timeout(20):
            async for piece in line:
                heard += piece
                if heard.endswith(b"\n"):
                    break
        line.close()
        return json.loads(heard), await line.wait()

    found, outcome = ours.runner.run(talk())
    assert found == {label: [False, found[label][1]] for label in found}
    assert len(found) == len(attacks)
    assert outcome.how in ("exited", "answered", "killed", "interrupted"), outcome


# -- layers that are not there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["landlock", "seccomp", "namespaces", "user", "network"])
def test_a_layer_that_is_not_there_is_refused_unless_it_is_done_without_in_words(ground: Ground, layer: str) -> None:
    lost = {"namespaces": ["namespaces", "network", "user"]}.get(layer, [layer])
    outside = {"protected": [ground.house]}  # what lies in a folder that is given cannot be hidden without `namespaces`
    refused, without, report = owned(ground, "say", "ran", lacks=[layer], offs=[[], lost], report=True, spec=outside)
    assert refused["how"] == "refused", refused
    assert refused["value"] is None
    assert layer in refused["reason"]
    assert "layers_off" in refused["reason"]
    assert without["how"] == "answered", without
    assert without["value"] == "ran"
    assert not set(lost) & set(without["layers"])
    assert {name for name, there, _ in report if not there} >= {layer}
    assert all(reason for name, there, reason in report if not there)


def test_a_layer_switched_off_is_not_claimed(ours: Yard) -> None:
    outcome = ours.run("say", 1, off=frozenset({"landlock"}))
    assert "landlock" not in outcome.layers
    assert "seccomp" in outcome.layers


def test_a_layer_nobody_knows_cannot_be_switched_off(ours: Yard) -> None:
    outcome = ours.run("say", 1, off=frozenset({"everything"}))
    assert outcome.how == "refused", outcome
    assert "everything" in outcome.reason


@pytest.mark.parametrize("workspace", ["missing", "file"])
def test_a_workspace_that_is_none_is_refused(ours: Yard, workspace: str) -> None:
    (ours.at.root / "file").write_text("")
    outcome = ours.run("say", 1, workspace=ours.at.root / workspace)
    assert outcome.how == "refused", outcome
    assert workspace in outcome.reason


# -- a terminal, and somebody else than root ----------------------------------------------------------------------------------


def test_the_terminal_of_the_owner_is_out_of_reach(ground: Ground) -> None:
    attacks = [["open", "terminal"], ["type", "type_into_the_terminal", 0], ["type high", "type_into_the_terminal", 1]]
    words = [sys.executable, OWNER, asked(ground, "battery", attacks)]
    child, terminal = pty.fork()
    if child == 0:
        os.execv(words[0], words)
    heard = b""
    try:
        while piece := os.read(terminal, 4096):
            heard += piece
    except OSError:
        pass  # a terminal ends with EIO
    os.waitpid(child, 0)
    os.close(terminal)
    outcome = json.loads(heard.decode().splitlines()[-1])
    assert outcome["how"] == "answered", outcome
    assert {label: got for label, (got, _) in outcome["value"].items()} == {"open": False, "type": False, "type high": False}


@contextmanager
def as_nobody(at_least: list[Path]) -> Iterator[tuple[str, ...]]:
    """Words before a command that make it run as nobody, with `at_least` to be reached also below closed folders like /root."""
    if os.getuid() != 0:
        yield ()  # the whole suite runs as somebody without rights already
        return
    with tempfile.TemporaryDirectory(prefix="anima-nobody-") as aside:
        steps = ["set -e", "mount --make-rprivate /", f"mount -t tmpfs none '{aside}'"]
        closed: dict[Path, list[Path]] = {}
        for path in at_least:
            for above in reversed(path.parents):
                if not above.stat().st_mode & stat.S_IXOTH:
                    closed.setdefault(above, []).append(path)
                    break
        count = 0
        for above, needed in closed.items():
            places = {path: f"{aside}/{count + place}" for place, path in enumerate(needed)}
            count += len(needed)
            steps += [f"mkdir '{place}' && mount --bind '{path}' '{place}'" for path, place in places.items()]
            steps += [f"mount -t tmpfs -o mode=755 none '{above}'"]
            steps += [f"mkdir -p '{path}' && mount --bind '{place}' '{path}'" for path, place in places.items()]
        steps.append(f'exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups "$@"')
        yield ("unshare", "--mount", "sh", "-c", "\n".join(steps), "sh")


def test_an_owner_without_rights_makes_the_same_jail() -> None:
    with tempfile.TemporaryDirectory(prefix="anima-jail-") as folder, laid(Path(folder)) as at:
        if os.getuid() == 0:
            for path in [Path(folder), *Path(folder).rglob("*")]:
                if path.name != "id":  # stays root's, with its setuid bit
                    os.chown(path, NOBODY, NOBODY)
        reached = [Path(sys.prefix), Path(sys.base_prefix), REPO]
        with as_nobody(reached) as wrap:
            found = owned(at, "battery", jail_table.attacks(at), wrap=wrap)[-1]
            limits = owned(at, "fork_bomb", 0.5, wrap=wrap, spec={"limits": {"processes": 32}})[-1]
            small = {"limits": {"memory_bytes": 192 << 20, "wall_s": 20}}
            for fill in ("fill_memory_file", "fill_shared_segments", "take_memory"):
                outcome = owned(at, fill, 1 << 30, wrap=wrap, spec=small)[-1]
                assert outcome["how"] != "answered", f"{fill}: {outcome['value']} bytes, without a cgroup that counts them"
    assert found["how"] == "answered", found
    assert {label: told for label, (got, told) in found["value"].items() if got} == {}
    assert limits["how"] in ("answered", "limit"), limits
    assert limits["how"] == "limit" or limits["value"] <= 32
