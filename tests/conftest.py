"""What do all tests share? Settings of hypothesis, single-threaded torch, and what is made once for a whole session."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path

import hypothesis
import pytest

from ga_lint.project import releases
from ga_lint.verify import Settings, Verifier
from testbed.fixtures import FIXTURES

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Generated modules are slow to make; a failure prints how to run that very example again.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("default")


def set_aside() -> None:
    """What is loaded by now stays: no collection need go through it. accelerate asks for one after each training."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is slow begins first where several processes share the tests: at the end none waits for another's.

    xdist tells itself the group of a test by its id, and up to 3.8 writes that where pytest reads none since 9.2.
    """
    if not hasattr(config, "workerinput"):
        return
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        told = vars(item).get("_nodeid", item.nodeid)
        if told != item.nodeid:
            item._id = item.id.parse(told)


def pytest_collection_finish() -> None:
    set_aside()


@pytest.fixture(scope="session")
def loaded_trainer() -> None:
    """The Trainer and what it imports, set aside."""
    transformers = pytest.importorskip("transformers", reason="it is the real Trainer that trains")
    assert transformers.Trainer and transformers.LlamaForCausalLM  # imported when they are asked for
    set_aside()


@pytest.fixture(scope="session")
def verifier() -> Iterator[Verifier]:
    """One with warm workers. To start one takes far longer than a verdict; use it in the group of that name."""
    with Verifier(Settings(timeout=60)) as warm:
        yield warm


@pytest.fixture(autouse=True, scope="session")
def fixtures_stand_alone() -> Iterator[None]:
    """They say themselves by which releases they are judged, whatever this checkout pins, and where there is no git."""
    asked = releases._folders

    def folders(folder: Path, root: Path) -> Iterable[Path]:
        if not root.is_relative_to(FIXTURES):
            return asked(folder, root)
        return takewhile(lambda place: place != FIXTURES.parent, (folder, *folder.parents))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(releases, "_folders", folders)
        yield
