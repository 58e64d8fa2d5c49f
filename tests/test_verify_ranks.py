"""Do emulated ranks meet, wait and average as real ones do?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from ga_lint.verify.worker.harness import ranks  # noqa: E402 - torch may be missing
from ga_lint.verify.worker.harness.averaging import DataParallel  # noqa: E402
from ga_lint.verify.worker.harness.collectives import combined, exchanged, patch_distributed  # noqa: E402
from ga_lint.verify.worker.harness.neutral import Steady  # noqa: E402
from ga_lint.verify.worker.harness.ranks import Apart, Ranks  # noqa: E402
from ga_lint.verify.worker.reading.distribution import distribution  # noqa: E402
from ga_lint.verify.worker.reading.loop_text import read_loop  # noqa: E402
from ga_lint.verify.worker.reading.sources import Module  # noqa: E402
from testbed.fixtures import FIXTURES  # noqa: E402


@pytest.fixture
def emulated() -> Iterator[None]:
    """torch.distributed's functions as they are in a child of the worker; put back afterwards."""
    import torch.distributed as dist

    before = dict(vars(dist))
    patch_distributed()
    yield
    for name, value in before.items():
        setattr(dist, name, value)


def test_ranks_exchange_in_their_order() -> None:
    assert Ranks(3).run(lambda rank: ranks.here() is not None and exchanged("it", rank)) == [[0, 1, 2]] * 3
    assert (ranks.here(), ranks.rank(), ranks.count()) == (None, 0, 1)


def test_ranks_take_turns() -> None:
    seen: list[tuple[int, int]] = []

    def work(rank: int) -> None:
        for turn in range(3):
            seen.append((turn, rank))
            exchanged("a turn", None)

    Ranks(2).run(work)
    assert seen == sorted(seen)


def test_a_rank_that_waits_for_nobody_is_told() -> None:
    def work(rank: int) -> None:
        if rank == 1:
            exchanged("all_reduce", 1)

    with pytest.raises(Apart, match="rank 1 waits in all_reduce, and another rank has ended"):
        Ranks(2).run(work)


def test_ranks_that_wait_for_each_other_are_told() -> None:
    with pytest.raises(Apart, match="rank 0 in all_reduce, rank 1 in barrier"):
        Ranks(2).run(lambda rank: exchanged("barrier" if rank else "all_reduce", None))


def test_the_failure_of_one_rank_ends_all() -> None:
    def work(rank: int) -> None:
        if rank == 1:
            raise KeyError("labels")
        exchanged("all_reduce", 1)

    with pytest.raises(KeyError, match="labels"):
        Ranks(2).run(work)


def test_a_slice_cannot_swallow_the_end_of_its_run() -> None:
    """A loop around a collective that catches everything must not turn for ever."""

    def work(rank: int) -> None:
        while rank == 0:
            with contextlib.suppress(Exception):
                exchanged("all_reduce", 1)

    with pytest.raises(Apart):
        Ranks(2).run(work)


@pytest.mark.usefixtures("emulated")
def test_collectives_do_what_gloo_does() -> None:
    import torch.distributed as dist

    def work(rank: int) -> tuple[Any, ...]:
        total = torch.tensor([rank + 1.0, 3.0 * rank])
        largest, mean, first = total.clone(), total.clone(), total.clone()
        parts = [torch.zeros(2) for _ in range(2)]
        flat = torch.zeros(4)
        dist.all_gather(parts, total)
        dist.all_gather_into_tensor(flat, total)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        dist.all_reduce(mean, dist.ReduceOp.AVG)
        work = dist.all_reduce(total, async_op=True)
        assert work is not None
        work.wait()
        dist.broadcast(first, src=1)
        objects: list[Any] = [None, None]
        dist.all_gather_object(objects, {"rank": rank})
        return total, largest, mean, first, torch.stack(parts), flat, objects, dist.get_rank(), dist.get_world_size()

    for rank, found in enumerate(Ranks(2).run(work)):
        total, largest, mean, first, parts, flat, objects, me, world = found
        assert total.tolist() == [3.0, 3.0] and largest.tolist() == [2.0, 3.0] and mean.tolist() == [1.5, 1.5]
        assert first.tolist() == [2.0, 3.0]
        assert parts.tolist() == [[1.0, 0.0], [2.0, 3.0]] and flat.tolist() == [1.0, 0.0, 2.0, 3.0]
        assert objects == [{"rank": 0}, {"rank": 1}] and (me, world) == (rank, 2)


@pytest.mark.usefixtures("emulated")
def test_alone_a_collective_changes_nothing() -> None:
    import torch.distributed as dist

    value = torch.tensor([2.0])
    dist.all_reduce(value)
    assert (value.item(), dist.get_world_size(), dist.is_initialized()) == (2.0, 1, False)
    assert combined([torch.tensor(3)]).item() == 3


FORWARD_DECIDES = {
    # (forward inside no_sync, backward inside no_sync) -> averaged, as DistributedDataParallel does
    (False, False): True,
    (True, True): False,
    (True, False): False,
    (False, True): True,
}


@pytest.mark.parametrize(("where", "averaged"), FORWARD_DECIDES.items())
def test_the_forward_decides_whether_gradients_are_averaged(where: tuple[bool, bool], averaged: bool) -> None:
    def work(rank: int) -> float:
        model = torch.nn.Linear(1, 1, bias=False)
        wrapped = DataParallel(model)
        with Steady(torch.float32):
            with wrapped.no_sync() if where[0] else contextlib.nullcontext():
                loss = wrapped(torch.tensor([[rank + 1.0]])).sum()
            with wrapped.no_sync() if where[1] else contextlib.nullcontext():
                loss.backward()
        return float(model.weight.grad)

    assert Ranks(2).run(work) == ([1.5, 1.5] if averaged else [1.0, 2.0])


def test_a_number_that_is_called_accumulate_is_no_accelerator() -> None:
    """`cfg.accumulate` in the code of one process: no ranks, and so no R4."""
    path = FIXTURES / "GA101-mean-of-means" / "losses_in_a_dictionary.py"
    reading = read_loop(Module(path, path.read_text(encoding="utf-8")), "train", 12, None)
    assert reading.stack is None and "accelerator" not in reading.roles.values()


@pytest.mark.parametrize(
    ("text", "takes"),
    [
        ("model = DDP(model)", "mean"),
        ("fully_shard(model)", "mean"),
        ("fully_shard(model)\nmodel.set_gradient_divide_factor(1.0)", "sum"),
        ("import torch.distributed as dist\nfor p in ps:\n    dist.all_reduce(p.grad)", None),
        ("import torch.distributed as dist\ndist.barrier()", "mean"),
    ],
)
def test_who_averages_is_read_from_the_file(text: str, takes: str | None) -> None:
    found = distribution(text, frozenset({"model"}))
    assert found is not None and found.takes == takes
    assert distribution("model.train()", frozenset({"model"})) is None
