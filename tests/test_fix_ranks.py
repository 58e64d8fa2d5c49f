"""Is a rewritten loop right when gradients are averaged over ranks? Two real processes under gloo."""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from testbed import ranked
from testbed.accumulation import ROWS, STEPS, Batch, Recorder, TinyModel, micro_batches, oracle, windows_of, worst
from testbed.rewriting import refusal, rewritten

pytestmark = [
    pytest.mark.xdist_group("fix_ranks"),  # what is set up once stays in one process
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

EXACT, FAR = 1e-10, 1e-2
RANKS = 2
Check = Callable[[], list[torch.Tensor]]

DDP = """import contextlib
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def train(model, loader, optimizer, steps):
    model = DistributedDataParallel(model)
    for step, batch in enumerate(loader):
        last = (step + 1) % steps == 0 or step + 1 == len(loader)
        with contextlib.nullcontext() if last else model.no_sync():
            loss = model(**batch).loss
            (loss / steps).backward()
        if last:
            optimizer.step()
            optimizer.zero_grad()
"""
WINDOW_LIST = """import itertools
import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel


def train(model, loader, optimizer, steps):
    model = DistributedDataParallel(model)
    batches = iter(loader)
    while window := list(itertools.islice(batches, steps)):
        for batch in window:
            logits = model(batch["input_ids"]).logits[:, :-1]
            loss = F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())
            loss = loss / len(window)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
"""
ENDLESS = """import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def train(model, loader, optimizer, steps):
    model = DistributedDataParallel(model)
    batches, seen = iter(loader), 0
    while seen < len(loader):
        batch, seen = next(batches), seen + 1
        loss = model(**batch).loss
        (loss / steps).backward()
        if seen % steps == 0 or seen == len(loader):
            optimizer.step()
            optimizer.zero_grad()
"""
ACCELERATE = """from accelerate import Accelerator


def train(model, loader, optimizer, steps):
    accelerator = Accelerator(gradient_accumulation_steps=steps, cpu=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for step, batch in enumerate(loader):
        with accelerator.accumulate(model):
            loss = model(**batch).loss
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
"""
ENGINE = """from testbed.engine import Engine


def train(model, loader, optimizer, steps):
    engine = Engine(model, optimizer, steps)
    for epoch in range(2):
        for step, batch in enumerate(loader):
            batch = {key: value.to("cpu") for key, value in batch.items()}
            loss = engine(**batch).loss
            engine.backward(loss)
            engine.step()
"""
COUNTED = """import itertools
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel


def train(model, loader, optimizer, steps):
    model = DistributedDataParallel(model)
    batches = iter(loader)
    while window := list(itertools.islice(batches, steps)):
        count = sum((batch["labels"][:, 1:] != -100).sum() for batch in window)
        for batch in window:
            logits = model(batch["input_ids"]).logits[:, :-1]
            loss = F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), reduction="sum")
            loss = loss / count
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
"""
REDUCED = COUNTED.replace("        for batch in", "        dist.all_reduce(count)\n        for batch in")
PREPARED = (
    REDUCED.replace("import itertools", "import itertools\nfrom accelerate import Accelerator", 1)
    .replace(
        "    model = DistributedDataParallel(model)",
        "    accelerator = Accelerator(gradient_accumulation_steps=steps, cpu=True)\n"
        "    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)",
    )
    .replace("dist.all_reduce(count)", "count = accelerator.gather(count).sum()")
    .replace("loss.backward()", "accelerator.backward(loss)")
    .replace("optimizer.step()", "accelerator.gradient_state._set_sync_gradients(True)\n        optimizer.step()")
)
GATED = """from testbed.engine import Engine


def train(model, loader, optimizer, steps):
    engine = Engine(model, optimizer, 1)
    for step, batch in enumerate(loader):
        loss = engine(**batch).loss / steps
        engine.backward(loss)
        if (step + 1) % steps == 0:
            engine.step()
"""
POSITIONS = (
    REDUCED.replace(
        'sum((batch["labels"][:, 1:] != -100).sum() for batch in window)',
        'torch.tensor(sum(mb["labels"].numel() for mb in window))',
    )
    .replace("loss / count", "loss * dist.get_world_size() / count")
    .replace("import itertools", "import itertools\nimport torch")
)
SO_FAR = (
    DDP.replace(
        "            loss = model(**batch).loss\n            (loss / steps)",
        """            logits = model(batch["input_ids"]).logits[:, :-1].flatten(0, 1)
            loss = F.cross_entropy(logits, batch["labels"][:, 1:].flatten(), reduction="sum")
            tokens += (batch["labels"][:, 1:] != -100).sum()
            (loss / tokens)""",
    )
    .replace("    for step", "    tokens = 0\n    for step")
    .replace("import torch.dist", "import torch.nn.functional as F\nimport torch.dist")
)
SO_FAR = SO_FAR + "            tokens = 0\n"
SO_FAR_ACCELERATE = """from accelerate import Accelerator
import torch.nn.functional as F


def train(model, loader, optimizer, steps):
    accelerator = Accelerator(gradient_accumulation_steps=steps, cpu=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    tokens = 0
    for step, batch in enumerate(loader):
        with accelerator.accumulate(model):
            logits = model(batch["input_ids"]).logits[:, :-1].flatten(0, 1)
            loss = F.cross_entropy(logits, batch["labels"][:, 1:].flatten(), reduction="sum")
            tokens += (batch["labels"][:, 1:] != -100).sum()
            loss = loss / tokens
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                tokens = 0
            optimizer.step()
            optimizer.zero_grad()
"""
SO_FAR_ENGINE = ENGINE.replace("from", "import torch.nn.functional as F\nfrom", 1).replace(
    "            loss = engine(**batch).loss\n",
    """            logits = engine(batch["input_ids"]).logits[:, :-1].flatten(0, 1)
            loss = F.cross_entropy(logits, batch["labels"][:, 1:].flatten(), reduction="sum")
            loss = loss / loss.numel()
""",
)
ACCELERATE_RESUMED = ACCELERATE.replace("enumerate(loader)", "enumerate(accelerator.skip_first_batches(loader, 1))")
OWN, SUM = "loss = model(**batch).loss", "out = model(**batch)\n            loss = out.loss + 0.5 * out.aux_loss"
ALL_WINDOWS = (
    "while len(window := list(itertools.islice(batches, steps))) == steps:",
    "while window := list(itertools.islice(batches, steps)):",
)
TIMES_RANKS, ONCE_DIVIDED = ("1 / len(counts)", "len(totals) / len(counts)"), ("steps / len(counts)", "1 / len(counts)")
DDP_SUM, ACCELERATE_SUM, ENGINE_SUM = (
    text.replace(OWN, SUM) for text in (DDP, ACCELERATE, ENGINE.replace("engine(**", "model(**"))
)


def fix_ddp(stack: str = "distributed", text: str = DDP) -> str:
    options = {"stack": stack, "steps": "steps", "labels": 'batch["labels"]', "shifted": "yes"}
    places = {"loop": "for step,", "division": "loss / steps", "step": "optimizer.step()"}
    return rewritten(text, "window-share", options, **places)


def fix_endless() -> str:
    options = {"stack": "distributed", "steps": "steps", "labels": 'batch["labels"]', "shifted": "yes"}
    places = {"division": "loss / steps", "backward": "(loss / steps).backward()", "step": "optimizer.step()"}
    return rewritten(ENDLESS, "window-gradients", options, loop="while seen", **places)


def fix_window_list() -> str:
    options = {"stack": "distributed", "labels": 'batch["labels"]', "shifted": "yes"}
    call = 'F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())'
    return rewritten(WINDOW_LIST, "window-sum", options, loop="for batch", division="loss / len(window)", call=call)


def fix_accelerate(text: str = ACCELERATE) -> str:
    options = {"stack": "accelerate", "steps": "steps", "accelerator": "accelerator", "labels": 'batch["labels"]'}
    places = {"loop": "for step,", "backward": "accelerator.backward(loss)"}
    return rewritten(text, "window-share", options | {"shifted": "yes"}, **places)


def fix_counted() -> str:
    return rewritten(COUNTED, "count-over-ranks", {}, loop="for batch in", division="loss / count")


def fix_reduced() -> str:
    options = {"ranks": "torch.distributed", "steps": ""}
    return rewritten(REDUCED, "times-ranks", options, loop="for batch in", backward="loss.backward()")


def fix_prepared(**without: str) -> str:
    options = {"ranks": "accelerator.num_processes", "steps": "accelerator.gradient_accumulation_steps"}
    places = {"loop": "for batch in", "backward": "accelerator.backward(loss)"}
    return rewritten(PREPARED, "times-ranks", options | without, **places)


def fix_positions() -> str:
    count = 'mb["labels"].numel()'
    return rewritten(
        POSITIONS, "match-count", {"labels": 'batch["labels"]', "shifted": "yes"}, loop="for batch in", count=count
    )


def fix_so_far(stack: str = "distributed") -> str:
    options = {"stack": stack, "steps": "steps", "labels": 'batch["labels"]', "shifted": "yes"}
    options |= {"loss": "sum", "divisor": "tokens"}
    places = {"loop": "for step,", "division": "loss / tokens", "step": "optimizer.step()"}
    return rewritten(SO_FAR, "window-share", options, **places)


def fix_so_far_accelerate() -> str:
    options = {"stack": "accelerate", "steps": "steps", "accelerator": "accelerator", "labels": 'batch["labels"]'}
    options |= {"shifted": "yes", "loss": "sum", "divisor": "tokens"}
    places = {"loop": "for step,", "backward": "accelerator.backward(loss)", "division": "loss / tokens"}
    return rewritten(SO_FAR_ACCELERATE, "window-share", options, **places)


def fix_so_far_engine() -> str:
    options = {"stack": "deepspeed", "engine": "engine", "steps": "engine.gradient_accumulation_steps()"}
    options |= {"labels": 'batch["labels"]', "shifted": "yes", "loss": "sum", "divisor": "loss.numel()"}
    places = {"loop": "for step,", "backward": "engine.backward(loss)", "division": "loss / loss.numel()"}
    return rewritten(SO_FAR_ENGINE, "window-share", options, **places)


OF_ENGINE = {"stack": "deepspeed", "engine": "engine", "steps": "engine.gradient_accumulation_steps()"}
OF_ENGINE |= {"labels": 'batch["labels"]', "shifted": "yes"}


def fix_engine(text: str = ENGINE) -> str:
    return rewritten(text, "window-share", OF_ENGINE, loop="for step,", backward="engine.backward(loss)")


def fix_short() -> str:
    places = {"loop": "for step,", "division": "loss / steps", "step": "optimizer.step()"}
    return rewritten(DDP, "window-length", {"steps": "steps", "behind": "no"}, **places)


def many() -> list[Batch]:
    return micro_batches((*ROWS, *ROWS[::-1]))


def shard(rank: int, count: int) -> list[Batch]:
    """This rank's micro-batches: every second one, so that ranks hold different numbers of targets."""
    return many()[:count][rank::RANKS]


def equal_shard(rank: int, count: int) -> list[Batch]:
    """As many micro-batches, all with as many targets."""
    return micro_batches([(3, 3)] * count)[rank::RANKS]


def expected_of_equal(count: int) -> list[torch.Tensor]:
    shards = [windows_of(equal_shard(rank, count), short=False) for rank in range(RANKS)]
    return oracle([a + b for a, b in zip(*shards, strict=True)])


def expected_resumed(count: int, aux: float = 0.0) -> list[torch.Tensor]:
    """Each rank goes on within a window, and steps on no short one."""
    shards = [windows_of(shard(rank, count), short=False, seen=ranked.DONE) for rank in range(RANKS)]
    return oracle([a + b for a, b in zip(*shards, strict=True)], aux=aux)


def expected(count: int, skipped: int = 0, aux: float = 0.0) -> list[torch.Tensor]:
    shards = [windows_of(shard(rank, count)[skipped:]) for rank in range(RANKS)]
    return oracle([a + b for a, b in zip(*shards, strict=True)], aux=aux)


def run(text: str, batches: Any) -> list[torch.Tensor]:
    names: dict[str, Any] = {}
    exec(compile(text, "train.py", "exec"), names)
    model = TinyModel()
    recorder = Recorder(model)
    names["train"](model, batches, recorder.optimizer, STEPS)
    return recorder.seen


class Rows(torch.utils.data.Dataset[Batch]):
    """Whole micro-batches as rows, so that accelerate's sampler can deal them out to ranks."""

    def __init__(self, count: int) -> None:
        self.batches = many()[:count]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        return self.batches[index]


def loader(count: int) -> torch.utils.data.DataLoader[Batch]:
    return torch.utils.data.DataLoader(Rows(count), batch_size=1, collate_fn=lambda rows: rows[0])


Feed = Callable[[int, int], Any]  # what a rank's loop runs over, of so many micro-batches


def _rank(rank: int, folder: str, texts: dict[str, tuple[str, Feed]], count: int) -> None:
    """All loops in one pair of processes: starting them is what takes the time."""
    torch.set_num_threads(1)
    forget_accelerators()  # of the process that was forked
    # accelerate reads its rank from where a launcher would put it
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(RANKS), ACCELERATE_USE_CPU="true")
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT="29500")  # asked for, not used: the group exists already
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    seen = {name: run(text, feed(rank, count)) for name, (text, feed) in texts.items()}
    if rank == 0:
        torch.save(seen, Path(folder) / "seen.pt")
    dist.destroy_process_group()


