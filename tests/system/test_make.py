"""`make run`, as a newcomer without a terminal sees it, in the environment that runs this test."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.system.conftest import REPO

pytestmark = pytest.mark.system


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")
def test_make_run_answers_a_question_says_how_to_go_on_and_may_be_repeated() -> None:
    home = Path(tempfile.mkdtemp(prefix="anima-"))
    environ = {**os.environ, "HOME": str(home), "NO_COLOR": "1"}
    # The set-up proper is what a fresh clone is for; here the environment of this very test stands in for it.
    made = Path(sys.prefix)
    stamp = made / ".run"
    assert stamp.exists(), "run the tests by `make test`, which sets everything up"
    command = ["make", "--no-print-directory", "-o", str(stamp), f"VENV={made}", "run"]
    try:
        for _ in range(2):
            done = subprocess.run(
                command,
                cwd=REPO,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert "anima" in done.stdout
            assert "Go on:" in done.stdout
            assert "Stop:" in done.stdout
    finally:
        ctl = [sys.executable, "-c", "from anima.cli.main import main; main()"]
        down = subprocess.run([*ctl, "down"], env=environ, capture_output=True, text=True, timeout=60, check=False)
        shutil.rmtree(home, ignore_errors=True)
    assert down.returncode == 0, down.stderr
