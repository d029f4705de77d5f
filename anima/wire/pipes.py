"""Frames on a stream of bytes, for two processes that share a pipe or a socket pair instead of a bus.

frame = 4 bytes length, big-endian, then one msgpack map of at most `frame_bytes_max`
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import msgpack

from anima.errors import BadMessage
from anima.limits import message_bytes_max

frame_bytes_max = message_bytes_max
HEAD = struct.Struct(">I")


def pack_frame(message: Mapping[str, Any]) -> bytes:
    """One frame. Raises BadMessage if it is too large, or holds what msgpack cannot carry."""
    try:
        packed: bytes = msgpack.packb(message)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadMessage(f"not a message: {error}") from error
    if len(packed) > frame_bytes_max:
        raise BadMessage(f"a message of {len(packed)} bytes exceeds {frame_bytes_max}; send less at once")
    return HEAD.pack(len(packed)) + packed


def frame_size(head: bytes) -> int:
    """The size of the body that follows a head. Raises BadMessage if no frame is that large."""
    size: int = HEAD.unpack(head)[0]
    if size > frame_bytes_max:
        raise BadMessage(f"a frame of {size} bytes exceeds {frame_bytes_max}; what comes is no frame")
    return size


def read_body(body: bytes) -> dict[str, Any]:
    """The map in a frame's body. Raises BadMessage for anything else."""
    try:
        found = msgpack.unpackb(body)
    except ValueError as error:
        raise BadMessage(f"not a message: {error}") from error
    if not isinstance(found, dict):
        raise BadMessage("a frame holds a map")
    return found


class Frames:
    """The frames in what arrives piece by piece."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """Every message that is complete now. Raises BadMessage where the stream stops being one of frames."""
        self._rest += piece
        while len(self._rest) >= HEAD.size:
            end = HEAD.size + frame_size(bytes(self._rest[: HEAD.size]))
            if len(self._rest) < end:
                return
            body = bytes(self._rest[HEAD.size : end])
            del self._rest[:end]
            yield read_body(body)
