"""One agent's feelings as a pure fold over its events: no clock, no chance, no file.

    heart = Heart()
    for event in journal:      # in order
        moves = beat(heart, event, temper)
    felt = at(heart, now, temper)

What comes out depends on the events alone, to the bit: killed, replayed or computed on another machine, an agent feels the
same. Time is the journal's `ts`. What the passing of time itself does (silence, a question nobody answers) happens at the
moment it was due, found when the next event is folded or somebody asks; nothing has to tick for it.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from anima.errors import BadMessage
from anima.thymos.levels import DEFAULT_REST, Levels, Rest, after, born, moved
from anima.wire.events import (
    AgentMessage,
    Body,
    Event,
    ProcessEnded,
    ProcessReady,
    SoulChanged,
    Stimulus,
    ToolCall,
    ToolResponse,
    TurnEnded,
    UserMessage,
)
from anima.wire.feelings import Gains, check_stimulus, read_gains

SILENCE_S = 12 * 3_600.0  # without a word from anybody; the next one is due after twice as long
SILENCES_MAX = 5
ANSWER_S = 3_600.0  # so long a question of the agent's own may go unanswered before that is felt
QUESTIONS_MAX = 16  # open ones that are remembered, in different sessions
REPEATS_MIN = 2  # the same call once more is a second look; again after that it is tedious
TASK_STEPS = 2  # a turn of that many model calls was work, not talk
#: The kinds of event that are felt.
READS = (
    "user_message",
    "agent_message",
    "tool_call",
    "tool_response",
    "turn_ended",
    "stimulus",
    "soul_changed",
    "process_ended",
    "process_ready",
)
_UNWILLING = ("signal", "watchdog", "exit", "start-timeout")
_FAILED = ("failed", "unknown")

_spell = json.JSONEncoder(sort_keys=True, default=repr).encode  # made once: json.dumps makes a new one each time

Appraise = Callable[[str], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Temper:
    """What makes one agent feel otherwise than another: the gains of its soul, and where its glands rest."""

    resting: Rest = DEFAULT_REST
    appraise: Appraise = lambda _: {}


@dataclass(frozen=True, slots=True)
class Move:
    """One stimulus and what it did: for `thymos why`."""

    seq: int  #: of the event that brought it, or of the first after it became due
    ts: float
    stimulus: str
    strength: float
    before: Levels
    after: Levels


@dataclass(slots=True)
class Heart:
    """What an agent feels, and what it must remember to feel what comes next."""

    levels: Levels = field(default_factory=born)
    ts: float = 0.0  #: of the levels: when they were moved last; 0 before anything happened
    gains: Gains = field(default_factory=dict)
    heard_at: float = 0.0  #: when somebody last said something; 0 for never
    silences: int = 0  #: felt since
    asked: dict[str, float] = field(default_factory=dict)  #: when it asked something nobody answered yet, by session
    last_call: str = ""
    repeats: int = 0  #: of that very call, without another between
    down: bool = False  #: its process ended against its will and is not back yet
    soul_seq: int = 0  #: of the event by which a person made the soul what it is; what was found out before it is void


def beat(heart: Heart, event: Event, temper: Temper) -> list[Move]:
    """Fold the next event into the heart; returns what moved it. Raises BadMessage for a malformed body: nothing changed."""
    body = event.body
    if isinstance(body, Stimulus):
        check_stimulus(body.stimulus, body.strength)
    gains = read_gains(body.gains) if isinstance(body, SoulChanged) else None
    moves = list(_come_due(heart, event.ts, event.seq, temper))
    if stimuli := list(
        _stimuli(heart, event, body, temper)
    ):  # what moves nothing leaves the levels as they were when moved last
        _decay(heart, event.ts, temper)
        moves += [_move(heart, stimulus, strength, event.seq) for stimulus, strength in stimuli]
    if gains is not None and isinstance(body, SoulChanged):
        if event.source != "thymos":
            heart.gains, heart.soul_seq = gains, event.seq
        elif body.basis >= heart.soul_seq:
            heart.gains = gains
    return moves


def at(heart: Heart, now: float, temper: Temper) -> Heart:
    """The heart at `now`, if nothing more happens until then; the given one stays as it is."""
    later = replace(heart, asked=dict(heart.asked))
    for _ in _come_due(later, now, 0, temper):
        pass
    _decay(later, now, temper)
    return later


def at_levels(move: Move | None, ts: float, resting: Rest) -> Levels:
    """The levels at `ts`, if nothing happened since that move; of somebody never moved without one."""
    return after(move.after, ts - move.ts, resting) if move else born(resting)


def _come_due(heart: Heart, now: float, seq: int, temper: Temper) -> Iterator[Move]:
    """What became due until `now`, felt when it was due."""
    if not heart.ts:
        heart.ts = now
    while (due := _due(heart)) and due[0] <= now:
        _decay(heart, due[0], temper)
        if due[1] == "silence":
            heart.silences += 1
        else:
            del heart.asked[due[2]]
        yield _move(heart, due[1], 1.0, seq)


def _due(heart: Heart) -> tuple[float, str, str] | None:
    """What time brings next: (when, stimulus, session)."""
    coming = [(asked_at + ANSWER_S, "question_unanswered", session) for session, asked_at in heart.asked.items()]
    if heart.heard_at and heart.silences < SILENCES_MAX:
        coming.append((heart.heard_at + SILENCE_S * (2**heart.silences), "silence", ""))
    return min(coming, default=None)


def _decay(heart: Heart, now: float, temper: Temper) -> None:
    heart.levels = after(heart.levels, now - heart.ts, temper.resting)
    heart.ts = max(heart.ts, now)


def _move(heart: Heart, stimulus: str, strength: float, seq: int) -> Move:
    before = heart.levels
    heart.levels = moved(before, stimulus, strength, heart.gains)
    return Move(seq, heart.ts, stimulus, strength, before, heart.levels)


def _stimuli(heart: Heart, event: Event, body: Body, temper: Temper) -> Iterator[tuple[str, float]]:
    """What this event is to the one it happens to; what must be remembered of it is."""
    match body:
        case UserMessage(text):
            heart.heard_at, heart.silences = event.ts, 0
            heart.asked.pop(event.session, None)
            yield "message", 1.0
            yield from sorted(temper.appraise(text).items())
        case AgentMessage(text) if text.rstrip().endswith("?") and len(heart.asked) < QUESTIONS_MAX:
            heart.asked[event.session] = event.ts
        case ToolCall(tool=tool, args=args):
            yield from _again(heart, tool, args)
        case ToolResponse(ok=ok, outcome=outcome):
            if ok:
                yield "tool_succeeded", 1.0
            elif outcome in ("", *_FAILED):
                yield "tool_failed", 1.0
        case Stimulus(stimulus, strength):
            yield stimulus, strength
        case _:
            yield from _of_lives(heart, body)


def _of_lives(heart: Heart, body: Body) -> Iterator[tuple[str, float]]:
    """What ends and begins: turns, and the agent's own process."""
    match body:
        case TurnEnded(outcome="answered", steps=steps) if steps >= TASK_STEPS:
            yield "task_finished", 1.0
        case TurnEnded(outcome="failed"):
            yield "task_failed", 1.0
        case ProcessEnded(cause=cause) if cause in _UNWILLING:
            heart.down = True
            yield "crash", 1.0
        case ProcessReady() if heart.down:
            heart.down = False
            yield "return", 1.0
        case _:
            pass


