"""How each agent of a house feels, from its settings and the words in feelings.toml."""

from functools import cache
from pathlib import Path

from anima.config.load import agent_names, digest, load_agent
from anima.config.schema import Agent
from anima.errors import ConfigError
from anima.paths import Home
from anima.thymos.appraise import appraise
from anima.thymos.being import Nature
from anima.thymos.heart import Temper
from anima.thymos.levels import rest
from anima.thymos.voice import Vocabulary, read_vocabulary, standard
from anima.wire.feelings import HORMONES, Gland


def nature(settings: Agent, words: Path | None = None) -> Nature:
    """That of an agent with these settings. Raises ConfigError about its words."""
    told, glands = settings.thymos, settings.glands
    resting = rest(
        {name: Gland(getattr(glands, f"{name}_baseline"), getattr(glands, f"{name}_half_life_s")) for name in HORMONES}
    )
    judge = appraise if told.appraisal == "lexicon" else _unmoved
    vocabulary = _read(words, told.language) if words else standard(told.language)
    return Nature(Temper(resting, judge), vocabulary, digest(resting, told.appraisal, vocabulary))


def read_natures(home: Home) -> dict[str, Nature]:
    """All agents of the house that can be read; who cannot is usual, and does not run."""
    found = {}
    for name in agent_names(home):
        try:
            found[name] = nature(load_agent(home, name), words_of(home, name))
        except ConfigError:
            continue
    return found


def words_of(home: Home, name: str) -> Path | None:
    """The feelings.toml that holds for an agent: its own, else the house's; None for the one that comes with the program."""
    return next((path for path in (home.agent(name) / "feelings.toml", home.root / "feelings.toml") if path.exists()), None)


@cache
def usual() -> Nature:
    """That of an agent whose settings say nothing, or are gone."""
    return nature(Agent())


def _read(path: Path, language: str) -> Vocabulary:
    try:
        return read_vocabulary(path.read_text("utf-8"), language, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); correct it or remove it") from None


def _unmoved(_: str) -> dict[str, float]:
    """Words are judged elsewhere, and come as events of kind stimulus."""
    return {}
