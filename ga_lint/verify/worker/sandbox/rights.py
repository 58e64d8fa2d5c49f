"""What does root lose before it runs sliced code? Every capability but that of reading other users' files.

With CAP_PERFMON or CAP_SYS_ADMIN the kernel (6.14 on) lets a process read the memory and the environment of all others,
whatever Landlock says.
"""

from __future__ import annotations

import ctypes
import struct
import sys

_VERSION_3 = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words for each set
_DAC_READ_SEARCH = 1 << 2


def give_up() -> None:
    """Keep what reading needs, as far as it is there; for users without capabilities nothing changes."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    header = struct.pack("=Ii", _VERSION_3, 0)
    held = ctypes.create_string_buffer(24)  # effective, permitted, inheritable; then the same for the high words
    if libc.capget(header, held) != 0:
        return
    _, permitted, *_ = struct.unpack("=6I", held.raw)
    kept = permitted & _DAC_READ_SEARCH
    libc.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0))