def forget_accelerators() -> None:
    from accelerate.state import AcceleratorState, GradientState, PartialState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    PartialState._reset_state()


COUNT = 22  # eleven micro-batches a rank: three full windows and a short one of two


def whole(rank: int, count: int) -> torch.utils.data.DataLoader[Batch]:
    return loader(count)  # accelerate deals it out


@functools.cache
def on_two_ranks() -> dict[str, list[torch.Tensor]]:
    texts = {
        "DDP": (DDP, shard),
        "DDP fixed": (fix_ddp(), shard),
        "DDP with a count of its own rank": (fix_ddp("plain"), shard),
        "endless": (ENDLESS, shard),
        "endless fixed": (fix_endless(), shard),
        "endless with a count of its own rank": (fix_endless().replace("if ranks > 1", "if ranks > 2"), shard),
        "list": (WINDOW_LIST, shard),
        "list fixed": (fix_window_list(), shard),
        "accelerate": (ACCELERATE, whole),
        "accelerate fixed": (fix_accelerate(), whole),
        "a count of one rank": (COUNTED, shard),
        "a count of one rank fixed": (fix_counted(), shard),
        "a count of one rank, added up only": (fix_counted().replace(" / len(counts)", ""), shard),
        "a count of all ranks": (REDUCED, shard),
        "a count of all ranks fixed": (fix_reduced(), shard),
        "a count of all processes": (PREPARED, whole),
        "a count of all processes fixed": (fix_prepared(), whole),
        "a count of all processes, not times the steps": (fix_prepared(steps=""), whole),
        "a count of all processes, not times the ranks": (fix_prepared(ranks=""), whole),
        "engine": (ENGINE, shard),
        "engine fixed": (fix_engine(), shard),
        "engine, not times its steps": (fix_engine().replace("scale = steps * len", "scale = len"), shard),
        "engine, not times the ranks": (fix_engine().replace("steps * len(totals)", "steps"), shard),
        "engine, its short window too": (fix_engine().replace(*ALL_WINDOWS), shard),
        "engine, a sum that nobody divides": (SO_FAR_ENGINE, shard),
        "engine, a sum over its window": (fix_so_far_engine(), shard),
        "engine sum": (fix_engine(ENGINE_SUM), shard),
        "DDP sum": (fix_ddp(text=DDP_SUM), shard),
        "accelerate sum": (fix_accelerate(ACCELERATE_SUM), whole),
        "DDP sum, its second term times the ranks": (fix_ddp(text=DDP_SUM).replace(*TIMES_RANKS), shard),
        "accelerate sum, its second term divided": (fix_accelerate(ACCELERATE_SUM).replace(*ONCE_DIVIDED), whole),
        "positions": (POSITIONS, shard),
        "positions fixed": (fix_positions(), shard),
        "positions, the first too": (fix_positions().replace("[..., 1:]", ""), shard),
        "so far": (SO_FAR, shard),
        "so far fixed": (fix_so_far(), shard),
        "so far with a count of its own rank": (fix_so_far("plain"), shard),
        "so far under accelerate": (SO_FAR_ACCELERATE, whole),
        "so far under accelerate fixed": (fix_so_far_accelerate(), whole),
        "so far under accelerate, not times the ranks": (
            fix_so_far_accelerate().replace("steps * self.accelerator.num_processes", "steps"),
            whole,
        ),
        "equal counts": (DDP, equal_shard),
        "equal counts fixed": (fix_short(), equal_shard),
        "equal counts, divided by the last length": (
            fix_short().replace("min(steps,", "max(1, len(loader) % steps, 0 *"),
            equal_shard,
        ),
        "accelerate resumed": (fix_accelerate(ACCELERATE_RESUMED), whole),
        "resumed": (ranked.RESUMED, shard),
        "resumed fixed": (ranked.fix_resumed(), shard),
        "resumed sum fixed": (ranked.fix_resumed_sum(), shard),
        "resumed with a count of its own rank": (ranked.fix_resumed("plain"), shard),
        "resumed at a whole window": (
            ranked.fix_resumed().replace("(loader, steps, done)", "(loader, steps, 0)"),
            shard,
        ),
        "tried": (ranked.TRIED, shard),
        "tried fixed": (ranked.fix_tried(), shard),
        "tried with a count of its own rank": (ranked.fix_tried().replace("if ranks > 1", "if ranks > 2"), shard),
        "divided late": (ranked.LATE, equal_shard),
        "divided late fixed": (ranked.fix_late(), equal_shard),
        "divided late, by the ranks too": (ranked.fix_late().replace("/= steps", "/= steps * 2"), equal_shard),
        "told": (GATED, equal_shard),
        "told fixed": (fix_gated(), equal_shard),
        "told a step late": (fix_gated().replace("boundary((step + 1)", "boundary(step"), equal_shard),
        "cells": (ranked.cells_as_written(), shard),
        "cells fixed": (ranked.fix_cells(), shard),
        "cells with a count of its own rank": (ranked.fix_cells("plain"), shard),
    }
    with tempfile.TemporaryDirectory() as folder:
        # fork: torch is imported already
        start_processes(_rank, (folder, texts, COUNT), nprocs=RANKS, start_method="fork")  # type: ignore[no-untyped-call]
        seen: dict[str, list[torch.Tensor]] = torch.load(Path(folder) / "seen.pt")
        return seen


