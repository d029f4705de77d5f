"""Which memories fit a question best: words, meaning, who spoke, when, how much it matters. Pure, over columns of numbers.

Two cheap looks over everything (postings of the question's words; signs of all vectors) choose a few hundred candidates, and
those are weighed exactly. All constants stand in one table, WEIGHTS; docs/mneme.md has what each one does, measured.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anima.mneme.asked import QUESTION, TIMED, Asked
from anima.mneme.index import Index, Places, signs

Floats = NDArray[np.float32]
_LONG = 60  # words: what is longer tells no more by that


@dataclass(frozen=True)
class Weights:
    """Every number of the ranking. What is added is relative to the best candidate's 1; `lift` multiplies what came of it."""

    k1: float = 1.2  # BM25 (Robertson and Zaragoza 2009), as FTS5 has them
    b: float = 0.75
    turn: float = 0.8  # words of the memory itself
    near: float = 0.8  # words of it and of the two turns before and after it
    meaning: float = 1.25  # cosine of the vectors, which hold the two turns before as well
    speaker: float = 0.7  # whom the question names said it
    timed: float = 0.2  # it speaks of a time, and a time is asked for
    question: float = -0.2  # it asks: answers tell more
    length: float = 0.15  # times the logarithm of its words, 60 at most: "Yes!" tells little, a page not more than a paragraph
    span: float = 0.5  # it is of the time that the question names
    lift_recent: float = 0.1  # times 2 to the power of -age / half-life
    lift_important: float = 0.3  # times importance - 0.5
    lift_accessed: float = 0.03  # times log(1 + how often it came to mind)
    lift_mood: float = 0.1  # times the cosine of the moods then and now
    cosine_min: float = 0.1  # of what has no word of the question: below it the vectors of this model say nothing
    half_lives_h: Mapping[str, float] = field(default_factory=lambda: {"fact": 8760.0, "pin": 8760.0, "goal2": 2016.0})
    half_life_h: float = 168.0  # of every other kind
    words_candidates: int = 150
    signs_candidates: int = 200


WEIGHTS = Weights()


@dataclass(frozen=True, slots=True)
class Ranked:
    """The candidates, best first, with what made each score."""

    places: Places
    scores: Floats
    fit: Floats  #: 0 to 1, how well each fits by itself: its cosine, or its share in the words, whichever is more
    parts: dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Sight:
    """What may be found, and from where it is looked at."""

    seen: NDArray[np.bool_]
    now: float  # seconds since 1970; 0: age does not matter


Fetch = Callable[[Places], NDArray[np.int8]]  #: the stored vectors of places, (places, dimensions); zeros for one without


def ranked(index: Index, asked: Asked, postings: Sequence[Places], sight: Sight, vector: Any, fetch: Fetch) -> Ranked:
    """Weigh the memories in sight. `postings` has the places of each of the question's words; `vector` its meaning, or None."""
    turn, idfs = worded(index, postings)
    by_signs = closest(index, vector, sight.seen) if vector is not None else np.empty(0, np.int64)
    pool = _pool(index, _best(turn, sight.seen & (turn > 0), WEIGHTS.words_candidates), by_signs, sight.seen)
    near, shares = nearby(index, postings, idfs, pool)
    kept = np.isin(pool, by_signs, assume_unique=True)
    fits = WEIGHTS.turn * _of_best(turn[pool]) + WEIGHTS.near * _of_best(near)
    kept[_best(fits, fits > 0, WEIGHTS.words_candidates)] = True
    places, near, shares = pool[kept], near[kept], shares[kept]
    if not len(places):
        return Ranked(places, np.empty(0, np.float32), np.empty(0, np.float32), {})
    cosines = _cosines(fetch(places), vector) if vector is not None else np.zeros(len(places), np.float32)
    kept = (near > 0) | (cosines >= WEIGHTS.cosine_min)
    places, near, shares, cosines = places[kept], near[kept], shares[kept], cosines[kept]
    parts = _parts(index, asked, places, (_of_best(turn[places]), _of_best(near), cosines))
    scores = sum(parts.values(), np.zeros(len(places), np.float32)) * (1 + _lift(index, places, sight.now))
    order = np.argsort(-scores, kind="stable")
    fit = np.maximum(cosines, shares)
    told = {name: part[order] for name, part in parts.items()}
    return Ranked(places[order], scores[order].astype(np.float32), fit[order], told)


def _pool(index: Index, by_words: Places, by_signs: Places, seen: NDArray[np.bool_]) -> Places:
    """What is weighed by the words around it as well."""
    wanted = np.zeros(index.size + 1, np.bool_)  # the last one stands for nobody
    wanted[index.window(by_words)] = True
    wanted[:-1] &= seen
    wanted[by_signs] = True
    pool: Places = np.flatnonzero(wanted[:-1])
    return pool


def worded(index: Index, postings: Sequence[Places]) -> tuple[Floats, list[float]]:
    """How well the words of each memory fit (BM25), and what each word of the question is worth."""
    turn = np.zeros(index.size, np.float32)
    mean = max(index.words_total / max(index.size, 1), 1.0)
    idfs = [math.log(1 + (index.size - len(places) + 0.5) / (len(places) + 0.5)) for places in postings]
    for places, idf in zip(postings, idfs, strict=True):
        turn[places] += np.float32(idf) * _saturated(np.float32(1), _lengths(index["words"][places] / np.float32(mean)))
    return turn, idfs


