"""A person's program that calls tools, on the bus and without a terminal, and sees what becomes of the calls."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import psutil
import pytest

from anima.bus.client import Client, connect
from anima.errors import Unavailable
from anima.wire.events import ApprovalGiven, Body, Event, IntentResolved, QuestionAnswered, ToolCall, UserMessage, event
from anima.wire.frames import Query
from tests.system.conftest import House, eventually

#: What becomes of a call ends within this, also when a process has to come back first.
SETTLED_S = 30.0


class Caller:
    """Connected to one house for as long as the `with` lasts, also while the house is down."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._leave = contextlib.AsyncExitStack()
        self._bus: Client = self._do(self._leave.enter_async_context(connect(self._house.home)))
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._leave.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(60)

    # -- saying ------------------------------------------------------------------------------------------------------------

    def append(self, body: Body, agent: str = "arya", session: str = "main") -> str:
        """Store a fact as a person; its id."""
        return self.store(event(body, agent=agent, session=session, source="cli"))

    def store(self, said: Event) -> str:
        """Store an event as it is; its id."""
        self._do(self._bus.append(said, timeout_s=40))
        return said.id

    def submit(self, tool: str, whose: str = "arya", where: str = "main", *, wall_s: float = 0.0, **args: Any) -> str:
        """Store the intent to call a tool as agent `whose` in its session `where`; its id."""
        return self.append(ToolCall("", 0, "by-hand", tool, args, wall_s=wall_s), whose, where)

    def call(self, tool: str, whose: str = "arya", where: str = "main", *, wall_s: float = 0.0, **args: Any) -> dict[str, Any]:
        """Call a tool and wait for the end: the data of its tool_response."""
        return self.response(self.submit(tool, whose, where, wall_s=wall_s, **args))

    def say(self, text: str, agent: str = "arya", session: str = "main") -> str:
        """Say something to an agent; the id of the message, which is that of its turn."""
        return self.append(UserMessage(text), agent, session)

    def approve(self, intent: str, agent: str = "arya", *, granted: bool = True, **more: Any) -> str:
        return self.append(ApprovalGiven(intent, granted, **more), agent)

    def answer(self, intent: str, text: str, agent: str = "arya") -> str:
        return self.append(QuestionAnswered(intent, text), agent)

    def resolve(self, intent: str, outcome: str, agent: str = "arya") -> str:
        return self.append(IntentResolved(intent, outcome), agent)

    # -- seeing ------------------------------------------------------------------------------------------------------------

    def events(self, *kinds: str, agent: str | None = None) -> list[Event]:
        """Every stored event of these kinds; waits for a journal that is away."""

        async def read() -> list[Event]:
            found: list[Event] = []
            more, since = True, 0
            while more:
                page = await self._bus.read(Query(since=since, agent=agent, kinds=kinds), timeout_s=20)
                found += page.events
                more, since = page.more, page.events[-1].seq if page.events else since
            return found

        found: list[Event] = self._do(read())
        return found

    def of(self, intent: str, *kinds: str) -> list[Event]:
        """The events of these kinds about one call."""
        return [each for each in self.events(*kinds) if each.data.get("intent") == intent]

    def until(self, kind: str, wanted: Callable[[Event], bool] = bool, timeout_s: float = SETTLED_S) -> Event:
        """The first event of a kind that is wanted, as soon as it is stored."""

        def found() -> Event | None:
            with contextlib.suppress(Unavailable):
                return next((each for each in self.events(kind) if wanted(each)), None)
            return None

        event: Event = eventually(found, f"no {kind} as wanted", timeout_s)
        return event

    def response(self, intent: str, timeout_s: float = SETTLED_S) -> dict[str, Any]:
        """The data of the response to a call."""
        return self.until("tool_response", lambda each: each.data["intent"] == intent, timeout_s).data

    def started(self, intent: str) -> dict[str, Any]:
        """The data of the first start of a call."""
        return self.until("tool_started", lambda each: each.data["intent"] == intent).data

    def end(self, turn: str, timeout_s: float = SETTLED_S) -> dict[str, Any]:
        """The data of the end of a turn."""
        return self.until("turn_ended", lambda each: each.data["turn"] == turn, timeout_s).data

    def reply(self, turn: str, timeout_s: float = SETTLED_S) -> str:
        """What the agent answered to a message; the turn has to end so."""
        end = self.end(turn, timeout_s)
        assert end["outcome"] == "answered", end
        return str(next(each.data["text"] for each in self.events("agent_message") if each.data["turn"] == turn))

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """A question to the sandbox."""
        return dict(self._do(self._bus.ask("sandbox", verb, 10.0, **arguments)))

    def state(self, intent: str) -> str:
        """What `animactl intents` would show of a call."""
        return str(next(each["state"] for each in self.ask("intents")["intents"] if each["id"] == intent))


def doing(words: str) -> list[int]:
    """PIDs of every living process whose command line holds these words."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            if words in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def gone(words: str, within_s: float = 5.0) -> None:
    """Fail unless no process with these words lives soon."""
    deadline = time.monotonic() + within_s
    while found := doing(words):
        if time.monotonic() > deadline:
            pytest.fail(f"still alive after {within_s:g} s: {found} ({words})")
        time.sleep(0.02)


def wait_for(words: str, within_s: float = 20.0) -> list[int]:
    """The PIDs of the processes with these words, once there are any."""
    return list(eventually(lambda: doing(words), f"nothing does '{words}'", within_s))
