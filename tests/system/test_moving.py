"""An agent moves to another house: what it was told, did, remembers and feels is the same there, and nothing is done twice."""

import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from anima.cli.archive import Writer
from anima.wire.events import Body, MemoriesImported, ModelCalled, UserMessage, event
from tests.system.conftest import House, a_house, eventually
from tests.system.test_backup import manifest, moves
from tests.system.test_hands import call, scene
from tests.system.test_mneme import life, rows

pytestmark = pytest.mark.system


@pytest.fixture
def other() -> Iterator[House]:
    """A second house in which somebody lives and talks already."""
    with a_house() as house:
        house.agent("carl")
        yield house


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Path]]:
    """A house with an arya who has lived a little among others, and the archive of her."""
    with a_house() as house:
        yield house, lived(house, tmp_path_factory.mktemp("origin"))


@pytest.fixture(scope="module")
def arya(origin: tuple[House, Path]) -> dict[str, Any]:
    """Who she is where she comes from; nothing happens to her there until the last test of this file."""
    return portrait(origin[0])


def lived(house: House, tmp_path: Path) -> Path:
    """Let arya live; returns her archive."""
    house.agent("bran")
    house.agent(
        "arya",
        *scene("act", call("exec", command="echo acted >> deeds")),
        {"match": "keep", "text": "I will. [REMEMBER: Bob keeps bees]"},
        {"text": "Is that so?"},
    )
    house.home.workspace("arya").mkdir(parents=True)
    house.start()
    for text in ("thank you, that was wonderful", "please act", "please keep it in mind", "this is terrible, you are useless"):
        house.ask("bran", "hello")
        house.ask("arya", text)
    assert house.ctl("memory", "import", "arya", str(life(tmp_path / "life.jsonl", 300))).returncode == 0
    for text in ("Bob lives in Paris", "Bob lives in Rome", "the key lies under the mat", "the key lies under the mat"):
        assert house.ctl("memory", "add", "arya", text).returncode == 0
    house.ask("arya", "where does Bob live?", "--session", "kitchen")
    forgotten = next(each["id"] for each in rows(house) if each["text"].startswith("turn7 "))
    assert house.ctl("memory", "forget", "arya", forgotten).returncode == 0
    assert house.ctl("psyche", "set", "arya", "praise", "dopamine", "1.5").returncode == 0
    house.ask("arya", "thank you, good work")
    time.sleep(1.5)  # a soul that has grown is told of within a second
    file = tmp_path / "arya.tar.gz"
    done = house.ctl("export", "agent", "arya", str(file))
    assert done.returncode == 0, done.stderr
    assert "before it lives elsewhere" in done.stderr
    return file


def portrait(house: House) -> dict[str, Any]:
    """Who arya is in that house: what she remembers, what moved her, her soul, what she spent, and her life."""
    return {
        "memories": {each["id"]: each for each in rows(house)},
        "moved": [{key: value for key, value in each.items() if key != "seq"} for each in moves(house, "arya")],
        "soul": json.loads(house.ctl("psyche", "show", "arya", "--json").stdout),
        "spent": json.loads(house.ctl("budget", "arya", "--json").stdout),
        "life": told(house),
    }


def told(house: House) -> list[tuple[str, float, str]]:
    """Her life, but for the lives of her processes and what was told of her arrival."""
    found = house.events("--agent", "arya")
    return [
        (each["id"], each["ts"], each["kind"])
        for each in found
        if not each["kind"].startswith("process_") and each["kind"] not in ("agent_adopted", "memories_imported")
    ]


def test_an_agent_is_in_another_house_who_it_was(origin: tuple[House, Path], arya: dict[str, Any], other: House) -> None:
    house, file = origin
    other.start()
    other.ask("carl", "hello")
    done = other.ctl("import", "agent", str(file))
    assert done.returncode == 0, done.stderr
    assert "arya lives here now" in done.stdout
    assert portrait(other) == arya
    assert (other.home.workspace("arya") / "deeds").read_text() == "acted\n"
    assert (other.home.agent("arya") / "play.jsonl").exists()
    ledger = other.audit()
    assert ledger["accepted"] == ledger["answered"] == house.audit()["accepted"] - 4 + 1  # bran's were four, carl's is one
    ends = {each["data"]["turn"]: each["data"] for each in other.events("--agent", "arya", "--kind", "turn_ended")}
    asked = {each["id"]: each["seq"] for each in other.events("--agent", "arya", "--kind", "user_message")}
    assert all(ended["message_seq"] == asked[turn] for turn, ended in ends.items())

    assert other.ask("arya", "and now?") == "Is that so?"
    seen = other.ctl("viewport", "arya", "--json").stdout
    assert "please act" in seen, "the conversation goes on where it was"
    again = other.ctl("import", "agent", str(file))
    assert (again.returncode, "imported already" in again.stdout) == (0, True), again.stderr
    for name in ("sandbox", "mneme", "thymos", "purser", "journal"):
        before = other.kill(name)
        other.until_up(name, other_than=before)
    assert other.ask("arya", "please act") == "seen"
    assert (other.home.workspace("arya") / "deeds").read_text() == "acted\n" * 2, "what was done there is not done again"
    assert "events verified" in other.ctl("doctor", "--deep").stdout
    assert other.audit()["lost"] == other.audit()["doubled"] == 0


