"""What else happens to gradients in the loop around a backward: which rounds step, clear, divide or scale them?"""

from __future__ import annotations

import pytest

from ga_lint.facts.model import Idiom, Stack, Window
from testbed.seen import LOSS, facts_in, loop, losses_in, window_in

INNER = """\
import torch.nn.functional as F

def train(model, loader, optimizer, steps, args, batches):
    for window in loader:
        {before}
        for {header}:
            {lines}
        {after}
        optimizer.step()
        optimizer.zero_grad()
"""
ROUND = """\
import torch.nn.functional as F

class Own:
    def {signature}:
        loss = F.cross_entropy(self.model(batch["x"]).logits, batch["labels"]) / self.steps
        loss.backward()
        if {gate}:
            self.optimizer.step()
"""


def inner(header: str, lines: str, before: str = "pass", after: str = "pass") -> Window | None:
    return window_in(INNER.format(header=header, lines=lines, before=before, after=after))


@pytest.mark.parametrize(
    ("line", "cleared"),
    [
        ("optimizer.zero_grad()", True),
        ("optimizer.zero_grad(set_to_none=True)", True),
        ("model.zero_grad()", True),
        ("args.other.zero_grad()", False),
        ("for p in args.x:\n    p.zero_grad()", False),
        ("if args.x:\n    optimizer.zero_grad()", False),
        ("if step % steps == 0:\n    optimizer.zero_grad()", False),
    ],
)
def test_cleared_in_every_round(line: str, cleared: bool) -> None:
    for lines in (f"{line}\n{LOSS}", f"{LOSS}\n{line}"):
        found = window_in(loop(lines))
        assert found is not None and (found.cleared is not None) is cleared


@pytest.mark.parametrize(
    ("behind", "measured"),
    [
        ("optimizer.zero_grad()", True),
        ("model.zero_grad()", True),
        ("if args.x:\n            optimizer.zero_grad()", False),
        ("args.log(loss)", False),
    ],
)
def test_gradients_that_are_cleared_before_any_step_are_only_measured(behind: str, measured: bool) -> None:
    assert (window_in(loop(LOSS, backward=f"loss.backward()\n        {behind}")) is None) is measured


@pytest.mark.parametrize(
    ("backward", "divided"),
    [
        ("loss.backward()\n        loss = loss / steps", True),
        ("loss.backward()\n        loss /= steps", True),
        ("loss.backward()\n        loss = loss / args.gradient_accumulation_steps", True),
        ("loss.backward()\n        loss /= 4", False),
        ("loss.backward()\n        loss *= steps", False),
        ("loss.backward()\n        other /= steps", False),
        ("loss.backward()\n        loss = other / steps", False),
        ("loss.backward()\n        total = loss / steps", False),
        ("(2 * loss).backward()\n        loss = loss / steps", False),
    ],
)
def test_divided_too_late(backward: str, divided: bool) -> None:
    found = window_in(loop(LOSS, backward=backward))
    assert found is not None and (found.divided_after is not None) is divided


@pytest.mark.parametrize(
    ("line", "factors"),
    [
        ("p.grad /= steps", [("accumulation steps", -1)]),
        ("p.grad.div_(steps)", [("accumulation steps", -1)]),
        ("p.grad.data.mul_(args.world_size)", [("number of ranks", 1)]),
        ("p.grad *= 2", [("constant", 1)]),
        ("p.grad *= 1 / steps", [("accumulation steps", -1)]),
        ("p.grad /= 1 / steps", [("accumulation steps", 1)]),
        ("p.grad += 1", []),
        ("p.grad.add_(steps)", []),
        ("p.gradient /= steps", []),
        ("p.data /= steps", []),
    ],
)
def test_gradients_that_are_scaled(line: str, factors: list[tuple[str, int]]) -> None:
    scaled = f"step % steps == 0:\n            for p in args.x:\n                {line}\n        if step % steps == 0"
    found = window_in(loop(LOSS, gate=scaled))
    assert found is not None
    assert [(one.kind.value, one.power) for each in found.scalings for one in each.factors] == factors


def test_gradients_that_another_loop_scales_are_not_its() -> None:
    other = "for more in args.x:\n    model(**more).loss.backward()\n    args.p.grad /= steps\n    args.adam.step()"
    found = [one for one in facts_in(loop(LOSS, before=other)).windows if one.losses]
    assert found and not found[-1].scalings


