"""How experience changes a soul: eligibility traces, a three-factor rule, habituation, and a slow drift back. Pure.

    trace     what was felt lately, by stimulus and hormone; it halves every TRACE_HALF_LIFE_S
    outcome   success, failure, praise, criticism: a reward in [-1, 1]
    rule      gain += RATE * reward * trace, at most STEP_MAX at once       (stimulus x response x reward: three factors)
    habit     the same fright again and no harm came of it: the fear in it sinks, the interest in it rises; harm undoes it
    drift     towards the soul it was born with, half of the way in DRIFT_HALF_LIFE_S

The rule is that of reward-modulated plasticity (Izhikevich 2007, "Solving the distal reward problem through linkage of STDP
and dopamine signaling"), the traces those of reinforcement learning (Sutton and Barto, Reinforcement Learning, ch. 12);
habituation as exponential approach after Rescorla and Wagner 1972. The numbers are choices; docs/thymos.md shows what they do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from anima.wire.feelings import GAIN_MAX, HORMONES, NEUTRAL, Gains

TRACE_HALF_LIFE_S = 600.0
TRACE_MIN = 0.02  # less is forgotten
RATE = 0.04
STEP_MAX = 0.05
HABIT_RATE = 0.05  # of the way to where habituation leads, each time nothing bad came of it
HARM_S = 900.0  # so long after a fright harm may still come of it
DRIFT_HALF_LIFE_S = 180 * 86_400.0
DRIFT_STEP_S = 3_600.0
TOLD_MIN = 0.05  # a smaller change is not worth an event: it is told with the next one

#: What an outcome is worth.
REWARDS: dict[str, float] = {
    "praise": 1.0,
    "goal_reached": 1.0,
    "gratitude": 0.5,
    "task_finished": 0.5,
    "criticism": -1.0,
    "task_failed": -0.5,
}
HARM = frozenset({"criticism", "task_failed", "crash"})

#: Frights one can get used to: where the gains of fear and of interest go in the end.
HABITS: dict[str, dict[str, float]] = {
    "threat": {"cortisol": 0.6, "dopamine": 2.1},
    "criticism": {"cortisol": 0.6},
    "deadline_near": {"cortisol": 0.6},
    "crash": {"cortisol": 0.6},
    "question_unanswered": {"cortisol": 0.6},
}

Halved = Callable[[float], float]  #: 2 ** -x, the same on every machine


@dataclass(slots=True)
class Growth:
    """What a soul remembers of what was felt lately."""

    gains: Gains = field(default_factory=dict)  #: now
    born: Gains = field(default_factory=dict)  #: as it was set, by a person or at birth; where it drifts back to
    told: Gains = field(default_factory=dict)  #: as the journal knows it
    traces: dict[str, tuple[float, ...]] = field(default_factory=dict)  #: as they were when each was last felt...
    traced: dict[str, float] = field(default_factory=dict)  #: ...and when that was: fading is worked out when it matters
    frights: dict[str, float] = field(default_factory=dict)  #: when each was last met, until harm came or time passed
    ts: float = 0.0  #: up to when it has drifted
    reasons: list[str] = field(default_factory=list)  #: of what is not told yet
    moved: bool = False  #: since somebody asked whether it is to be told


def live(growth: Growth, ts: float, stimulus: str, change: tuple[float, ...], halved: Halved) -> None:
    """Something was felt: `change` is what it did to each level. Traces, habits and the rule, in this order of time."""
    _pass_time(growth, ts, halved)
    if stimulus in HABITS:
        if growth.frights.pop(stimulus, None) is not None:
            _get_used(growth, stimulus)
        growth.frights[stimulus] = ts
    if stimulus in HARM:
        for other in [name for name, at in growth.frights.items() if name != stimulus and ts - at <= HARM_S]:
            del growth.frights[other]
            _was_right(growth, other)
    if stimulus in REWARDS:
        _fade(growth, ts, halved)
        _learn(growth, stimulus, REWARDS[stimulus])
    else:
        old = _faded(growth, stimulus, ts, halved)
        growth.traced[stimulus] = max(ts, growth.traced.get(stimulus, ts))
        growth.traces[stimulus] = tuple(
            [trace + abs(delta) / 10.0 if delta else trace for trace, delta in zip(old, change, strict=True)]
        )
        if max(growth.traces[stimulus]) > 1.0:
            growth.traces[stimulus] = tuple([min(1.0, trace) for trace in growth.traces[stimulus]])


def set_soul(growth: Growth, gains: Gains) -> None:
    """A person made this soul: it is what it drifts back to from now on."""
    growth.gains, growth.born, growth.told = dict(gains), dict(gains), dict(gains)
    growth.reasons.clear()


def untold(growth: Growth) -> bool:
    """Whether the soul is so far from what the journal knows that it should be told."""
    for stimulus in growth.gains.keys() | growth.told.keys():
        now, told = growth.gains.get(stimulus, NEUTRAL), growth.told.get(stimulus, NEUTRAL)
        if now != told and any(abs(a - b) >= TOLD_MIN for a, b in zip(now, told, strict=True)):
            return True
    return False


def _pass_time(growth: Growth, ts: float, halved: Halved) -> None:
    """Drift home, an hour or more at once: what less does shows nowhere, and this is asked at every event."""
    if not growth.ts:
        growth.ts = ts
    elapsed_s = ts - growth.ts
    if elapsed_s < DRIFT_STEP_S:
        return
    growth.ts = ts
    kept = halved(elapsed_s / DRIFT_HALF_LIFE_S)
    for stimulus in growth.gains.keys() | growth.born.keys():
        born, now = growth.born.get(stimulus, NEUTRAL), growth.gains.get(stimulus, NEUTRAL)
        if now == born:
            continue
        growth.gains[stimulus] = tuple(home + (gain - home) * kept for home, gain in zip(born, now, strict=True))


def _faded(growth: Growth, stimulus: str, ts: float, halved: Halved) -> tuple[float, ...]:
    """The trace of a stimulus at `ts`; zeros if there is none."""
    row = growth.traces.get(stimulus)
    if row is None:
        return (0.0,) * len(HORMONES)
    fading = halved(max(0.0, ts - growth.traced[stimulus]) / TRACE_HALF_LIFE_S)
    return tuple([trace * fading for trace in row])


def _fade(growth: Growth, ts: float, halved: Halved) -> None:
    """Bring all traces to `ts`, and forget those that are gone."""
    faded = {stimulus: _faded(growth, stimulus, ts, halved) for stimulus in growth.traces}
    growth.traces = {stimulus: row for stimulus, row in faded.items() if max(row) >= TRACE_MIN}
    growth.traced = dict.fromkeys(growth.traces, ts)


def _learn(growth: Growth, outcome: str, reward: float) -> None:
    for stimulus, row in growth.traces.items():
        if reward < 0 and stimulus in HABITS:
            continue  # a fear that harm followed is not unlearned by it
        _shift(
            growth, stimulus, tuple([max(-STEP_MAX, min(STEP_MAX, RATE * reward * trace)) if trace else 0.0 for trace in row])
        )
    if growth.traces:
        _note(growth, f"{outcome} after {', '.join(sorted(growth.traces))}")


def _get_used(growth: Growth, stimulus: str) -> None:
    row = growth.gains.get(stimulus, NEUTRAL)
    ends: Mapping[str, float] = HABITS[stimulus]
    _shift(
        growth,
        stimulus,
        tuple(HABIT_RATE * (ends[name] - gain) if name in ends else 0.0 for name, gain in zip(HORMONES, row, strict=True)),
    )
    _note(growth, f"{stimulus} again, and no harm came of it")


def _was_right(growth: Growth, stimulus: str) -> None:
    """Harm came of a fright: the fear in it rises, and so much faster than it sinks."""
    row = growth.gains.get(stimulus, NEUTRAL)
    fear = HORMONES.index("cortisol")
    step = 2 * HABIT_RATE * (GAIN_MAX - row[fear])
    _shift(growth, stimulus, tuple(step if place == fear else 0.0 for place in range(len(HORMONES))))
    _note(growth, f"harm came of {stimulus}")


def _shift(growth: Growth, stimulus: str, by: tuple[float, ...]) -> None:
    row = list(growth.gains.get(stimulus, NEUTRAL))
    for place, step in enumerate(by):
        if step:
            row[place] = max(0.0, min(GAIN_MAX, row[place] + step))
    growth.gains[stimulus] = tuple(row)
    growth.moved = True


def _note(growth: Growth, reason: str) -> None:
    """Keep a reason until it is told, each once."""
    if reason not in growth.reasons:
        growth.reasons.append(reason)