def nearby(index: Index, postings: Sequence[Places], idfs: Sequence[float], places: Places) -> tuple[Floats, Floats]:
    """The same for each of these places together with the two turns before and after it; and its own share in the words."""
    total, shares = np.zeros(len(places), np.float32), np.zeros(len(places), np.float32)
    mean = np.float32(max(index.words_total / max(index.size, 1), 1.0) * 5)
    length = _lengths(index["near_words"][places] / mean)
    window = index.window(places)
    there = np.zeros(index.size + 1, np.bool_)  # the last one stands for nobody
    for rows, idf in zip(postings, idfs, strict=True):
        there[rows] = True
        found = there[window]
        there[rows] = False
        total += np.float32(idf) * _saturated(found.sum(axis=0, dtype=np.float32), length)
        shares += np.float32(idf) * found[0]
    return total, shares / np.float32(sum(idfs) or 1.0)


def _lengths(relative: NDArray[Any]) -> Floats:
    """What BM25 has for texts of a length beside the mean one."""
    return np.asarray(WEIGHTS.k1 * (1 - WEIGHTS.b + WEIGHTS.b * relative), np.float32)


def _saturated(count: Any, lengths: Floats) -> Floats:
    return np.asarray(count * np.float32(WEIGHTS.k1 + 1) / (count + lengths), np.float32)


def _of_best(scores: Floats) -> Floats:
    best = float(scores.max(initial=0.0))
    return scores / np.float32(best) if best > 0 else scores


def closest(index: Index, vector: Any, seen: NDArray[np.bool_]) -> Places:
    """The memories whose vectors have the most signs in common with this one; a few hundred, in the order of their places."""
    wanted = signs(np.asarray(vector, np.float32)[None, :])[0]
    apart = np.empty(index.size, np.uint16)
    step = 1 << 16  # so many at a time stay in the processor's cache
    for start in range(0, index.size, step):
        piece = index.signs[:, start : start + step]
        total = np.bitwise_count(piece[0] ^ wanted[0]).astype(np.uint16)
        for word in range(1, len(wanted)):
            total += np.bitwise_count(piece[word] ^ wanted[word])
        apart[start : start + step] = total
    most = index.dimensions
    apart[~(seen & index["woven"])] = most + 1
    counts = np.cumsum(np.bincount(apart, minlength=most + 2)[: most + 1])
    limit = int(np.searchsorted(counts, WEIGHTS.signs_candidates))
    found: Places = np.flatnonzero(apart <= min(limit, most))
    return found[: 2 * WEIGHTS.signs_candidates]


def _best(scores: Floats, allowed: NDArray[np.bool_], count: int) -> Places:
    places: Places = np.flatnonzero(allowed)
    if len(places) > count:
        places = places[np.argpartition(-scores[places], count)[:count]]
    return places


def _cosines(codes: NDArray[np.int8], vector: Any) -> Floats:
    numbers = codes.astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", numbers, numbers))
    # einsum, not @: waking BLAS's threads takes longer than this
    return np.asarray(np.einsum("ij,j->i", numbers, np.asarray(vector, np.float32)) / np.maximum(lengths, 1), np.float32)


def _parts(index: Index, asked: Asked, places: Places, found: tuple[Floats, Floats, Floats]) -> dict[str, Floats]:
    """What each candidate's score is the sum of."""
    turn, near, cosines = found
    w, marks = WEIGHTS, index["marks"][places]
    parts = {"words": w.turn * turn, "near": w.near * near, "meaning": w.meaning * np.maximum(_of_best(cosines), 0)}
    parts["length"] = w.length * np.log(np.clip(index["words"][places], 1, _LONG))
    parts["question"] = w.question * ((marks & QUESTION) > 0)
    if asked.names:
        said = [index.speakers.known[name] for name in asked.names]
        parts["speaker"] = w.speaker * np.isin(index["speaker"][places], said)
    if asked.when:
        parts["timed"] = w.timed * ((marks & TIMED) > 0)
    if asked.spans:
        ts = index["ts"][places]
        parts["span"] = w.span * np.any([(ts >= start) & (ts < end) for start, end in asked.spans], axis=0)
    return {name: np.asarray(part, np.float32) for name, part in parts.items()}


def _lift(index: Index, places: Places, now: float) -> Floats:
    """What age, importance and having come to mind before add, as a share."""
    w = WEIGHTS
    lift = w.lift_important * (index["importance"][places] - 0.5) + w.lift_accessed * np.log1p(index["accessed"][places])
    if now:
        by_kind = np.array([w.half_lives_h.get(name, w.half_life_h) for name in index.kinds.known] or [w.half_life_h])
        age_h = np.maximum(now - index["ts"][places], 0) / 3_600
        lift = lift + w.lift_recent * np.exp2(-age_h / by_kind[index["kind"][places]])
    return np.asarray(lift, np.float32)


def like(then: Mapping[str, float], now: Mapping[str, float]) -> float:
    """How much two moods point the same way, -1 to 1; 0 if there is none."""
    size = math.sqrt(sum(x * x for x in then.values()) * sum(x * x for x in now.values()))
    return sum(value * now.get(name, 0.0) for name, value in then.items()) / size if size else 0.0