COUNTS = ["a count of one rank", "a count of all ranks", "a count of all processes"]


MATCHED = ["positions", "so far", "so far under accelerate"]


@pytest.mark.parametrize("name", ["DDP", "endless", "tried", "list", "accelerate", *COUNTS, *MATCHED])
def test_two_ranks_equal_the_full_batch(name: str) -> None:
    seen = on_two_ranks()
    assert worst(seen[name], expected(COUNT)) > FAR
    assert worst(seen[f"{name} fixed"], expected(COUNT)) < EXACT


def test_a_count_that_matches_on_one_rank_alone_would_be_seen() -> None:
    for wrong in (
        "positions, the first too",
        "tried with a count of its own rank",
        "so far with a count of its own rank",
        "so far under accelerate, not times the ranks",
    ):
        assert worst(on_two_ranks()[wrong], expected(COUNT)) > FAR


def test_a_short_last_window_on_two_ranks() -> None:
    shards = [windows_of(equal_shard(rank, COUNT)) for rank in range(RANKS)]
    seen, wanted = on_two_ranks(), oracle([a + b for a, b in zip(*shards, strict=True)])
    assert worst(seen["equal counts fixed"], wanted) < EXACT
    assert worst(seen["equal counts"], wanted) > FAR
    assert worst(seen["equal counts, divided by the last length"], wanted) > FAR


