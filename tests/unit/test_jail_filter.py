"""The program that judges system calls, run by a small machine of our own: every path of it, without a kernel."""

import errno
import struct

import pytest

from anima.sandbox.jail import bpf

LD, AND, JEQ, JGE, RET = 0x20, 0x54, 0x15, 0x35, 0x06
DENY = 0x50000 | errno.EPERM
UNKNOWN = 0x50000 | errno.ENOSYS
NO_FAMILY = 0x50000 | errno.EAFNOSUPPORT
MACHINES = ("x86_64", "aarch64")


def judge(program: bytes, arch: int, call: int, *arguments: int) -> int:
    """What the kernel would do: a classic BPF machine that knows the five instructions we write."""
    data = struct.pack("=IIQ6Q", call, arch, 0, *(*arguments, *([0] * (6 - len(arguments)))))
    lines = list(struct.iter_unpack("=HBBI", program))
    at, found = 0, 0
    while True:
        code, true, false, value = lines[at]
        at += 1
        if code == LD:
            found = struct.unpack_from("=I", data, value)[0]
        elif code == AND:
            found &= value
        elif code == JEQ:
            at += true if found == value else false
        elif code == JGE:
            at += true if found >= value else false
        elif code == RET:
            return int(value)
        else:
            raise AssertionError(f"an instruction we do not write: {code:#x}")


def verdict(machine: str, name: str, *arguments: int, network: bool = False, unix: bool = True) -> int:
    column = MACHINES.index(machine)
    table = {**bpf.DENIED, **bpf.UNKNOWN, **bpf._CALLS}
    call = table[name][column]
    assert call is not None
    return judge(bpf.program(machine, network=network, unix=unix), bpf.AUDIT_ARCH[machine], call, *arguments)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_call_of_the_deny_list_is_refused_whatever_its_arguments(machine: str) -> None:
    for name, columns in bpf.DENIED.items():
        if columns[MACHINES.index(machine)] is not None:
            assert verdict(machine, name, 1, 2, 3) == DENY, name
            assert verdict(machine, name, 1, 2, 3, network=True) == DENY, name


def test_calls_whose_arguments_cannot_be_seen_do_not_exist(machine: str) -> None:
    for name in bpf.UNKNOWN:
        assert verdict(machine, name, 1, 2, 3) == UNKNOWN, name


def test_what_is_on_no_list_is_allowed(machine: str) -> None:
    program = bpf.program(machine, network=False)
    listed = {
        columns[MACHINES.index(machine)] for columns in (*bpf.DENIED.values(), *bpf.UNKNOWN.values(), *bpf._CALLS.values())
    }
    for call in set(range(460)) - listed:
        assert judge(program, bpf.AUDIT_ARCH[machine], call) == bpf.ALLOW


def test_numbers_of_another_architecture_end_the_process(machine: str) -> None:
    program = bpf.program(machine, network=False)
    assert judge(program, 0x40000003, 1) == bpf.KILL  # i386
    other = next(each for each in MACHINES if each != machine)
    assert judge(program, bpf.AUDIT_ARCH[other], 1) == bpf.KILL


def test_x32_ends_the_process() -> None:
    assert judge(bpf.program("x86_64", network=False), bpf.AUDIT_ARCH["x86_64"], 0x40000000 | 1) == bpf.KILL


@pytest.mark.parametrize("flag", [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000])
def test_a_clone_with_any_new_namespace_is_refused(machine: str, flag: int) -> None:
    assert verdict(machine, "clone", flag | 17) == DENY
    assert verdict(machine, "clone", flag | 17 | 1 << 40) == DENY


def test_plain_clones_and_threads_are_allowed(machine: str) -> None:
    assert verdict(machine, "clone", 17) == bpf.ALLOW
    assert verdict(machine, "clone", 0x003D0F00) == bpf.ALLOW  # what pthread_create asks for
    assert verdict(machine, "clone", 0x4100 | 17) == bpf.ALLOW  # vfork, as posix_spawn makes it


