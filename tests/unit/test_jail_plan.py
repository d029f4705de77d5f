"""Which mounts a policy becomes, which rights Landlock repeats, whose files are whose: all before anything is done."""

from pathlib import Path

import pytest

from anima.errors import Refused
from anima.sandbox.jail import landlock, places
from anima.sandbox.jail.owners import exchange
from anima.sandbox.jail.spec import JailSpec
from anima.sandbox.jail.view import Facts, Wishes, inside, plan

HOME = "/home/ann"


def facts(*missing: str, files: tuple[str, ...] = ()) -> Facts:
    gone = lambda path: any(inside(path, each) for each in missing)  # noqa: E731
    return Facts(exists=lambda path: not gone(path), folder=lambda path: not gone(path) and path not in files)


def kinds(wishes: Wishes, known: Facts | None = None) -> dict[str, str]:
    return {place.path: place.kind for place in plan(wishes, known or facts())}


def test_nothing_is_shown_but_what_was_named() -> None:
    found = kinds(Wishes("/work", system=("/usr",), python=("/opt/py",)))
    assert found == {
        "/dev": "dev", "/etc": "etc", "/proc": "proc", "/tmp": "fresh", "/usr": "show", "/work": "work", "/opt/py": "show"
    }  # fmt: skip


def test_parents_come_before_what_lies_in_them() -> None:
    found = [place.path for place in plan(Wishes("/a/b/c", read=("/a",), write=("/a/b",)), facts())]
    assert found.index("/a") < found.index("/a/b") < found.index("/a/b/c")


def test_the_deeper_path_counts() -> None:
    found = kinds(Wishes(f"{HOME}/work", read=(f"{HOME}/work/books", HOME)))
    assert (found[HOME], found[f"{HOME}/work"], found[f"{HOME}/work/books"]) == ("show", "work", "show")


def test_of_one_path_given_twice_the_writable_wins_and_the_protected_before_it() -> None:
    assert kinds(Wishes("/work", read=("/x",), write=("/x",)))["/x"] == "work"
    assert kinds(Wishes("/work", write=("/x",), protected=("/x",)))["/x"] == "hide"
    assert kinds(Wishes("/work", protected=("/work",)))["/work"] == "hide"


def test_what_is_protected_outside_every_given_folder_needs_no_mount() -> None:
    assert "/secret" not in kinds(Wishes("/work", protected=("/secret",)))


def test_a_workspace_inside_what_is_protected_stays() -> None:
    found = kinds(Wishes(f"{HOME}/.anima/workspace/arya", write=(HOME,), protected=(f"{HOME}/.anima",)))
    assert (found[HOME], found[f"{HOME}/.anima"], found[f"{HOME}/.anima/workspace/arya"]) == ("work", "hide", "work")


def test_folders_above_a_protected_one_cannot_be_renamed_away() -> None:
    found = kinds(Wishes("/work", protected=("/work/a/b/secret",)))
    assert (found["/work/a"], found["/work/a/b"], found["/work/a/b/secret"]) == ("keep", "keep", "hide")


def test_what_is_protected_and_missing_is_kept_from_being_made_at_the_first_folder_that_is_missing() -> None:
    found = kinds(Wishes("/work", protected=("/work/a/b/secret",)), facts("/work/a/b"))
    assert found["/work/a"] == "keep"
    assert found["/work/a/b"] == "hide"
    assert "/work/a/b/secret" not in found


def test_nothing_is_put_into_a_folder_that_is_only_shown() -> None:
    assert "/books/secret" not in kinds(Wishes("/work", read=("/books",), protected=("/books/secret",)), facts("/books/secret"))


def test_a_protected_file_is_hidden_by_a_file() -> None:
    found = {place.path: place for place in plan(Wishes("/work", protected=("/work/key",)), facts(files=("/work/key",)))}
    assert not found["/work/key"].folder


def test_the_sockets_of_the_machine_are_in_no_view_even_if_all_of_it_is_to_be_read() -> None:
    found = kinds(Wishes("/work", read=("/",)))
    assert (found["/"], found["/run"], found["/sys"], found["/proc"], found["/dev"]) == ("show", "hide", "hide", "proc", "dev")


@pytest.mark.parametrize("path", ["/proc", "/proc/1", "/sys/fs", "/dev", "/dev/sda"])
def test_what_the_kernel_shows_of_the_machine_is_never_given(path: str) -> None:
    for wishes in (Wishes("/work", read=(path,)), Wishes("/work", write=(path,)), Wishes(path)):
        with pytest.raises(Refused, match=path):
            plan(wishes, facts())


def test_the_whole_machine_is_never_given_for_writing() -> None:
    with pytest.raises(Refused, match="whole machine"):
        plan(Wishes("/work", write=("/",)), facts())


def test_a_symlink_is_followed_where_no_tool_could_have_set_it(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "name").symlink_to("real")
    found, links = places.wishes(JailSpec(tmp_path / "name"))
    assert found.workspace == str(real)
    assert links[str(tmp_path / "name")] == "real"


def test_a_symlink_that_a_tool_could_have_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "out").symlink_to("/etc")
    with pytest.raises(Refused, match="symlink"):
        places.wishes(JailSpec(tmp_path / "work", write=(tmp_path / "work" / "out",)))


def test_relative_missing_and_circular_paths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for path, word in ((Path("work"), "absolute"), (tmp_path / "gone", "does not exist"), (tmp_path / "a", "too many")):
        with pytest.raises(Refused, match=word):
            places.wishes(JailSpec(tmp_path, read=(path,)))


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="no folder"):
        places.wishes(JailSpec(tmp_path / "file"))


def test_dots_are_resolved_by_the_folders_they_stand_in(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to("deep/er")
    assert places.follow(tmp_path / "link" / "..")[0] == str(tmp_path / "deep")


def test_landlock_handles_all_that_its_version_knows() -> None:
    assert [landlock.reach(abi, network=False).size for abi in (1, 3, 4, 5, 6, 7)] == [8, 8, 16, 16, 24, 24]
    assert landlock.reach(1, network=False).net == 0
    assert landlock.reach(4, network=False).net == 3
    assert landlock.reach(4, network=True).net == 1, "with a network nothing may listen"
    assert landlock.reach(5, network=False).scoped == 0
    assert landlock.reach(6, network=True).scoped == 3


def test_nothing_that_is_writable_may_hold_a_device() -> None:
    assert not landlock.WRITE & (1 << 6 | 1 << 11)


def test_an_owner_and_the_jails_user_change_places_and_nobody_else_does() -> None:
    lines = [tuple(map(int, line.split())) for line in exchange(1000, 1_900_000_000).splitlines()]

    def seen(number: int) -> int:
        return next(outer + number - inner for inner, outer, count in lines if inner <= number < inner + count)

    assert seen(1000) == 1_900_000_000
    assert seen(1_900_000_000) == 1000
    assert [seen(each) for each in (0, 999, 1001, 65534, 2**32 - 2)] == [0, 999, 1001, 65534, 2**32 - 2]
    assert sum(count for _, _, count in lines) == 2**32 - 1
    assert exchange(0, 5).startswith("0 5 1\n")
