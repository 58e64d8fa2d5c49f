"""Who keeps files from being changed, whatever the way to them? Landlock: the kernel checks the file, not the call.

Beside the filter of system calls this holds once more that nothing is written or started, and closes what the filter
leaves open: the memory and the environment of the user's other processes.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

from ga_lint.verify.worker.sandbox.profiles import Profile
from ga_lint.verify.worker.sandbox.seccomp import no_new_privileges

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_ASK_VERSION, _PATH_BENEATH = 1, 1
# Rights that a ruleset takes away, by the version that brought them. Reading files and folders is left out: bits 2, 3.
_EXECUTE, _WRITE = 1 << 0, 1 << 1
_FROM_1 = _EXECUTE | _WRITE | sum(1 << bit for bit in range(4, 13))  # removing and making anything
_RENAME_ACROSS, _TRUNCATE, _DEVICE_CONTROL = 1 << 13, 1 << 14, 1 << 15  # versions 2, 3, 5
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1  # version 4
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1  # version 6: only those of the same domain are reached


def install(profile: Profile) -> bool:
    """Restrict this process from now on; False where the kernel has no Landlock."""
    if sys.platform != "linux":
        return False
    version = _system(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if version < 1:
        return False
    files = _rights(version)
    network = 0 if profile.tcp else _BIND_TCP | _CONNECT_TCP
    scope = _ABSTRACT_SOCKETS | _SIGNALS
    words = (files, *([network] if version >= 4 else []), *([scope] if version >= 6 else []))
    attributes = struct.pack(f"{len(words)}Q", *words)
    rules = _system(_CREATE_RULESET, attributes, len(attributes), 0)
    if rules < 0:
        return False
    try:
        _allow(rules, os.devnull, files & (_WRITE | _TRUNCATE | _DEVICE_CONTROL))
        return no_new_privileges() and _system(_RESTRICT_SELF, rules, 0) == 0
    finally:
        os.close(rules)


def _rights(version: int) -> int:
    rights = _FROM_1
    for since, right in ((2, _RENAME_ACROSS), (3, _TRUNCATE), (5, _DEVICE_CONTROL)):
        rights |= right if version >= since else 0
    return rights


def _allow(rules: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, place)
        _system(_ADD_RULE, rules, _PATH_BENEATH, rule, 0)
    finally:
        os.close(place)


def _system(number: int, *arguments: int | bytes | None) -> int:
    """syscall(2), with -1 for every failure."""
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    call = ctypes.CDLL(None).syscall
    call.restype = ctypes.c_long
    return int(call(ctypes.c_long(number), *words))
