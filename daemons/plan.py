"""Who shall live in a home: the tree with the numbers and the agents of its configuration."""

import os
from dataclasses import replace
from typing import cast

from anima.agent.folder import Folder
from anima.config import keyring
from anima.config.load import agent_digest, agent_names, digest, house_digest, load_house
from anima.config.schema import House
from anima.errors import ConfigError
from anima.limits import MIB
from anima.log.redact import redactor
from anima.nous.choose import Access, choose, modules_needed
from anima.paths import Home
from anima.purser.wards import read_wards
from anima.supervisor.spec import ChildSpec, Plan, Policy, Restart, Spawn
from anima.thymos.natures import read_natures
from anima.tools.registry import BUILT_IN
from daemons import TREE

#: Where the tools are declared: every agent describes them to its model, so all of them share one copy.
_TOOLS = tuple(dict.fromkeys(BUILT_IN.values()))

#: Kinds whose modules the root does not import before it forks: they bring libraries that would make all others heavy.
_APART = ("mneme",)


def plan(home: Home, *, strict: bool) -> Plan:
    """Who shall live in `home`, from its configuration.

    With `strict` (a reload), anything wrong raises ConfigError and nothing changes. Without (the first start), an agent
    whose own files are wrong is planned all the same: it ends with 78 and its sentence, and the others live.
    """
    keyring.ask_again()
    house = load_house(home)
    told = house.supervisor
    policy = Policy(
        burst=told.restart_burst,
        window_s=told.restart_window_s,
        delay_s=told.restart_delay_s,
        delay_max_s=told.restart_delay_max_s,
        reset_s=told.restart_reset_s,
        attempts_max=told.restart_attempts_max,
        spawn=cast("Spawn", told.spawn),  # the schema allows no other words
    )
    infrastructure = tuple(
        replace(
            spec,
            beat_s=told.beat_s,
            beats_missed_max=told.beats_missed_max,
            start_timeout_s=told.start_timeout_s,
            stop_timeout_s=told.stop_timeout_s,
            settings=_settings(spec.kind, home, house),
            preload=() if spec.kind in _APART else (f"daemons.{spec.kind}",),
        )
        for spec in TREE
    )
    agents = tuple(_agent(home, house, name, strict=strict) for name in agent_names(home))
    return Plan((*infrastructure, *agents), policy, redactor(house.secrets), house.log.may_use_journal)


def _settings(kind: str, home: Home, house: House) -> str:
    """Changes when a process of the infrastructure must be started anew to know its settings."""
    match kind:
        case "purser":  # what agents may spend
            told = (house.budget, house.models, house.definitions)
            return digest(house_digest(house), *told, sorted(read_wards(home, house).items(), key=lambda ward: ward[0]))
        case "thymos":  # how they feel
            natures = sorted((name, nature.digest) for name, nature in read_natures(home).items())
            return digest(house_digest(house), natures)
        case _:
            return house_digest(house)


def _agent(home: Home, house: House, name: str, *, strict: bool) -> ChildSpec:
    told = house.supervisor
    settings, model, restart = digest("wrong"), "reflex", "permanent"
    try:
        folder = Folder.read(home, name)  # as the agent will, so that what is wrong with it is said before it is touched
        agent = folder.settings
        settings = digest(agent_digest(home, name, house, agent), folder.persona, folder.always)
        restart = agent.restart
        model = agent.model or house.models.default
    except ConfigError:
        if strict:
            raise
    return ChildSpec(
        name=f"agent:{name}",
        kind="agent",
        restart=cast("Restart", restart),
        start_timeout_s=told.agent_start_timeout_s,
        stop_timeout_s=told.agent_stop_timeout_s,
        beat_s=told.beat_s,
        beats_missed_max=told.beats_missed_max,
        preload=("daemons.agent", *_TOOLS, *_heavy(model, house)),
        settings=settings,
        parallel=True,
        memory_bytes_max=told.agent_memory_mib * MIB,
        tasks_max=told.agent_tasks_max,
        oom_score=200,  # before what all agents need
    )


def _heavy(model: str, house: House) -> tuple[str, ...]:
    """What the agent's model will import, so that the root imports it once for all; nothing for a model that is none."""
    try:
        access = Access(os.environ, models=house.models, definitions=house.definitions)
        return modules_needed(choose(model, access).model_name, access)
    except ConfigError:
        return ()  # the agent says so to whoever asks it
