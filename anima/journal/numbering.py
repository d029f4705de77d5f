"""Which number, time and chain value each event gets. Pure: what is to be stored is decided here, and nowhere else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from anima.journal.admission import Entry
from anima.wire.chain import START, link

Place = tuple[int, bool]  #: seq of an appended event, and whether it is new
NewRow = tuple[int, str, float, str, str, str, bytes, bytes]  #: the columns of `events`


@dataclass(frozen=True, slots=True)
class Told:
    """One new row as it is published: `previous` is the seq before it of the same agent, 0 if none."""

    agent: str
    previous: int
    seq: int
    ts: float
    blob: bytes


@dataclass(slots=True)
class Commit:
    """What one transaction does: for each batch the place of each event, and the rows that are new."""

    places: list[list[Place]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    rows: list[NewRow] = field(default_factory=list)


@dataclass(slots=True)
class Tip:
    """Where the journal ends: the newest row, and the newest seq of every agent."""

    seq: int = 0
    ts: float = 0.0
    chain: bytes = START
    heads: dict[str, int] = field(default_factory=dict)


def plan(batches: Iterable[Sequence[Entry]], known: dict[str, int], tip: Tip, now: float) -> Commit:
    """Number, date and chain the new events of `batches` after `tip`. Pure; `known` maps ids already stored to their seq.

    An id that comes twice, here or earlier, keeps its first place: sending an event again is harmless.
    """
    commit = Commit()
    seq, chain, ts = tip.seq, tip.chain, max(tip.ts, now)
    fresh: dict[str, int] = {}
    moved: dict[str, int] = {}
    for batch in batches:
        places: list[Place] = []
        for entry in batch:
            old = known.get(entry.id) or fresh.get(entry.id)
            if old:
                places.append((old, False))
                continue
            seq += 1
            chain = link(chain, seq, ts, entry.blob)
            agent = entry.agent
            previous = moved.get(agent) or tip.heads.get(agent, 0)
            fresh[entry.id] = moved[agent] = seq
            places.append((seq, True))
            commit.told.append(Told(agent, previous, seq, ts, entry.blob))
            commit.rows.append((seq, entry.id, ts, entry.kind, agent, entry.session, entry.blob, chain))
        commit.places.append(places)
    return commit