def test_a_sum_on_two_ranks_gives_each_term_its_own_share() -> None:
    seen, wanted = on_two_ranks(), expected(COUNT, aux=0.5)
    assert max(worst(seen["DDP sum"], wanted), worst(seen["accelerate sum"], wanted)) < EXACT
    for name in ("DDP sum, its second term times the ranks", "accelerate sum, its second term divided"):
        assert worst(seen[name], wanted) > FAR
    alone = oracle(windows_of(many()[:8]), aux=0.5)
    assert worst(run(fix_accelerate(ACCELERATE_SUM), loader(8)), alone) < EXACT


ENGINE_WRONG = ("not times its steps", "not times the ranks", "its short window too")


def expected_of_engine(ranks: int, count: int, aux: float = 0.0) -> list[torch.Tensor]:
    """Two epochs of full windows."""
    shards = [windows_of(many()[:count][rank::ranks], short=False) * 2 for rank in range(ranks)]
    return oracle([list(itertools.chain(*windows)) for windows in zip(*shards, strict=True)], aux=aux)


def test_an_engine_on_two_ranks_equals_the_full_batch() -> None:
    seen, wanted = on_two_ranks(), expected_of_engine(RANKS, COUNT)
    assert worst(seen["engine fixed"], wanted) < EXACT
    assert worst(seen["engine, a sum over its window"], wanted) < EXACT
    assert worst(seen["engine, a sum that nobody divides"], wanted) > FAR
    assert worst(seen["engine sum"], expected_of_engine(RANKS, COUNT, aux=0.5)) < EXACT
    for wrong in ("engine", *(f"engine, {name}" for name in ENGINE_WRONG)):
        assert worst(seen[wrong], wanted) > FAR