@pytest.mark.parametrize(
    ("behind", "stepped"),
    [
        ("    optimizer.step()\n", True),
        ("    if args.x:\n        optimizer.step()\n", True),
        ("    optimizer.zero_grad()\n    optimizer.step()\n", False),
        ("    model(**args).loss.backward()\n    optimizer.step()\n", False),
        ("    args.adam.step()\n", False),
        ("    args.adam.step()\n    optimizer.step()\n", True),
        ("    for _ in args.x:\n        optimizer.step()\n", False),
        ("    args.log(loss)\n", False),
    ],
)
def test_a_step_behind_the_loop(behind: str, stepped: bool) -> None:
    found = window_in(loop(LOSS) + behind)
    assert found is not None and found.stepped_behind is stepped


@pytest.mark.parametrize(
    ("steps", "is_one"),
    [
        ("scaler.step(optimizer)", True),
        ("args.opt.step()", True),
        ("args.g_opt.step()", True),
        ("adamw.step()", True),
        ("args.sgd.step()", True),
        ("args.my_optimizer.step()", True),
        ("args.engine.step()", True),
        ("fabric.step(args.x)", True),
        ("thing.step(optimizer)", True),
        ("torch.optim.Rprop(args.x).step()", True),
        ("scheduler.step()", False),
        ("args.optimizer_scheduler.step()", False),
        ("profiler.step()", False),
        ("args.prof.step()", False),
        ("args.thing.step()", False),
        ("scaler.step()", False),
        ("args.adopted.step()", False),
    ],
)
def test_what_steps(steps: str, is_one: bool) -> None:
    assert (window_in(loop(LOSS).replace("optimizer.step()", steps)) is not None) is is_one


@pytest.mark.parametrize(
    ("header", "lines", "steps", "value", "fetched"),
    [
        ("batch in window", LOSS, "window", None, False),
        ("_ in range(steps)", f"batch = next(batches)\n            {LOSS}", "steps", None, True),
        ("_ in range(4)", f"batch = next(batches)\n            {LOSS}", "4", 4.0, True),
        ("_ in trange(steps)", f"batch = next(batches)\n            {LOSS}", "steps", None, True),
        ("_ in range(0, steps)", f"batch = next(batches)\n            {LOSS}", "steps", None, True),
        ("_ in range(1, steps)", f"batch = next(batches)\n            {LOSS}", "steps - 1", None, True),
        ("_ in range(2, steps)", f"batch = next(batches)\n            {LOSS}", "steps - 2", None, True),
        ("_ in range(0, 9, 3)", f"batch = next(batches)\n            {LOSS}", "range(0, 9, 3)", None, True),
        ("_ in range(steps)", f"args.log()\n            {LOSS}", "steps", None, False),
        ("_ in range(max(steps, 1))", f"batch = next(batches)\n            {LOSS}", "max(steps, 1)", None, True),
        ("_ in range(min(steps, args.n - 3))", LOSS, "min(steps, args.n - 3)", None, True),
        ("_, batch in enumerate(window)", LOSS, "enumerate(window)", None, False),
        ("batch in (args.a, args.b)", LOSS, "2", 2.0, False),
    ],
)  # fmt: skip
def test_inner_loops(header: str, lines: str, steps: str, value: float | None, fetched: bool) -> None:
    found = inner(header, f"{lines}\n            loss.backward()")
    assert found is not None and found.idiom is Idiom.INNER_LOOP
    assert (found.steps, found.steps_value, found.fetch is not None) == (steps, value, fetched)


@pytest.mark.parametrize(
    ("adding", "backward", "told"),
    [
        ("total += loss / args.accum", "total.backward()", "mean unknown / accumulation steps"),
        ("total = total + loss / args.accum", "total.backward()", "mean unknown / accumulation steps"),
        ("total += loss", "(total / args.accum).backward()", "mean unknown / accumulation steps"),
        ("total += loss", "(total / len(window)).backward()", "mean unknown / something else"),
        ("total += loss", "total.backward()", None),
        ("total += loss", "(total / args.other).backward()", None),
        ("total += loss", "(total * args.accum).backward()", None),
    ],
)
def test_losses_that_are_added_up(adding: str, backward: str, told: str | None) -> None:
    text = INNER.format(
        before="total = 0", header="batch in window", lines=f"{LOSS}\n            {adding}", after=backward
    )
    found = window_in(text)
    assert (found is not None and found.added_up) is (told is not None)
    assert told is None or losses_in(text) == [told]


