"""Which results of tools a newer one makes superfluous."""

import pytest

from anima.agent.repeats import Result, superseded


def read(path: str, ok: bool = True, **page: int) -> Result:
    return Result("read_file", {"path": path, **page}, ok, "r")


def ran(command: str, **more: object) -> Result:
    return Result("exec", {"command": command, **more}, True, "x")


def wrote(path: str) -> Result:
    return Result("write_file", {"path": path, "content": "x"}, True, "w")


def edited(path: str) -> Result:
    return Result("edit_file", {"path": path, "old_text": "a", "new_text": "b"}, True, "e")


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([read("a"), read("b"), read("./a")], {0: 2}),
        ([read("a"), read("a"), read("a")], {0: 2, 1: 2}),
        ([read("a", offset=1, limit=50), read("a")], {0: 1}),
        ([read("a", offset=3_000, limit=50), read("a")], {}),
        ([read("a", at_byte=0), read("a")], {}),
        ([read("a"), read("a", offset=1, limit=50)], {}),
        ([read("a"), read("a", ok=False)], {}),
        ([read("a", ok=False), read("a")], {}),
        ([edited("a"), read("a")], {0: 1}),
        ([read("a"), edited("a")], {}),
        ([read("a"), wrote("a")], {0: 1}),
        ([wrote("a"), edited("a"), wrote("a")], {0: 2, 1: 2}),
        ([ran("make"), ran("ls"), ran(" make 2>&1")], {0: 2}),
        ([ran("make | tail -5"), ran("make")], {0: 1}),
        ([ran("make"), ran("make | tail -5")], {}),
        ([ran("make", timeout_s=5), ran("make", timeout_s=9)], {0: 1}),
        ([ran("make"), ran("make", cwd="docs")], {}),
        ([ran("cat a | tee $(b)"), ran("cat a")], {}),
        ([Result("now", {}, True, "n"), Result("now", {}, True, "n")], {}),
    ],
)
def test_a_newer_result_makes_an_older_one_superfluous(results: list[Result], expected: dict[int, int]) -> None:
    assert superseded(results) == expected