@pytest.mark.parametrize("command", [0x5412, 0x541C])
@pytest.mark.parametrize("above", [0, 1 << 32, 0xDEADBEEF << 32])
def test_typing_into_a_terminal_is_refused_also_with_high_bits_set(machine: str, command: int, above: int) -> None:
    assert verdict(machine, "ioctl", 0, command | above) == DENY
    assert verdict(machine, "ioctl", 0, 0x5401 | above) == bpf.ALLOW  # TCGETS


def test_without_a_network_only_unix_sockets_can_be_made(machine: str) -> None:
    for family in (0, 2, 10, 16, 17, 38, 40, 44):
        assert verdict(machine, "socket", family, 1) == NO_FAMILY
        assert verdict(machine, "socketpair", family, 1) == NO_FAMILY
    assert verdict(machine, "socket", 1, 1) == bpf.ALLOW
    assert verdict(machine, "socketpair", 1, 1) == bpf.ALLOW


def test_without_anything_that_hides_the_machines_own_unix_sockets_there_are_only_pairs(machine: str) -> None:
    assert verdict(machine, "socket", 1, 1, unix=False) == NO_FAMILY
    assert verdict(machine, "socketpair", 1, 1, unix=False) == bpf.ALLOW


def test_with_a_network_tcp_and_udp_are_all_there_is(machine: str) -> None:
    for family in (2, 10):
        for kind in (1, 2, 1 | 0o2000000, 2 | 0o4000):  # with SOCK_CLOEXEC, SOCK_NONBLOCK
            assert verdict(machine, "socket", family, kind, network=True) == bpf.ALLOW
        assert verdict(machine, "socket", family, 3, network=True) == DENY  # raw
        assert verdict(machine, "socket", family | 1 << 32, 3, network=True) == DENY
    for family in (16, 17, 40):  # netlink, packet, vsock
        assert verdict(machine, "socket", family, 1, network=True) == NO_FAMILY


@pytest.mark.parametrize("bits", [0o4755, 0o2755, 0o6777])
def test_no_file_becomes_set_uid(machine: str, bits: int) -> None:
    for name, at in {"fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "mknodat": 2}.items():
        assert verdict(machine, name, *([0] * at), bits) == DENY
        assert verdict(machine, name, *([0] * at), bits & 0o1777) == bpf.ALLOW
    for making in (0o100, 0o20000000):
        assert verdict(machine, "openat", 0, 0, making, bits) == DENY
    assert verdict(machine, "openat", 0, 0, 0, bits) == bpf.ALLOW  # nothing is made, the mode is not read


@pytest.mark.parametrize(("name", "at"), [("chmod", 1), ("creat", 1), ("mknod", 1)])
def test_nor_by_the_older_calls(name: str, at: int) -> None:
    assert verdict("x86_64", name, *([0] * at), 0o4755) == DENY
    assert verdict("x86_64", "open", 0, 0o101, 0o4755) == DENY


def test_the_personality_can_be_asked_and_not_changed(machine: str) -> None:
    assert verdict(machine, "personality", 0) == bpf.ALLOW
    assert verdict(machine, "personality", 0xFFFFFFFF) == bpf.ALLOW
    assert verdict(machine, "personality", 0x0040000) == DENY  # no address space randomisation


def test_files_in_memory_that_nobody_counts_cannot_be_made(machine: str) -> None:
    counted, uncounted = (bpf.program(machine, network=False, counted=each) for each in (True, False))
    for columns in bpf.UNCOUNTED.values():
        call = columns[MACHINES.index(machine)]
        assert call is not None
        assert judge(counted, bpf.AUDIT_ARCH[machine], call, 1) == bpf.ALLOW
        assert judge(uncounted, bpf.AUDIT_ARCH[machine], call, 1) == UNKNOWN


def test_the_program_fits_the_kernel(machine: str) -> None:
    assert len(bpf.program(machine, network=True)) // 8 < 4096