@pytest.mark.parametrize("victim", ["import", "journal", "mneme", "thymos", "sandbox"])
def test_an_import_during_which_somebody_dies_is_whole_or_begun_again(
    victim: str, origin: tuple[House, Path], arya: dict[str, Any], other: House
) -> None:
    _, file = origin
    other.start()
    command = [sys.executable, "-c", "from anima.cli.main import main; main()", "import", "agent", str(file)]
    importing = subprocess.Popen(command, env=other.environ)
    if victim == "import":
        eventually(lambda: list(other.home.state.glob("copy-*/history")), "nothing is unpacked", pause_s=0.001)
        importing.send_signal(signal.SIGKILL)
        importing.wait()
        assert other.ctl("import", "agent", str(file)).returncode == 0
    else:
        eventually(lambda: list(other.home.state.glob("copy-*/history")), "nothing is unpacked", pause_s=0.001)
        other.kill(victim)
        assert importing.wait(60) == 0
    other.until_up("agent:arya")
    assert portrait(other) == arya
    assert other.audit()["waiting"] == other.audit()["doubled"] == 0
    assert not list(other.home.state.glob("copy-*"))
    assert (other.home.workspace("arya") / "deeds").read_text() == "acted\n"


def test_an_import_that_died_between_history_and_folder_is_completed(
    origin: tuple[House, Path], arya: dict[str, Any], other: House, tmp_path: Path
) -> None:
    _, file = origin
    other.start()
    assert other.ctl("import", "agent", str(file)).returncode == 0
    other.home.agent("arya").rename(tmp_path / "taken away")  # as if it had died before this was put in place
    other.do("reload")
    eventually(lambda: "agent:arya" not in other.processes(), "arya is here without a folder")
    done = other.ctl("import", "agent", str(file))
    assert done.returncode == 0, done.stderr
    assert "the import that was broken off is complete" in done.stdout
    other.until_up("agent:arya")
    assert portrait(other) == arya


def forged(file: Path, body: Body) -> None:
    """An archive of an arya who was greeted, and of whom one event more is told that no house would have written."""
    greeted, odd = (event(each, agent="arya", session="main", source="cli") for each in (UserMessage("hi"), body))
    history = b"".join(msgpack.packb([seq, 1.0 * seq, each.encode()]) for seq, each in enumerate((greeted, odd), 1))
    with file.open("wb") as part:
        writer = Writer(part, "agent")
        writer.file("history", io.BytesIO(history), len(history))
        writer.folder("agents/arya")
        writer.end(agent="arya", events=2, memories=0, first=greeted.id)


def test_what_cannot_be_moved_is_said_in_one_sentence(origin: tuple[House, Path], other: House, tmp_path: Path) -> None:
    house, file = origin  # who lives on in it after this: the last test of this file

    def refused(which: House, *command: str) -> str:
        done = which.ctl(*command)
        assert done.returncode == 1, done.stdout
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done.stderr

    assert "is not running" in refused(other, "import", "agent", str(file))
    assert "agents/arya is there already" in refused(house, "import", "agent", str(file))
    other.start()
    assert "No such file" in refused(other, "import", "agent", str(tmp_path / "away"))
    broken = tmp_path / "broken.tar.gz"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"a letter", whole[:2_000] + b"?" + whole[2_001:]):
        broken.write_bytes(content)
        assert str(broken) in refused(other, "import", "agent", str(broken))
    assert house.ctl("backup", str(tmp_path / "house.tar.gz")).returncode == 0
    assert "`animactl restore` takes it" in refused(other, "import", "agent", str(tmp_path / "house.tar.gz"))
    assert "`animactl import agent` takes it" in refused(House(tmp_path / "third"), "restore", str(file))
    journal, mneme = other.pid("journal"), other.pid("mneme")
    for body in (ModelCalled("t", 1, "m", 1, 1, 0.1, layout=[1]), MemoriesImported([{}])):
        forged(broken, body)
        assert f"event 2 of the history, {body.kind}, is malformed" in refused(other, "import", "agent", str(broken))
    assert (other.pid("journal"), other.pid("mneme")) == (journal, mneme), "somebody died of it"
    assert "arya" not in other.ctl("list", "--names").stdout
    assert not other.events("--agent", "arya")

    assert "--force" in refused(house, "export", "agent", "arya", str(file))
    assert "unknown agent" in refused(house, "export", "agent", "nobody", str(tmp_path / "x"))
    house.do("stop", "agent:arya")
    house.send("arya", "are you there?")
    assert "1 messages to arya are not answered yet" in refused(house, "export", "agent", "arya", str(tmp_path / "x"))
    house.do("start", "agent:arya")
    eventually(lambda: house.audit()["waiting"] == 0, "nobody answers")
    later = tmp_path / "later.tar.gz"
    assert house.ctl("export", "agent", "arya", str(later), "--no-workspace").returncode == 0
    assert not [each for each in manifest(later)["members"] if each["path"].startswith("workspace")]
    assert other.ctl("import", "agent", str(file)).returncode == 0
    assert "at another time; two lives cannot become one" in refused(other, "import", "agent", str(later))
    with tarfile.open(file) as tar:
        assert "secrets.toml" not in " ".join(tar.getnames())
