"""What a child prints is cut into lines, limited, and counted when dropped."""

from hypothesis import given
from hypothesis import strategies as st

from anima.process.output import Allowance, Cutter


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_short_lines_come_out_whole_however_they_were_chunked(chunks: list[bytes]) -> None:
    cutter = Cutter(line_bytes_max=10_000)
    lines = [line for chunk in chunks for line in cutter.feed(chunk)]
    whole = b"".join(chunks).split(b"\n")[:-1]
    assert lines == [line.decode(errors="replace") for line in whole]
    assert cutter.swallowed == 0


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(1, 15))
def test_no_line_is_longer_than_allowed_and_no_byte_is_lost_uncounted(chunks: list[bytes], line_bytes_max: int) -> None:
    cutter = Cutter(line_bytes_max)
    data = b"".join(chunks).replace(b"\xff", b"x") + b"\n"
    ascii_only = bytes(b & 0x7F for b in data)
    lines = cutter.feed(ascii_only)
    kept = sum(len(line.removesuffix(" … (cut)")) for line in lines)
    assert all(len(line.removesuffix(" … (cut)")) <= line_bytes_max for line in lines)
    assert kept + cutter.swallowed == len(ascii_only) - ascii_only.count(b"\n")


def test_a_hundred_megabytes_without_a_newline_are_one_cut_line() -> None:
    cutter = Cutter()
    lines = [line for _ in range(1600) for line in cutter.feed(b"x" * 65_536)]
    assert len(lines) == 1
    assert lines[0].endswith("(cut)")
    assert cutter.feed(b"\nnext\n") == ["next"]


def test_an_allowance_refills_with_time() -> None:
    allowance = Allowance(bytes_per_s=100)
    assert allowance.take(100, now=10.0)
    assert not allowance.take(1, now=10.0)
    assert allowance.take(50, now=10.5)