def test_an_engine_alone(tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        seen = run(fix_engine(), many()[:11])
    finally:
        dist.destroy_process_group()
    assert len(seen) == 6
    assert worst(seen, expected_of_engine(1, len(many()[:11]))) < EXACT


def fix_gated(text: str = GATED) -> str:
    places = {"backward": "engine.backward(loss)", "gate": "(step + 1) % steps == 0"}
    return rewritten(text, "set-boundary", {"engine": "engine"}, **places)


def test_an_engine_that_is_told_where_a_window_ends(tmp_path: Path) -> None:
    equal = micro_batches([(3, 3)] * 11)
    wrong = fix_gated().replace("boundary((step + 1)", "boundary(step")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        before, after, late = (run(text, equal) for text in (GATED, fix_gated(), wrong))
    finally:
        dist.destroy_process_group()
    wanted = oracle(windows_of(equal, short=False))
    assert worst(after, wanted) < EXACT
    assert worst(before, wanted) > FAR and worst(late, wanted) > FAR


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("        if (", "        step = step * 2\n        if (", "changes on line 9"),
        ("        engine.backward", "        if True:\n            engine.backward", "under a test beside backward"),
    ],
)
def test_a_gate_that_says_something_else_above_is_refused(old: str, new: str, reason: str) -> None:
    places = {"backward": "engine.backward(loss)", "gate": "(step + 1) % steps == 0"}
    assert reason in refusal(GATED.replace(old, new), "set-boundary", {"engine": "engine"}, **places)


