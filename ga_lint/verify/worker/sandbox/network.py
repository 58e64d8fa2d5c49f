"""Can a process reach anything but itself? A network namespace with a loopback of its own, where one may be made."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import sys
from pathlib import Path

_NEW_USERS, _NEW_NETWORK = 0x10000000, 0x40000000
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP


def leave_network() -> bool:
    """Move this process, and all that it will fork, out of the network. It must have no second thread yet.

    root may do so at once; others become "root" of a user namespace first, in which they keep their own number. Where
    the system forbids both, as many containers do, the answer is False: the filter of system calls remains.
    """
    if sys.platform != "linux":
        return False
    user, group = os.getuid(), os.getgid()
    unshare = ctypes.CDLL(None).unshare
    if unshare(_NEW_NETWORK) != 0:
        if unshare(_NEW_USERS | _NEW_NETWORK) != 0:
            return False
        with contextlib.suppress(OSError):  # files are reached by the number outside; inside it is for looks
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with contextlib.suppress(OSError):
        _start_loopback()
    return True


def _start_loopback() -> None:
    """Ranks talk over it; it leads nowhere else."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(any_socket, _GET_FLAGS, request), 16)
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _UP))
