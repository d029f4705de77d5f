"""What the root asks of the kernel beside processes: its memory in pages that a fork copies quickly."""

import mmap
import os

from anima.limits import MIB
from anima.supervisor import kernel


def test_memory_gathered_into_huge_pages_holds_what_it_held() -> None:
    written = [bytearray(bytes([number]) * (8 * MIB)) for number in range(1, 4)]
    gathered = kernel.gather_memory()
    assert gathered % (2 * MIB) == 0
    assert [set(each) for each in written] == [{1}, {2}, {3}]


def test_a_child_forked_from_gathered_memory_writes_to_its_own_copy_alone() -> None:
    private = bytearray(b"a" * (8 * MIB))
    with mmap.mmap(-1, 4 * MIB) as shared:
        kernel.gather_memory()
        pid = os.fork()
        if pid == 0:
            private[:] = b"b" * len(private)
            shared[:5] = private[:5]
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert shared[:5] == b"bbbbb"
        assert set(private) == set(b"a")
