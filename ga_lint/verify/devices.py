"""Which devices are there? Asked of a process of its own: the parent imports no torch."""

from __future__ import annotations

import re
import subprocess
import sys

_ASKS = "import torch; print(torch.cuda.device_count())"
_NAME = re.compile(r"cpu|cuda(:\d+)?")


def is_device(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def cuda_devices() -> int:
    """How many torch can use; takes as long as importing it."""
    done = subprocess.run([sys.executable, "-P", "-c", _ASKS], capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else 0
