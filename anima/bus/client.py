"""The bus over ZeroMQ: what every process of the house, and every command, uses to talk to the others."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import zmq

from anima.bus import zap
from anima.bus.bus import Answer, Page, Stored
from anima.bus.follower import Follower
from anima.bus.link import Link
from anima.bus.port import Message, Port, guard, open_socket
from anima.errors import AnimaError, BadMessage, Refused, Unavailable
from anima.limits import (
    ask_timeout_s,
    batch_bytes_max,
    batch_events_max,
    beat_linger_s,
    coalesce_events_max,
    credit_events_max,
    reconnect_max_ms,
)
from anima.paths import Home
from anima.wire import frames
from anima.wire.events import Event, decode_event
from anima.wire.frames import Query
from anima.wire.whispers import Whisper, decode_whisper

JOINED_TIMEOUT_S = 2.0  # without a welcome the journal is away; what is stored meanwhile is read when it is back
_log = logging.getLogger(__name__)


@asynccontextmanager
async def connect(home: Home) -> AsyncIterator["Client"]:
    """A bus of this process, for the running event loop. Connecting succeeds also while nobody is there yet."""
    client = Client(home)
    try:
        yield client
    finally:
        await client.close()


@dataclass(slots=True)
class _Append:
    """One caller's events on their way to the journal."""

    blobs: list[bytes]
    stored: asyncio.Future[list[Stored]]


