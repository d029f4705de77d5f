"""The journal's sockets: takes what is queued, stores it in one transaction, acknowledges, publishes, and begins again.

No timer delays a commit: what arrives while one runs goes into the next. An acknowledgement is sent after the commit,
never before; an event is published after that. Whoever is too slow to read what is published loses it and reads pages.

    ROUTER `journal`   append, read, ask, whisper
    XPUB   `events`    what was stored, whispers, beats
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import zmq

from anima.bus.port import Port, guard, open_socket
from anima.bus.zap import open_zap, peer
from anima.errors import AnimaError, BadMessage, Refused, Unavailable
from anima.journal.admission import Entry, admit, read_batch
from anima.journal.adopting import read_history
from anima.journal.beats import Beats
from anima.journal.claims import PERSON, claims, may_whisper
from anima.journal.grumble import Grumble
from anima.journal.intake import Asked, Whispered, read_page_query, read_question, sort_message
from anima.journal.ledger import Ledger
from anima.journal.numbering import Place, Told
from anima.journal.senders import Identify, Senders
from anima.limits import doorbell_bytes_min, inbox_messages_max
from anima.paths import Home
from anima.process.aside import in_thread
from anima.store.database import DiskBroken
from anima.wire import frames
from anima.wire.events import Event
from anima.wire.whispers import decode_whisper

READS_PER_ROUND = 8  # between two commits: a page costs a millisecond, and someone waits for its acknowledgement
READS_WAITING_MAX = 1_024  # more are dropped; who asked will ask again
RECEIVED_MESSAGES_MAX = 128  # libzmq's queue per sender, before the sender's own fills up
STORE_AGAIN_S = 1.0

Settle = Callable[[list[Place] | AnimaError], None]
_log = logging.getLogger(__name__)


class Server:
    """The sockets of an open ledger. Bound when made; `run` serves until it is cancelled or something fails for good."""

    def __init__(self, home: Home, ledger: Ledger, boot: str, identify: Identify, on_status: Callable[[str], None]) -> None:
        self.senders = Senders(identify)
        self.degraded = ""  #: why nothing can be stored now; "" if it can
        self._ledger = ledger
        self._boot, self._opened = boot, ledger.tip.seq
        self._on_status = on_status
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._inbox: list[list[Any]] = []
        self._accepted: list[tuple[list[Entry], Settle]] = []
        self._asked: deque[Asked] = deque()
        self._beats = Beats(boot, self._opened, self._loop.time())
        self._timer: asyncio.TimerHandle | None = None
        self._malformed = Grumble(_log, "dropped or refused a malformed message")
        self._refused = Grumble(_log, "refused an event in another's name")
        self._dropped = Grumble(_log, "dropped a question")
        self._undelivered = Grumble(_log, "an answer could not be delivered")
        self._copier = ledger.copier()
        self._answering: set[asyncio.Task[None]] = set()
        self._adoptions: deque[tuple[list[Event], asyncio.Future[tuple[bool, float]]]] = deque()
        self._zap = open_zap()
        self._journal = Port(_bound(home.socket("journal"), zmq.ROUTER), self._on_messages, credentials=True)
        self._events = Port(_bound(home.socket("events"), zmq.XPUB), self._on_subscriptions)
        self._bound_to = {path: _identity(path) for path in (home.socket("journal"), home.socket("events"))}

    async def run(self) -> None:
        """Serve. Raises DiskBroken when the disk failed, and Unavailable when another process took a socket's path."""
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._inbox or self._accepted or self._asked or self._adoptions:
                self._round()
                if self._adoptions:
                    await self._adopt(*self._adoptions.popleft())
                self._beat_in_time()  # in a flood this loop has no end, and it is in floods that messages are lost
                await asyncio.sleep(0)  # what arrived meanwhile is the next group
            self._beat_in_time()
            self._set_timer()

    async def store(self, events: Sequence[Event]) -> None:
        """Store the journal's own events; waits for as long as the disk is full."""
        entries = admit([event.encode() for event in events])
        while True:
            stored: asyncio.Future[list[Place] | AnimaError] = self._loop.create_future()
            self._accept(entries, stored.set_result)
            outcome = await stored
            if not isinstance(outcome, AnimaError):
                return
            await asyncio.sleep(STORE_AGAIN_S)

    def close(self) -> None:
        """Let go of the sockets; answers on their way still leave for `linger_ms`."""
        if self._timer:
            self._timer.cancel()
        for task in self._answering:
            task.cancel()
        self.senders.close()
        for port in (self._journal, self._events, self._zap):
            port.close()

    # -- what arrives ----------------------------------------------------------------------------------------------------

    def _on_messages(self, batch: list[list[Any]]) -> None:
        self._inbox += batch
        self._wake.set()

    def _on_subscriptions(self, batch: list[list[bytes]]) -> None:
        for message in batch:
            if message[0][:1] == b"\x01" and message[0][1:].startswith(frames.JOIN_TOPIC):
                self._events.send(self._beats.welcome(message[0][1:], self._ledger.tip.seq))

    def _accept(self, entries: list[Entry], settle: Settle) -> None:
        self._accepted.append((entries, settle))
        self._wake.set()

    def _round(self) -> None:
        """Everything that is here: one commit, the acknowledgements, the news, and some questions."""
        messages, self._inbox = self._inbox, []
        served: set[bytes] = set()
        for message in messages:
            sender = message[0].bytes
            if sender in served:
                self._inbox.append(message)  # its turn comes again after the others': a flood must not make them wait
            else:
                self._take(message)
                if message[1:2] == [frames.APPEND]:
                    served.add(sender)
        self._journal.hold(held=len(self._inbox) > inbox_messages_max)
        if self._accepted:
            self._commit()
        for _ in range(min(len(self._asked), READS_PER_ROUND)):
            self._answer(self._asked.popleft())

    def _take(self, message: list[Any]) -> None:
        try:
            request = sort_message(message)
            if isinstance(request, Whispered):
                self._pass_on(request)
            elif request.operation == frames.APPEND:
                self._take_append(request)
            elif len(self._asked) < READS_WAITING_MAX:
                self._asked.append(request)
            else:
                self._dropped(f"{READS_WAITING_MAX} wait already")
        except BadMessage as error:
            self._malformed(error)

    def _take_append(self, request: Asked) -> None:
        try:
            entries = admit(read_batch(request.payload))
        except BadMessage as error:
            self._malformed(error)
            self._refuse(request, error)
            return
        claimed = frozenset[str]().union(*map(claims, entries))
        if not claimed and not self.senders.waiting:
            self._accepted.append((entries, lambda outcome: self._settle(request, outcome)))
            return

        def judged(error: AnimaError | None) -> None:
            if error is None:
                self._accept(entries, lambda outcome: self._settle(request, outcome))
            else:
                self._refused(error)
                self._refuse(request, error)

        self.senders.judge(_pid(request.sender), claimed, judged)

    def _pass_on(self, request: Whispered) -> None:
        whisper = decode_whisper(request.blob)
        name = self.senders.name(_pid(request.sender))
        if name is None:
            self.senders.judge(
                _pid(request.sender), frozenset({f"agent:{whisper.agent}"}), lambda _: None
            )  # so that it is known next time
        elif may_whisper(name, whisper.agent):
            self._events.send([frames.whisper_topic(whisper.agent), request.blob])
        else:
            self._refused(f"{name} whispered about {whisper.agent}")

    # -- what is stored ----------------------------------------------------------------------------------------------------

    def _commit(self) -> None:
        accepted, self._accepted = self._accepted, []
        try:
            commit = self._ledger.append([entries for entries, _ in accepted])
        except Unavailable as error:
            self._degrade(f"the journal cannot write: {error}")
            for _, settle in accepted:
                settle(Unavailable(self.degraded))
            return
        if self.degraded:
            _log.warning("the journal can write again")
            self.degraded = ""
            self._on_status(self._summary())
        for (_, settle), places in zip(accepted, commit.places, strict=True):
            settle(places)
        now = self._loop.time()
        for told in commit.told:
            self._publish(told, now)
        try:
            self._ledger.tidy()
        except Unavailable as error:
            _log.debug("the log could not be folded now: %s", error)

    def _degrade(self, reason: str) -> None:
        if not self.degraded:
            _log.error("%s", reason)
            self._on_status(f"degraded: {reason}")
        self.degraded = reason

    def _settle(self, request: Asked, outcome: list[Place] | AnimaError) -> None:
        if isinstance(outcome, AnimaError):
            self._refuse(request, outcome)
        else:
            self._reply(request, [frames.OK, request.number, frames.pack(outcome)])

    def _refuse(self, request: Asked, error: AnimaError) -> None:
        self._reply(request, frames.refusal(request.number, error))

    def _reply(self, request: Asked, answer: list[bytes]) -> None:
        if not self._journal.send([request.sender.bytes, *answer]):
            self._undelivered("the one who asked is gone or does not read")

    def _publish(self, told: Told, now: float) -> None:
        topic = frames.event_topic(told.agent)
        blob = told.blob if len(told.blob) <= doorbell_bytes_min else b""
        self._events.send([topic, frames.pack([self._boot, self._opened, told.previous, told.seq, told.ts]), blob])
        self._beats.changed(topic, told.seq, now)

    # -- what is asked -----------------------------------------------------------------------------------------------------

    def _answer(self, request: Asked) -> None:
        try:
            if request.operation == frames.READ:
                content: Any = [self._boot, self._opened, *self._ledger.read(read_page_query(request.payload))]
            else:
                verb, arguments = read_question(request.payload)
                if verb == "copy":
                    self._begin(request, self._copier.copy(arguments))
                    return
                if verb == "adopt":
                    self._judge_adoption(request, arguments)
                    return
                content = self._told(verb)
        except DiskBroken:
            raise
        except AnimaError as error:
            if isinstance(error, BadMessage):
                self._malformed(error)
            self._refuse(request, error)
            return
        self._reply(request, [frames.OK, request.number, frames.pack(content)])

    def _begin(self, request: Asked, answering: Coroutine[Any, Any, dict[str, Any]]) -> None:
        """Answer in a while what takes its time."""

        async def answer() -> None:
            try:
                self._reply(request, [frames.OK, request.number, frames.pack(await answering)])
            except AnimaError as error:
                self._refuse(request, error)

        task = self._loop.create_task(answer())
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    def _judge_adoption(self, request: Asked, arguments: dict[str, Any]) -> None:
        def judged(error: AnimaError | None) -> None:
            if error:
                self._refuse(request, error)
            else:
                self._begin(request, self._adoption(Path(str(arguments.get("from"))), str(arguments.get("agent"))))

        self.senders.judge(_pid(request.sender), frozenset({PERSON}), judged)

    async def _adoption(self, path: Path, agent: str) -> dict[str, Any]:
        """Take an agent's life from the file at `path`: {"events", "new", "standstill_s"}."""
        events = await in_thread(lambda: read_history(path, agent), None)
        settled: asyncio.Future[tuple[bool, float]] = self._loop.create_future()
        self._adoptions.append((events, settled))
        self._wake.set()
        new, late_s = await settled
        return {"events": len(events), "new": new, "standstill_s": late_s}

    async def _adopt(self, events: list[Event], settled: "asyncio.Future[tuple[bool, float]]") -> None:
        """Store a life, in one transaction and beside the loop: meanwhile it beats, but nothing else is stored or read.

        Whoever read half of a life would act on it.
        """
        begun = self._loop.time()
        try:
            newest = await in_thread(lambda: self._ledger.adopt(events), None)
        except DiskBroken:
            raise
        except AnimaError as error:
            settled.set_exception(error)
            return
        if newest:
            self._publish(newest, self._loop.time())  # one doorbell: whoever hears it reads the rest
        settled.set_result((newest is not None, self._loop.time() - begun))

    def _told(self, verb: str) -> dict[str, Any]:
        tip = self._ledger.tip
        if verb == "head":
            return {"head": tip.seq, "chain": tip.chain.hex(), "boot": self._boot}
        if verb == "topics":
            return dict(tip.heads)
        if verb == "stats":
            return {
                "events": tip.seq,
                "agents": len(tip.heads),
                "size_bytes": self._ledger.size_bytes(),
                "degraded": self.degraded,
                "lost": self._ledger.lost,
                "malformed": self._malformed.count,
                "refused": self._refused.count,
                "dropped": self._dropped.count,
                "undelivered": self._undelivered.count,
                "boot": self._boot,
            }
        raise Refused(f"there is no question '{verb}' here; there are head, stats, topics, copy and adopt")

    # -- the beat ----------------------------------------------------------------------------------------------------------

    def _beat_in_time(self) -> None:
        if self._loop.time() < self._beats.due_at:
            return
        self._events.send(self._beats.beat(self._ledger.tip.seq, self._loop.time()))
        if not self.degraded:
            self._on_status(self._summary())
        try:
            self._ledger.note_witness()
        except Unavailable as error:
            _log.debug("the witness could not be noted now: %s", error)
        self._probe()

    def _probe(self) -> None:
        """Binding to a path that is in use succeeds and takes all traffic; only the path itself can tell."""
        for path, bound in self._bound_to.items():
            if _identity(path) != bound:
                raise Unavailable(
                    f"{path} is not our socket any more: it was removed, or another process took its place; starting anew"
                )

    def _set_timer(self) -> None:
        due_at = self._beats.due_at
        if self._timer is None or self._timer.when() != due_at:
            if self._timer:
                self._timer.cancel()
            self._timer = self._loop.call_at(due_at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._wake.set()

    def _summary(self) -> str:
        lost = f", {self._ledger.lost} acknowledged ones lost by the disk before this start" if self._ledger.lost else ""
        return f"{self._ledger.tip.seq} events{lost}"


def _bound(path: Path, kind: int) -> zmq.Socket[bytes]:
    socket = guard(open_socket(kind))
    if kind == zmq.ROUTER:
        socket.setsockopt(zmq.RCVHWM, RECEIVED_MESSAGES_MAX)
    try:
        socket.bind(f"ipc://{path}")
    except zmq.ZMQError as error:
        socket.close()
        raise Unavailable(f"{path} cannot be bound: {error.strerror}; the runtime directory must exist and be ours") from error
    return socket


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - the cheap one
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _pid(sender: Any) -> int:
    """The PID behind a message's first frame; ZAP put it there, from SO_PEERCRED."""
    return peer(sender.get("User-Id"))[1]
