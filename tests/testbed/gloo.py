"""How do loops run on several ranks? All of them, one after another, in processes that gloo joins."""

from __future__ import annotations

import datetime
import itertools
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import start_processes
from torch.utils.data import DataLoader

from testbed.accumulation import ROWS, STEPS, Batch, Recorder, TinyModel, micro_batches, oracle, windows_of
from testbed.lightning_like import as_module
from testbed.ranks import Ranked

EACH = 11  # micro-batches of a rank: three full windows and a short one of two
Steps = list[Tensor] | str  # the parameters after every optimizer step, or what was raised


def on_ranks(loops: Sequence[tuple[Ranked, str]], ranks: int) -> list[Steps]:
    """What rank 0 has after every step of each text; the loop that it comes from says how it is fed."""
    with tempfile.TemporaryDirectory() as folder:
        # fork: torch is imported already
        start_processes(_rank, (folder, loops, ranks), nprocs=ranks, start_method="fork")  # type: ignore[no-untyped-call]
        seen: list[Steps] = torch.load(Path(folder) / "seen.pt")
        return seen


def full_batches(one: Ranked, ranks: int) -> list[Tensor]:
    """The parameters after every step on the windows of all ranks at once."""
    shards = [windows_of(_batches(ranks)[rank::ranks], short=one.short) for rank in range(ranks)]
    return oracle([list(itertools.chain(*windows)) for windows in zip(*shards, strict=True)], aux=one.aux)


def _batches(ranks: int) -> list[Batch]:
    return micro_batches((*ROWS, *ROWS[::-1]))[: EACH * ranks]


def _rank(rank: int, folder: str, loops: Sequence[tuple[Ranked, str]], ranks: int) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # what libraries say about each other is theirs
    logging.disable()
    here = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
    os.environ.update({name: str(value) for name, value in here.items()})
    os.environ.update(ACCELERATE_USE_CPU="true", TORCHELASTIC_RUN_ID="here")  # a launcher has started these processes
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT="29500")  # asked for, not used: the group exists already
    patience = datetime.timedelta(seconds=60)
    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=ranks, timeout=patience)
    seen = [_run(one, text, rank, ranks) for one, text in loops]
    if rank == 0:
        torch.save(seen, Path(folder) / "seen.pt")
    dist.destroy_process_group()


def _run(one: Ranked, text: str, rank: int, ranks: int) -> Steps:
    _forget_accelerators()
    batches: Any = _batches(ranks)
    if one.dealt:
        fed: Any = DataLoader(batches, batch_size=1, collate_fn=lambda rows: rows[0])
    else:
        fed = batches[rank::ranks]
    names: dict[str, Any] = {}
    model = TinyModel()
    recorder = Recorder(model)
    sys.modules["lightning"] = as_module()  # without its Fabric, which is imported by its own name
    try:
        exec(compile(text, "train.py", "exec"), names)
        names["train"](model, fed, recorder.optimizer, STEPS)
    except Exception as error:  # noqa: BLE001 - the other ranks raise it too
        return f"{type(error).__name__}: {error}"
    return recorder.seen


def _forget_accelerators() -> None:
    from accelerate.state import AcceleratorState, GradientState, PartialState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    PartialState._reset_state()
