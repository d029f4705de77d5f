"""What the documents say is what the code says."""

import re
from pathlib import Path

import pytest

import daemons
from anima.wire.events import KINDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TREE_LINE = re.compile(r"^    ((?:supervisor|[├└]──).*)$", re.MULTILINE)


def tree(text: str) -> list[str]:
    return TREE_LINE.findall(text)


def test_the_readme_shows_the_process_tree_of_the_code() -> None:
    drawn = tree(daemons.__doc__ or "")
    assert len(drawn) == len(daemons.TREE) + 2, "the docstring draws the root, every entry of TREE and the agents"
    for spec in daemons.TREE:
        assert any(f"── {spec.name} " in line for line in drawn)
    assert tree(README) == drawn
    assert tree((ROOT / "docs" / "architecture.md").read_text()) == drawn


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert f"\n{command}:" in makefile


def test_links_between_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}, which is not there"


def test_every_kind_of_event_says_what_it_is() -> None:
    for kind, body in KINDS.items():
        assert body.__doc__
        assert not body.__doc__.startswith(f"{body.__name__}("), f"{kind} lacks a docstring"


@pytest.mark.parametrize(("document", "least"), [("faults.md", 50), ("jail.md", 50)])
def test_every_test_a_document_names_exists(document: str, least: int) -> None:
    written = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / document).read_text()))
    assert len(named) > least
    for name in named:
        assert f"def {name}(" in written, f"docs/{document} names {name}, which is not there"
