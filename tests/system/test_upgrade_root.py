"""A root goes on in other code: its children do not notice, nothing it knew is lost, and what goes wrong leads back."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from anima.errors import Exit
from anima.supervisor import control
from tests.system.environments import environment
from tests.system.small_life import Small, eventually, spec

pytestmark = [pytest.mark.system, pytest.mark.skipif(sys.platform != "linux", reason="uses /proc")]


class Moving(Small):
    """A small house that is moved to other code."""

    def upgrade(self, **more: Any) -> dict[str, Any]:
        """Begin; what the preflight found."""
        return self.ask("upgrade", timeout_s=30, **more)

    def ended(self, since: int = 0, timeout_s: float = 20.0) -> dict[str, Any]:
        """The last record of the upgrade that began after record `since`."""

        def look() -> dict[str, Any] | None:
            return next((each for each in self.records("upgrade") if each["n"] > since and each["over"]), None)

        return eventually(look, f"the upgrade ends; the log says\n{self.log('supervisor')}", timeout_s)

    def moved(self, **more: Any) -> dict[str, Any]:
        """Upgrade from beginning to end."""
        begun = self.upgrade(**more)
        assert begun["ok"], begun
        return self.ended(begun["since"])

    def pids(self) -> dict[str, int]:
        return {line["name"]: line["pid"] for line in self.status()["processes"]}

    def generation(self) -> int:
        return int(self.status()["supervisor"]["generation"])

    def slowly(self, *, on: bool) -> None:
        """While on, the new code takes its time before it takes over."""
        path = self.home.root / "slow"
        path.touch() if on else path.unlink()

    def between(self) -> None:
        """Wait until the exec is done and the new code has not begun."""
        eventually(lambda: b"--state-fd" in Path(f"/proc/{self.pid}/cmdline").read_bytes(), "the root is executed anew")


@pytest.fixture
def house(tmp_path):
    small = Moving(tmp_path)
    yield small
    small.clear()


@pytest.fixture(params=["fork", "exec"])
def either(tmp_path, request):
    small = Moving(tmp_path, request.param)
    yield small
    small.clear()


# -- as it should be ---------------------------------------------------------------------------------------------------


def test_the_root_goes_on_as_the_same_process_and_no_child_notices(house):
    house.plan(spec("journal", "deaf;ready;hang", stop_timeout_s=3.0, beat_s=0), spec("agent:a"), spec("agent:b"))
    house.start()
    before, records = house.pids(), house.records()
    begun = house.upgrade()
    assert begun["ok"]
    eventually(lambda: house.generation() == 2, "the new code answers")
    assert house.pids() == before, "the journal takes its time to end; until then nobody has been touched"
    assert house.child("journal")["state"] == "restarting"
    assert [line["incarnation"] for line in house.status()["processes"]] == [1, 1, 1]
    assert psutil.Process(house.pid).status() != psutil.STATUS_ZOMBIE
    known = house.records()
    assert known[: len(records)] == records, "what happened before is still known, under the same numbers"
    assert [each["n"] for each in known] == list(range(1, len(known) + 1))
    assert house.ended(begun["since"])["over"] == "done"
    assert house.stop() == Exit.OK


def test_everybody_begins_anew_one_at_a_time_each_when_the_one_before_is_up(either):
    either.plan(
        spec("journal", "sleep:0.1;ready;stay"), spec("mneme"), spec("agent:a", "sleep:0.1;ready;stay"), spec("agent:b")
    )
    either.start()
    before = either.pids()
    begun = either.upgrade()
    assert either.ended(begun["since"])["over"] == "done"
    told = [
        (each["what"], each["name"])
        for each in either.records()
        if each["n"] > begun["since"] and each["what"] in ("ended", "started", "ready")
    ]
    assert told == [(what, name) for name in before for what in ("ended", "started", "ready")]
    after = either.status()["processes"]
    assert {line["name"]: line["pid"] for line in after}.keys() == before.keys()
    assert not {line["pid"] for line in after} & set(before.values())
    assert [(line["state"], line["generation"], line["restarts"]) for line in after] == [("up", 2, 0)] * 4
    assert either.stop() == Exit.OK


def test_after_five_upgrades_the_root_holds_what_it_held_before(house):
    house.plan(spec("journal"), spec("agent:a"), spec("agent:b"))
    house.start()
    house.moved()  # from the first on it has imported what an upgrade needs
    before = (house.descriptors(), psutil.Process(house.pid).num_threads(), len(house.tree()))
    for _ in range(5):
        assert house.moved()["over"] == "done"
    assert (house.descriptors(), psutil.Process(house.pid).num_threads(), len(house.tree())) == before
    assert house.generation() == 7
    assert house.zombies() == []


def test_a_check_touches_nothing(house):
    house.plan(spec("journal"), spec("agent:a"))
    house.start()
    before = house.pids()
    found = house.upgrade(check=True)
    assert found["ok"]
    assert found["version"] == "2"
    assert (house.generation(), house.pids(), house.records("upgrade")) == (1, before, [])
    assert house.upgrade(check=True)["ok"], "and may be done again"


def test_who_is_paused_parked_or_down_stays_so(house):
    house.plan(
        spec("journal"),
        spec("agent:paused"),
        spec("agent:parked", "misconfigured:wrong"),
        spec("agent:down"),
        spec("agent:up"),
    )
    house.start()
    house.until("agent:parked", "failed")
    house.ask("pause", "paused", wait=True)
    house.ask("stop", "down", wait=True)
    before = {line["name"]: line for line in house.status()["processes"]}
    last = house.moved()
    assert last["over"] == "done"
    assert "agent:paused" in last["reason"]
    after = {line["name"]: line for line in house.status()["processes"]}
    for name in ("agent:paused", "agent:parked", "agent:down"):
        changing = {"uptime_s"}
        assert {k: v for k, v in after[name].items() if k not in changing} == {
            k: v for k, v in before[name].items() if k not in changing
        }
    assert psutil.Process(after["agent:paused"]["pid"]).status() == psutil.STATUS_STOPPED
    house.ask("resume", "paused")
    house.until("agent:paused", "up")
    assert house.moved()["over"] == "done"
    assert house.child("agent:paused")["generation"] == 3


def test_a_past_of_failures_is_not_forgotten(house):
    house.plan(spec("journal"), spec("agent:a", "sleep:0.05;exit:1"), burst=1, delay_s=0.4, delay_max_s=0.4, attempts_max=6)
    house.start()
    eventually(lambda: house.child("agent:a")["restarts"] >= 2, "it has failed some times")
    assert house.moved()["over"] == "done"
    line = house.until("agent:a", "failed")
    assert "6 times in a row" in line["reason"], "three before and three after are six"
    assert line["incarnation"] == 6


def test_a_wait_goes_on_where_it_was(house):
    house.plan(spec("journal"), spec("agent:a", "exit:75"), delay_s=3.0, delay_max_s=3.0)
    house.start()
    house.until("agent:a", "waiting")
    waited = time.monotonic()
    assert house.moved()["over"] == "done"
    assert house.child("agent:a")["state"] == "waiting"
    assert house.child("agent:a")["incarnation"] == 1
    eventually(lambda: house.child("agent:a")["incarnation"] == 2, "it is tried again")
    assert time.monotonic() - waited < 3.0 + 1.0


def test_clients_go_on_where_they_were(house):
    house.plan(spec("journal"), spec("agent:a", "slow-term;ready;stay"), spec("agent:b"))
    house.start()
    house.slowly(on=True)
    with (
        socket.socket(socket.AF_UNIX) as watcher,
        socket.socket(socket.AF_UNIX) as half,
        socket.socket(socket.AF_UNIX) as waiting,
    ):
        for client in (watcher, half, waiting):
            client.connect(str(house.home.control))
            client.settimeout(20)
        watcher.sendall(control.request_line({"do": "watch", "since": 0}))
        half.sendall(b'{"do": "who", ')
        waiting.sendall(control.request_line({"do": "restart", "names": ["a"], "wait": True}))
        house.until("agent:a", "restarting")
        assert house.upgrade()["ok"]
        house.between()
        half.sendall(b'"pid": 1}\n')
        house.slowly(on=False)
        assert json.loads(half.makefile().readline()) == {"ok": True, "name": None}
        assert json.loads(waiting.makefile().readline()) == {"ok": True, "did": {"agent:a": "stopping"}}
        numbers = []
        for line in watcher.makefile():
            record = json.loads(line)
            numbers.append(record["n"])
            if record.get("over"):
                break
        assert numbers == list(range(1, len(numbers) + 1))


# -- between two codes -------------------------------------------------------------------------------------------------


def test_a_child_that_dies_during_the_exec_is_reaped_with_its_status_and_replaced(house):
    house.plan(spec("journal"), spec("agent:a"), spec("agent:b"))
    house.start()
    house.slowly(on=True)
    assert house.upgrade()["ok"]
    house.between()
    victim = next(each for each in house.tree() if each.name() == "agent:a").pid
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: victim in house.zombies(), "nobody is there to reap it")
    house.slowly(on=False)
    ended = eventually(lambda: [each for each in house.records("ended", "agent:a") if each["pid"] == victim], "it is reaped")
    assert (ended[0]["signal"], ended[0]["cause"]) == (9, "signal")
    house.ended()
    assert house.until("agent:a", "up")["restarts"] == 1
    assert house.zombies() == []


def test_an_orphan_that_comes_during_the_exec_is_ended(house):
    house.plan(spec("journal"), spec("agent:a", "orphan:2;ready;stay"))
    house.start()
    house.slowly(on=True)
    assert house.upgrade()["ok"]
    house.between()
    os.kill(next(each for each in house.tree() if each.name() == "agent:a").pid, signal.SIGKILL)
    house.slowly(on=False)
    eventually(lambda: len(house.records("stray")) >= 2, "those it left behind are ended")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_the_exec_is_not_lost(house, number):
    house.plan(spec("journal"), spec("agent:a"))
    house.start()
    family = house.tree()
    house.slowly(on=True)
    assert house.upgrade()["ok"]
    house.between()
    os.kill(house.pid, number)
    house.slowly(on=False)
    assert house.process.wait(15) == Exit.OK
    assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    assert re_started(house)


def test_a_stop_while_they_begin_anew_is_an_orderly_one(house):
    house.plan(spec("journal"), spec("mneme", "sleep:0.3;ready;stay"), spec("agent:a"))
    house.start()
    assert house.upgrade()["ok"]
    house.until("mneme", "starting")
    assert house.stop() == Exit.OK
    assert "the house is going down" in house.log("supervisor")
    assert re_started(house)


def test_a_house_that_goes_down_is_not_moved(house):
    house.plan(spec("journal"), spec("agent:a", "deaf;ready;hang", stop_timeout_s=3.0, beat_s=0))
    house.start()
    house.ask("down")
    refused = house.upgrade()
    assert not refused["ok"]
    assert "going down" in refused["error"]
    assert house.process.wait(15) == Exit.OK


def test_a_reload_that_waits_for_the_end_of_an_upgrade_costs_nothing_meanwhile(house):
    house.plan(spec("journal", "deaf;ready;hang", stop_timeout_s=3.0, beat_s=0), spec("agent:a"))
    house.start()
    begun = house.upgrade()
    eventually(lambda: house.generation() == 2, "the new code answers")
    os.kill(house.pid, signal.SIGHUP)
    time.sleep(0.5)  # it may still have modules to import
    before = psutil.Process(house.pid).cpu_times()
    time.sleep(1.0)
    after = psutil.Process(house.pid).cpu_times()
    assert house.child("journal")["state"] == "restarting", "it is still under way"
    assert after.user + after.system - before.user - before.system < 0.4
    assert house.ended(begun["since"])["over"] == "done"
    eventually(lambda: house.records("reloaded"), "the reload came when it was over")


def test_a_stop_during_the_preflight_is_an_orderly_one(house):
    house.plan(spec("journal"), spec("agent:a"))
    house.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(house.home.control))
        client.sendall(control.request_line({"do": "upgrade"}))
        eventually(lambda: any("--preflight" in each.cmdline() for each in house.tree() if each.is_running()), "it is tried")
        assert house.stop() == Exit.OK


def test_the_root_killed_between_two_codes_takes_everyone_with_it_and_the_next_one_begins(house):
    house.plan(spec("journal"), spec("agent:a"))
    house.start()
    family = house.tree()
    house.slowly(on=True)
    assert house.upgrade()["ok"]
    house.between()
    house.process.kill()
    house.process.wait(10)
    eventually(
        lambda: not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE],
        "everybody is gone",
        timeout_s=2.0,
    )
    house.slowly(on=False)
    assert re_started(house)


def re_started(house: Moving) -> bool:
    """The home can be lived in again."""
    if house.process and house.process.stderr:
        house.process.stderr.close()
    house.start()
    return all(line["state"] == "up" for line in house.status()["processes"])


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_the_new_code_is_said_and_nothing_is_touched(house):
    house.plan(spec("journal"), spec("agent:a"))
    house.start()
    before = house.pids()
    (house.home.root / "refuse").write_text("the moon is in the wrong house")
    refused = house.upgrade()
    assert refused == {"ok": False, "sort": "Refused", "error": "the moon is in the wrong house; nothing was touched"}
    assert (house.generation(), house.pids(), house.records("upgrade")) == (1, before, [])
    (house.home.root / "refuse").unlink()
    assert house.moved()["over"] == "done"


def test_two_upgrades_at_once_are_one_and_a_refusal(house):
    house.plan(spec("journal", "deaf;ready;hang", stop_timeout_s=2.0, beat_s=0), spec("agent:a"))
    house.start()
    begun = house.upgrade()
    again = house.upgrade()
    assert not again["ok"]
    assert "already under way" in again["error"]
    assert "under way" in house.ask("reload")["error"]
    assert house.ended(begun["since"])["over"] == "done"
    assert house.ask("reload")["ok"]
    assert house.generation() == 2


@pytest.mark.parametrize(
    ("to", "why"), [("/nowhere", "no Python at /nowhere"), ("here", '"to" is the whole path'), (7, '"to"')]
)
def test_an_environment_that_is_none_is_refused(house, to, why):
    house.plan(spec("journal"))
    house.start()
    refused = house.upgrade(to=to)
    assert not refused["ok"]
    assert why in refused["error"]


def test_an_environment_without_this_program_is_refused(house, tmp_path):
    house.plan(spec("journal"))
    house.start()
    other = environment(tmp_path / "other", copied=False)
    next(other.glob("lib/*/site-packages/this.pth")).unlink()
    refused = house.upgrade(to=str(other))
    assert "No module named 'anima'" in refused["error"]
    assert refused["error"].endswith("nothing was touched")


def test_an_interpreter_that_is_gone_when_it_is_needed_leaves_everything_as_it_was(house, tmp_path):
    house.plan(spec("journal"), spec("agent:a"))
    house.start()
    before = (house.pids(), house.descriptors())
    other = environment(tmp_path / "other", copied=False)
    (house.home.root / "vanish").write_text(f"{other}/bin/python")
    last = house.moved(to=str(other))
    assert last["over"] == "failed"
    assert "cannot be started: No such file" in last["reason"]
    assert (house.pids(), house.descriptors(), house.generation()) == (*before, 1)
    assert house.moved()["over"] == "done", "and the next one is not in its way"


# -- the way back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["die-in:other", "hang-in:other", "ready;stay"])
def test_another_environment_is_lived_in_or_left_again(house, tmp_path, how):
    other = environment(tmp_path / "other", copied=False)
    quick = {"start_timeout_s": 1.5}
    house.plan(spec("journal"), spec("agent:a"), spec("agent:b", f"{how};ready;stay", **quick), spec("agent:c"))
    house.start()
    before = house.pids()
    last = house.moved(to=str(other))
    lines = house.status()["processes"]
    assert [line["state"] for line in lines] == ["up"] * 4
    if how == "ready;stay":
        assert last["over"] == "done"
        assert [line["generation"] for line in lines] == [2] * 4
        assert Path(f"/proc/{house.pid}/cmdline").read_bytes().startswith(os.fsencode(other))
        return
    assert last["over"] == "failed"
    assert "agent:b is not up in version" in last["reason"]
    assert "everybody is back in version" in last["reason"]
    assert [line["generation"] for line in lines] == [1] * 4
    assert house.pids()["agent:c"] == before["agent:c"], "who was not reached has not been touched"
    assert Path(f"/proc/{house.pid}/cmdline").read_bytes().startswith(os.fsencode(sys.executable))
    assert house.moved()["over"] == "done", "and the house can be moved again"
    assert house.generation() == 3


def test_a_plan_that_only_the_new_code_cannot_read_leads_back_before_anybody_begins_anew(house, tmp_path):
    other = environment(tmp_path / "other", copied=False)
    house.plan(spec("journal"), spec("agent:a"))
    house.start()
    before = house.pids()
    house.slowly(on=True)
    begun = house.upgrade(to=str(other))
    house.between()
    (house.home.root / "raise").touch()
    house.slowly(on=False)
    last = house.ended(begun["since"])
    assert last["over"] == "failed"
    assert "reading the configuration failed (ZeroDivisionError" in last["reason"]
    assert house.pids() == before
    assert house.status()["supervisor"]["upgrade"] == ""
    (house.home.root / "raise").unlink()
    assert house.moved()["over"] == "done"


def test_where_the_old_code_is_gone_the_rest_stays_in_it_and_that_is_said(house):
    house.plan(spec("journal"), spec("agent:a", "die-if:broken;ready;stay"), spec("agent:b"))
    house.start()
    before = house.pids()
    (house.home.root / "broken").touch()
    last = house.moved()
    assert last["over"] == "failed"
    assert "agent:a is not up in version" in last["reason"]
    assert "goes on in the old code" in last["reason"]
    assert house.pids()["agent:b"] == before["agent:b"]
    (house.home.root / "broken").unlink()
    house.ask("reset", "a")
    house.until("agent:a", "up")
    assert house.moved()["over"] == "done"
    assert [line["generation"] for line in house.status()["processes"]] == [3] * 3


def test_an_accident_on_the_way_is_no_reason_to_turn_back(house):
    house.plan(spec("journal"), spec("agent:a", "sleep:0.5;ready;stay"))
    house.start()
    begun = house.upgrade()
    child = eventually(
        lambda: (found := house.child("agent:a"))["incarnation"] == 2 and found["pid"] and found, "it begins anew"
    )
    os.kill(child["pid"], signal.SIGKILL)
    assert house.ended(begun["since"])["over"] == "done"
    assert house.child("agent:a")["incarnation"] == 3
