"""Servers that are no model, or a bad one, on this machine: what a person's wrong address and a hostile provider lead to."""

import http.server
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Answer = Callable[[Any], None]
_HERE = "%HERE%"
STREAM_S = 60.0  # an endless answer ends here, in case nobody leaves


def page(handler: http.server.BaseHTTPRequestHandler) -> None:
    """What a hotel's network answers."""
    _say(handler, 200, "text/html", b"<html><h1>Please log in</h1></html>")


def nothing_here(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Some server, but not the right one."""
    _say(handler, 404, "text/plain", b"nothing here")


def wrong_key(handler: http.server.BaseHTTPRequestHandler) -> None:
    """As both dialects say it."""
    _say(handler, 401, "application/json", b'{"error": {"type": "authentication_error", "message": "invalid key"}}')


def ten_megabytes(handler: http.server.BaseHTTPRequestHandler) -> None:
    """A whole answer as a stream, of 10 MB."""
    _stream(handler, (b"x" * 100_000 for _ in range(100)))


def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
    """A stream that goes on and on."""

    def drip() -> Iterator[bytes]:
        until = time.monotonic() + STREAM_S
        while time.monotonic() < until:
            time.sleep(0.02)
            yield b"and so on "

    _stream(handler, drip())


def _say(handler: http.server.BaseHTTPRequestHandler, status: int, sort: str, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("content-type", sort)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _stream(handler: http.server.BaseHTTPRequestHandler, texts: Iterator[bytes]) -> None:
    """A stream in the dialect that the path asks for."""
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.end_headers()
    if handler.path.endswith("/messages"):
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": usage}
        handler.wfile.write(_frame("message_start", message=message))
        frame = _frame("content_block_delta", index=0, delta={"type": "text_delta", "text": _HERE})
    elif handler.path.endswith("/responses"):
        frame = _frame("response.output_text.delta", item_id="i", output_index=0, content_index=0, delta=_HERE)
    else:
        frame = _frame("", id="c", object="chat.completion.chunk", choices=[{"index": 0, "delta": {"content": _HERE}}])
    for text in texts:
        handler.wfile.write(frame.replace(_HERE.encode(), text))


def _frame(kind: str, **fields: object) -> bytes:
    """One server-sent event; without a kind, as chat completions have them."""
    told = {"type": kind, **fields} if kind else fields
    return (f"event: {kind}\n" if kind else "").encode() + f"data: {json.dumps(told)}\n\n".encode()


def claude(handler: http.server.BaseHTTPRequestHandler, *blocks: dict[str, Any]) -> None:
    """An answer of the Messages API, each block of it whole."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": usage}
    called = any(block["type"] == "tool_use" for block in blocks)
    frames = [_frame("message_start", message=message)]
    for number, block in enumerate(blocks):
        frames.append(_frame("content_block_start", index=number, content_block={**block, "signature": "", "input": {}}))
        if signature := block.get("signature"):
            frames.append(
                _frame("content_block_delta", index=number, delta={"type": "signature_delta", "signature": signature})
            )
        frames.append(_frame("content_block_stop", index=number))
    stop = {"stop_reason": "tool_use" if called else "end_turn"}
    frames += [_frame("message_delta", delta=stop, usage={"output_tokens": 1}), _frame("message_stop")]
    _say(handler, 200, "text/event-stream", b"".join(frames))


@contextmanager
def odd_server(answer: Answer, certificate: Path | None = None) -> Iterator[str]:
    """The address of a server that answers every request so; with a certificate, over TLS."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
            try:
                answer(self)
            except OSError:
                self.close_connection = True  # the one who asked has left

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def self_signed(folder: Path) -> Path:
    """A certificate nobody vouches for, with its key."""
    file = folder / "self-signed.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        *names,
        "-keyout",
        file,
        "-out",
        file.with_suffix(".crt"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    file.write_bytes(file.read_bytes() + file.with_suffix(".crt").read_bytes())
    return file
