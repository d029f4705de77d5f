"""The checksum chain: each stored row's digest covers the row before it, so a hole or a flipped bit cannot hide.

    chain(n) = blake2b-128(chain(n-1) || seq, 8 bytes big-endian || ts, IEEE double big-endian || blob)

What it does not protect against: someone who may write the file can compute a new chain.
"""

import struct
from hashlib import blake2b

START = bytes(16)  #: the chain value before the first event
_place = struct.Struct(">qd").pack


def link(previous: bytes, seq: int, ts: float, blob: bytes) -> bytes:
    """The chain value of a row, 16 bytes, from that of the row before it."""
    digest = blake2b(previous, digest_size=16)
    digest.update(_place(seq, ts))
    digest.update(blob)
    return digest.digest()
