"""One session with one agent, as a chat shows it: what was said before, what is said now, by whomever."""

import asyncio
import threading
from contextlib import suppress

from anima.bus.client import Client
from anima.cli import root
from anima.cli.background import wait
from anima.cli.demands import Asked, Decided, Demand, Demands
from anima.cli.doing import called_line, returned_line
from anima.cli.live import CHECK_S, SOURCE, append, listening, stalled
from anima.cli.page import Page
from anima.cli.terminal import visible, width
from anima.cli.turn import Called, Ended, Piece, Returned, Shown, TurnView, Voided
from anima.errors import AnimaError, Unavailable
from anima.paths import Home
from anima.wire.events import Body, Event, InterruptAsked, SessionCleared, UserMessage, event
from anima.wire.frames import Query
from anima.wire.whispers import Whisper

INTRODUCTION_S = 0.5
HISTORY_MAX = 20  #: messages shown at the beginning
_SAID = ("user_message", "agent_message", "system_message", "session_cleared")


class Conversation:
    """Lives in an event loop; `idle` is for the thread that waits for the person."""

    def __init__(self, home: Home, agent: str, session: str, page: Page) -> None:
        self.idle = threading.Event()  #: no answer is awaited
        self.idle.set()
        self._home, self._agent, self._session = home, agent, session
        self._page = page
        self._view: TurnView | None = None  # of the message the person waits for
        self._turn = ""
        self._trouble = ""
        self._mine: set[str] = set()  # ids of our own messages
        self._demands = Demands()  # of the session, whoever's turn it is
        self._news = threading.Event()  # something the waiting thread wants to know has changed

    async def live(self, ready: threading.Event) -> None:
        """Show the history, then everything that happens, until cancelled."""
        self._client = Client(self._home)
        try:
            await self._introduce()
            head = await self._history()
            await self._recall()
            async with listening(self._client, self._agent, head) as ear:
                ready.set()
                while True:
                    if (item := await ear.hear(CHECK_S)) is None:
                        await self._look()
                    else:
                        self._take(item)
        finally:
            ready.set()
            await self._client.close()

    async def say(self, text: str) -> None:
        """Store what the person said; waits for the journal as long as it is away."""
        message = event(UserMessage(text), agent=self._agent, session=self._session, source=SOURCE)
        self._mine.add(message.id)
        self._turn, self._view = message.id, TurnView(message.id)
        await self._client.append(message)

    async def interrupt(self) -> None:
        """Ask the agent to leave the turn."""
        await append(self._client, InterruptAsked(self._turn), self._agent, self._session)

    def demand(self) -> Demand | None:
        """What waits for the person, the oldest first."""
        return next(iter(list(self._demands.open.values())), None)

    def wait(self) -> Demand | None:
        """Until no answer is awaited (None), or something waits for the person meanwhile. For the thread of the person."""
        while True:
            self._news.clear()
            if self.idle.is_set():
                return None
            if demand := self.demand():
                return demand
            wait(self._news)

    def rest(self) -> None:
        """Until no answer is awaited, whatever waits for the person. For their thread."""
        wait(self.idle)

    async def decide(self, demand: Demand, word: Body) -> bool:
        """Store the person's word; False if the demand was settled before."""
        if not self._demands.settle(demand.id, "decided"):
            return False
        try:
            await append(self._client, word, demand.agent, demand.session)
        except AnimaError:
            self._demands.add(demand)  # a second word would be harmless: the first one counts
            raise
        return True

    async def clear(self) -> None:
        """Begin the conversation anew."""
        await append(self._client, SessionCleared(), self._agent, self._session)

    async def _introduce(self) -> None:
        """Say which model answers, if nobody chose it; an agent that is busy or away is not waited for."""
        with suppress(AnimaError):
            told = await self._client.ask(f"agent:{self._agent}", "system", INTRODUCTION_S)
            if why := str(told.get("why", "")):
                self._page.remark(f"({why})")

    async def _recall(self) -> None:
        """What has been waiting since before; a sandbox that is away will be heard of when it is back."""
        with suppress(AnimaError):
            told = await self._client.ask("sandbox", "waiting", INTRODUCTION_S)
            for row in told["waiting"]:
                if (row["agent"], row["session"]) == (self._agent, self._session):
                    self._demands.add(Demand.of(row))

    async def _history(self) -> int:
        query = Query(agent=self._agent, session=self._session, kinds=_SAID, newest=True, limit=HISTORY_MAX)
        page = await self._client.read(query, timeout_s=float("inf"))
        cleared = max((number for number, each in enumerate(page.events, 1) if each.kind == "session_cleared"), default=0)
        for each in page.events[cleared:]:
            self._tell(each)
        return page.head

    def _take(self, item: Event | Whisper) -> None:
        if item.session != self._session:
            return
        if isinstance(item, Event):  # first: when the turn has ended, nothing of it may be asked any more
            for change in self._demands.take(item):
                self._notice(change)
        if self._view:
            for shown in self._view.take(item):
                self._trouble = ""  # that it goes on says enough
                self._show(shown)
        if isinstance(item, Event) and item.id not in self._mine and item.data.get("turn", "") not in self._mine:
            self._tell(item)

    def _tell(self, said: Event) -> None:
        """Something that is not part of the answer the person waits for: history, and what others say."""
        text = said.data.get("text", "")
        match said.kind:
            case "user_message":
                self._page.say("you" if said.source == SOURCE else said.source, text, "cyan")
            case "agent_message":
                self._page.say(self._agent, text)
            case "system_message":
                self._page.remark(f"({text})")
            case "session_cleared":
                self._page.remark("(the conversation begins anew)")

    def _show(self, shown: Shown) -> None:
        match shown:
            case Piece(text):
                self._page.stream(self._agent, text)
            case Voided(why):
                self._page.remark(f"… ({why})")
            case Called(tool, args):
                self._page.remark(called_line(tool, args, width()))
            case Returned(tool, outcome, duration_s, text):
                self._page.remark(returned_line(tool, outcome, duration_s, text, width()))
            case Ended(outcome, reason):
                self._page.close()
                if outcome != "answered":
                    self._page.remark(f"({reason or outcome})")
                self._view = None
                self.idle.set()
                self._news.set()

    def _notice(self, change: Asked | Decided) -> None:
        """Something waits for the person, or does so no more because somebody else was faster."""
        match change:
            case Asked(demand):
                if self.idle.is_set():  # the person is at the prompt, with a turn of somebody else's going on
                    self._page.remark(f"({visible(demand.tool)} waits for your word; Enter shows it)", "yellow")
                self._news.set()
            case Decided(demand, how):
                self._page.remark(f"({visible(demand.tool)}: {how})")

    async def _look(self) -> None:
        """While an answer is awaited: say once what keeps it, and once that it goes on."""
        if self._view is None:
            return
        try:
            process = await asyncio.to_thread(root.agent_process, self._home, self._agent)
            trouble = stalled(self._agent, process)
        except Unavailable:
            trouble = "the house went away; waiting for it (Ctrl-C leaves, what you said is kept once it was stored)"
        except AnimaError as error:
            trouble = str(error)
        if trouble != self._trouble:
            self._page.remark(f"({trouble or 'it is back'})")
            self._trouble = trouble