def _again(heart: Heart, tool: str, args: dict[str, object]) -> Iterator[tuple[str, float]]:
    canonical = _spell([tool, args])
    call = hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    heart.repeats = heart.repeats + 1 if call == heart.last_call else 0
    heart.last_call = call
    if heart.repeats >= REPEATS_MIN:
        yield "repetition", 1.0


def pack(heart: Heart) -> list[object]:
    """The heart as plain values, floats to the bit; `unpack` is the way back."""
    return [
        list(heart.levels),
        heart.ts,
        {stimulus: list(row) for stimulus, row in heart.gains.items()},
        heart.heard_at,
        heart.silences,
        heart.asked,
        heart.last_call,
        heart.repeats,
        heart.down,
        heart.soul_seq,
    ]


def unpack(found: list[object]) -> Heart:
    """The heart in what `pack` made. Raises BadMessage for anything else."""
    try:
        levels, ts, gains, heard_at, silences, asked, last_call, repeats, down, soul_seq = found
        return Heart(
            tuple(levels),  # type: ignore[arg-type]
            ts,  # type: ignore[arg-type]
            {stimulus: tuple(row) for stimulus, row in gains.items()},  # type: ignore[attr-defined]
            heard_at,  # type: ignore[arg-type]
            silences,  # type: ignore[arg-type]
            dict(asked),  # type: ignore[call-overload]
            last_call,  # type: ignore[arg-type]
            repeats,  # type: ignore[arg-type]
            down,  # type: ignore[arg-type]
            soul_seq,  # type: ignore[arg-type]
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise BadMessage(f"not a heart: {error!r}") from error
