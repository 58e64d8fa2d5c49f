"""How does the kernel learn what a process may ask of it? A profile as a BPF program, installed for good.

The program allows what the profile names. A call that was made as another architecture, or as x32, ends the process:
its numbers mean something else. What is refused fails with EPERM; a number that is new, or not given out yet, with
ENOSYS, upon which libraries fall back to what they did before (glibc from clone3, whose flags no filter can read, to
clone).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator

from ga_lint.verify.worker.sandbox.profiles import OWN_PROCESS, Check, Null, OneOf, Profile, With, Without
from ga_lint.verify.worker.sandbox.syscalls import Architecture, architecture

ALLOW, KILL_PROCESS, FAIL = 0x7FFF0000, 0x80000000, 0x00050000
FIRST_NEW = 424  # from here on all architectures share the numbers, and libraries expect them to be missing

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF: ld abs, jeq, jge, jset, ret
NUMBER, MACHINE, ARGUMENTS = 0, 4, 16  # where they stand in struct seccomp_data
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER_MODE = 38, 22, 2

Instruction = tuple[int, int, int, int]  # code, how many to skip if true, if false, operand


def install(profile: Profile) -> bool:
    """Filter this process from now on; False where the machine or its kernel knows no filter."""
    machine = architecture()
    if machine is None:
        return False
    instructions = program(profile, machine, os.getpid())
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in instructions))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code)))
    return no_new_privileges() and _prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.addressof(header))


def no_new_privileges() -> bool:
    """No program that this process starts gains rights: what lets anybody install a filter."""
    return _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def program(profile: Profile, machine: Architecture, process: int) -> list[Instruction]:
    """The filter of `profile` for the process with this number."""
    found = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, machine.audit), _end(KILL_PROCESS), (LOAD, 0, 0, NUMBER)]
    if machine.foreign is not None:
        found += [(AT_LEAST, 0, 1, machine.foreign), _end(KILL_PROCESS)]
    for name in sorted(profile.calls & machine.numbers.keys()):
        found += [(EQUAL, 0, 1, machine.numbers[name]), _end(ALLOW)]
    for name in sorted(profile.checked.keys() & machine.numbers.keys()):
        block = [*_tested(profile.checked[name], process), _refused(machine.numbers[name])]
        found += [(EQUAL, 0, len(block), machine.numbers[name]), *block]
    return [*found, (AT_LEAST, 0, 1, FIRST_NEW), _refused(FIRST_NEW), _refused(0)]


def _tested(check: Check, process: int) -> Iterator[Instruction]:
    """Allows the call if its argument passes; else the next instruction is reached."""
    place = ARGUMENTS + 8 * check.argument  # of the low word; both architectures are little-endian
    yield (LOAD, 0, 0, place)
    match check:
        case OneOf(values=values):
            for value in values:
                yield (EQUAL, 0, 1, process if value == OWN_PROCESS else value)
                yield _end(ALLOW)
        case Without(bits=bits):
            yield (ANY_BIT, 1, 0, bits)
            yield _end(ALLOW)
        case With(bits=bits):
            yield (ANY_BIT, 0, 1, bits)
            yield _end(ALLOW)
        case Null():
            yield (EQUAL, 0, 3, 0)
            yield (LOAD, 0, 0, place + 4)
            yield (EQUAL, 0, 1, 0)
            yield _end(ALLOW)


def _end(action: int) -> Instruction:
    return (RETURN, 0, 0, action)


def _refused(number: int) -> Instruction:
    return _end(FAIL | (errno.ENOSYS if number >= FIRST_NEW else errno.EPERM))


def _prctl(*arguments: int) -> bool:
    words = [ctypes.c_ulong(each) for each in (*arguments, 0, 0, 0, 0)[:5]]
    return bool(ctypes.CDLL(None).prctl(*words) == 0)
