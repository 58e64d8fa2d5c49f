"""What do all tests share? Settings of hypothesis, and single-threaded torch."""

from __future__ import annotations

import os

import hypothesis

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Generated modules are slow to make; a failure prints how to run that very example again.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("default")
