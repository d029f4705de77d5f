"""Whether a call may be made: what its budget is, what is spent, and what it takes at most. Pure."""

import dataclasses
from dataclasses import dataclass

from anima.config.schema import NO_LIMIT, Budget
from anima.purser.account import Sum

_WORDS = {  # of each amount: how it is called, and how it is written
    "calls": ("model calls", "{:.0f}"),
    "tokens": ("tokens", "{:.0f}"),
    "usd": ("US dollars", "{:.4f}"),
    "wall_s": ("seconds of model calls", "{:.1f}"),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """One line of a budget, and how it stands."""

    setting: str  #: as agent.toml calls it: day_calls
    amount: str  #: calls, tokens, usd or wall_s
    at_most: float
    spent: float  #: reservations included

    @property
    def left(self) -> float:
        """What may still be spent; never below 0."""
        return max(0.0, self.at_most - self.spent)

    @property
    def over(self) -> bool:
        """Whether more was spent than may be."""
        return self.spent > self.at_most

    def sentence(self) -> str:
        """How it stands, for a person."""
        name, form = _WORDS[self.amount]
        span = "today" if self.setting.startswith("day_") else "this turn"
        return f"{form.format(self.spent)} of {form.format(self.at_most)} {name} are spent {span} ({self.setting})"


def resolved(agent: Budget, house: Budget) -> Budget:
    """The agent's budget, with the house's where it says nothing."""
    told = dataclasses.asdict(agent)
    mine = {name: value for name, value in told.items() if value not in (NO_LIMIT, "")}
    return dataclasses.replace(house, **mine)


def standing(budget: Budget, day: Sum, turn: Sum) -> list[Limit]:
    """How every limit that there is stands."""
    lines = (
        ("day_calls", "calls", budget.day_calls, day.calls),
        ("day_tokens", "tokens", budget.day_tokens, day.tokens),
        ("day_usd", "usd", budget.day_usd, day.usd),
        ("day_wall_s", "wall_s", budget.day_wall_s, day.wall_s),
        ("turn_calls", "calls", budget.turn_calls, turn.calls),
        ("turn_tokens", "tokens", budget.turn_tokens, turn.tokens),
        ("turn_usd", "usd", budget.turn_usd, turn.usd),
        ("turn_wall_s", "wall_s", budget.turn_wall_s, turn.wall_s),
    )
    return [Limit(setting, amount, most, spent) for setting, amount, most, spent in lines if most != NO_LIMIT]


def refused(budget: Budget, day: Sum, turn: Sum, wanted: Sum) -> str:
    """Why a call that takes `wanted` at most may not be made, one sentence; "" if it may.

    Its time is not looked at: that can be cut off when it is over. A price that is unknown fits no budget of money,
    unless the budget says that it shall.
    """
    for limit in standing(budget, day, turn):
        takes = getattr(wanted, limit.amount)
        if limit.amount == "wall_s":
            exceeds = limit.left == 0
        elif limit.amount == "usd" and wanted.unpriced:
            exceeds = budget.unknown_price != "allow"
            if exceeds:
                return (
                    f"nobody knows what this model costs, and there is a budget of money ({limit.setting}); write its price "
                    'into models/NAME.toml, or unknown_price = "allow" into [budget]'
                )
        else:
            exceeds = limit.spent + takes > limit.at_most
        if exceeds:
            name, form = _WORDS[limit.amount]
            need = "" if limit.amount == "wall_s" else f", and the next call may take {form.format(takes)}"
            return f"the budget of {name} is used up: {limit.sentence()}{need}; `animactl budget` shows on what"
    return ""


def time_left_s(budget: Budget, day: Sum, turn: Sum) -> float:
    """How long the next call may take; infinite without a limit."""
    return min((each.left for each in standing(budget, day, turn) if each.amount == "wall_s"), default=float("inf"))
