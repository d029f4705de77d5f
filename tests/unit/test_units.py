"""The files for service managers: what they promise is what the house keeps."""

import os
import plistlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from anima.cli.launchd import Launchd
from anima.config.schema import House
from anima.paths import Home
from anima.supervisor import root
from anima.supervisor.child import Child
from anima.supervisor.order import stop_s
from daemons.plan import plan

ROOT = Path(__file__).parent.parent.parent
SYSTEM, USER = ROOT / "systemd/anima.service", ROOT / "systemd/user/anima.service"
DOCUMENT = ROOT / "docs/systemd.md"
#: What `systemd-analyze security` looks at, and a few beside.
HARDENING = """
    CapabilityBoundingSet DynamicUser IPAddressDeny KeyringMode LockPersonality MemoryDenyWriteExecute NoNewPrivileges
    PrivateDevices PrivateMounts PrivateNetwork PrivateTmp PrivateUsers ProcSubset ProtectClock ProtectControlGroups
    ProtectHome ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc ProtectSystem
    RemoveIPC RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID RootDirectory
    SystemCallArchitectures SystemCallFilter UMask
"""
systemd_here = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")


def settings(unit: Path) -> dict[str, str]:
    """The last value of each key; comments left out."""
    lines = [line for line in unit.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines if "=" in line)


def analyze(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *words], env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=60
    )


@systemd_here
def test_systemd_has_nothing_to_say_against_the_units(tmp_path):
    for words in (("--man=no", str(SYSTEM)), ("--man=no", "--user", str(USER))):
        done = analyze("verify", *words, XDG_RUNTIME_DIR=str(tmp_path))
        assert (done.returncode, done.stderr) == (0, ""), done.stderr


@pytest.mark.parametrize("unit", [SYSTEM, USER], ids=["system", "user"])
def test_systemd_waits_longer_for_a_stop_than_the_house_does(unit, tmp_path):
    agent = tmp_path / "agents/arya"
    agent.mkdir(parents=True)
    (agent / "persona.md").write_text("You are arya.\n")
    (agent / "agent.toml").write_text("")
    specs = plan(Home(tmp_path, tmp_path / "run"), strict=True).specs
    assert any(spec.parallel for spec in specs)
    own_s = stop_s([Child(spec) for spec in specs]) + root._STRAYS_PATIENCE_S
    assert float(settings(unit)["TimeoutStopSec"]) > own_s


@pytest.mark.parametrize("plist", ["agent", "daemon"])
def test_launchd_waits_as_long_as_systemd(plist):
    told = plistlib.loads((ROOT / f"launchd/{plist}.plist").read_bytes())
    assert told["ExitTimeOut"] == int(settings(SYSTEM)["TimeoutStopSec"])


def test_both_units_promise_the_same_but_for_what_only_root_may_give():
    system, user = settings(SYSTEM), settings(USER)
    for key in (
        "Type",
        "NotifyAccess",
        "WatchdogSec",
        "RestartPreventExitStatus",
        "KillMode",
        "Delegate",
        "LogRateLimitIntervalSec",
    ):
        assert system[key] == user[key], key
    assert set(user) - set(system) == {"WorkingDirectory"}
    assert float(system["WatchdogSec"]) > 2 * House().supervisor.beat_s, "the root sees beats only so often"


def test_every_directive_that_hardens_is_set_or_left_out_with_its_reason():
    text = SYSTEM.read_text()
    left_out = text[text.index("# Left out, because") :]
    for name in HARDENING.split():
        assert name in settings(SYSTEM) or re.search(rf"\b{name}\b", left_out), f"{name}: set it, or say why not"


@systemd_here
def test_the_document_tells_how_exposed_the_service_is():
    done = analyze("security", "--offline=yes", "--no-pager", str(SYSTEM))
    found = re.search(r"Overall exposure level for anima.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    version = re.search(r"systemd (\d+)", analyze("--version").stdout)
    if version and f"systemd {version[1]}" in DOCUMENT.read_text():
        assert f"**{found[1]}**" in DOCUMENT.read_text()


#: Keys of launchd.plist(5) that are used, with what they hold.
LAUNCHD = {
    "Label": str,
    "ProgramArguments": list,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "ProcessType": str,
    "WorkingDirectory": str,
    "Umask": int,
    "SoftResourceLimits": dict,
    "AbandonProcessGroup": bool,
    "StandardErrorPath": str,
    "UserName": str,
}


@pytest.mark.parametrize("plist", ["agent", "daemon", "agent as installed", "daemon as installed"])
def test_a_plist_holds_only_what_launchd_knows(plist, monkeypatch, tmp_path):
    plist, _, installed = plist.partition(" ")
    told = plistlib.loads((ROOT / f"launchd/{plist}.plist").read_bytes())
    if installed:
        monkeypatch.setenv("SUDO_USER", "root")
        ((_, text),) = Launchd(Home(tmp_path, tmp_path), system=plist == "daemon").files().items()
        told = plistlib.loads(text.encode())
        assert "--home" in told["ProgramArguments"]
        assert told.get("UserName", "root") == "root"
    for key, value in told.items():
        assert type(value) is LAUNCHD[key], key
    assert told["Umask"] == 0o077
    assert told["ProcessType"] in ("Standard", "Background", "Adaptive", "Interactive")
    assert set(told["KeepAlive"]) <= {"SuccessfulExit", "Crashed", "PathState", "OtherJobEnabled"}
    assert set(told["SoftResourceLimits"]) <= {"Core", "CPU", "Data", "FileSize", "NumberOfFiles", "NumberOfProcesses", "Stack"}
    assert ("UserName" in told) == (plist == "daemon")
