"""What `animactl doctor` says of the jail, and a house whose jails are built by bwrap."""

from __future__ import annotations

import os
import shutil

import pytest
from conftest import House

pytestmark = pytest.mark.system


def test_doctor_tells_what_the_machine_gives_the_jail_while_the_house_runs(house: House) -> None:
    down = house.ctl("doctor").stdout
    assert "jail: what this machine gives it is told while the house runs" in down
    house.start()
    told = house.ctl("doctor").stdout
    (line,) = [line for line in told.splitlines() if "jail: " in line]
    for layer in ("namespaces", "network", "user", "landlock", "seccomp", "rlimits", "memory"):
        assert layer in line
    assert "built native" in line


def test_doctor_names_the_agents_whose_tools_do_without_a_layer(house: House) -> None:
    house.agent("arya")
    house.agent("bran", policy={"layers_off": ["seccomp"]})
    told = house.ctl("doctor").stdout
    assert "agent bran: its tools run without seccomp" in told
    assert "agent arya" not in told


def test_a_house_may_have_its_jails_built_by_bwrap(house: House) -> None:
    if not shutil.which("bwrap"):
        pytest.skip("bwrap is not installed (apt-get install bubblewrap)")
    house.settings += '\n[sandbox]\nbuilder = "bubblewrap"\n'
    house.agent("arya")
    house.start()
    told = house.ctl("doctor").stdout
    assert "built bubblewrap" in told
    if os.getuid() == 0:
        assert 'layers_off = ["user"]' in told, "what bwrap does not give root is told, and how to do without"
