"""Which device does a process see? One, or none, and it is said before anything asks for a device."""

from __future__ import annotations

import os


def show_only(device: str) -> None:
    """`cpu`, `cuda` or `cuda:1`: of the devices that the user's environment shows, hide all others."""
    if device == "cpu":
        os.environ.update(CUDA_VISIBLE_DEVICES="", ACCELERATE_USE_CPU="true")
        return
    number = int(device.partition(":")[2] or 0)
    shown = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    os.environ["CUDA_VISIBLE_DEVICES"] = shown[number] if shown else str(number)
