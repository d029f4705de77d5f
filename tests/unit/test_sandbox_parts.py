"""The small parts of the hands: the gate, the turnstile, orders and endings, hosts, foreign cards, kept outputs, rules."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anima.clock import FakeClock
from anima.config.schema import Agent, Policy
from anima.errors import BadMessage, ConfigError, Unavailable
from anima.limits import MIB, host_idle_s, host_shell_idle_s
from anima.paths import Home
from anima.sandbox.catalogue import Catalogue, foreign
from anima.sandbox.gate import Allowed, Ask, Denied, Wrong, judge, why_not
from anima.sandbox.hosts import Gone, Hosts
from anima.sandbox.jail.spec import Order, Outcome
from anima.sandbox.policies import Policies, Rules
from anima.sandbox.spill import prune
from anima.sandbox.turnstile import Turnstile, Width
from anima.sandbox.work import Work, answer, context, ending, order
from anima.tools.context import Context
from anima.tools.registry import built_in
from anima.tools.run import run
from anima.wire.events import ToolCall
from anima.wire.pipes import Frames, pack_frame
from tests.unit.sandbox_stage import CARDS, EFFECTS, card

# -- the gate ----------------------------------------------------------------------------------------------------------


def nothing_wrong(_card: Any, _args: Any) -> str:
    return ""


@given(
    st.sampled_from(sorted(CARDS)),
    st.sampled_from(["never", "risky", "always"]),
    st.sampled_from([(), ("*",), ("pure",), ("un*", "p?re")]),
    st.sampled_from(["none", "web", "hosts"]),
    st.sampled_from([(), ("example.org",)]),
    st.booleans(),
)
def test_the_gate_lets_through_what_the_policy_says_and_nothing_else(name, approve, tools, network, hosts, always):
    policy = Policy(tools=tools, approve=approve, network=network, hosts=hosts)
    found, call = CARDS[name], ToolCall("", 0, "c", name, {})
    verdict = judge(call, CARDS, policy, {name} if always else set(), nothing_wrong)
    listed = tools == ("*",) or (name == "pure" and tools) or (name.startswith("un") and tools == ("un*", "p?re"))
    reached = not found.network or network == "web" or (network == "hosts" and bool(hosts))
    asks = not always and (approve == "always" or (approve == "risky" and found.risk != "safe"))
    expected = Denied if not (listed and reached) else Ask if asks else Allowed
    assert type(verdict) is expected


def test_no_tools_means_none_and_every_refusal_names_the_setting():
    assert all("tools in [policy]" in why_not(each, Policy(tools=())) for each in CARDS.values())
    assert "hosts in [policy]" in why_not(CARDS["fetch"], Policy(network="hosts"))


def test_an_unknown_tool_is_answered_with_the_nearest_that_may_be_used():
    verdict = judge(ToolCall("", 0, "c", "unsaf", {}), CARDS, Policy(tools=("pure",)), set(), nothing_wrong)
    assert isinstance(verdict, Wrong)
    assert "unsafe" not in verdict.reason, "a tool it may not use is not suggested"
    assert "did you mean unsafe?" in judge(ToolCall("", 0, "c", "unsaf", {}), CARDS, Policy(), set(), nothing_wrong).reason


def test_a_person_who_is_asked_sees_what_would_be_done():
    call = ToolCall("", 0, "c", "unsafe", {"command": "rm -r x", "more": "y" * 9_000})
    verdict = judge(call, CARDS, Policy(approve="risky"), set(), nothing_wrong)
    assert isinstance(verdict, Ask)
    assert "rm -r x" in verdict.reason
    assert "unsafe is dangerous" in verdict.reason
    assert len(verdict.reason) < 3_000


# -- the turnstile -----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=40))
def test_the_turnstile_is_never_too_full_and_leaves_nobody_standing(drawn):
    width = Width(house=5, agent=3, agent_busy=2)

    async def go():
        turnstile, inside, through, full = Turnstile(width), [], [], []

        async def one(agent, busy):
            async with turnstile.place(agent, busy=busy):
                inside.append((agent, busy))
                full.append(len(inside) > width.house or inside.count((agent, busy)) > (2 if busy else 3))
                try:
                    await asyncio.sleep(0)
                finally:
                    inside.remove((agent, busy))
                through.append(agent)

        tasks = [(asyncio.create_task(one(agent, busy)), leaves) for agent, busy, leaves in drawn]
        await asyncio.sleep(0)
        for task, leaves in tasks:
            if leaves:
                task.cancel()
        await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
        stayed = [agent for agent, _, leaves in drawn if not leaves]
        assert not any(full)
        assert len(through) >= len(stayed)
        assert not turnstile.waiting()
        async with asyncio.timeout(1):
            await asyncio.gather(*(one("z", False) for _ in range(10)))  # every place was given back

    asyncio.run(go())


async def test_agents_take_turns_at_what_is_free():
    turnstile, through = Turnstile(Width(house=1, agent=1, agent_busy=1)), []

    async def one(agent):
        async with turnstile.place(agent, busy=True):
            through.append(agent)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(agent) for agent in "aaaaaabc"))
    assert sorted(through[:4]) == ["a", "a", "b", "c"]


# -- orders and endings ------------------------------------------------------------------------------------------------


def work(home: Home, *, policy: Policy | None = None, tool: str = "pure", wall_s: float = 0.0, **more: Any) -> Work:
    rules = Rules("arya", Agent(policy=policy or Policy(), time_zone="Europe/Berlin"), home.workspace("arya"))
    found = more.pop("card", CARDS.get(tool, card(tool)))
    return Work("id-1", "arya", "main", ToolCall("", 0, "c", tool, {}, wall_s=wall_s), found, rules, ("pure",), **more)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", tmp_path / "run")


def test_the_jail_shows_what_the_policy_allows_and_nothing_of_the_house(home: Home):
    policy = Policy(read=("/data",), write=("/out",), memory_mib=100, layers_off=("landlock",), network="web")
    spec = order(home, work(home, policy=policy), "anima.tools.run:run").spec
    assert spec.workspace == home.root / "workspace" / "arya"
    assert spec.read == (Path("/data"),)
    assert spec.write == (Path("/out"), home.outputs / "arya")
    assert spec.protected == (home.root, home.run)
    assert not spec.network, "a tool that says nothing of a network gets none"
    assert order(home, work(home, policy=policy, tool="fetch"), "anima.tools.run:run").spec.network
    assert not order(home, work(home, tool="fetch"), "anima.tools.run:run").spec.network
    assert (spec.limits.memory_bytes, spec.off) == (100 * MIB, {"landlock"})


@given(st.floats(0.1, 600), st.floats(0.1, 86_400), st.floats(0, 1_000))
def test_less_time_may_be_asked_for_and_never_more(declared, allowed, asked):
    home = Home(Path("/h"), Path("/r"))
    found = work(home, policy=Policy(wall_s=allowed), card=card("pure", wall_s=declared), wall_s=asked)
    assert found.wall_s == min(declared, allowed, asked or declared)
    assert 0.9 * found.wall_s <= context(home, found)["wall_s"] <= found.wall_s


def test_the_context_is_one_the_tools_understand_and_a_key_goes_to_the_search_only(home: Home):
    policy = Policy(network="web", search_provider="brave", search_key="very secret", output_kib=4)
    home.tools.mkdir(parents=True)
    for tool in ("pure", "fetch", "web_search"):
        found = work(home, policy=policy, tool=tool, card=card(tool, network=tool != "pure"), notes="n")
        told = context(home, found)
        read = Context.read(told)
        assert (read.agent, read.call, read.zone, read.notes, read.tools) == ("arya", "id-1", "Europe/Berlin", "n", ("pure",))
        assert (read.output_bytes, read.extra, read.live) == (4_096, home.tools, True)
        assert (read.web.search_key == "very secret") == (tool == "web_search")
        assert read.web.network == ("none" if tool == "pure" else "web")
    assert run("now", {}, told | {"tools": ["now"]})["ok"]


@given(
    st.sampled_from(["answered", "exited", "killed", "limit", "refused", "interrupted"]),
    st.one_of(
        st.none(),
        st.text(),
        st.fixed_dictionaries(
            {
                "ok": st.booleans(),
                "text": st.text(),
                "data": st.dictionaries(st.one_of(st.text(), st.integers()), st.integers()),
            }
        ),
        st.dictionaries(st.sampled_from(["ok", "text", "data"]), st.integers()),
    ),
    st.binary(max_size=100),
)
def test_whatever_comes_out_of_a_jail_becomes_an_ending_with_words(how, value, output):
    found = ending(Outcome(how, value, stdout=output, reason="because"), card("pure"))
    assert found.outcome in ("done", "failed", "denied", "interrupted")
    assert found.ok == (found.outcome == "done")
    if found.ok:
        assert isinstance(value, dict)
        assert value["ok"] is True
    else:
        assert found.text or (answer(value) and how == "answered")
    assert all(isinstance(key, str) for key in found.data)


# -- hosts -------------------------------------------------------------------------------------------------------------


class PlayedLine:
    """A long-lived child within this process."""

    def __init__(self, number: str) -> None:
        self.id = number
        self.frames = Frames()
        self.out: asyncio.Queue[bytes] = asyncio.Queue()
        self.over = asyncio.Event()
        self.running: list[dict[str, Any]] = []
        self.jobs: list[dict[str, Any]] = []

    async def send(self, data: bytes) -> None:
        if self.over.is_set():
            raise ConnectionError("gone")
        for request in self.frames.feed(data):
            self._take(request)

    def _take(self, request: dict[str, Any]) -> None:
        if request.get("name") == "hang":
            self.running.append(request)
        elif "interrupt" in request:
            for each in [each for each in self.running if each["context"]["call"] == request["interrupt"]]:
                self.running.remove(each)
                self.says(each["id"], ok=False, text="begun so far", data={"reason": "interrupted"})
            self.says(request["id"], ok=True, text="", data={})
        else:
            self.says(request["id"], ok=True, text=f"{request['name']} in {self.id}", data={"jobs": self.jobs})

    def says(self, number: str, **told: Any) -> None:
        packed = pack_frame({"id": number, **told})
        self.out.put_nowait(packed[:3])  # frames come in pieces
        self.out.put_nowait(packed[3:])

    async def read(self, size: int = 0) -> bytes:
        return await self.out.get()

    def close(self) -> None:
        self.dies()

    def dies(self) -> None:
        self.over.set()
        self.out.put_nowait(b"")

    async def wait(self) -> Outcome:
        await self.over.wait()
        return Outcome("exited", reason="it left")


class PlayedJails:
    def __init__(self) -> None:
        self.lines: list[PlayedLine] = []

    async def converse(self, order: Order) -> PlayedLine:
        self.lines.append(PlayedLine(order.id))
        return self.lines[-1]

    def interrupt(self, id: str, grace_s: float = 2.0) -> bool:
        for line in self.lines:
            if line.id == id:
                line.dies()
        return True


class Stage:
    def __init__(self, home: Home) -> None:
        self.home, self.clock, self.jails = home, FakeClock(), PlayedJails()
        self.hosts = Hosts(self.jails, self.clock)
        self.count = 0

    async def call(self, tool: str, session: str = "main", stamp: str = "s", wall_s: float = 5.0) -> Any:
        self.count += 1
        made = work(self.home, tool=tool, card=card(tool, "unsafe", place="host"))
        wanted = order(self.home, made, "anima.tools.run:run")
        wanted = Order(
            f"call-{self.count}", wanted.target, (tool, {}, {**wanted.arguments[2], "call": f"call-{self.count}"}), wanted.spec
        )
        return await self.hosts.call(wanted, stamp, ("arya", session), wall_s)


@pytest.fixture
def stage(home: Home) -> Stage:
    return Stage(home)


async def test_a_session_keeps_its_host_and_another_has_its_own(stage: Stage):
    told = [(await stage.call("look", session)).text for session in ("main", "main", "other")]
    assert told[0] == told[1] != told[2]
    assert len(stage.hosts) == 2
    await stage.hosts.close()
    assert all(line.over.is_set() for line in stage.jails.lines)


async def test_another_policy_makes_another_host(stage: Stage):
    await stage.call("look")
    await stage.call("look", stamp="stricter")
    assert [line.over.is_set() for line in stage.jails.lines] == [True, False]
    await stage.hosts.close()


async def test_a_host_that_dies_takes_its_calls_with_it_and_the_next_call_makes_a_new_one(stage: Stage):
    calls = [asyncio.create_task(stage.call("hang")) for _ in range(2)]
    while len(stage.jails.lines[0].running if stage.jails.lines else []) < 2:
        await asyncio.sleep(0)
    stage.jails.lines[0].dies()
    for each in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(each, Gone)
        assert "shells and background commands" in str(each)
    assert (await stage.call("look")).ok
    assert len(stage.jails.lines) == 2
    await stage.hosts.close()


async def test_a_call_past_its_limit_is_asked_to_end(stage: Stage):
    told = await stage.call("hang", wall_s=0.05)
    assert (told.ok, told.text) == (False, "begun so far")
    await stage.hosts.close()


async def test_idle_hosts_end_but_not_those_in_which_something_runs(stage: Stage):
    await stage.call("look", "idle")
    await stage.call("shell_session", "shell")
    await stage.call("look", "working")
    stage.jails.lines[2].jobs = [{"job": "job1", "state": "running"}]
    stage.clock.advance(host_idle_s + 1)
    await stage.hosts.tidy()
    assert [line.over.is_set() for line in stage.jails.lines] == [True, False, False]
    stage.clock.advance(host_shell_idle_s)
    await stage.hosts.tidy()
    assert [line.over.is_set() for line in stage.jails.lines] == [True, True, False]
    await stage.hosts.close()


async def test_looking_asks_every_live_host_of_the_agent_and_makes_none(stage: Stage):
    assert await stage.hosts.look("arya", "background_list", {}) == {}
    await stage.call("look", "one")
    await stage.call("look", "two")
    assert set(await stage.hosts.look("arya", "background_list", {})) == {"one", "two"}
    assert set(await stage.hosts.look("arya", "background_list", {}, "two")) == {"two"}
    assert await stage.hosts.look("bran", "background_list", {}) == {}
    await stage.hosts.close()


@given(st.lists(st.dictionaries(st.text(), st.integers(-9, 9), max_size=3), max_size=5), st.integers(1, 7))
def test_frames_come_out_as_they_went_in_however_they_are_cut(messages, size):
    whole = b"".join(pack_frame(each) for each in messages)
    frames = Frames()
    found = [each for start in range(0, len(whole), size) for each in frames.feed(whole[start : start + size])]
    assert found == messages


@pytest.mark.parametrize("junk", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1", b"\x00\x00\x00\x01\x05"])
def test_what_is_no_frame_is_said_to_be_none(junk):
    with pytest.raises(BadMessage):
        list(Frames().feed(junk))


# -- foreign tools -----------------------------------------------------------------------------------------------------


def told_of(**more: Any) -> dict[str, Any]:
    good = {**card("mine").fields(), "keywords": [], "function": "m:f", "prepare": "", "probe": ""}
    return {**good, **more}


def test_foreign_cards_are_checked_like_any_bytes_from_outside():
    bad = [
        told_of(name="Bad Name"),
        told_of(name="a", effect="harmless"),
        told_of(name="b", place="runtime"),
        told_of(name="c", wall_s=1e9),
        told_of(name="d", output_bytes="many"),
        told_of(name="e", effect="checkable"),
        told_of(name="f", risk="none"),
    ]
    cards, problems = foreign({"tools": [told_of(), told_of(name="pure"), *bad, 7, {"name": 3}], "problems": ["p"]}, CARDS)
    assert set(cards) == {"mine"}
    assert problems[0] == "p"
    assert len(problems) == 1 + len(bad)
    assert foreign({"tools": "none", "problems": 3}, CARDS) == ({}, [])


def test_the_built_in_tools_would_pass_the_same_check():
    told = [each.fields() for each in built_in().tools.values() if each.place != "runtime"]
    cards, problems = foreign({"tools": told, "problems": []}, {})
    assert not problems
    assert cards == {each.name: each.card() for each in built_in().tools.values() if each.place != "runtime"}


async def test_foreign_tools_are_loaded_again_when_a_file_changes_and_never_otherwise(home: Home):
    home.tools.mkdir(parents=True)
    found: dict[str, Any] = {"tools": [told_of()], "problems": []}
    loads = []

    async def load() -> dict[str, Any]:
        loads.append(1)
        if isinstance(found.get("error"), Unavailable):
            raise found["error"]
        return found

    catalogue = Catalogue(CARDS, home.tools, load)
    await asyncio.gather(catalogue.refresh(), catalogue.refresh(), catalogue.refresh())
    assert (len(loads), "mine" in catalogue.cards) == (1, True)
    (home.tools / "x.py").write_text("1")
    found["tools"] = []
    await catalogue.refresh()
    assert (len(loads), "mine" in catalogue.cards) == (2, False)
    (home.tools / "x.py").write_text("22")
    found["error"] = Unavailable("no jail today")
    await catalogue.refresh()
    await catalogue.refresh()
    assert len(loads) == 3, "it is tried again, but not with every call"
    assert set(catalogue.cards) == set(CARDS)
    assert "no jail today" in catalogue.problems[0]


# -- kept outputs ------------------------------------------------------------------------------------------------------


def test_the_oldest_outputs_go_first_and_no_link_is_followed(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x" * 100_000)
    folder = tmp_path / "spill"
    (folder / "deep").mkdir(parents=True)
    for number in range(6):
        path = folder / ("deep" if number % 2 else ".") / f"{number}.txt"
        path.write_bytes(b"x" * 40_960)
        os.utime(path, (number, number))
    (folder / "link").symlink_to(outside)
    (folder / "name").symlink_to(outside / "precious")
    assert prune(folder, 100_000_000, 100) == 0
    prune(folder, 3 * 40_960 + 20_000, 100)  # a long link takes a block, too
    assert sorted(path.name for path in folder.rglob("*.txt")) == ["3.txt", "4.txt", "5.txt"]
    assert prune(folder, 100_000_000, 4) == 1
    prune(folder, 0, 100)
    assert (outside / "precious").stat().st_size == 100_000
    assert prune(tmp_path / "missing", 0, 0) == 0


# -- rules -------------------------------------------------------------------------------------------------------------


def test_rules_are_read_anew_when_a_file_changes_and_wrong_ones_allow_nothing(home: Home):
    folder = home.agent("arya")
    folder.mkdir(parents=True)
    (folder / "persona.md").write_text("You are Arya.")
    (folder / "agent.toml").write_text('[policy]\napprove = "risky"\n')
    policies = Policies(home, {})
    first = policies.of("arya")
    assert (first.settings.policy.approve, first.workspace) == ("risky", home.workspace("arya"))
    assert policies.of("arya") is first
    (folder / "agent.toml").write_text('[policy]\napprove = "always"\n')
    second = policies.of("arya")
    assert second.settings.policy.approve == "always"
    assert second.stamp != first.stamp
    (folder / "agent.toml").write_text('[policy]\napprove = "sometimes"\n')
    for name in ("arya", "nobody", "", "../arya"):
        with pytest.raises(ConfigError):
            policies.of(name)


def test_every_effect_has_its_card_on_the_stage():
    assert {CARDS[effect].effect for effect in EFFECTS} == set(EFFECTS)