def test_what_is_skipped_first_is_in_no_window() -> None:
    assert worst(on_two_ranks()["accelerate resumed"], expected(COUNT, skipped=1)) < EXACT
    assert worst(run(fix_accelerate(ACCELERATE_RESUMED), loader(8)), oracle(windows_of(many()[1:8]))) < EXACT


def test_half_of_a_factor_would_be_seen() -> None:
    for wrong in (
        "one rank, added up only",
        "all processes, not times the steps",
        "all processes, not times the ranks",
    ):
        assert worst(on_two_ranks()[f"a count of {wrong}"], expected(COUNT)) > FAR


def test_the_mean_of_one_rank_is_its_count() -> None:
    text = fix_counted().replace("    model = DistributedDataParallel(model)\n", "")
    assert worst(run(text, many()), oracle(windows_of(many()))) < EXACT


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("loss / count", "loss / count.clamp(min=1)", "count.clamp(min=1) has no name"),
        (
            "            loss = loss",
            "            count = count + 0\n            loss = loss",
            "count changes in the loop",
        ),
        ("        count = sum", "        for batch in window:\n            count = sum", "not counted anew before"),
    ],
)
def test_a_count_that_is_not_made_right_before_is_refused(old: str, new: str, reason: str) -> None:
    text = COUNTED.replace(old, new)
    division = new.strip() if old == "loss / count" else "loss / count"
    loops = {"loop": "for batch in window:\n            logits"}
    assert reason in refusal(text, "count-over-ranks", {}, division=division, **loops)


