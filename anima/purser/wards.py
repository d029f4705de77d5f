"""Whom the purser looks after: what each agent may spend, and where its days begin."""

from dataclasses import dataclass
from datetime import UTC, tzinfo

from anima.clock import host_time_zone
from anima.config.load import agent_names, load_agent
from anima.config.schema import Budget, House
from anima.errors import ConfigError
from anima.paths import Home
from anima.purser.account import zone_of
from anima.purser.limits import resolved


@dataclass(frozen=True)
class Ward:
    """What one agent may spend, and where its days begin."""

    budget: Budget
    zone: tzinfo = UTC


def house_ward(house: House) -> Ward:
    """What holds for an agent that says nothing about it, and for one whose settings are wrong; that one does not run."""
    return Ward(house.budget, zone_of(host_time_zone()))


def read_wards(home: Home, house: House) -> dict[str, Ward]:
    """The agents for which something else holds, by name."""
    found = {}
    for name in agent_names(home):
        try:
            agent = load_agent(home, name)
        except ConfigError:
            continue
        ward = Ward(resolved(agent.budget, house.budget), zone_of(agent.time_zone or host_time_zone()))
        if ward != house_ward(house):
            found[name] = ward
    return found
