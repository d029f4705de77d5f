"""What an agent.toml may say about feelings: whether they are heard, what they may move, and where the hormones rest."""

from dataclasses import dataclass

from anima.config.option import option
from anima.wire.feelings import GLANDS, LEVEL_MAX

_HALF_LIFE_MIN_S = 1.0
_HALF_LIFE_MAX_S = 10 * 365 * 86_400.0


@dataclass(frozen=True)
class Thymos:
    """Whether an agent feels, and what its feelings may move. None of it widens what the agent may do or spend."""

    on: bool = option(True, "hear desires and the inner voice; its feelings are kept either way")
    language: str = option("en", "language of the words, one that feelings.toml is written in")
    appraisal: str = option(
        "lexicon",
        "who judges a person's words: a small lexicon, or the fast model (within the agent's budget; else the lexicon)",
        choices=("lexicon", "model"),
    )
    thinking: bool = option(
        True, "frustration lengthens thinking: thinking_tokens_max * (1 + frustration / 50), never above answer_tokens_max"
    )
    steps: bool = option(False, "tension shortens persistence: down to half of turn_steps_max, never above it")
    tier: bool = option(False, "weariness leaves a step to the fast model")
    recall: bool = option(True, "mood widens or narrows what comes to mind, to between half and one and a half of it")
    heartbeat: bool = option(True, "weariness slows heartbeats, curiosity hastens them: to between half and twice the interval")


def _baseline(hormone: str) -> float:
    doc = f"level at which {hormone} rests"
    return option(GLANDS[hormone].baseline, doc, min=0, max=LEVEL_MAX)


def _half_life(hormone: str) -> float:
    doc = f"time in which {hormone} returns half of the way to where it rests"
    return option(GLANDS[hormone].half_life_s, doc, "s", min=_HALF_LIFE_MIN_S, max=_HALF_LIFE_MAX_S)


@dataclass(frozen=True)
class Glands:
    """Where an agent's hormones rest and how fast they return; a change is felt as if it had always been so."""

    dopamine_baseline: float = _baseline("dopamine")
    dopamine_half_life_s: float = _half_life("dopamine")
    serotonin_baseline: float = _baseline("serotonin")
    serotonin_half_life_s: float = _half_life("serotonin")
    oxytocin_baseline: float = _baseline("oxytocin")
    oxytocin_half_life_s: float = _half_life("oxytocin")
    testosterone_baseline: float = _baseline("testosterone")
    testosterone_half_life_s: float = _half_life("testosterone")
    cortisol_baseline: float = _baseline("cortisol")
    cortisol_half_life_s: float = _half_life("cortisol")
    endorphins_baseline: float = _baseline("endorphins")
    endorphins_half_life_s: float = _half_life("endorphins")
    frustration_baseline: float = _baseline("frustration")
    frustration_half_life_s: float = _half_life("frustration")
