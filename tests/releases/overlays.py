"""How does another transformers come over the current environment, for one process and without a trace?"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ga_lint.knowledge.releases import release_of

# From which release of transformers on which accelerate of its time goes with it.
ACCELERATE = {"4.40.0": "0.33.0", "4.45.0": "1.0.1", "4.46.0": "1.1.1", "4.48.0": "1.2.1", "4.53.0": "1.8.1",
              "4.57.0": "1.12.0", "5.0.0": "1.13.0", "5.10.0": "1.14.0"}  # fmt: skip
ENGINE_NEEDS = ("hjson", "msgpack", "py-cpuinfo", "einops", "ninja")
INSTALL_TIMEOUT = 600


class NotInstalled(Exception):
    """This release could not be laid over the environment; the text says why."""


@contextlib.contextmanager
def overlay(release: str) -> Iterator[Mapping[str, str]]:
    """The environment variables under which a process imports that release; its folder is gone afterwards."""
    if release == importlib.metadata.version("transformers"):
        yield dict(os.environ)
        return
    with tempfile.TemporaryDirectory(prefix=f"ga-lint-{release}-") as folder:
        _install(release, folder)
        yield {**os.environ, "PYTHONPATH": folder}


@contextlib.contextmanager
def engine_overlay(release: str) -> Iterator[Mapping[str, str]]:
    """The same for a DeepSpeed over the current environment; it is built without its kernels."""
    with tempfile.TemporaryDirectory(prefix=f"ga-lint-deepspeed-{release}-") as folder:
        _pip(f"deepspeed {release}", folder, "--no-deps", f"deepspeed=={release}", *ENGINE_NEEDS)
        # what it compiles at run time; a lock that a killed run left in the user's own folder would be waited for
        yield {**os.environ, "PYTHONPATH": folder, "TORCH_EXTENSIONS_DIR": f"{folder}/extensions"}


def _install(release: str, folder: str) -> None:
    """Only what the Trainer needs: torch stays the environment's, and so does everything that any release will take."""
    fitting = [first for first in ACCELERATE if release_of(first) <= release_of(release)]
    wanted = f"transformers {release}"
    if not fitting:
        raise NotInstalled(f"{wanted}: no accelerate is known to go with it")
    _pip(wanted, folder, "--no-deps", f"transformers=={release}", f"accelerate=={ACCELERATE[fitting[-1]]}")
    metadata = next(Path(folder).glob("transformers-*.dist-info/METADATA")).read_text(encoding="utf-8")
    _pip(wanted, folder, "--no-deps", _required(metadata, "tokenizers"))
    _pip(wanted, folder, "--upgrade", _required(metadata, "huggingface-hub"), "packaging<26")


def _required(metadata: str, name: str) -> str:
    """What transformers asks for of that library, as pip wants it."""
    wanted = re.search(rf"^Requires-Dist: {name}\s*([^;\n]*)$", metadata, re.MULTILINE)
    return name + (wanted.group(1).strip(" ()") if wanted else "")


def _pip(wanted: str, folder: str, *words: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder]
    try:
        done = subprocess.run(
            [*command, *words],
            env={**os.environ, "DS_BUILD_OPS": "0"},
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{wanted}: {error}") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip failed"]
        reason = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
        raise NotInstalled(f"{wanted}: {reason}")
