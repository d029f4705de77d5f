"""What feelings do, in numbers and pictures: `python bench/thymos/effects.py [--out docs/thymos]`. The same on every run.

Step response, recovery and saturation of the levels; then one recorded day, lived by the same scripted agent with feelings and
without: how its thinking budget, its steps, its heartbeats and what it hears differ. Two souls live through the same day.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent.parent), str(Path(__file__).parent.parent)]

from tables import show  # noqa: E402

from anima.agent.folder import Folder  # noqa: E402
from anima.agent.life import Life  # noqa: E402
from anima.agent.thinker import Thinker  # noqa: E402
from anima.bus.loopback import Loopback  # noqa: E402
from anima.cli.svg import curves  # noqa: E402
from anima.clock import FakeClock  # noqa: E402
from anima.config.schema import House  # noqa: E402
from anima.paths import Home  # noqa: E402
from anima.psyche.archetypes import named  # noqa: E402
from anima.psyche.soul import GrowingSoul  # noqa: E402
from anima.store.database import open_database  # noqa: E402
from anima.thymos.answers import Answers  # noqa: E402
from anima.thymos.decay import halved  # noqa: E402
from anima.thymos.diary import Diary  # noqa: E402
from anima.thymos.hearts import Hearts  # noqa: E402
from anima.thymos.levels import DEFAULT_REST, after, born, moved  # noqa: E402
from anima.wire.events import (  # noqa: E402
    Event,
    SoulChanged,
    ToolCall,
    ToolResponse,
    UserMessage,
    event,
)
from anima.wire.feelings import HORMONES, write_gains  # noqa: E402

BEGAN = 1_750_000_000.0
HOUR_S = 3_600.0
THINKING = 4_000
#: (hours after the one before, what is said, how many of the turn's calls fail, how many succeed)
DAY = (
    (0.0, "good morning, please set up the build", 0, 2),
    (0.2, "now make the tests pass", 4, 0),
    (0.1, "try again", 4, 0),
    (0.1, "that is wrong again, this is unacceptable", 3, 1),
    (0.3, "one more time, please", 0, 3),
    (0.5, "well done, thank you so much!", 0, 0),
    (2.0, "write the report", 1, 4),
    (1.0, "and the summary", 0, 3),
    (6.0, "are you there?", 0, 0),
    (0.1, "urgent: the deadline is today, it must be done now!", 2, 2),
    (0.2, "great work, thank you", 0, 0),
    (11.0, "good morning", 0, 1),
)


def levels_over(
    moves: list[tuple[float, str]], until_s: float, soul: str = "neutral"
) -> tuple[list[float], dict[str, list[float]]]:
    """Levels at every 30 s while stimuli of strength 1 come at these moments (s, name)."""
    gains, levels, times = named(soul), born(DEFAULT_REST), []
    series: dict[str, list[float]] = {hormone: [] for hormone in HORMONES}
    at, waiting = 0.0, sorted(moves)
    for tick in range(int(until_s / 30) + 1):
        now = tick * 30.0
        while waiting and waiting[0][0] <= now:
            when, stimulus = waiting.pop(0)
            levels, at = moved(after(levels, when - at, DEFAULT_REST), stimulus, 1.0, gains), when
        shown = after(levels, now - at, DEFAULT_REST)
        times.append(BEGAN + now)
        for hormone, level in zip(HORMONES, shown, strict=True):
            series[hormone].append(level)
    return times, series


class Day:
    """One life of the scripted agent through DAY, with a thymos on the same bus."""

    def __init__(self, folder: Path, soul: str, *, feels: bool) -> None:
        self.clock = FakeClock(BEGAN)
        self.bus = Loopback(self.clock)
        self.home = Home(folder, folder / "run")
        self._soul = soul
        self._feels = feels
        self.rows: list[dict[str, Any]] = []
        self.series: dict[str, list[float]] = {hormone: [] for hormone in HORMONES}
        self.times: list[float] = []

    async def live(self) -> None:
        place = self.home.agent("arya")
        place.mkdir(parents=True)
        place.joinpath("persona.md").write_text("You are Arya.")
        script = []
        for number, (_, text, bad, good) in enumerate(DAY):
            calls = [("read_file", f"no{number}.{n}") for n in range(bad)] + [
                ("read_file", f"yes{number}.{n}") for n in range(good)
            ]
            script += [{"match": text, "calls": [{"tool": tool, "args": {"path": path}}], "once": True} for tool, path in calls]
        script.append({"text": "done"})
        place.joinpath("play.jsonl").write_text("".join(json.dumps(each) + "\n" for each in script))
        switches = f"[thymos]\non = {str(self._feels).lower()}\nsteps = true\n"
        place.joinpath("agent.toml").write_text(f'model = "scripted:play.jsonl"\nthinking_tokens_max = {THINKING}\n{switches}')
        database = open_database(self.home.root / "thymos.db", files("anima.thymos") / "schema")
        with contextlib.closing(database) as connection:
            diary = Diary(connection)
            self.hearts = Hearts(self.bus, diary, {}, partial(GrowingSoul, halved))
            self.answers = Answers(self.hearts, diary, self.clock, named)
            await self.bus.serve("thymos", self.answers.verbs())
            if self._soul != "neutral":
                await self._happens(SoulChanged(write_gains(named(self._soul)), "born so", self._soul))
            await self._turns()

    async def _turns(self) -> None:
        feeling = asyncio.create_task(self.hearts.live())
        working = asyncio.create_task(self._sandbox())
        folder, stop = Folder.read(self.home, "arya"), asyncio.Event()
        async with Thinker(folder, House()) as thinker:
            life = Life(folder, self.bus, thinker, lambda _: None)
            await life.remember()
            living = asyncio.create_task(life.until(stop))
            for hours, text, _, _ in DAY:
                self._watch(hours)
                self.clock.advance(hours * HOUR_S)
                await self._settle()
                await self._happens(UserMessage(text))
                await self._ended()
                await self._settle()
                self._note(text)
            stop.set()
            await asyncio.wait([living])
        for task in (feeling, working):
            task.cancel()
        await asyncio.wait([feeling, working])

    def _watch(self, hours: float) -> None:
        """The levels on the way, every two minutes."""
        begun = self.clock.now()
        heart, nature = self.hearts.being("arya").heart, self.hearts.nature("arya")
        for minute in range(0, int(hours * 60) + 1, 2):
            shown = after(heart.levels, begun + minute * 60 - heart.ts, nature.temper.resting)
            self.times.append(begun + minute * 60)
            for hormone, level in zip(HORMONES, shown, strict=True):
                self.series[hormone].append(level)

    def _note(self, text: str) -> None:
        turn = [each for each in self.bus.events if each.kind == "user_message"][-1].id
        minds = [each.data for each in self.bus.events if each.kind == "brought_to_mind" and each.data["turn"] == turn]
        before = [each.data for each in self.bus.events if each.kind == "brought_to_mind"]
        mind = (minds or before or [{"inserts": [], "thinking_tokens_max": THINKING, "steps_max": 50}])[-1]
        thinking = [each["thinking_tokens_max"] for each in minds] or [mind["thinking_tokens_max"] if self._feels else THINKING]
        self.rows.append(
            {
                "said": text,
                "thinking": max(thinking),
                "steps": mind["steps_max"] if self._feels else 50,
                "words": mind["inserts"][0][2].replace("\n", " ") if mind["inserts"] and self._feels else "",
                "heartbeat": self._heartbeat(),
            }
        )

    def _heartbeat(self) -> float:
        from anima.thymos.resources import shares

        heart, _ = self.hearts.being("arya").now(self.clock.now(), self.hearts.nature("arya"))
        return shares(heart.levels)["heartbeat"] if self._feels else 1.0

    async def _sandbox(self) -> None:
        """Answers calls: a path that begins with `no` fails."""
        async for heard in self.bus.follow(since=0):
            if isinstance(heard, Event) and isinstance(call := heard.body, ToolCall):
                self.clock.advance(20.0)
                ok = str(call.args["path"]).startswith("yes")
                outcome = "done" if ok else "failed"
                body = ToolResponse(call.turn, call.call, call.tool, ok, outcome, heard.id, outcome)
                await self.bus.append(event(body, agent="arya", session=heard.session, source="sandbox", cause=heard.id))

    async def _happens(self, body: Any) -> None:
        await self.bus.append(event(body, agent="arya", session="main", source="cli"))

    async def _ended(self) -> None:
        asked = sum(each.kind == "user_message" for each in self.bus.events)
        while sum(each.kind == "turn_ended" for each in self.bus.events) < asked:  # noqa: ASYNC110 - looks on from outside
            await asyncio.sleep(0.002)

    async def _settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


def day(soul: str = "neutral", *, feels: bool = True) -> Day:
    with tempfile.TemporaryDirectory() as folder:
        lived = Day(Path(folder), soul, feels=feels)
        asyncio.run(lived.live())
        return lived


def responses(out: Path) -> list[list[str]]:
    """Step response, recovery, saturation: a table, and a picture of each."""
    failing = [(60.0 * n, "tool_failed") for n in range(10)]
    step = levels_over(failing, 900.0)
    recovery = levels_over(failing, 6 * HOUR_S)
    flood = levels_over([(5.0 * n, "tool_failed") for n in range(400)], 3_000.0)
    for name, title, (times, series) in (
        ("step", "Step response: a failing call a minute, ten of them", step),
        ("recovery", "Recovery: the same, and six quiet hours", recovery),
        ("saturation", "Saturation: 400 failing calls, one every 5 s", flood),
    ):
        out.joinpath(f"{name}.svg").write_text(curves(title, times, series))
    frustration = recovery[1]["frustration"]
    peak = max(frustration)
    half = next(n for n, level in enumerate(frustration) if n > frustration.index(peak) and level <= peak / 2)
    return [
        ["frustration after 1, 3, 5, 10 failures a minute apart", _at(step, (0, 2, 4, 9))],
        ["half of it is gone after", f"{(half - frustration.index(peak)) / 2:.0f} min"],
        ["after six quiet hours: frustration, cortisol", f"{frustration[-1]:.2f}, {recovery[1]['cortisol'][-1]:.1f}"],
        ["highest and lowest level of any hormone in 400 failures", _bounds(flood[1])],
    ]


def _at(run: tuple[list[float], dict[str, list[float]]], minutes: tuple[int, ...]) -> str:
    return ", ".join(f"{run[1]['frustration'][minute * 2]:.1f}" for minute in minutes)


def _bounds(series: dict[str, list[float]]) -> str:
    values = [level for each in series.values() for level in each]
    return f"{max(values):.1f}, {min(values):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/thymos"))
    out = parser.parse_args().out
    out.mkdir(exist_ok=True)
    show("Levels alone", ("what", "measured"), responses(out))
    on, off, again = day(), day(feels=False), day()
    assert [on.rows, on.series] == [again.rows, again.series], "the same day twice is not the same"
    out.joinpath("day.svg").write_text(curves("One recorded day, with a neutral soul", on.times, on.series))
    rows = [
        [
            one["said"][:34],
            f"{one['thinking']:,} / {two['thinking']:,}",
            f"{one['steps']} / {two['steps']}",
            f"{one['heartbeat']:.2f} / {two['heartbeat']:.0f}",
            one["words"] or "-",
        ]
        for one, two in zip(on.rows, off.rows, strict=True)
    ]
    show("One recorded day: with feelings / without", ("said", "thinking tokens", "steps", "heartbeat", "heard"), rows)
    means = {name: statistics.mean(row["thinking"] for row in lived.rows) for name, lived in (("on", on), ("off", off))}
    print(f"mean thinking budget of a turn: {means['on']:,.0f} with feelings, {means['off']:,.0f} without\n")
    souls = {name: day(name) for name in ("calm", "anxious", "bold", "warm", "curious")}
    heard = [
        [
            name,
            f"{max(lived.series['cortisol']):.1f}",
            f"{max(lived.series['frustration']):.1f}",
            f"{max(row['thinking'] for row in lived.rows):,}",
            str(min(row["steps"] for row in lived.rows)),
            str(sum(bool(row["words"]) for row in lived.rows)),
        ]
        for name, lived in souls.items()
    ]
    columns = ("soul", "highest cortisol", "highest frustration", "longest thinking", "fewest steps", "turns with words")
    show("The same day, lived by five souls", columns, heard)
    for name in ("calm", "anxious"):
        out.joinpath(f"{name}.svg").write_text(curves(f"The same day, {name}", souls[name].times, souls[name].series))


if __name__ == "__main__":
    main()
