"""The house as a service, on a machine of its own with a real systemd: installed from the wheel, killed, reloaded, stopped."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system.box import ANIMACTL, Box, Service, timed
from tests.system.conftest import eventually

pytestmark = pytest.mark.system

HOME, RUN = "/home/person/.anima", "/run/user/4200/anima"
UNITS = "/home/person/.config/systemd/user"
TEST_CONF = f"{UNITS}/anima.service.d/test.conf"
#: As an administrator might: whoever tests does not want to wait half a minute for a watchdog.
IMPATIENT = "[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\nRestartSec=0.1\nStartLimitIntervalSec=0\n"


@pytest.fixture(scope="module")
def installed(box: Box) -> tuple[Service, str, float]:
    """The service of person with the agent arya; what `install` printed, and how long it took."""
    service = Service(box, "person", HOME, RUN)
    box.write(TEST_CONF, IMPATIENT, user="person")
    done, took_s = timed(lambda: service.ctl("install", "--agent", "arya"))
    assert done.returncode == 0, done.stdout + done.stderr
    return service, done.stdout, took_s


@pytest.fixture
def service(installed: tuple[Service, str, float]) -> Service:
    """The same, up."""
    service = installed[0]
    if not service.is_active():
        service.systemctl("start", "anima")
    service.until_up("agent:arya")
    return service


def test_install_has_the_house_up_within_ten_seconds_and_shows_an_answer(installed):
    service, printed, took_s = installed
    assert took_s < 10, printed
    assert re.search(r"^say to arya:.*\n\S", printed, re.MULTILINE), printed
    assert "loginctl enable-linger person" in printed
    assert service.box.run("stat", "-c", "%a", RUN, HOME) == "700\n700"
    assert service.show("ActiveState", "UnitFileState", "StatusText") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "StatusText": "1 agent up",
    }


def test_the_status_line_says_who_is_not_up(service):
    assert service.ctl("stop", "arya").returncode == 0
    eventually(lambda: service.show("StatusText")["StatusText"] == "0 agents up, 1 down: arya", "the line is not true")
    assert service.ctl("start", "arya").returncode == 0
    eventually(lambda: service.show("StatusText")["StatusText"] == "1 agent up", "the line is not true")


def test_every_process_has_a_cgroup_of_its_own(service):
    group, processes = service.group(), service.processes()
    assert service.box.read(f"{group}/supervisor/cgroup.procs").split() == [str(service.main_pid())]
    assert service.box.read(f"{group}/agents/arya/cgroup.procs").split() == [str(processes["agent:arya"]["pid"])]
    for name in ("journal", "mneme", "thymos", "purser"):
        assert service.box.read(f"{group}/infra/{name}/cgroup.procs").split() == [str(processes[name]["pid"])]
    assert str(processes["sandbox"]["pid"]) in service.box.read(f"{group}/infra/sandbox/cgroup.procs").split()
    assert "tools" in service.box.run("ls", group).split()


def test_a_killed_agent_comes_back_and_answers_and_the_service_is_the_same(service):
    root, arya = service.main_pid(), service.processes()["agent:arya"]["pid"]
    service.kill(arya)
    again = service.until_up("agent:arya", other_than=arya)
    assert service.main_pid() == root
    assert service.box.read(f"{service.group()}/agents/arya/cgroup.procs").split() == [str(again)]
    assert service.ctl("ask", "arya", "2 + 2").stdout.strip()


def test_what_a_process_left_behind_in_its_cgroup_ends_with_it(service):
    arya = service.processes()["agent:arya"]["pid"]
    procs = f"{service.group()}/agents/arya/cgroup.procs"
    code = f"echo $$ > {procs}; exec sleep 1000 > /dev/null 2>&1"
    service.box.run("setsid", "--fork", "sh", "-c", code)
    eventually(lambda: len(service.box.read(procs).split()) == 2, "nobody joined")
    service.kill(arya)
    again = service.until_up("agent:arya", other_than=arya)
    eventually(lambda: service.box.read(procs).split() == [str(again)], "it was left behind")


def test_a_killed_root_is_started_anew_and_nobody_of_the_old_house_lives_on(service):
    root, before = service.main_pid(), service.processes()
    restarts = int(service.show("NRestarts")["NRestarts"])
    service.kill(root)
    arya = service.until_up("agent:arya", other_than=before["agent:arya"]["pid"])
    assert int(service.show("NRestarts")["NRestarts"]) == restarts + 1
    assert service.main_pid() != root
    living = set(service.box.run("ps", "-e", "-o", "pid=").split())
    assert not living & {str(each["pid"]) for each in before.values()}
    assert str(arya) in living
    assert service.ctl("ask", "arya", "2 + 2").stdout.strip()


def test_a_root_that_hangs_is_ended_by_the_watchdog_and_started_anew(service):
    root, arya = service.main_pid(), service.processes()["agent:arya"]["pid"]
    restarts = int(service.show("NRestarts")["NRestarts"])
    service.kill(root, "STOP")  # nothing but systemd can end it now, and nothing but the watchdog tells systemd
    service.until_up("agent:arya", other_than=arya)
    assert service.main_pid() != root
    assert int(service.show("NRestarts")["NRestarts"]) == restarts + 1


def test_an_upgrade_under_load_is_the_same_service_and_agents_go_on_until_their_turn_is_over(service):
    box = service.box
    play = '{"text": "after a while", "delay_s": 4.0}\n'
    box.write(f"{HOME}/agents/slow/persona.md", "You are slow.\n", user="person")
    box.write(f"{HOME}/agents/slow/agent.toml", 'model = "scripted:play.jsonl"\n', user="person")
    box.write(f"{HOME}/agents/slow/play.jsonl", play, user="person")
    service.systemctl("reload", "anima")
    slow, root = service.until_up("agent:slow"), service.main_pid()
    restarts, before = service.show("NRestarts")["NRestarts"], service.generation()
    with ThreadPoolExecutor() as people:
        patient = people.submit(service.ctl, "ask", "slow", "hello")
        eventually(lambda: "turn_started" in service.ctl("events", "--agent", "slow").stdout, "it is not asked", pause_s=0.05)
        moved = people.submit(service.ctl, "upgrade")
        eventually(lambda: service.generation() > before, "the root is in the old code still", pause_s=0.05)
        assert service.processes()["agent:slow"]["pid"] == slow, "the exec touched it"
        asked = [service.ctl("ask", "arya", f"{number} + {number}") for number in range(5)]
        assert moved.result().returncode == 0, moved.result().stderr
        assert patient.result().stdout.strip() == "after a while"
    assert [each.returncode for each in asked] == [0] * 5, asked
    assert service.until_up("agent:slow") != slow
    assert (service.main_pid(), service.show("NRestarts")["NRestarts"]) == (root, restarts)
    assert service.show("StatusText")["StatusText"] == "2 agents up"
    audit = service.ctl("audit")
    assert audit.returncode == 0, audit.stdout
    told = box.run("journalctl", "-q", "-o", "cat", "ANIMA_PROCESS=supervisor", "-n", "200")
    assert "upgraded from version" in told, "the root logs to the journal still"
    box.run("rm", "-r", f"{HOME}/agents/slow", user="person")
    service.systemctl("reload", "anima")
    eventually(lambda: service.show("StatusText")["StatusText"] == "1 agent up", "slow is still there")


def test_a_reload_takes_new_agents_in_and_refuses_what_is_wrong(service):
    box, root = service.box, service.main_pid()
    box.run("cp", "-r", f"{HOME}/agents/arya", f"{HOME}/agents/bran", user="person")
    service.systemctl("reload", "anima")
    service.until_up("agent:bran")
    box.write(f"{HOME}/agents/bran/agent.toml", "model = 7\n", user="person")
    service.systemctl("reload", "anima")
    eventually(lambda: "the old one stays in force" in service.show("StatusText")["StatusText"], "the line does not say it")
    assert "agent.toml" in service.show("StatusText")["StatusText"]
    assert service.main_pid() == root
    box.run("rm", "-r", f"{HOME}/agents/bran", user="person")
    service.systemctl("reload", "anima")
    eventually(lambda: service.show("StatusText")["StatusText"] == "1 agent up", "the line still says it")


def test_a_stop_goes_in_order_ends_in_time_and_leaves_nothing(service):
    group, before = service.group(), service.processes()
    _, took_s = timed(lambda: service.systemctl("stop", "anima"))
    assert took_s < 15
    assert service.show("ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    ended = re.findall(r"^(\S+) ended .*: stopped$", service.log(), re.MULTILINE)
    assert ended[-6:] == ["agent:arya", "purser", "sandbox", "thymos", "mneme", "journal"]
    assert not service.box.exists(group)
    assert not set(service.box.run("ps", "-e", "-o", "pid=").split()) & {str(each["pid"]) for each in before.values()}


def test_a_house_that_was_told_to_go_down_stays_down(service):
    done = service.ctl("down")
    assert done.returncode == 0, done.stderr
    eventually(lambda: service.show("ActiveState")["ActiveState"] == "inactive", "it is not down")
    assert service.show("Result", "NRestarts") == {"Result": "success", "NRestarts": "0"}


def test_a_wrong_configuration_ends_the_service_for_good_and_says_what_is_wrong(service):
    service.systemctl("stop", "anima")
    service.box.write(f"{HOME}/anima.toml", "[supervisor]\nbeat_s = -1\n", user="person")
    service.systemctl("start", "anima", check=False)
    told = service.show("ActiveState", "ExecMainStatus", "NRestarts", "StatusText")
    assert told["ActiveState"] == "failed"
    assert told["ExecMainStatus"] == "78"
    assert told["NRestarts"] == "0"
    assert "anima.toml" in told["StatusText"]
    done = service.ctl("install")
    assert done.returncode == 1
    assert "anima.toml" in done.stderr
    service.box.run("rm", f"{HOME}/anima.toml", user="person")
    service.systemctl("reset-failed", "anima")


def test_a_damaged_journal_ends_the_service_with_78_as_well(service):
    service.systemctl("stop", "anima")
    box = service.box
    spoil = f"cd {HOME}/state && mkdir kept && mv journal.* kept && echo not a database at all > journal.db"
    box.run("sh", "-c", spoil, user="person")
    service.systemctl("start", "anima", check=False)
    told = service.show("ActiveState", "ExecMainStatus", "StatusText")
    box.run("sh", "-c", f"cd {HOME}/state && rm journal.* && mv kept/* . && rmdir kept", user="person")
    service.systemctl("reset-failed", "anima")
    assert (told["ActiveState"], told["ExecMainStatus"]) == ("failed", "78"), told
    assert told["StatusText"].startswith("journal does not start:"), told


def test_an_install_that_fails_leaves_the_running_service_as_it_was(service):
    installed = service.box.read(f"{UNITS}/anima.service.d/here.conf") + "\n"
    before = installed + "Environment=OLD=yes\n"
    service.box.write(f"{UNITS}/anima.service.d/here.conf", before, user="person")
    service.box.write(TEST_CONF, IMPATIENT + "ExecStartPre=/bin/sh -c 'test -n \"$$OLD\"'\n", user="person")  # not the new one
    service.systemctl("daemon-reload")
    service.systemctl("restart", "anima")
    done = service.ctl("install", "--agent", "cato", timeout_s=120)
    assert done.returncode == 1
    assert service.is_active(), done.stderr
    assert set(service.processes()) >= {"agent:arya"}
    assert "agent:cato" not in service.processes()
    assert "everything is as it was before" in done.stderr
    assert "was not installed" in done.stderr
    assert "undone: there is no agent cato" in done.stderr
    assert not service.box.exists(f"{HOME}/agents/cato")
    assert service.box.read(f"{UNITS}/anima.service.d/here.conf").strip() == before.strip()
    service.box.write(f"{UNITS}/anima.service.d/here.conf", installed, user="person")
    service.box.write(TEST_CONF, IMPATIENT, user="person")
    service.systemctl("daemon-reload")


def test_uninstall_takes_away_what_was_installed_and_never_a_home_unasked(service):
    box = service.box
    refused = box.try_run(ANIMACTL, "--home", "/home/person/other", "uninstall", "--purge", "--yes", user="person")
    assert f"leads the house at {HOME}" in refused.stderr
    refused = service.ctl("uninstall", "--purge")
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert service.is_active()
    done = service.ctl("uninstall")
    assert done.returncode == 0, done.stderr
    assert not box.exists(f"{UNITS}/anima.service")
    assert box.exists(TEST_CONF), "what others wrote stays"
    assert box.exists(f"{HOME}/agents/arya/agent.toml")
    assert service.ctl("uninstall").returncode == 1
    assert service.ctl("uninstall", "--purge", "--yes").returncode == 0
    assert not box.exists(HOME)


def test_a_first_install_that_fails_leaves_nothing(box, installed):
    installed[0].ctl("uninstall")
    box.write(TEST_CONF, "[Service]\nExecStartPre=/bin/false\n", user="person")
    done = box.try_run(ANIMACTL, "--home", "/home/person/other", "install", user="person")
    box.run("rm", "-r", UNITS, user="person")
    assert done.returncode == 1
    assert "everything is as it was before" in done.stderr
    assert not box.exists("/home/person/other")


@pytest.fixture(scope="module")
def of_the_system(box: Box) -> tuple[Service, float]:
    """The service of the system with the agent arya, and how long it took to install."""
    service = Service(box, "root", "/var/lib/anima", "/run/anima")
    box.write("/etc/credstore/anthropic", "sesame")
    done, took_s = timed(lambda: service.ctl("install", "--system", "--agent", "arya"))
    assert done.returncode == 0, done.stdout + done.stderr
    return service, took_s


def strangers(service: Service) -> str:
    """What in the house of the system does not belong to its user."""
    return service.box.run("find", service.home, service.run, "!", "-user", "anima", check=False)


def test_the_service_of_the_system_runs_as_its_own_user_hardened_with_jails_inside(box, of_the_system):
    service, took_s = of_the_system
    assert took_s < 10
    root = service.main_pid()
    processes = service.processes()
    assert box.run("stat", "-c", "%U", f"/proc/{root}") == "anima"
    assert box.run("nsenter", "-t", str(root), "-m", "cat", "/run/credentials/anima.service/anthropic") == "sesame"
    pids = (root, processes["journal"]["pid"], processes["agent:arya"]["pid"])
    own, *others = (int(box.read(f"/proc/{pid}/oom_score_adj")) for pid in pids)
    assert own == (-500 if box.try_run("sh", "-c", "echo -500 > /proc/self/oom_score_adj").returncode == 0 else 0)
    assert [other - own for other in others] == [100, 200], "the root goes last, an agent before what all agents need"
    called = service.ctl("tool", "call", "exec", "--arg", "command=id -u; ls /", "--agent", "arya")
    assert called.returncode == 0, called.stdout + called.stderr
    doctor = service.ctl("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "cgroups: /sys/fs/cgroup" in doctor.stdout
    assert box.try_run("systemd-analyze", "verify", "--man=no", "/etc/systemd/system/anima.service").stderr == ""


def test_what_root_does_in_the_house_of_the_system_is_done_as_its_user(box, of_the_system):
    service = of_the_system[0]
    made = service.ctl("create", "bran")
    assert made.returncode == 0, made.stderr
    service.systemctl("reload", "anima")
    service.until_up("agent:bran")
    assert service.ctl("ask", "bran", "2 + 2").stdout.strip()
    assert strangers(service) == ""
    assert "the house is up" in service.ctl("logs", "supervisor", "-n", "500").stdout, "root reads the system's log"
    service.systemctl("restart", "anima")
    service.until_up("agent:bran")


def test_root_backs_up_and_restores_the_house_of_the_system_up_or_down(box, of_the_system):
    service, names = of_the_system[0], set(of_the_system[0].processes())
    refused = service.ctl("backup", "/root/house.tar.gz")
    assert refused.returncode == 1
    assert re.search(r"/root/house.tar.gz: Permission denied.*belongs to anima.*/tmp", refused.stderr), refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    done = service.ctl("backup", "/tmp/up.tar.gz")
    assert done.returncode == 0, done.stderr
    assert box.run("stat", "-c", "%U %a", "/tmp/up.tar.gz") == "anima 600"
    service.systemctl("stop", "anima")
    done = service.ctl("backup", "/tmp/down.tar.gz")
    assert done.returncode == 0, done.stderr
    for archive in ("/tmp/up.tar.gz", "/tmp/down.tar.gz"):
        service.systemctl("stop", "anima")
        box.run("find", service.home, "-mindepth", "1", "-delete")
        done = service.ctl("restore", archive)
        assert done.returncode == 0, done.stderr
        assert strangers(service) == ""
        service.systemctl("start", "anima")
        service.until_up("agent:arya")
        assert set(service.processes()) == names
    box.run("cp", "/tmp/up.tar.gz", "/root/house.tar.gz")
    refused = service.ctl("import", "agent", "/root/house.tar.gz")
    assert re.search(r"/root/house.tar.gz cannot be read: Permission denied.*belongs to anima", refused.stderr), refused.stderr


def test_an_install_for_the_system_says_what_is_wrong_with_the_settings_before_it_touches_anything(box, of_the_system):
    service = of_the_system[0]
    root = service.main_pid()
    box.write(f"{service.home}/anima.toml", "[supervisor]\nbeat_s = -1\n")
    assert service.ctl("install", "--system", "--dry-run").returncode == 0
    assert "in force" not in service.show("StatusText")["StatusText"], "nothing is done in a dry run"
    done = service.ctl("install", "--system")
    box.run("rm", f"{service.home}/anima.toml")
    assert done.returncode == 1
    assert re.search(r"anima\.toml:2: supervisor\.beat_s", done.stderr), done.stderr
    assert service.main_pid() == root
    service.systemctl("reload", "anima")


def test_a_house_that_root_restored_before_there_was_a_user_becomes_that_users(box, of_the_system):
    service = of_the_system[0]
    assert service.ctl("backup", "/tmp/moved.tar.gz").returncode == 0
    box.run("mkdir", "-p", "/etc/sysusers.d", "/etc/tmpfiles.d")
    assert service.ctl("uninstall", "--system", "--purge", "--yes").returncode == 0
    assert not box.exists("/var/lib/anima")
    assert box.try_run("id", "anima").returncode != 0
    assert box.exists("/etc/sysusers.d"), "a folder of the system's"
    assert box.exists("/etc/tmpfiles.d"), "a folder of the system's"
    assert service.ctl("restore", "/tmp/moved.tar.gz").returncode == 0
    assert box.run("stat", "-c", "%U", service.home) == "root"
    done = service.ctl("install", "--system")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"give {service.home} to the user anima" in done.stdout
    service.until_up("agent:arya")
    assert strangers(service) == ""
    assert service.ctl("uninstall", "--system", "--purge", "--yes").returncode == 0