class Client:
    """See `anima.bus.bus.Bus`, which this implements; sockets are opened when first needed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._loop = asyncio.get_running_loop()
        self._links: dict[str, Link] = {}
        self._queue: deque[_Append] = deque()
        self._in_flight = 0  # events sent and not yet acknowledged: our credit
        self._flush_due = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._followers: list[Follower] = []
        self._topics: dict[bytes, int] = {}
        self._events: Port | None = None
        self._joining: dict[bytes, asyncio.Future[None]] = {}
        self._boot = ""
        self._beat_at = self._loop.time()
        self._servers: list[Port] = []
        self._zap: Port | None = None
        self._malformed = 0
        self._closed = False

    # -- facts -----------------------------------------------------------------------------------------------------

    async def append(self, *events: Event, timeout_s: float | None = None) -> list[Stored]:
        """Store `events` in one transaction; see Bus.append."""
        append = _Append([event.encode() for event in events], self._loop.create_future())
        if len(append.blobs) > batch_events_max or sum(map(len, append.blobs)) > batch_bytes_max:
            raise BadMessage(f"one append holds at most {batch_events_max} events and {batch_bytes_max} bytes; split it")
        wait_s = 0.25
        while True:
            if self._closed:
                raise Unavailable("this bus was closed; nothing can be stored through it any more")
            self._queue.append(append)
            self._flush_soon()
            try:
                async with asyncio.timeout(timeout_s):
                    return await append.stored
            except TimeoutError:
                raise Unavailable(f"the journal did not answer within {timeout_s:g} s; see `animactl status`") from None
            except Unavailable:
                if timeout_s is not None:
                    raise
            wait_s = min(2 * wait_s, reconnect_max_ms / 1_000)
            await asyncio.sleep(wait_s)
            append = _Append(append.blobs, self._loop.create_future())

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send what is queued, as much together as the limits allow; the rest waits for acknowledgements."""
        self._flush_due = False
        while self._queue:
            group: list[_Append] = []
            events = size = 0
            while self._queue:
                blobs = self._queue[0].blobs
                events += len(blobs)
                size += sum(map(len, blobs))
                full = group and (events > coalesce_events_max or size > batch_bytes_max)
                if full or (self._in_flight and self._in_flight + events > credit_events_max):
                    break
                group.append(self._queue.popleft())
            if not group:
                return
            self._send(group)

    def _send(self, group: list[_Append]) -> None:
        blobs = [blob for append in group for blob in append.blobs]
        self._in_flight += len(blobs)
        answer = self._link("journal").request(frames.APPEND, frames.pack(blobs))

        def settle(answer: asyncio.Future[bytes]) -> None:
            self._in_flight -= len(blobs)
            if answer.cancelled():  # the bus was closed
                for append in group:
                    append.stored.cancel()
                return
            if self._queue:
                self._flush_soon()
            error = answer.exception()
            if isinstance(error, (Refused, BadMessage)) and len(group) > 1:
                for append in group:  # one of them is at fault; the others must not suffer
                    self._send([append])
                return
            places = iter(() if error else frames.unpack(answer.result()))
            for append in group:
                if append.stored.done():
                    continue
                if error:
                    append.stored.set_exception(error)
                else:
                    append.stored.set_result([Stored(*next(places)) for _ in append.blobs])

        answer.add_done_callback(settle)

    # -- questions ---------------------------------------------------------------------------------------------------

    async def read(self, query: Query, timeout_s: float | None = None) -> Page:
        """Stored events; see Bus.read."""
        head, more, rows = await self.read_rows(query, timeout_s)
        return Page([decode_event(row[2], row[0], row[1]) for row in rows], head, more)

    async def read_rows(self, query: Query, timeout_s: float | None = None) -> tuple[int, bool, list[Any]]:
        """The rows behind `read`, as [seq, ts, blob, chain], for whoever verifies the chain."""
        boot, opened, head, more, rows = await self._request("journal", frames.READ, query.fields(), timeout_s)
        self._meet(boot, opened)
        return head, more, rows

    async def ask(self, server: str, verb: str, timeout_s: float | None = None, /, **arguments: Any) -> Any:
        """One question; see Bus.ask."""
        return await self._request(server, frames.ASK, [verb, arguments], timeout_s)

    async def _request(self, server: str, operation: bytes, content: Any, timeout_s: float | None) -> Any:
        seconds = ask_timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(seconds):
                return frames.unpack(await self._link(server).request(operation, frames.pack(content)))
        except TimeoutError:
            raise Unavailable(f"{server} did not answer within {seconds:g} s; see `animactl status`") from None

    def _link(self, server: str) -> Link:
        if server not in self._links:
            self._links[server] = Link(self._home.endpoint(server))
        return self._links[server]

    # -- following -----------------------------------------------------------------------------------------------------

    async def follow(
        self, *, agent: str | None = None, since: int | None = None, whispers: bool = False, strict: bool = False
    ) -> AsyncIterator[Event | Whisper]:
        """Every event after `since`, in order, once; see Bus.follow."""
        topics = [frames.ALL_EVENTS if agent is None else frames.event_topic(agent)]
        if whispers:
            topics.append(b"w/" if agent is None else frames.whisper_topic(agent))
        self._subscribe(topics)
        await self.subscribed()
        if since is None:
            since = (await self.read(Query(newest=True, limit=1))).head
        follower = Follower(agent, since, whispers=whispers)
        self._followers.append(follower)
        try:
            while True:
                while follower.inbox:
                    yield follower.inbox.popleft()
                if follower.behind:
                    async for event in self._catch_up(follower, strict=strict):
                        yield event
                else:
                    follower.wake.clear()
                    await follower.wake.wait()
        finally:
            self._followers.remove(follower)
            self._unsubscribe(topics)

    async def subscribed(self) -> None:
        """Wait until the journal's beats reach us; see Bus.subscribed."""
        events = self._open_events()
        topic = frames.JOIN_TOPIC + os.urandom(8).hex().encode()
        self._joining[topic] = self._loop.create_future()
        events.socket.setsockopt(zmq.SUBSCRIBE, topic)
        try:
            async with asyncio.timeout(JOINED_TIMEOUT_S):
                await self._joining[topic]
        except TimeoutError:
            _log.debug("no welcome of the journal within %s s; going on all the same", JOINED_TIMEOUT_S)
        finally:
            del self._joining[topic]
            if not events.socket.closed:
                events.socket.setsockopt(zmq.UNSUBSCRIBE, topic)

    async def _catch_up(self, follower: Follower, *, strict: bool) -> AsyncIterator[Event]:
        while follower.behind:
            follower.wake.clear()
            lost = follower.ask()
            try:
                page = await self.read(Query(since=follower.tail, agent=follower.agent))
            except Unavailable:
                follower.doubt()
                continue  # the link keeps asking; there is nothing else to do without the journal
            if page.head < follower.tail:
                lost = follower.rewind(page.head)
            if lost:
                _log.error("the journal has lost events that were seen here before; it goes on from seq %d", lost)
                if strict:
                    raise Unavailable(
                        f"the journal has lost events that were seen here before, from seq {lost} on; starting anew"
                    )
            if follower.overtaken:
                continue
            for event in page.events:
                follower.tail = event.seq
                yield event
            follower.took(page.events[-1].seq if page.events else follower.tail, page.head, more=page.more)

    def _open_events(self) -> Port:
        if self._events is None:
            socket = open_socket(zmq.SUB)
            socket.connect(self._home.endpoint("events"))
            self._events = Port(socket, self._on_events)
            self._subscribe([frames.BEAT_TOPIC])
        return self._events

    def _subscribe(self, topics: list[bytes]) -> None:
        for topic in topics:
            self._topics[topic] = self._topics.get(topic, 0) + 1
            if self._topics[topic] == 1:
                self._open_events().socket.setsockopt(zmq.SUBSCRIBE, topic)

    def _unsubscribe(self, topics: list[bytes]) -> None:
        for topic in topics:
            self._topics[topic] -= 1
            if not self._topics[topic] and self._events and not self._events.socket.closed:
                self._events.socket.setsockopt(zmq.UNSUBSCRIBE, topic)

    def _on_events(self, batch: list[Message]) -> None:
        for message in batch:
            try:
                if message[0].startswith(b"e/"):
                    self._on_event(*message)
                elif message[0] == frames.BEAT_TOPIC:
                    self._on_beat(*frames.unpack(message[1]))
                elif joining := self._joining.get(message[0]):
                    self._on_beat(*frames.unpack(message[1]))
                    if not joining.done():
                        joining.set_result(None)
                else:
                    whisper = decode_whisper(message[1])
                    for follower in self._followers:
                        if follower.agent in (None, whisper.agent):
                            follower.overhear(whisper)
            except (BadMessage, TypeError, ValueError, IndexError) as error:
                self._malformed += 1
                _log.warning("dropped a malformed message from the events socket (%d so far): %s", self._malformed, error)

    def _on_event(self, topic: bytes, place: bytes, blob: bytes) -> None:
        boot, opened, previous, seq, ts = frames.unpack(place)
        self._meet(boot, opened)
        agent = topic[2:-1].decode()
        event = decode_event(blob, seq, ts) if blob else None
        for follower in self._followers:
            if follower.agent is None:
                follower.hear(seq - 1, seq, event)
            elif follower.agent == agent:
                follower.hear(previous, seq, event)

    def _on_beat(self, boot: str, opened: int, head: int, heads: dict[bytes, int]) -> None:
        self._meet(boot, opened)
        heard_at, self._beat_at = self._beat_at, self._loop.time()
        for follower in self._followers:
            if self._beat_at - heard_at > beat_linger_s:
                follower.doubt()  # stopped or cut off for longer than a beat looks back
            follower.beat(head if follower.agent is None else heads.get(frames.event_topic(follower.agent), 0))

    def _meet(self, boot: str, opened: int) -> None:
        """The journal spoke. If it lives a new life since seq `opened`, nobody knows what the old one did at its end."""
        if boot == self._boot:
            return
        known, self._boot = self._boot, boot
        for link in self._links.values():
            link.resend()
        for follower in self._followers:
            follower.doubt(opened if known else None)

    # -- whispers and serving ------------------------------------------------------------------------------------------

    def whisper(self, whisper: Whisper) -> None:
        """Tell whoever looks on; see Bus.whisper."""
        self._link("journal").tell([frames.WHISPER, whisper.encode()])

    async def serve(self, server: str, verbs: dict[str, Answer]) -> None:
        """Answer questions to `server`; see Bus.serve."""
        if self._zap is None:
            self._zap = zap.open_zap()
        socket = guard(open_socket(zmq.ROUTER))
        socket.bind(self._home.endpoint(server))

        def on_messages(batch: list[Message]) -> None:
            for message in batch:
                if len(message) == 4 and message[1] == frames.ASK:  # noqa: PLR2004 - sender, operation, number, payload
                    task = self._loop.create_task(self._answer(port, message, verbs))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                else:
                    self._malformed += 1

        port = Port(socket, on_messages)
        self._servers.append(port)

    async def _answer(self, port: Port, message: Message, verbs: dict[str, Answer]) -> None:
        sender, _, number, payload = message
        try:
            verb, arguments = _question(payload)
            if verb not in verbs:
                raise Refused(f"there is no question '{verb}' here; there are {', '.join(sorted(verbs))}")
            reply = [frames.OK, number, frames.pack(await verbs[verb](arguments))]
        except AnimaError as error:
            reply = frames.refusal(number, error)
        except Exception as error:  # noqa: BLE001 - one bad question must not end the server
            _log.exception("a question could not be answered")
            reply = frames.refusal(number, Unavailable(f"the question met a bug: {error!r}; the log of the process says more"))
        port.send([sender, *reply])

    async def close(self) -> None:
        """Let go of all sockets; see Bus.close."""
        self._closed = True
        for append in self._queue:
            append.stored.cancel()
        self._queue.clear()
        for task in self._tasks:
            task.cancel()
        for link in self._links.values():
            link.close()
        if self._zap:
            zap.close_zap(self._zap)
        for port in (*self._servers, self._events):
            if port:
                port.close()
        self._links.clear()
        self._servers.clear()
        await asyncio.sleep(0)


def _question(payload: bytes) -> tuple[str, dict[str, Any]]:
    content = frames.unpack(payload)
    if not (isinstance(content, list) and len(content) == 2 and isinstance(content[0], str) and isinstance(content[1], dict)):  # noqa: PLR2004
        raise BadMessage("a question is [verb, {name: argument}]")
    return content[0], content[1]
