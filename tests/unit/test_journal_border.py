"""The journal's border: who may say what, what is sorted out, when it beats, and what the supervisor's records become."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.errors import BadMessage, Refused, Unavailable
from anima.ids import new_id
from anima.journal.admission import admit
from anima.journal.beats import Beats
from anima.journal.claims import PERSON, claims, may_whisper
from anima.journal.grumble import Grumble
from anima.journal.intake import Asked, read_page_query, read_question, sort_message
from anima.journal.lifecycle import to_event
from anima.journal.senders import Senders, verdict
from anima.limits import beat_active_s, beat_idle_s, beat_linger_s
from anima.wire import frames
from anima.wire.events import (
    AgentMessage,
    ApprovalAsked,
    ApprovalGiven,
    IntentResolved,
    InterruptAsked,
    JournalOpened,
    ModelCalled,
    ProcessEnded,
    ProcessStarted,
    QuestionAnswered,
    QuestionAsked,
    SandboxSettled,
    SessionCleared,
    SystemMessage,
    ToolCall,
    ToolResponse,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    UserMessage,
    event,
)
from anima.wire.frames import Query

NUMBER = bytes(frames.NUMBER_BYTES)


def claimed(body, agent="arya", source="cli"):
    return set(claims(admit([event(body, agent=agent, source=source).encode()])[0]))


@pytest.mark.parametrize("body", [UserMessage("hi"), InterruptAsked(), SessionCleared()])
def test_anyone_may_write_to_an_agent(body):
    assert claimed(body) == set()
    assert claimed(body, source="telegram:42") == set()


@pytest.mark.parametrize(
    "body",
    [
        AgentMessage("hi"),
        TurnStarted("t", 1, 1),
        TurnEnded("t", 1, "answered"),
        ModelCalled("t", 1, "m", 1, 1, 0.1),
    ],
)
def test_only_the_agent_itself_can_say_what_only_it_can_know(body):
    assert claimed(body) == {"agent:arya"}
    assert claimed(body, source="agent:arya") == {"agent:arya"}
    assert claimed(body, source="agent:bran") == {"agent:arya", "agent:bran"}


@pytest.mark.parametrize(
    "body",
    [
        ToolStarted("i", "t", "exec", 1, "b"),
        ToolResponse("t", "c", "exec", ok=True, text=""),
        ApprovalAsked("i", "t", "exec", "risky", "why"),
        QuestionAsked("i", "t", "what?"),
        SandboxSettled("b", 7),
    ],
)
def test_only_the_sandbox_can_say_what_became_of_a_call(body):
    assert claimed(body, source="sandbox") == {"sandbox"}
    assert claimed(body) == {"sandbox"}
    assert claimed(body, source="agent:arya") == {"sandbox", "agent:arya"}


def test_a_tool_is_called_by_the_agent_itself_or_by_a_person():
    call = ToolCall("t", 1, "c", "exec", {})
    assert claimed(call, source="agent:arya") == {"agent:arya"}
    assert claimed(call, source="agent:bran") == {"agent:arya", "agent:bran"}
    assert claimed(call, source="cli") == {PERSON}
    assert claimed(call, source="sandbox") == {"sandbox", PERSON}


@pytest.mark.parametrize("body", [ApprovalGiven("i", granted=True), QuestionAnswered("i", "yes"), IntentResolved("i", "done")])
def test_a_persons_word_never_comes_from_an_agent_nor_from_the_sandbox(body):
    assert claimed(body) == {PERSON}
    for process in ("agent:arya", "agent:bran", "sandbox", "journal", "supervisor"):
        assert verdict(frozenset({PERSON}), 7, process) is not None
    for process in (None, "gateway", "channels"):
        assert verdict(frozenset({PERSON}), 7, process) is None
    assert verdict(frozenset(claimed(body, source="agent:arya")), 7, "agent:arya") is not None


@pytest.mark.parametrize("body", [JournalOpened("b"), ProcessStarted("agent:arya", 1, 1)])
def test_what_the_journal_writes_itself_comes_from_nobody_else(body):
    assert claimed(body) == {"journal"}


@pytest.mark.parametrize(
    ("source", "process"),
    [
        ("agent:arya", "agent:arya"),
        ("sandbox", "sandbox"),
        ("sandbox:7", "sandbox"),
        ("gateway:http", "gateway"),
        ("supervisor", "supervisor"),
    ],
)
def test_a_source_that_names_a_process_of_the_house_claims_to_be_it(source, process):
    assert claimed(SystemMessage("x"), source=source) == {process}


def test_an_agent_whispers_about_itself_and_the_house_about_anyone():
    assert may_whisper("agent:arya", "arya")
    assert may_whisper("sandbox", "arya")
    assert not may_whisper("agent:bran", "arya")
    assert not may_whisper(None, "arya")


def judge_all(identify, asked):
    """What came of each claim in `asked`, in the order in which it was decided."""

    async def go():
        senders, outcomes = Senders(identify), []
        for number, (pid, claim) in enumerate(asked):
            senders.judge(pid, frozenset(claim), lambda error, number=number: outcomes.append((number, type(error))))
        while senders.waiting:
            await asyncio.sleep(0)
        senders.close()
        return outcomes

    return asyncio.run(go())


async def house(pid):
    await asyncio.sleep(0)
    return {7: "agent:arya", 8: "agent:bran"}.get(pid)


async def nobody(pid):
    raise Unavailable("the supervisor is away")


NONE = type(None)


def test_a_claim_is_accepted_only_from_the_process_it_names():
    asked = [(7, {"agent:arya"}), (8, {"agent:arya"}), (9, {"agent:arya"}), (7, {"agent:arya", "agent:bran"}), (9, set())]
    assert sorted(judge_all(house, asked)) == [(0, NONE), (1, Refused), (2, Refused), (3, Refused), (4, NONE)]


def test_what_one_process_says_keeps_its_order_while_it_is_being_identified():
    asked = [(7, {"agent:arya"}), (7, set()), (8, set()), (7, {"agent:arya"})]
    assert judge_all(house, asked) == [(2, NONE), (0, NONE), (1, NONE), (3, NONE)]


def test_without_the_supervisor_claims_wait_for_another_time_and_people_are_still_heard():
    assert sorted(judge_all(nobody, [(7, {"agent:arya"}), (7, set()), (9, set())])) == [(0, Unavailable), (1, NONE), (2, NONE)]


def test_a_process_is_asked_about_once_until_it_ends():
    asked = []

    async def identify(pid):
        asked.append(pid)
        return "agent:arya"

    async def go():
        senders, outcomes = Senders(identify), []
        for step in range(4):
            senders.judge(7, frozenset({"agent:arya"}), outcomes.append)
            while senders.waiting:
                await asyncio.sleep(0)
            if step == 1:
                senders.forget(7)
        senders.learn(8, "agent:bran")
        senders.judge(8, frozenset({"agent:bran"}), outcomes.append)
        return outcomes

    assert asyncio.run(go()) == [None] * 5
    assert asked == [7, 7]


def test_a_refusal_says_who_spoke_as_whom():
    async def go():
        senders, outcomes = Senders(house), []
        senders.learn(8, "agent:bran")
        senders.judge(8, frozenset({"agent:arya"}), outcomes.append)
        return str(outcomes[0])

    assert asyncio.run(go()) == (
        "an event that speaks for agent:arya came from agent:bran (PID 8); only the process itself may say it"
    )


def test_requests_are_sorted_and_keep_what_is_needed_to_answer_them():
    found = sort_message([b"me", frames.READ, NUMBER, b"payload"])
    assert found == Asked(b"me", frames.READ, NUMBER, b"payload")
    assert sort_message([b"me", frames.WHISPER, b"blob"]).blob == b"blob"
    assert read_question(frames.pack(["head", {}])) == ("head", {})
    assert read_page_query(frames.pack(Query(since=5, kinds=("user_message",)).fields())) == Query(
        since=5, kinds=("user_message",)
    )


@given(
    st.lists(
        st.binary(max_size=20) | st.sampled_from([frames.APPEND, frames.READ, frames.ASK, frames.WHISPER, NUMBER]), max_size=6
    )
)
def test_any_number_of_any_frames_is_a_request_or_a_bad_message(message):
    try:
        found = sort_message(message)
    except BadMessage:
        return
    assert found.sender == message[0]


@given(
    st.binary(max_size=60)
    | st.builds(frames.pack, st.lists(st.text(max_size=3) | st.dictionaries(st.text(max_size=8), st.integers(-9, 9))))
)
def test_any_payload_is_a_question_or_a_bad_message(payload):
    for read in (read_question, read_page_query):
        try:
            read(payload)
        except BadMessage:
            continue


def test_a_follower_hears_of_a_change_within_two_seconds_and_an_idle_journal_hardly_wakes():
    beats = Beats("boot", 3, 0.0)
    now, wakes = 0.0, []
    while now < 60.0:
        if now >= beats.due_at:
            beats.beat(1, now)
            wakes.append(now)
        now += 0.125
    active = [at for at in wakes if at <= beat_linger_s]
    assert len(active) == int(beat_linger_s / beat_active_s) + 1
    assert len(wakes) - len(active) == int((60 - beat_linger_s) / beat_idle_s) - 1
    beats.changed(b"e/arya/", 5, 61.0)
    assert beats.due_at <= 61.0 + beat_active_s


def test_a_beat_names_the_topics_that_changed_lately_and_then_forgets_them():
    beats = Beats("boot", 3, 0.0)
    beats.changed(b"e/arya/", 5, 1.0)
    topic, said = beats.beat(5, 2.0)
    assert (topic, frames.unpack(said)) == (b"b/", ["boot", 3, 5, {b"e/arya/": 5}])
    assert frames.unpack(beats.beat(5, 1.0 + beat_linger_s)[1]) == ["boot", 3, 5, {}]


def test_a_newcomer_is_welcomed_alone_and_the_beat_keeps_its_time():
    beats = Beats("boot", 3, 0.0)
    beats.beat(7, 100.0)
    due_at = beats.due_at
    topic, said = beats.welcome(b"j/me", 7)
    assert (topic, frames.unpack(said)) == (b"j/me", ["boot", 3, 7, {}])
    assert beats.due_at == due_at


def test_a_flood_of_nonsense_is_counted_and_said_once(caplog):
    grumble = Grumble(logging.getLogger("test"), "dropped nonsense")
    for number in range(1000):
        grumble(number)
    assert grumble.count == 1000
    assert [record.getMessage() for record in caplog.records] == ["dropped nonsense (1 so far): 0"]


BOOT = new_id()
STARTED = {"n": 3, "boot": BOOT, "ts": 1.0, "what": "started", "name": "agent:arya", "pid": 7, "incarnation": 2, "unknown": 1}


def test_a_lifecycle_record_becomes_the_same_event_however_often_it_is_told():
    first, again = to_event(STARTED), to_event(dict(STARTED))
    assert first == again
    assert (first.kind, first.agent, first.body) == ("process_started", "arya", ProcessStarted("agent:arya", 7, 2))
    assert to_event(STARTED | {"n": 4}).id != first.id
    assert to_event(STARTED | {"boot": new_id()}).id != first.id
    assert to_event(STARTED | {"boot": BOOT.replace("-", "")}).kind == "process_started"


def test_the_end_of_a_process_of_the_house_belongs_to_nobody_s_life():
    told = {"n": 1, "boot": BOOT, "what": "ended", "name": "mneme", "pid": 7, "incarnation": 1}
    told |= {"exit": -1, "signal": 9, "cause": "signal", "reason": "killed by SIGKILL", "uptime_s": 2}
    assert to_event(told).agent == ""
    assert to_event(told).body == ProcessEnded("mneme", 7, 1, -1, 9, "signal", "killed by SIGKILL", 2)


def test_records_of_other_sorts_are_left_out():
    assert to_event({"ok": True}) is None
    assert to_event(STARTED | {"what": "stray"}) is None


@pytest.mark.parametrize("wrong", [{"n": "3"}, {"boot": None}, {"boot": "monday"}, {"name": 5}, {"pid": "7"}])
def test_a_malformed_record_is_a_bad_message(wrong):
    with pytest.raises(BadMessage):
        to_event(STARTED | wrong)
