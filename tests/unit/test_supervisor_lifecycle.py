"""The table of a child's life: every cell is there, and the promises it makes hold in all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.supervisor.lifecycle import ALIVE, BUSY, GONE, TABLE, Action, Event, State

CELLS = [(state, event) for state in State for event in Event]
PROCESSLESS = {State.DOWN, State.WAITING, State.FAILED}


@pytest.mark.parametrize(("state", "event"), CELLS)
def test_every_cell_says_where_it_leads_and_what_is_done(state, event):
    target, action = TABLE[state][event]
    assert isinstance(target, State)
    assert isinstance(action, Action)
    if action is Action.IMPOSSIBLE:
        assert target is state, "what cannot happen changes nothing"
    if action is Action.REFUSE:
        assert target is state, "what is refused changes nothing"


def test_the_table_has_no_other_cells():
    assert set(TABLE) == set(State)
    assert all(set(row) == set(Event) for row in TABLE.values())


@pytest.mark.parametrize("state", State)
def test_a_process_is_forked_only_where_there_is_none(state):
    for event, (target, action) in TABLE[state].items():
        if action in (Action.SPAWN, Action.REBIRTH):
            assert state in PROCESSLESS or event is Event.EXIT
            assert target is State.STARTING


@pytest.mark.parametrize("state", State)
def test_signals_go_only_where_there_is_a_process(state):
    signalling = {Action.TERMINATE, Action.ABORT, Action.KILL, Action.FREEZE, Action.THAW}
    for _, action in TABLE[state].values():
        assert state in ALIVE or action not in signalling


@pytest.mark.parametrize("state", State)
def test_a_stop_always_leads_down(state):
    after = TABLE[state][Event.STOP][0]
    assert after in (State.DOWN, State.STOPPING)
    assert after is not State.STOPPING or TABLE[after][Event.EXIT] == (State.DOWN, Action.REST)


@pytest.mark.parametrize("state", sorted(ALIVE))
def test_an_end_is_understood_wherever_there_is_a_process(state):
    assert TABLE[state][Event.EXIT][1] in (Action.JUDGE, Action.REST, Action.SPAWN)


@pytest.mark.parametrize("state", sorted(BUSY))
def test_whoever_may_hang_has_a_deadline_that_acts(state):
    assert TABLE[state][Event.DEADLINE][1] in (Action.ABORT, Action.KILL)


@given(st.lists(st.sampled_from(Event), max_size=60))
def test_a_life_never_has_two_processes_and_never_loses_one(events):
    state, process = State.DOWN, False
    for event in events:
        if event is Event.EXIT and not process:
            continue
        process = process and event is not Event.EXIT
        state, action = TABLE[state][event]
        if action in (Action.SPAWN, Action.REBIRTH):
            assert not process
            process = True
        if event is Event.UNBORN and action is Action.DELAY:
            process = False
        assert process == (state in ALIVE), (state, event)


def test_the_groups_of_states_do_not_contradict_each_other():
    assert not GONE & ALIVE
    assert BUSY <= ALIVE
