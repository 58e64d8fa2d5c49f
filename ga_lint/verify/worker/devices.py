"""Which device does a process see? One, or none, and it is said before anything asks for a device."""

from __future__ import annotations

import os

import torch
from torch import distributed


def show_only(device: str) -> None:
    """`cpu`, `cuda` or `cuda:1`: of the devices that the user's environment shows, hide all others."""
    if device == "cpu":
        os.environ.update(CUDA_VISIBLE_DEVICES="", ACCELERATE_USE_CPU="true")
        return
    number = int(device.partition(":")[2] or 0)
    shown = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    os.environ["CUDA_VISIBLE_DEVICES"] = shown[number] if shown else str(number)


def wake() -> None:
    """Let CUDA and cuBLAS start while this process may still write.

    The driver names its threads through /proc/self/task, and gives up ("OS call failed", error 304) where it may not.
    """
    square = torch.ones(2, 2, device="cuda", dtype=torch.float64, requires_grad=True)
    (square @ square).sum().backward()  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()


def connect() -> None:
    """Let nccl make its communicator, which takes the file that the ranks meet by."""
    distributed.all_reduce(torch.ones(1, device="cuda"))
    torch.cuda.synchronize()
