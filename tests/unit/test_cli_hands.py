"""What commands about calls take in and put out: typed arguments, ids, words of a person, lines for narrow terminals."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.bus.loopback import Loopback
from anima.cli import approvals, hands, intents, jobs, tools
from anima.cli.byhand import ByHand, Settled, Waiting, carry_out
from anima.cli.demands import Asked, Decided, Demand, Demands
from anima.cli.doing import called_line, returned_line
from anima.cli.groups import GROUPS
from anima.cli.main import app
from anima.cli.readable import brief, fold, in_full
from anima.cli.telling import tell
from anima.cli.terminal import columns_of, visible
from anima.cli.typed import arguments
from anima.errors import Refused, Spent
from anima.ids import derived_id, new_id
from anima.paths import Home
from anima.sandbox.intents import STATES, Intents
from anima.tools.registry import built_in
from anima.wire.events import (
    KINDS,
    ApprovalAsked,
    ApprovalGiven,
    Body,
    IntentResolved,
    InterruptAsked,
    QuestionAnswered,
    QuestionAsked,
    SandboxSettled,
    ToolCall,
    ToolResponse,
    ToolStarted,
    TurnEnded,
    event,
)

HOSTILE = st.text(st.characters(exclude_categories=("Cs",)), max_size=80)
SCHEMA = {
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "all": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "string"}},
        "sizes": {"type": "array", "items": {"type": "integer"}},
        "more": {"type": "object"},
    }
}


# -- arguments that are typed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "whole", "args"),
    [
        (["text=a=b "], "", {"text": "a=b "}),
        (["text=7", "count=7", "share=7", "all=yes"], "", {"text": "7", "count": 7, "share": 7, "all": True}),
        (["share=0.5", "all=FALSE", "text="], "", {"share": 0.5, "all": False, "text": ""}),
        (["names=a", "names=b c"], "", {"names": ["a", "b c"]}),
        (['names=["a", "b"]', "names=c", "sizes=3"], "", {"names": ["a", "b", "c"], "sizes": [3]}),
        (['more={"a": [1]}'], "", {"more": {"a": [1]}}),
        (["count=2"], '{"count": 1, "text": "x"}', {"count": 2, "text": "x"}),
        (["names=b"], '{"names": ["a"]}', {"names": ["b"]}),
        ([], '{"odd": null}', {"odd": None}),
        ([], "", {}),
    ],
)
def test_a_value_is_read_as_the_schema_wants_it(given: list[str], whole: str, args: dict[str, Any]):
    assert arguments(given, whole, SCHEMA) == args


@pytest.mark.parametrize(
    ("given", "whole", "words"),
    [
        (["text"], "", "not of the form name=value"),
        (["=x"], "", "not of the form name=value"),
        (["txt=x"], "", "did you mean 'text'"),
        (["count=1.5"], "", "not a whole number"),
        (["share=much"], "", "not a number"),
        (["all=perhaps"], "", "neither true nor false"),
        (["more={"], "", "must be object written as JSON"),
        (["sizes=[1"], "", "must be array written as JSON"),
        (["text=caf\udce9"], "", "not UTF-8 at character 3"),
        ([], "[1]", "not a JSON object"),
        ([], "{", "not JSON"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_name(given: list[str], whole: str, words: str):
    with pytest.raises(Refused, match=words):
        arguments(given, whole, SCHEMA)


def test_a_tool_without_arguments_says_so():
    with pytest.raises(Refused, match="takes no arguments"):
        arguments(["x=1"], "", {"properties": {}})


# -- ids -----------------------------------------------------------------------------------------------------------------


def rows(*ids: str, **more: Any) -> list[dict[str, Any]]:
    return [{"id": each, "agent": "arya", "tool": "exec", "state": "done", **more} for each in ids]


def test_ids_are_shown_as_short_as_they_are_told_apart():
    message = new_id()
    ids = [derived_id(message, "call", place) for place in range(3)]
    names = hands.shorten(ids)
    assert len(set(names.values())) == 3
    for each, name in names.items():
        assert each.startswith(name)
        assert not name.endswith("-")
        assert hands.pick(rows(*ids), name) == rows(each)[0]
    assert hands.shorten([message]) == {message: message[:8]}


@given(st.lists(st.text("0a-", min_size=9, max_size=14), unique=True, min_size=1, max_size=8))
def test_no_shown_id_names_two_calls(ids: list[str]):
    names = hands.shorten(ids)
    for each, name in names.items():
        others = [other for other in ids if other != each and not other.startswith(each)]
        assert not any(other.startswith(name) for other in others)


def test_an_id_is_found_by_its_beginning_with_or_without_hyphens():
    known = rows("0193a1b2-77f0-7d3c", "0193a1b2-88f0-7d3c")
    assert hands.pick(known, "0193A1B277") == known[0]
    assert hands.pick(known, "9") is None
    assert hands.pick(known, "") is None
    with pytest.raises(Refused, match="could be 0193a1b2-7, 0193a1b2-8"):
        hands.pick(known, "0193a1b2")


def test_the_refusal_tells_what_a_call_is_instead():
    told = str(hands.nothing_named("0193", rows("0193a1b2", state="running"), "x"))
    assert told == "exec of arya (0193a1b2) is running; see x"
    assert "no call has an id that begins with 'zz'" in str(hands.nothing_named("zz", [], "x"))


# -- what is shown before a person decides -------------------------------------------------------------------------------


@given(st.dictionaries(HOSTILE, HOSTILE | st.integers() | st.lists(HOSTILE, max_size=3), max_size=3), st.integers(20, 60))
def test_shown_arguments_fit_and_steer_no_terminal(args: dict[str, Any], columns: int):
    for line in in_full(args, columns):
        assert columns_of(line) <= columns
        assert line.isprintable()
    told = brief(args, columns)
    assert columns_of(told) <= columns
    assert told.isprintable()


def test_nothing_of_a_command_is_hidden():
    command = "echo ok" + " " * 300 + "; rm -rf ~ \u202e\u200b\x1b[8m"
    shown = in_full({"command": command}, 40)
    assert "".join(line[4:] for line in shown[1:]) == visible(command)
    assert visible(command).endswith("; rm -rf ~ \\u202e\\u200b\\x1b[8m")


def test_what_is_cut_is_counted():
    content = "\n".join(map(str, range(100))) + "\n"
    shown = in_full({"path": "a.txt", "content": content}, 80)
    assert shown[:3] == ["  path: a.txt", "  content:", "    0"]
    assert shown[-1] == f"    … and 88 more lines, {len(content)} characters in all (--json)"


@given(HOSTILE, st.integers(2, 30))
def test_a_folded_line_keeps_every_character(text: str, columns: int):
    line = visible(text).replace("\n", "")
    assert "".join(fold(line, columns)) == line
    assert all(columns_of(piece) <= columns for piece in fold(line, columns))


@given(HOSTILE, HOSTILE, st.integers(20, 60))
def test_the_lines_beside_a_conversation_fit_and_steer_no_terminal(tool: str, text: str, columns: int):
    for line in (called_line(tool, {"x": text}, columns), returned_line(tool, "failed", 61.5, text, columns)):
        assert columns_of(line) <= columns
        assert line.isprintable()


def test_a_call_and_its_result_are_one_line_each():
    assert called_line("exec", {"command": "ls -l", "timeout_s": 3}, 80) == '… exec command="ls -l" timeout_s=3'
    assert returned_line("exec", "done", 0.31, "\nfirst\nsecond", 80) == "  exec: ok in 0.3 s: first"
    assert returned_line("exec", "unknown", 0.0, "", 80) == "  exec: in doubt"


# -- demands -------------------------------------------------------------------------------------------------------------

APPROVAL = Demand("i", "approval", "arya", "main", "exec", "dangerous", {"command": "ls"})
QUESTION = Demand("i", "question", "arya", "main", "ask_person", question="which?", choices=("red", "7", "blue"))


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("y", ApprovalGiven("i", granted=True)),
        ("YES", ApprovalGiven("i", granted=True)),
        ("n", ApprovalGiven("i", granted=False)),
        ("no, not on a Sunday", ApprovalGiven("i", granted=False, reason="not on a Sunday")),
        ("always", ApprovalGiven("i", granted=True, always=True, tool="exec")),
        ("never", ApprovalGiven("i", granted=False, always=True, tool="exec")),
        ("", None),
        ("yes but only if", None),
        ("yesterday", None),
        ("what does it do?", None),
    ],
)
def test_only_a_plain_word_approves(line: str, word: Body | None):
    assert APPROVAL.read(line) == word


@pytest.mark.parametrize(
    ("line", "text"),
    [("1", "red"), ("3", "blue"), ("7", "7"), ("4", "4"), ("0", "0"), (" green one ", "green one"), ("y", "y")],
)
def test_any_text_answers_a_question_and_a_number_names_a_choice(line: str, text: str):
    assert QUESTION.read(line) == QuestionAnswered("i", text)
    assert QUESTION.read("  ") is None


def test_a_demand_shows_what_is_wanted_and_how_to_reply():
    assert APPROVAL.lines(80) == ["arya wants to call exec (dangerous):", "  command: ls"]
    assert QUESTION.lines(80) == ["arya asks:", "  which?", "  1. red", "  2. 7", "  3. blue"]
    assert APPROVAL.command == "animactl approve i"
    assert QUESTION.command == "animactl answer i TEXT"


def test_a_row_of_the_sandbox_is_a_demand():
    row = {"id": "i", "kind": "approval", "agent": "arya", "session": "main", "tool": "exec", "risk": "dangerous"}
    assert Demand.of({**row, "args": {"command": "ls"}, "question": "", "choices": [], "since": 7.0, "new": 1}) == APPROVAL


def said(body: Body, id: str = "") -> Any:
    return event(body, agent="arya", session="main", source="cli", id=id)


def test_demands_come_and_go_once():
    demands = Demands()
    demands.take(said(ToolCall("", 0, "c", "exec", {"command": "ls"}), "i"))
    asked = said(ApprovalAsked("i", "", "exec", "dangerous", "because"))
    assert demands.take(asked) == [Asked(APPROVAL)]
    assert demands.take(asked) == []
    given = said(ApprovalGiven("i", granted=True, always=True, tool="exec"))
    assert demands.take(given) == [Decided(APPROVAL, "approved for good")]
    assert demands.take(given) == []
    assert demands.open == {}


# -- tables --------------------------------------------------------------------------------------------------------------

CARDS = [{**tool.card().fields(), "schema": dict(tool.card().schema), "why_not": ""} for tool in built_in().tools.values()]


@pytest.mark.parametrize("columns", [32, 40, 80, 120])
def test_the_list_of_tools_fits_every_terminal(columns: int):
    refused = [{**CARDS[0], "why_not": "this agent may not use it \x1b[2J at all"}]
    shown = tools.lines([*CARDS[1:], *refused], "arya", columns)
    assert all(columns_of(line) <= columns and line.isprintable() for line in shown)
    assert "not for arya:" in shown


def test_a_reason_that_holds_for_many_tools_is_told_once_and_in_full():
    refused = [{**card, "why_not": f"this agent may not use {card['name']}; its policy allows: exec"} for card in CARDS]
    _, *told = tools.lines(refused, "arya", 40)
    assert all(columns_of(line) <= 40 for line in told)
    text = " ".join(told)
    assert text.count("may not use it; its policy allows: exec") == 1
    assert all(str(card["name"]) in text for card in CARDS)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: str(card["name"]))
def test_every_tool_is_told_in_full_on_a_narrow_terminal(card: dict[str, Any]):
    shown = tools.full_lines(card, 40)
    assert all(columns_of(line) <= 40 or line.startswith("  --arg ") for line in shown)
    told = "\n".join(shown)
    for name in card["schema"]["properties"]:
        assert f"--arg {name}=" in told


def waiting_row(**more: Any) -> dict[str, Any]:
    row = {"id": new_id(), "kind": "approval", "agent": "arya", "session": "main", "tool": "exec", "risk": "dangerous"}
    return {**row, "reason": "", "args": {"command": "ls"}, "question": "", "choices": [], "since": 100.0, **more}


@given(HOSTILE, st.integers(30, 60))
def test_a_list_of_what_waits_fits_and_steers_no_terminal(text: str, columns: int):
    for row in (waiting_row(args={"x": text}), waiting_row(kind="question", question=text, choices=[text])):
        shown = approvals.lines(row, "0193a1b2", columns, 160.0)
        assert all(columns_of(line) <= columns and line.isprintable() for line in shown)


def test_what_waits_is_told_on_one_line_where_there_is_room_and_on_two_where_there_is_not():
    assert approvals.lines(waiting_row(), "0193a1b2", 80, 160.0)[0] == "0193a1b2  exec, dangerous  arya/main  for 1m"
    assert approvals.lines(waiting_row(), "0193a1b2", 30, 160.0)[:2] == ["0193a1b2  exec, dangerous", "  arya/main for 1m"]


@pytest.mark.parametrize("columns", [34, 40, 100])
def test_the_list_of_calls_fits(columns: int):
    found = [
        {"id": new_id(), "agent": "arya", "session": "main", "tool": "exec", "args": {"c": "x\x1b\n" * 50}, "state": state}
        | {"asked_at": 1.0}
        for state in STATES
    ]
    shown = intents.lines(found, columns, 100.0)
    assert all(columns_of(line) <= columns and line.isprintable() for line in shown)
    assert len(shown) == len(STATES) + 1


def test_the_states_of_a_call_are_those_of_the_sandbox():
    assert intents.STATES == STATES


def test_the_list_of_jobs_fits():
    job = {"id": "job1", "session": "main", "state": "running", "started_at": 1.0, "bytes": 5_000, "command": "x\x1b[2J" * 40}
    assert all(columns_of(line) <= 40 and line.isprintable() for line in jobs.lines([job], 40, 100.0))


# -- the end of a text that grows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("", "", []),
        ("", "a\nb", ["a", "b"]),
        ("a\nb", "a\nb", []),
        ("a\nb", "a\nb\nc", ["c"]),
        ("a\nb", "a\nbcd\ne", ["bcd", "e"]),
        ("a\nb\nc", "b\nc\nd", ["d"]),
        ("a long line\nb\nc", "line\nb\nc\nd", ["d"]),
        ("a\nb", "x\ny", ["x", "y"]),
        ("a", "ab", ["ab"]),
    ],
)
def test_only_what_is_new_of_a_growing_text_is_told(before: str, after: str, told: list[str]):
    assert jobs.news(before, after) == told


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 10), st.integers(5, 30))
def test_every_line_is_told_once_however_the_window_slides(sizes: list[int], step: int, window: int):
    lines = [f"{number}: {'x' * size}" for number, size in enumerate(sizes)]
    told, before = [], ""
    for end in range(0, len(lines) + step, min(step, window - 1)):
        after = "\n".join(lines[max(0, end - window) : end])
        told += jobs.news(before, after)
        before = after
    assert told == lines[: len(told)]
    assert len(told) == len(lines)


# -- events on one line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (ToolCall("t", 1, "c", "exec", {"command": "ls\n"}), 'exec command="ls\\n"'),
        (ToolResponse("t", "c", "exec", True, "a\nb", "i", "done", 0.5), "exec: ok in 0.5 s: a"),
        (ToolResponse("t", "c", "exec", False, "", "i"), "exec: failed"),
        (ToolStarted("i", "t", "exec", 1, "b"), "i exec"),
        (ToolStarted("i", "t", "exec", 2, "b"), "i exec, attempt 2"),
        (ApprovalAsked("i", "t", "exec", "risky", "why\x1b"), "i exec (risky): why\\x1b"),
        (ApprovalGiven("i", True, True, "exec"), "i approved for every call of exec"),
        (ApprovalGiven("i", False, reason="no"), "i denied: no"),
        (QuestionAsked("i", "t", "which?", ["a", "b"]), "i which? (a, b)"),
        (QuestionAnswered("i", "a"), "i a"),
        (IntentResolved("i", "done", "looked"), "i done: looked"),
        (
            SandboxSettled("b", 7, [1, 2]),
            "all calls up to 7 have their response; 2 events are about calls that wait or are in doubt",
        ),
    ],
)
def test_an_event_about_a_call_tells_what_matters(body: Body, told: str):
    assert tell(body.kind, body.fields()) == told


@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.sampled_from(["tool", "args", "intent", "text", "ok"]), HOSTILE))
def test_a_malformed_event_is_told_all_the_same(kind: str, data: dict[str, Any]):
    assert isinstance(tell(kind, data), str)


# -- one call by hand ----------------------------------------------------------------------------------------------------


class Hands:
    """A sandbox that answers calls as a test wants it, on a loopback."""

    def __init__(self, *bodies: Any) -> None:
        self.bus = Loopback()
        self._bodies = bodies

    async def serve(self) -> None:
        async for item in self.bus.follow(since=0):
            if item.kind == "tool_call":
                for make in self._bodies:
                    body = make(item.id)
                    await self.bus.append(event(body, agent=item.agent, session=item.session, source="sandbox"))

    def call(self, timeout_s: float = 5.0) -> tuple[Settled, list[Asked | Decided]]:
        shown: list[Asked | Decided] = []

        async def whole() -> Settled:
            serving = asyncio.create_task(self.serve())
            try:
                wanted = ByHand(Home(Path("/x"), Path("/x")), "arya", "main", "exec", {"command": "ls"}, timeout_s)
                return await carry_out(self.bus, wanted, shown.append)
            finally:
                serving.cancel()

        return asyncio.run(whole()), shown


def response(intent: str, outcome: str = "done") -> ToolResponse:
    return ToolResponse("", "by-hand", "exec", outcome == "done", "text", intent, outcome)


def test_a_call_by_hand_ends_with_its_own_response():
    settled, shown = Hands(lambda _: response("another", "failed"), response).call()
    assert (settled.response.outcome, settled.interrupted, shown) == ("done", False, [])
    assert settled.response.intent == settled.id


def test_a_person_is_told_what_a_call_by_hand_waits_for():
    asked = lambda intent: ApprovalAsked(intent, "", "exec", "dangerous", "because")  # noqa: E731
    given = lambda intent: ApprovalGiven(intent, granted=True)  # noqa: E731
    _, shown = Hands(asked, given, response).call()
    assert [type(each) for each in shown] == [Asked, Decided]
    assert shown[0].demand.args == {"command": "ls"}
    with pytest.raises(Waiting, match=r"nobody has decided about the call within .*; the call is kept"):
        Hands(asked).call(0.2)


def test_a_call_without_a_response_in_time_is_kept():
    with pytest.raises(Spent, match=r"no response within .*; the call is kept"):
        Hands().call(0.2)


def test_an_interruption_that_names_a_call_by_hand_ends_that_one_alone():
    known = Intents()
    calls = [said(ToolCall(turn, 1, "c", "exec", {}), f"call{place}") for place, turn in enumerate(("", "", "turn"))]
    for each in calls:
        known.apply(each)
    assert [each.id for each in known.apply(said(InterruptAsked("call0")))] == ["call0"]
    assert [each.id for each in known.apply(said(InterruptAsked("turn")))] == ["call2"]
    assert [each.id for each in known.apply(said(InterruptAsked()))] == ["call0", "call1", "call2"]


def test_of_two_words_about_one_call_the_second_is_told_that_it_came_too_late():
    async def both() -> None:
        bus, row = Loopback(), waiting_row()
        await approvals.settle(bus, row, ApprovalGiven(row["id"], granted=True))
        await approvals.settle(bus, waiting_row(id="another"), ApprovalGiven("another", granted=True))
        with pytest.raises(Refused, match="decided by somebody else"):
            await approvals.settle(bus, row, ApprovalGiven(row["id"], granted=False))

    asyncio.run(both())


# -- the program ---------------------------------------------------------------------------------------------------------


def test_every_command_stands_under_one_heading():
    named = [name for group in GROUPS.values() for name in group]
    assert len(named) == len(set(named))
    commands = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert commands == set(named)


def test_nobody_is_asked_about_a_turn_that_has_ended_though_its_call_ends_a_moment_later() -> None:
    demands, call = Demands(), event(ToolCall("t", 1, "c", "exec", {}), agent="bran", source="agent:bran")
    demands.take(call)
    demands.take(event(ApprovalAsked(call.id, "t", "exec", "risky", "it is risky"), agent="bran", source="sandbox"))
    other = event(TurnEnded("another", 1, "answered"), agent="bran", source="agent:bran")
    assert not demands.take(other)
    assert demands.open
    ended = event(TurnEnded("t", 1, "interrupted", "it was interrupted"), agent="bran", source="agent:bran")
    assert [each.how for each in demands.take(ended)] == ["interrupted"]
    assert not demands.open
