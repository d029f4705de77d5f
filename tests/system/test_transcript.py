"""The README's transcript happens: each of its commands is run, and what it prints has the words the README shows."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import REPO

pytestmark = pytest.mark.system
README = (REPO / "README.md").read_text()


def transcript() -> list[tuple[str, list[str]]]:
    """(command, lines it prints) of the README's console block."""
    block = README.split("```console\n")[1].split("\n```")[0]
    steps: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


def shape(line: str) -> str:
    """A line without what differs each time: ids, moments, numbers, and how wide the columns came out."""
    line = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "WHEN", line)
    return re.sub(r"[\d.]+", "N", " ".join(line.split()))


@pytest.fixture
def person() -> Iterator[dict[str, str]]:
    """The environment of somebody with an empty home and animactl on the path."""
    home = Path(tempfile.mkdtemp(prefix="anima-"))
    programs = home / "bin"
    programs.mkdir()
    animactl = programs / "animactl"
    animactl.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from anima.cli.main import main; main()' \"$@\"\n")
    animactl.chmod(0o755)
    yield {
        "HOME": str(home),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPO),
        "NO_COLOR": "1",
        "COLUMNS": "160",
    }
    shutil.rmtree(home, ignore_errors=True)


def test_what_the_readme_shows_is_what_happens(person: dict[str, str]) -> None:
    steps = transcript()
    assert steps[-1][0] == "animactl down", "the transcript leaves nothing running"
    try:
        for command, shown in steps:
            done = subprocess.run(
                ["bash", "-c", command], env=person, capture_output=True, text=True, timeout=60, check=False, cwd=person["HOME"]
            )
            printed = (done.stdout + done.stderr).replace(f"{person['HOME']}/.anima", "~/.anima").splitlines()
            assert [shape(line) for line in printed] == [shape(line) for line in shown], f"$ {command}"
    finally:
        subprocess.run(["bash", "-c", "animactl down"], env=person, capture_output=True, timeout=60, check=False)
