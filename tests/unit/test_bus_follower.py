"""Following without missing an event: whatever the doorbell loses, delays or repeats."""

from hypothesis import given
from hypothesis import strategies as st

from anima.bus.follower import INBOX_MAX, Follower
from anima.wire.events import Event


def an_event(seq: int) -> Event:
    return Event(f"id{seq}", "user_message", "arya", "main", "cli", "", {"text": str(seq)}, seq, 1.0)


def drain(follower: Follower, stored: list[int], page: int) -> list[int]:
    """What a consumer does until there is nothing more to do: empty the inbox, then read pages while behind."""
    got = []
    while follower.inbox or follower.behind:
        while follower.inbox:
            item = follower.inbox.popleft()
            assert isinstance(item, Event)
            got.append(item.seq)
        if follower.behind:
            follower.ask()
            found = [seq for seq in stored if seq > follower.tail]
            got += found[:page]
            last = found[:page][-1] if found else follower.tail
            follower.took(last, stored[-1] if stored else 0, more=len(found) > page)
    return got


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["arrives", "lost", "doorbell", "twice"]), st.booleans()), max_size=80),
    st.integers(1, 7),
)
def test_every_event_is_delivered_once_and_in_order_whatever_is_lost_as_long_as_beats_come(
    story: list[tuple[bool, str, bool]],
    page: int,
) -> None:
    follower, stored, got, previous = Follower("arya", 0), [], [], 0
    for seq, (ours, fate, looks) in enumerate(story, start=1):
        if ours:
            stored.append(seq)
            if fate != "lost":
                follower.hear(previous, seq, None if fate == "doorbell" else an_event(seq))
            if fate == "twice":
                follower.hear(previous, seq, an_event(seq))
            previous = seq
        if looks:
            got += drain(follower, stored, page)
    follower.beat(previous)
    got += drain(follower, stored, page)
    assert got == stored


def test_a_follower_that_nobody_drains_keeps_a_bounded_inbox_and_reads_the_rest_later() -> None:
    follower = Follower(None, 0)
    follower.took(0, 0, more=False)
    for seq in range(1, 3 * INBOX_MAX):
        follower.hear(seq - 1, seq, an_event(seq))
    assert len(follower.inbox) == INBOX_MAX
    assert drain(follower, list(range(1, 3 * INBOX_MAX)), 500) == list(range(1, 3 * INBOX_MAX))


def test_a_lost_last_message_is_noticed_by_the_next_beat() -> None:
    follower = Follower("arya", 0)
    follower.took(0, 0, more=False)
    assert not follower.behind
    follower.beat(7)
    assert follower.behind
    assert follower.wake.is_set()


def test_a_doubt_that_comes_while_a_page_is_on_its_way_asks_for_another_page() -> None:
    follower = Follower("arya", 0)
    follower.ask()
    follower.doubt()
    follower.took(0, 0, more=False)
    assert follower.behind
    follower.ask()
    follower.took(0, 0, more=False)
    assert not follower.behind


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_what_a_journal_gave_new_numbers_after_a_loss_is_read_again_and_nothing_else(seen: int, opened: int, new: int) -> None:
    follower = Follower(None, 0)
    got = drain(follower, list(range(1, seen + 1)), 7)
    follower.doubt(opened)
    follower.hear(opened + new - 1, opened + new, an_event(opened + new))
    assert not follower.inbox
    assert follower.ask() == (opened + 1 if opened < seen else 0)
    got += drain(follower, list(range(1, opened + new + 1)), 7)
    assert got == [*range(1, seen + 1), *range(min(seen, opened) + 1, opened + new + 1)]


def test_two_new_lives_in_quick_succession_are_followed_from_the_earlier_of_their_beginnings() -> None:
    follower = Follower(None, 0)
    assert drain(follower, list(range(1, 10)), 7) == list(range(1, 10))
    follower.doubt(5)
    follower.doubt(7)
    assert follower.overtaken
    assert follower.ask() == 6
    assert not follower.overtaken


def test_a_doorbell_for_what_was_lost_is_not_waited_for() -> None:
    follower = Follower(None, 5)
    follower.hear(6, 7, None)
    follower.doubt(5)
    assert follower.ask() == 0
    follower.took(5, 5, more=False)
    assert not follower.behind
