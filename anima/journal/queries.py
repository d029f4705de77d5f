"""From a query to walks along indexes. Pure: text and parameters out, no database.

Every walk ends in `seq` order, so that several can be merged lazily and none reads past the page it is asked for.
"""

from collections.abc import Iterator, Mapping

from anima.errors import BadMessage
from anima.wire.frames import Query

KINDS_MAX = 32  # kinds in one query: each is a walk of its own

Walk = tuple[str, tuple[object, ...]]

_SELECT = "SELECT seq, ts, blob, chain FROM events"
_INDEX = {  # by what a query names beside the agent: (session, kinds)
    (False, False): "events_by_agent",
    (True, False): "events_by_session",
    (False, True): "events_by_kind",
    (True, True): "events_by_session_kind",
}


def walks(query: Query, heads: Mapping[str, int]) -> list[Walk]:
    """The SELECTs whose merge by seq answers `query`; `heads` is the newest seq of every agent.

    A query by kinds over all agents costs one walk per agent and kind: O(agents), not O(history); agents with nothing
    after `since` are left out. Raises BadMessage for more than KINDS_MAX kinds.
    """
    kinds = tuple(dict.fromkeys(query.kinds))
    if len(kinds) > KINDS_MAX:
        raise BadMessage(f"a query names at most {KINDS_MAX} kinds, this one {len(kinds)}")
    if query.agent is None and not kinds:
        return [_walk(query, "WHERE", ())]
    agents = heads if query.agent is None else [query.agent]
    return [walk for agent in agents if heads.get(agent, 0) > query.since for walk in _of_agent(query, agent, kinds)]


def _of_agent(query: Query, agent: str, kinds: tuple[str, ...]) -> Iterator[Walk]:
    where = f"INDEXED BY {_INDEX[query.session is not None, bool(kinds)]} WHERE agent = ? AND"
    values: tuple[str, ...] = (agent,)
    if query.session is not None:
        where += " session = ? AND"
        values = (agent, query.session)
    if not kinds:
        yield _walk(query, where, values)
    for kind in kinds:
        yield _walk(query, f"{where} kind = ? AND", (*values, kind))


def _walk(query: Query, where: str, values: tuple[str, ...]) -> Walk:
    before = " AND seq < ?" if query.before else ""
    order = " DESC" if query.newest else ""
    bounds = (query.since, query.before) if query.before else (query.since,)
    return f"{_SELECT} {where} seq > ?{before} ORDER BY seq{order}", (*values, *bounds)
