"""Frames: what stands in each ZeroMQ message, in both directions, and nothing about sockets.

To a server (its ROUTER sees the sender's identity first):

    append   [b"append", number, pack([blob, ...])]           blob: an encoded event
    read     [b"read", number, pack(Query as map)]
    ask      [b"ask", number, pack([verb, arguments])]        any question; the journal answers `head` and `stats`
    whisper  [b"whisper", blob]                               no answer

Back: [b"ok", number, pack(answer)] or [b"no", number, pack([error, sentence])], where error is a class of anima.errors.
`number` is 8 bytes chosen by the asker and returned unchanged. Answers:

    append   [[seq, new], ...]      new is False where the id was known already; then seq is the old one
    read     [boot, opened, head, more, [[seq, ts, blob, chain], ...]]

On the events socket (XPUB), the topic first:

    event    [topic, pack([boot, opened, previous, seq, ts]), blob]   blob is b"" for a large event: a doorbell, read it
    beat     [b"b/", pack([boot, opened, head, {topic: head}])]   heads of topics that changed lately
    whisper  [b"w/AGENT/", blob]
    welcome  [b"j/NONCE", as beat]                            once, to whoever subscribes to that topic of its own making

The topic of an event is b"e/AGENT/" (b"e//" for the house); b"e/" subscribes to all. `previous` is the seq of the
event before it with the same topic (0 if none), so whoever follows a topic sees a gap at once. A welcome says that all
subscriptions sent before it are in place. `boot` names one life of the journal, from start to death, and `opened` its newest
seq when that life began. A life may end before anyone heard what it stored, and a damaged disk may take back what it had
acknowledged: whoever meets a new life asks for what he missed, and knows that seqs above its `opened` are given anew.
"""

from dataclasses import asdict, dataclass
from typing import Any

import msgpack

from anima import errors
from anima.errors import AnimaError, BadMessage, Unavailable

APPEND, READ, ASK, WHISPER = b"append", b"read", b"ask", b"whisper"
OK, NO = b"ok", b"no"
BEAT_TOPIC = b"b/"
JOIN_TOPIC = b"j/"
ALL_EVENTS = b"e/"
NUMBER_BYTES = 8


def event_topic(agent: str) -> bytes:
    """Where events of `agent` are published; "" is the house."""
    return b"e/" + agent.encode() + b"/"


def whisper_topic(agent: str) -> bytes:
    """Where whispers about `agent` are published."""
    return b"w/" + agent.encode() + b"/"


@dataclass(frozen=True, slots=True)
class Query:
    """Which stored events are wanted: those with `since` < seq (and < `before`, if given), oldest first.

    With `newest`, the newest ones are chosen instead, still told oldest first. Empty texts and kinds mean any.
    """

    since: int = 0
    before: int = 0  #: 0 means no upper bound
    agent: str | None = None  #: None means any; "" is the house
    session: str | None = None  #: only together with agent
    kinds: tuple[str, ...] = ()
    limit: int = 0  #: 0 means as many as a page holds
    newest: bool = False

    def fields(self) -> dict[str, Any]:
        """The query as a map for the wire."""
        return asdict(self)


def read_query(content: Any) -> Query:
    """The query in an unpacked map. Raises BadMessage for anything else."""
    try:
        query = Query(**{**content, "kinds": tuple(content.get("kinds", ()))})
    except Exception as error:
        raise BadMessage(f"not a query: {error!r}") from error
    numbers = (query.since, query.before, query.limit)
    texts = (query.agent or "", query.session or "", *query.kinds)
    if not (
        all(type(number) is int and 0 <= number < 1 << 62 for number in numbers) and all(type(text) is str for text in texts)
    ):
        raise BadMessage("not a query: a field has the wrong type")
    if query.agent is None and query.session is not None:
        raise BadMessage("a query by session also names the agent")
    return query


def pack(content: Any) -> bytes:
    """Msgpack of plain values."""
    packed: bytes = msgpack.packb(content)
    return packed


def unpack(packed: bytes) -> Any:
    """Plain values from msgpack. Raises BadMessage for anything else."""
    try:
        return msgpack.unpackb(packed)
    except Exception as error:
        raise BadMessage(f"not msgpack: {error!r}") from error


def refusal(number: bytes, error: AnimaError) -> list[bytes]:
    """The frames that carry `error` back to the asker, where `refused` reads it."""
    return [NO, number, pack([type(error).__name__, str(error)])]


def refused(packed: bytes) -> AnimaError:
    """The error a `no` answer carries; one of an unknown class becomes Unavailable."""
    content = unpack(packed)
    if not (isinstance(content, list) and len(content) == 2):  # noqa: PLR2004 - name and sentence
        return Unavailable("the answer was a refusal without a reason")
    found = getattr(errors, str(content[0]), Unavailable)
    sort = found if isinstance(found, type) and issubclass(found, AnimaError) else Unavailable
    return sort(str(content[1]))
