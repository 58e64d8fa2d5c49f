"""Which layers hold a process that runs sliced code, and in which order do they close?"""

from __future__ import annotations

import contextlib
import enum
import os
import sys
from collections.abc import Iterable

from ga_lint.verify.worker.sandbox import audit, landlock, rights, seccomp
from ga_lint.verify.worker.sandbox.profiles import STRICT, Profile

FILES = 256  # open at once
# Said with every verdict where only Python's own hook and the limits hold.
ACCIDENTS_ONLY = "no filter of system calls on this system: the code was held by protection against accidents only"

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _SIGKILL = 1, 4, 9


class Layer(enum.Enum):
    """One of several that overlap: what one lets through, another should stop."""

    LIMITS = "limits of the system"  # memory, processor, descriptors, no bytes into files
    LANDLOCK = "Landlock"
    SECCOMP = "filter of system calls"
    AUDIT = "audit hook"


LAYERS = tuple(Layer)  # the tests take single ones away, to see that their probes can get through


def confine(seconds: float, profile: Profile = STRICT) -> frozenset[Layer]:
    """Limit this process, for good; the layers that hold. It may still read what the user can read."""
    held = set()
    sys.dont_write_bytecode = True  # what nobody imported before would be compiled into a folder of the environment
    if Layer.LIMITS in LAYERS:
        _set_limits(seconds, profile)
        rights.give_up()
        held.add(Layer.LIMITS)
    if Layer.LANDLOCK in LAYERS and landlock.install(profile):
        held.add(Layer.LANDLOCK)
    if Layer.SECCOMP in LAYERS and seccomp.install(profile):
        held.add(Layer.SECCOMP)
    if Layer.AUDIT in LAYERS:
        audit.install()
        held.add(Layer.AUDIT)
    return frozenset(held)


def close_descriptors(kept: int) -> None:
    """Close everything that was inherited but `kept`; what a library prints goes nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    try:
        inherited: Iterable[int] = map(int, os.listdir("/dev/fd"))
    except OSError:  # no /proc
        inherited = range(os.sysconf("SC_OPEN_MAX"))
    for descriptor in inherited:
        if descriptor > 2 and descriptor != kept:
            with contextlib.suppress(OSError):  # the one that read the list
                os.close(descriptor)


def die_with(parent: int) -> None:
    """Outlive no worker, however it ends, and leave no core, which some systems hand to a program."""
    if sys.platform != "linux":
        return
    import ctypes

    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _set_limits(seconds: float, profile: Profile) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    cpu = int(seconds) + 5
    limits = {"RLIMIT_CPU": cpu, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": FILES}
    if sys.platform == "linux" and profile.memory is not None:
        with contextlib.suppress(OSError), open("/proc/self/statm") as statm:
            held = int(statm.read().split()[0]) * resource.getpagesize()
            limits["RLIMIT_AS"] = held + profile.memory
    for name, value in limits.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (value, value))