def test_a_second_term_is_not_multiplied_by_the_ranks() -> None:
    text = REDUCED.replace("loss / count", "loss / count + penalty(batch)")
    options = {"ranks": "torch.distributed", "steps": ""}
    places = {"loop": "for batch in", "backward": "loss.backward()"}
    assert "sum of terms on line 16" in refusal(text, "times-ranks", options, **places)


def test_a_rank_local_count_would_be_seen() -> None:
    for name in ("DDP", "endless"):
        assert worst(on_two_ranks()[f"{name} with a count of its own rank"], expected(COUNT)) > FAR


def test_the_distributed_form_still_runs_alone() -> None:
    text = (
        fix_ddp()
        .replace("    model = DistributedDataParallel(model)\n", "")
        .replace("contextlib.nullcontext() if last else model.no_sync()", "contextlib.nullcontext()")
    )
    assert worst(run(text, many()), oracle(windows_of(many()))) < EXACT


@pytest.mark.parametrize("count", [3, 6, 7, 8, 11])
def test_accelerate_alone(count: int) -> None:
    """Windows that end with the loader and windows that do not: both are stepped once, at their own end."""
    wanted = oracle(windows_of(many()[:count]))
    assert worst(run(fix_accelerate(), loader(count)), wanted) < EXACT
    assert worst(run(ACCELERATE, loader(count)), wanted) > FAR


def test_windows_that_reach_over_the_end_are_refused() -> None:
    options = {"stack": "accelerate", "steps": "steps", "accelerator": "accelerator", "labels": 'batch["labels"]'}
    places = {"loop": "for step,", "backward": "accelerator.backward(loss)"}
    plugin = (
        "accelerator = Accelerator(gradient_accumulation_plugin=plugin(num_steps=steps, sync_with_dataloader=False)"
    )
    text = ACCELERATE.replace("accelerator = Accelerator(gradient_accumulation_steps=steps", plugin)
    assert "over the end of the loader" in refusal(text, "window-share", options, **places)


def test_accelerate_without_the_boundary_steps_too_often() -> None:
    """The trap: a look-ahead shows accumulate() the end of the loader a whole window too early."""
    line = "                self.loader.end_of_dataloader = at_end and not window\n"
    text = fix_accelerate()
    assert line in text
    assert worst(run(text.replace(line, ""), loader(8)), oracle(windows_of(many()[:8]))) > FAR


@pytest.mark.parametrize(
    ("name", "wanted", "wrong"),
    [
        (
            "resumed",
            expected_resumed(COUNT),
            ["resumed", "resumed with a count of its own rank", "resumed at a whole window"],
        ),
        ("resumed sum", expected_resumed(COUNT, aux=0.5), ["resumed fixed"]),
        ("divided late", expected_of_equal(COUNT), ["divided late", "divided late, by the ranks too"]),
        ("told", expected_of_equal(COUNT), ["told", "told a step late"]),
        ("cells", expected(COUNT), ["cells", "cells with a count of its own rank"]),
    ],
)
def test_other_forms_on_two_ranks(name: str, wanted: list[torch.Tensor], wrong: list[str]) -> None:
    """Resumed loops, divisions after backward (GA110), engines that are told (GA109), the cells of a notebook."""
    seen = on_two_ranks()
    assert worst(seen[f"{name} fixed"], wanted) < EXACT
    for each in wrong:
        assert worst(seen[each], wanted) > FAR, each


def test_an_engine_whose_loop_waits_for_the_loaders_end_is_left() -> None:
    text = ENGINE + "            if step == len(loader) - 1:\n                print(loss.item())\n"
    reason = refusal(text, "window-share", OF_ENGINE, loop="for step,", backward="engine.backward(loss)")
    assert "the loop waits for its last batch" in reason
