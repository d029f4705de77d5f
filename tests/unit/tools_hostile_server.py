"""A web server that does what hostile ones do: redirects inward, drips, never ends, swells, lies. For tests of the guard."""

import contextlib
import gzip
import json
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """The server, its port, and what it was asked so far."""

    port: int
    asked: list[Asked] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)  #: asked for in TLS

    @property
    def last(self) -> Asked:
        return self.asked[-1]


def plain(body: bytes, kind: str = "text/plain", status: str = "200 OK", extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}Connection: close\r\n\r\n"
    return head.encode() + body


def redirect(to: str, status: str = "302 Found") -> bytes:
    return plain(b"", status=status, extra=f"Location: {to}\r\nSet-Cookie: secret=1\r\n")


def endless(link: socket.socket) -> None:
    link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        link.sendall(b"x" * 65_536)


def drip_body(link: socket.socket) -> None:
    link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n")
    while True:
        link.sendall(b"x")
        time.sleep(0.05)


def drip_head(link: socket.socket) -> None:
    link.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        link.sendall(b"X-A: b\r\n")
        time.sleep(0.05)


def silent(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while link.recv(1):
            pass


def huge_head(link: socket.socket) -> None:
    link.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"b" * 5_000_000 + b"\r\n\r\n")


def bomb() -> bytes:
    """1 GB of zeros in a megabyte."""
    packer = zlib.compressobj(9, wbits=31)
    piece = b"\0" * 1_000_000
    return b"".join(packer.compress(piece) for _ in range(1_000)) + packer.flush()


def _answers(server: Server) -> dict[str, bytes | Callable[[socket.socket], None]]:
    def at(host: str) -> str:
        return f"http://{host}:{server.port}"

    return {
        "/ok": plain(b"fine"),
        "/html": plain(
            b"<html><head><title>T</title><style>x{}</style><script>evil()</script></head><body><nav>menu</nav>"
            b"<h1>Head</h1><p>Some <b>bold</b> <a href='/x'>link</a>.</p><ul><li>one<li>two</ul></body></html>",
            "text/html; charset=utf-8",
        ),
        "/latin": plain("gr\u00fcn".encode("latin-1"), "text/plain; charset=latin-1"),
        "/nested": plain(b"<html><body>" + b"<div>" * 20_000 + b"deep" + b"</div>" * 20_000 + b"</body></html>", "text/html"),
        "/json": plain(b'{"a":[1,2]}', "application/json"),
        "/png": plain(b"\x89PNG\r\n\x1a\n" + bytes(100), "image/png"),
        "/long": plain(b"".join(b"line %d\n" % n for n in range(20_000))),
        "/missing": plain(b"no", status="404 Not Found"),
        "/once": redirect("/ok"),
        "/loop": redirect("/loop"),
        "/inward": redirect("http://169.254.169.254/latest/meta-data"),
        "/inward-name": redirect("http://inner.test/"),
        "/file": redirect("file:///etc/passwd"),
        "/gopher": redirect("gopher://x/"),
        "/port": redirect("http://public.test:22/"),
        "/user": redirect("http://public.test@127.0.0.1/"),
        "/protocol-relative": redirect(f"//other.test:{server.port}/ok"),
        "/other": redirect(f"{at('other.test')}/ok"),
        "/303": redirect("/ok", "303 See Other"),
        "/307": redirect("/ok", "307 Temporary Redirect"),
        "/307-other": redirect(f"{at('other.test')}/ok", "307 Temporary Redirect"),
        "/no-location": plain(b"odd", status="302 Found"),
        "/bad-location": redirect("http://[::1"),
        "/gzip": plain(gzip.compress(b"packed"), extra="Content-Encoding: gzip\r\n"),
        "/deflate": plain(zlib.compress(b"packed"), extra="Content-Encoding: deflate\r\n"),
        "/raw-deflate": plain(zlib.compress(b"packed")[2:-4], extra="Content-Encoding: deflate\r\n"),
        "/gzip-lie": plain(b"this is no gzip", extra="Content-Encoding: gzip\r\n"),
        "/gzip-twice": plain(gzip.compress(gzip.compress(b"x")), extra="Content-Encoding: gzip, gzip\r\n"),
        "/brotli": plain(b"x", extra="Content-Encoding: br\r\n"),
        "/bomb": lambda link: link.sendall(plain(bomb(), extra="Content-Encoding: gzip\r\n")),
        "/endless": endless,
        "/drip-body": drip_body,
        "/drip-head": drip_head,
        "/silent": silent,
        "/huge-head": huge_head,
        "/noise": b"\x00\xff not http at all\r\n\r\n",
        "/hang-up": b"",
        "/search": plain(
            json.dumps(
                {"results": [{"title": f"T{n}", "url": f"http://h{n}/", "content": "words"} for n in range(30)]}
            ).encode(),
            "application/json",
        ),
        "/res/v1/web/search": plain(
            json.dumps({"web": {"results": [{"title": "B", "url": "http://b/", "description": "d"}]}}).encode(),
            "application/json",
        ),
    }


def _serve_one(server: Server, link: socket.socket) -> None:
    with link, contextlib.suppress(OSError, ValueError):
        link.settimeout(20)
        raw = b""
        while b"\r\n\r\n" not in raw:
            piece = link.recv(65_536)
            if not piece:
                return
            raw += piece
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += link.recv(65_536)
        server.asked.append(Asked(method, target, headers, body))
        answer = _answers(server).get(target.partition("?")[0], plain(b"echo"))
        if callable(answer):
            answer(link)
        else:
            link.sendall(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else answer)


@contextlib.contextmanager
def hostile_server(tls: tuple[str, str] | None = None) -> Iterator[Server]:
    """Runs until the block ends; every connection in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(listener.getsockname()[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
    if context and tls:
        context.load_cert_chain(*tls)
        context.sni_callback = lambda _socket, name, _context: server.names.append(name)

    def accept() -> None:
        while True:
            try:
                link, _ = listener.accept()
                link = context.wrap_socket(link, server_side=True) if context else link
            except ssl.SSLError:
                continue
            except OSError:
                return
            threading.Thread(target=_serve_one, args=(server, link), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
