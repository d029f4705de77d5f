"""What an agent uses on itself: thoughts, time, notes, issues, waiting."""

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.tools.context import Context
from anima.tools.own.waiting import moment
from anima.tools.registry import built_in
from anima.tools.run import perform, plan, run
from anima.tools.tool import ToolError

NOON = dt.datetime(2031, 5, 4, 12, 0, tzinfo=dt.UTC).timestamp()


def test_a_thought_changes_nothing(tmp_path):
    assert run("think", {"thought": "hm"}, Context(tmp_path).fields()) == {"ok": True, "text": "noted", "data": {}}
    assert not run("think", {"thought": "x" * 40_000}, Context(tmp_path).fields())["ok"]


def test_now_knows_the_zone_of_the_agent_and_any_other(tmp_path):
    ctx = Context(tmp_path, zone="Asia/Tokyo")
    found = perform("now", {}, ctx)
    assert found.data["iso"].endswith("+09:00")
    assert found.data["zone"] == "Asia/Tokyo"
    assert perform("now", {"zone": "UTC"}, ctx).data["iso"].endswith("+00:00")
    for wrong in ("Atlantis/Deep", "../../etc/passwd", "/etc/passwd", "a\nb"):
        with pytest.raises(ToolError, match="there is no time zone"):
            perform("now", {"zone": wrong}, ctx)


def test_notes_are_replaced_appended_and_shown(tmp_path):
    with pytest.raises(ToolError, match="nobody keeps notes here"):
        perform("notes", {"content": "one"}, Context(tmp_path))
    assert perform("notes", {}, Context(tmp_path, notes="")).text == "[no notes yet]"
    first = perform("notes", {"content": "one"}, Context(tmp_path, notes=""))
    assert first.data["notes"] == "one"
    second = perform("notes", {"content": "two", "append": True}, Context(tmp_path, notes=first.data["notes"]))
    assert second.data["notes"] == "one\ntwo"
    assert perform("notes", {}, Context(tmp_path, notes="one\ntwo")).text == "one\ntwo"
    with pytest.raises(ToolError, match="Shorten them"):
        perform("notes", {"content": "x" * 20_000}, Context(tmp_path, notes=""))


def test_an_issue_is_written_where_a_person_finds_it_and_a_second_try_is_the_same_file(tmp_path):
    args = {"title": "The tool ../../x\nis  broken", "description": "It says nothing at all."}
    ctx = Context(tmp_path, agent="arya", call="0199-abcdef")
    for _ in range(2):
        found = perform("report_issue", args, ctx)
    (only,) = (tmp_path / "issues").iterdir()
    assert only.name == "the-tool-x-is-broken-0199abcdef.md"
    assert only.read_text().startswith("# The tool ../../x is broken\n\nIt says nothing at all.\n\nReported by arya.")
    assert found.data["path"] == str(only)


def test_without_gh_a_configured_repository_is_no_silent_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="'gh' is not installed here"):
        perform("report_issue", {"title": "abc", "description": "x" * 20}, Context(tmp_path, issues="o/r"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("code", "ok"), [(0, True), (1, False)])
def test_gh_is_given_title_and_body_and_its_word_is_taken(tmp_path, monkeypatch, code, ok):
    gh = tmp_path / "gh"
    gh.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/args; /bin/cat > {tmp_path}/body\n'
        f"echo https://x/1; echo no >&2; exit {code}\n"
    )
    gh.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = run(
        "report_issue", {"title": "--web $(x)", "description": "x" * 20}, Context(tmp_path, issues="o/r", call="c9").fields()
    )
    assert found["ok"] is ok
    assert "https://x/1" in found["text"] if ok else "gh refused: no" in found["text"]
    assert (tmp_path / "args").read_text().split("\n")[:8] == [
        "issue", "create", "--repo", "o/r", "--title", "--web $(x)", "--body-file", "-",
    ]  # fmt: skip
    assert "call c9" in (tmp_path / "body").read_text()


def test_waiting_is_declared_and_left_to_the_runtime(tmp_path):
    for name in ("ask_person", "sleep_until"):
        assert built_in().tools[name].place == "runtime"
    ctx = Context(tmp_path).fields()
    asked = plan("ask_person", {"question": "Which?", "choices": ["a", "b"]}, ctx)
    assert asked["data"] == {"question": "Which?", "choices": ["a", "b"]}
    assert not plan("ask_person", {"question": " "}, ctx)["ok"]
    assert plan("sleep_until", {"when": "10m"}, ctx)["data"]["due"] > NOON - 1e9
    assert "is carried out in a child" in plan("now", {}, ctx)["text"]


def test_a_child_that_is_asked_to_wait_says_that_it_cannot_instead_of_seeming_done(tmp_path):
    for name, args in (("ask_person", {"question": "Which?"}), ("sleep_until", {"when": "10m"})):
        found = run(name, args, Context(tmp_path).fields())
        assert not found["ok"]
        assert "only the runtime can wait" in found["text"]


@pytest.mark.parametrize(
    ("when", "zone", "due"),
    [
        ("90s", "", NOON + 90),
        ("in 10 min", "", NOON + 600),
        ("1.5h", "", NOON + 5400),
        ("1d", "", NOON + 86_400),
        ("13:30", "UTC", NOON + 5400),
        ("11:00", "UTC", NOON + 23 * 3600),
        ("21:30", "Asia/Tokyo", NOON + 1800),
        ("2031-05-04 14:00", "UTC", NOON + 7200),
        ("2031-05-04T14:00:00+02:00", "Asia/Tokyo", None),
        ("2031-05-04T15:00:00+02:00", "Asia/Tokyo", NOON + 3600),
    ],
)
def test_a_point_in_time_is_understood(when, zone, due):
    if due is None:
        with pytest.raises(ToolError, match="is past"):
            moment(when, NOON, zone)
    else:
        assert moment(when, NOON, zone) == due


@pytest.mark.parametrize(
    "when", ["", "soon", "25:00", "12:99", "10", "2031-13-01", "1999-01-01", "400d", "0s", "-5m", "9" * 400 + "d"]
)
def test_what_is_no_point_in_time_or_past_is_told(when):
    with pytest.raises(ToolError):
        moment(when, NOON, "UTC")


@given(st.text(max_size=20) | st.from_regex(r"\d{1,2}:\d{2}", fullmatch=True), st.floats(0, 4e9))
def test_no_text_breaks_it_and_what_comes_out_lies_ahead(when, at):
    try:
        assert at < moment(when, at, "Europe/Berlin") <= at + 366 * 86_400
    except ToolError as error:
        assert str(error)  # noqa: PT017


def test_a_time_of_day_survives_the_change_of_clocks():
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    before = dt.datetime(2031, 3, 29, 23, 0, tzinfo=berlin).timestamp()
    due = dt.datetime.fromtimestamp(moment("07:30", before, "Europe/Berlin"), berlin)
    assert (due.day, due.hour, due.minute) == (30, 7, 30)
