"""What is said of an agent that arrived while the house could not take it up, and what counts as an agent's own."""

import io
import tarfile
from pathlib import Path

import pytest

from anima.cli import moving, root
from anima.cli.archive import Unpacking
from anima.errors import AnimaError, ConfigError, Refused, Unavailable
from anima.paths import Home


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Refused("an upgrade is under way; reload when it is over"), "arya is here, but not up: an upgrade is under way"),
        (Unavailable("the house does not answer"), "arya is here, but not up: the house does not answer"),
        (ConfigError("agents/arya/agent.toml: no such model"), "arya is here, but the house cannot take it: agents/arya"),
    ],
)
def test_who_imports_hears_that_the_agent_is_here_whatever_keeps_it_from_waking(
    error: AnimaError, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(root, "request", refused)
    with pytest.raises(Refused, match=said):
        moving._wake(Home(tmp_path, tmp_path / "run"), "arya")


@pytest.mark.parametrize("target", ["../../secrets.toml", "../bran/agent.toml", "../../workspace/arya/notes"])
def test_a_link_in_an_agents_archive_stays_within_what_is_its_own(target: str, tmp_path: Path) -> None:
    unpacking = Unpacking(tmp_path, frozenset({"agents", "workspace"}))
    content = tarfile.TarInfo("agents/arya/character")
    unpacking.keep(content, io.BytesIO(b"calm"))
    link = tarfile.TarInfo("agents/arya/persona.md")
    link.type, link.linkname = tarfile.SYMTYPE, target
    unpacking.keep(link, None)
    with pytest.raises(Refused, match=r"the link agents/arya/persona.md in the archive leads out of its folder"):
        unpacking.end(moving._places("arya", workspace=True))
    unpacking = Unpacking(tmp_path / "again", frozenset({"agents"}))
    unpacking.keep(content, io.BytesIO(b"calm"))
    link.linkname = "character"
    unpacking.keep(link, None)
    unpacking.end(moving._places("arya", workspace=True))
    assert (tmp_path / "again" / "agents" / "arya" / "persona.md").read_text() == "calm"