@pytest.mark.parametrize(
    ("signature", "gate", "found"),
    [
        ("update(self, engine, batch)", "engine.state.iteration % self.steps == 0", True),
        ("update(self, batch)", "self.count % self.steps == 0", True),
        ("update(self, batch)", "self.ready", False),
    ],
)
def test_functions_that_are_one_round(signature: str, gate: str, found: bool) -> None:
    one = window_in(ROUND.format(signature=signature, gate=gate))
    assert (one is not None) is found
    assert one is None or one.losses[0][0].site.labels_from == 'batch["labels"]'


@pytest.mark.parametrize(
    ("above", "facts"),
    [
        ("from torch.nn.parallel import DistributedDataParallel as DDP\nmodel = DDP(net)", {"stack": Stack.DDP}),
        ("net = torch.nn.parallel.DistributedDataParallel(net)", {"stack": Stack.DDP}),
        ("from torch.distributed.fsdp import fully_shard\nfully_shard(net)", {"stack": Stack.FSDP}),
        ("model = Wrapped(net)", {"stack": Stack.RAW, "may_be_wrapped": False}),
        ('import torch.distributed as dist\ndist.init_process_group("nccl")', {"may_be_wrapped": True}),
        ("import torch.distributed as dist\ndist.all_reduce(p.grad)", {"may_be_wrapped": False}),
        ("import torch.distributed as dist\naverage_gradients(net)", {"may_be_wrapped": False}),
        ("net.register_comm_hook(state, hook)", {"sets_reduction": True}),
        ("net.set_gradient_divide_factor(1)", {"sets_reduction": True}),
        ("net.hook(state)", {"sets_reduction": False, "sets_boundary": False, "mentions_deepspeed": False}),
        ("engine.set_gradient_accumulation_boundary(True)", {"sets_boundary": True}),
        ("# DeepSpeed runs this", {"mentions_deepspeed": True}),
    ],
)
def test_what_the_file_says_around_it(above: str, facts: dict[str, object]) -> None:
    found = window_in(loop(LOSS, above))
    assert found is not None and {name: getattr(found, name) for name in facts} == facts


@pytest.mark.parametrize(
    ("base", "is_one"), [("torch.optim.Optimizer", True), ("other.Optimizer", False), ("object", False)]
)
def test_optimizers_of_the_project(base: str, is_one: bool) -> None:
    above = f"class Lion({base}):\n    def step(self):\n        return 0\n\nlion = Lion()"
    found = window_in(loop(LOSS, above).replace("optimizer.step()", "lion.step()"))
    assert (found is not None) is is_one


def test_the_steps_are_traced_to_where_they_are_set() -> None:
    found = inner("_ in range(n)", f"{LOSS}\n            loss.backward()", before="n = args.accum")
    assert found is not None and (found.steps, found.traced_steps) == ("n", "args.accum")


@pytest.mark.parametrize(
    "header", ["batch in window", "index, batch in enumerate(window)", "index, batch in enumerate(window, 1)"]
)
def test_what_an_inner_loop_runs_over(header: str) -> None:
    """Not what the loops around it do."""
    text = INNER.format(before="pass", header=header, lines=f"{LOSS}\n            loss.backward()", after="pass")
    found = window_in(text)
    assert found is not None and found.runs_over == "window"


GATHERED = """import torch
import torch.nn.functional as F


def train(model, loader, optimizer, steps, args):
    losses = []
    for step, batch in enumerate(loader):
        {lines}
        if (step + 1) % steps == 0:
            {then}
            optimizer.step()
            losses = []
{otherwise}
"""
ONE_MORE = f"{LOSS}\n        losses.append(loss)"
OF_ALL = "(sum(losses) / steps).backward()"


@pytest.mark.parametrize(
    ("lines", "then", "otherwise", "found"),
    [
        (ONE_MORE, OF_ALL, "", True),
        (ONE_MORE, '(sum(losses) / steps + F.cross_entropy(model(batch["y"]), batch["z"])).backward()', "", False),
        ('x = batch["x"]', "args.objective(x).backward()", "", False),  # of the last micro-batch alone
        (f"{ONE_MORE}\n        {OF_ALL}", "pass", "", True),
        (f"{ONE_MORE}\n        {OF_ALL}", "pass", "        else:\n            optimizer.step()\n", False),
    ],
)
def test_losses_that_are_gathered(lines: str, then: str, otherwise: str, found: bool) -> None:
    assert (window_in(GATHERED.format(lines=lines, then=then, otherwise=otherwise)) is not None) is found
