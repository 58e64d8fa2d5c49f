"""Why was something refused, in words that help? An audit hook: it sees what Python does, not what C does.

By itself it stops accidents only: code that means to can get around it. An exception that the code swallows is kept, so
that the report can say what was tried.
"""

from __future__ import annotations

import os
import sys

from ga_lint.verify.worker.exceptions import NotVerifiable

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_REFUSED = (
    "os.chflags",
    "os.chmod",
    "os.chown",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.link",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.setxattr",
    "os.spawn",
    "os.startfile",
    "os.symlink",
    "os.system",
    "os.truncate",
    "os.utime",
    "pty.spawn",
    "shutil.",
    "signal.pthread_kill",
    "socket.__new__",
    "socket.bind",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.sendto",
    "subprocess.Popen",
)
_LOOKED_INTO = frozenset({"open", "os.mkdir"})  # refused by what they are given
_tried: dict[str, None] = {}
_harmless: set[str] = set()


def install() -> None:
    """Refuse from now on, for good."""
    sys.addaudithook(_hook)


def tried() -> tuple[str, ...]:
    """What was refused, each once, in the order in which it was tried."""
    return tuple(_tried)


def _hook(event: str, args: tuple[object, ...]) -> None:
    if event in _harmless:  # most are told of thousands of times
        return
    reason = _objection(event, args)
    if reason is not None:
        _tried.setdefault(reason)
        raise NotVerifiable(reason)
    if event not in _LOOKED_INTO:
        _harmless.add(event)


def _objection(event: str, args: tuple[object, ...]) -> str | None:
    if event == "open":
        path, mode, flags = args
        writes = isinstance(flags, int) and flags & _WRITING
        if path != os.devnull and (writes or (isinstance(mode, str) and any(letter in mode for letter in "wax+"))):
            return f"needs to write {path!r}"
    elif event == "os.mkdir":
        path = args[0]  # makedirs() asks for folders that are there: the Trainer does so with its output folder
        if not (isinstance(path, str | bytes | os.PathLike) and os.path.isdir(path)):
            return f"needs to make the folder {path!r}"
    elif event.startswith(_REFUSED):
        return f"needs {event}, which a check may not do"
    return None
