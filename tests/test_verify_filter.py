"""What does the filter of system calls say to each call, on both architectures? Its program is run by hand."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from ga_lint.verify.worker.sandbox import seccomp
from ga_lint.verify.worker.sandbox.profiles import DEVICE, RANKS, RANKS_ON_DEVICES, STRICT, Profile
from ga_lint.verify.worker.sandbox.syscalls import ARCHITECTURES, NAMES

OWN = 4242
REFUSED, UNKNOWN = seccomp.FAIL | errno.EPERM, seccomp.FAIL | errno.ENOSYS
O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_CLOEXEC = 1, 2, 0o100, 0o1000, 0o2000000
PROFILES = (STRICT, RANKS, DEVICE)
both = pytest.mark.parametrize("machine", ARCHITECTURES)


def said(profile: Profile, machine: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """What the program returns for one call, by the rules of the kernel's BPF machine."""
    architecture = ARCHITECTURES[machine]
    words = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("=IIQ6Q", number, architecture.audit if audit is None else audit, 0, *words)
    program = seccomp.program(profile, architecture, OWN)
    place = accumulator = 0
    while True:
        code, if_true, if_false, operand = program[place]
        place += 1
        match code:
            case seccomp.LOAD:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case seccomp.EQUAL:
                place += if_true if accumulator == operand else if_false
            case seccomp.AT_LEAST:
                place += if_true if accumulator >= operand else if_false
            case seccomp.ANY_BIT:
                place += if_true if accumulator & operand else if_false
            case seccomp.RETURN:
                return operand
            case _:
                raise AssertionError(code)


def to(profile: Profile, machine: str, name: str, *arguments: int) -> int:
    return said(profile, machine, ARCHITECTURES[machine].numbers[name], *arguments)


@both
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
class TestEveryProfile:
    def test_is_a_program_that_the_kernel_takes(self, profile: Profile, machine: str) -> None:
        program = seccomp.program(profile, ARCHITECTURES[machine], OWN)
        assert len(program) < 4096
        assert all(0 <= skip < 256 for _, if_true, if_false, _ in program for skip in (if_true, if_false))

    def test_names_only_calls_of_the_table(self, profile: Profile, machine: str) -> None:
        assert profile.calls | profile.checked.keys() <= NAMES
        assert not profile.calls & profile.checked.keys()

    def test_computes_and_answers(self, profile: Profile, machine: str) -> None:
        for name in ("read", "write", "mmap", "futex", "exit_group"):
            assert to(profile, machine, name) == seccomp.ALLOW

    def test_another_abi_ends_it(self, profile: Profile, machine: str) -> None:
        i386, arm = 0x40000003, 0x40000028
        for audit in (i386, arm):
            assert said(profile, machine, 1, audit=audit) == seccomp.KILL_PROCESS
        if machine == "x86_64":
            assert said(profile, machine, (1 << 30) + 1) == seccomp.KILL_PROCESS
            assert said(profile, machine, 0xFFFFFFFF) == seccomp.KILL_PROCESS

    def test_what_it_does_not_name_is_refused(self, profile: Profile, machine: str) -> None:
        named = {ARCHITECTURES[machine].numbers.get(name) for name in profile.calls | profile.checked.keys()}
        for number in set(range(600)) - named:
            assert said(profile, machine, number) == (UNKNOWN if number >= 424 else REFUSED)

    def test_no_process_is_made_but_threads(self, profile: Profile, machine: str) -> None:
        assert to(profile, machine, "clone", 17) == REFUSED
        assert to(profile, machine, "clone", 0x3D0F00) == seccomp.ALLOW  # what pthread_create asks for

    def test_no_signal_leaves_it(self, profile: Profile, machine: str) -> None:
        assert to(profile, machine, "tgkill", OWN, OWN, 6) == seccomp.ALLOW
        assert to(profile, machine, "tgkill", OWN - 1, OWN - 1, 6) == REFUSED
        for command in (8, 10, 15):  # F_SETOWN, F_SETSIG, F_SETOWN_EX
            assert to(profile, machine, "fcntl", 3, command) == REFUSED

    def test_no_file_is_created(self, profile: Profile, machine: str) -> None:
        assert to(profile, machine, "openat", 0, 0, O_CLOEXEC) == seccomp.ALLOW
        for flags in (O_CREAT, O_TRUNC, O_WRONLY | O_CREAT, O_RDWR | O_CREAT | O_TRUNC):
            assert to(profile, machine, "openat", 0, 0, flags) == REFUSED

    def test_limits_are_read_only(self, profile: Profile, machine: str) -> None:
        assert to(profile, machine, "prlimit64", 0, 7, 0, 1 << 40) == seccomp.ALLOW
        for pointer in (8, 1 << 40, (1 << 40) + 8):
            assert to(profile, machine, "prlimit64", 0, 7, pointer) == REFUSED


@both
def test_nothing_is_opened_for_writing_and_only_a_device_is_spoken_to(machine: str) -> None:
    for profile in (*PROFILES, RANKS_ON_DEVICES):
        for flags in (O_WRONLY, O_RDWR, 3):
            assert to(profile, machine, "openat", 0, 0, flags) == REFUSED
    for profile in (DEVICE, RANKS_ON_DEVICES):
        assert to(profile, machine, "ioctl", 3, 0xC020462A) == seccomp.ALLOW
    assert to(STRICT, machine, "ioctl", 0, 0x5412) == REFUSED  # TIOCSTI


@both
def test_only_ranks_speak_tcp(machine: str) -> None:
    unix, inet, inet6, netlink, packet = 1, 2, 10, 16, 17
    assert [to(RANKS, machine, "socket", family) for family in (inet, inet6, netlink)] == [seccomp.ALLOW] * 3
    assert [to(RANKS, machine, "socket", family) for family in (unix, packet)] == [REFUSED] * 2
    for profile in (STRICT, DEVICE):
        for name in ("socket", "socketpair", "connect", "bind", "sendto"):
            assert to(profile, machine, name, inet) == REFUSED


_HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@both
def test_numbers_are_those_of_the_headers(machine: str) -> None:
    if not _HEADERS[machine].exists():
        pytest.skip("the kernel's headers are not installed")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)$", _HEADERS[machine].read_text(), re.MULTILINE)
    numbers = {name: int(number) for name, number in found}
    numbers.setdefault("newfstatat", numbers.get("fstatat", -1))  # asm-generic's name for it
    for name, number in ARCHITECTURES[machine].numbers.items():
        if numbers.get(name) is not None:
            assert number == numbers[name], name
    missing = set(ARCHITECTURES[machine].numbers) - set(numbers)
    assert missing == set()
