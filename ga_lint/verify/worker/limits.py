"""What may a child do? Accident protection: limits of the system, and an audit hook with readable refusals.

A seccomp filter and a network namespace belong in `confine`, before the audit hook, once they exist: until then a
determined file can get around this, and the documentation says so.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys

from ga_lint.verify.worker.stand_ins import NotVerifiable

EXTRA_MEMORY = 3 << 30  # beyond what the worker holds already; a check needs less than 100 MB
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_REFUSED = (
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "socket.sendto",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.kill",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.truncate",
    "os.chmod",
    "os.link",
    "os.symlink",
    "shutil.",
)


def confine(seconds: float) -> None:
    """Limit this process, for good. It may still read what the user can read."""
    _set_limits(seconds)
    sys.addaudithook(_audit)


def _set_limits(seconds: float) -> None:
    cpu = int(seconds) + 5
    limits = {"RLIMIT_CPU": cpu, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": 256}
    if sys.platform == "linux":
        with open("/proc/self/statm") as statm:
            held = int(statm.read().split()[0]) * resource.getpagesize()
        limits["RLIMIT_AS"] = held + EXTRA_MEMORY
    for name, value in limits.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (value, value))


def _audit(event: str, args: tuple[object, ...]) -> None:
    if event == "open":
        path, mode, flags = args
        writes = isinstance(flags, int) and flags & _WRITING and path != os.devnull
        if writes or (isinstance(mode, str) and any(letter in mode for letter in "wax+")):
            raise NotVerifiable(f"needs to write {path!r}")
    elif event.startswith(_REFUSED):
        raise NotVerifiable(f"needs {event}, which a check may not do")
