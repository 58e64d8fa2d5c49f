"""Which window is seen around a backward, what runs it, and does that divide the loss by itself?"""

from __future__ import annotations

from textwrap import indent

import pytest

from testbed.seen import LOSS, facts_in, loop, window_in

# Both are paths of their own, as what is reduced on several ranks is another loss.
SOME_RANKS = "if dist.is_initialized():\n    last, loss = True, loss * 2\nelse:\n    last = False"
COUNTING = f"{LOSS}\ncounter += 1"


@pytest.mark.parametrize(
    ("gate", "steps"),
    [
        ("step % steps == 0", "steps"),
        ("not step % steps", "steps"),
        ("not (step + 1) % steps", "steps"),
        ("step % args.n == args.n - 1", "args.n"),
        ("(step + 1) % 4 == 0", "4"),
        ("step % args.n == args.n - 1 or step == len(loader) - 1", "args.n"),
        ("step % steps == 0 and step > 0", "steps"),
        ("(end := not step % steps)", "steps"),
        ("(end := step % steps == 0)", "steps"),
        ("step % steps != 0", None),
        ("step % steps > 0", None),
        ("step % steps < 1", None),
        ("not (step % steps == 0)", None),
        ("step == len(loader) - 1", None),
        ("step % steps == 0 or True", None),
        ("'%d' % step == '3'", None),
        ("counter == steps", None),
        ("step", None),
    ],
)
def test_gates(gate: str, steps: str | None) -> None:
    found = window_in(loop(LOSS, gate=gate))
    assert (found.steps if found else None) == steps


@pytest.mark.parametrize(
    ("gate", "steps"),
    [
        ("counter == steps", "steps"),
        ("counter >= 4", "4"),
        ("counter == args.steps()", "args.steps()"),
        ("counter >= args.steps(1)", None),
        ("counter != steps", None),
        ("counter < steps", None),
        ("counter > steps", None),
    ],
)
def test_gates_of_what_a_loop_counts(gate: str, steps: str | None) -> None:
    found = window_in(loop(COUNTING, before="counter = 0", gate=gate))
    assert (found.steps if found else None) == steps


@pytest.mark.parametrize(
    ("gate", "steps"),
    [
        ("len(losses) == steps", "steps"),
        ("len(losses) >= args.size(0)", "args.size(0)"),
        ("len(args.x) == steps", None),
    ],
)
def test_gates_of_what_a_loop_gathers(gate: str, steps: str | None) -> None:
    found = window_in(loop(f"{LOSS}\nlosses.append(loss.item())", before="losses = []", gate=gate))
    assert (found.steps if found else None) == steps


@pytest.mark.parametrize(
    ("steps", "value"),
    [("3 + 1", 4.0), ("5 - 1", 4.0), ("2 * 2", 4.0), ("8 // 2", 4.0), ("8 / 2", 4.0), ("8 // 0", None),
     ("2 ** 2", None), ("FOUR", 4.0), ("FOUR * 2", 8.0), ("FOUR * args.n", None)],
)  # fmt: skip
def test_steps_that_are_computed(steps: str, value: float | None) -> None:
    found = window_in(loop(LOSS, "FOUR = 4", gate=f"step % ({steps}) == 0"))
    assert found is not None and (found.steps, found.steps_value) == (steps, value)


@pytest.mark.parametrize(
    ("lines", "cleared"),
    [
        ("optimizer.zero_grad()\n    accelerator.backward(loss)\n    optimizer.step()", True),
        ("accelerator.backward(loss)\n    optimizer.step()\n    optimizer.zero_grad()", False),
        ("if args.x:\n        optimizer.zero_grad()\n    accelerator.backward(loss)\n    optimizer.step()", False),
        ("args.disc.step()\n    args.disc.zero_grad()\n    accelerator.backward(loss)\n    optimizer.step()", True),
        ("args.opt.step()\n    args.opt.zero_grad()\n    accelerator.backward(loss)\n    optimizer.step()", False),
    ],
)
def test_cleared_inside_of_accumulate(lines: str, cleared: bool) -> None:
    found = facts_in(
        loop(f"{LOSS}\nwith accelerator.accumulate(model):\n    {lines}", gate="False", backward="")
    ).windows
    assert found and (found[0].cleared is not None) is cleared


@pytest.mark.parametrize("counted", ["counter += 2", "counter -= 1", "counter = counter + 1.5", "counter = step + 1"])
def test_what_goes_up_otherwise_counts_no_rounds(counted: str) -> None:
    assert window_in(loop(f"{LOSS}\n{counted}", before="counter = 0", gate="counter == steps")) is None


@pytest.mark.parametrize(
    ("backward", "stack", "divides"),
    [
        ("loss.backward()", "PyTorch", "no"),
        ("scaler.scale(loss).backward()", "PyTorch", "no"),
        ("optimizer.backward(loss)", "PyTorch", "no"),
        ("amp.backward(loss)", "PyTorch", "no"),
        ("torch.autograd.backward(loss)", "PyTorch", "no"),
        ("thing.backward(loss)", "PyTorch", "unknown"),
        ("accelerator.backward(loss)", "accelerate", "unknown"),
        ("accelerator.backward(loss=loss)", "accelerate", "unknown"),
        ("fabric.backward(loss)", "Fabric", "no"),
        ("engine.backward(loss)", "DeepSpeed", "yes"),
        ("model_engine.backward(loss)", "DeepSpeed", "yes"),
        ("model.backward(loss)", "DeepSpeed", "unknown"),
    ],
)
def test_what_runs_backward_by_its_name(backward: str, stack: str, divides: str) -> None:
    found = window_in(loop(LOSS, backward=backward))
    assert found is not None
    assert (found.stack.value, found.library.answer.value) == (stack, divides)
    assert found.losses and found.handed_over_text == "loss"


@pytest.mark.parametrize(
    "backward", ["model(**batch).backward()", "thing.backward(model(**batch))", "thing.backward(loss=model(**batch))"]
)
def test_a_model_that_returns_its_loss(backward: str) -> None:
    found = window_in(loop("", backward=backward))
    assert found is not None and found.losses[0][0].site.is_models_own


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("args.scaler(loss, optimizer, update_grad=(step + 1) % steps == 0)", True),
        ("args.scaler(loss, optimizer, need_update=(step + 1) % steps == 0)", True),
        ("args.scaler(loss, optimizer, other=(step + 1) % steps == 0)", False),
        ("args.scaler(optimizer, loss, update_grad=(step + 1) % steps == 0)", False),
        ("args.scaler(loss, update_grad=(step + 1) % steps == 0)", False),
    ],
)
def test_scalers_that_run_backward_and_step(call: str, found: bool) -> None:
    one = window_in(loop(LOSS, backward=call, gate="False"))
    assert (one is not None and one.steps == "steps") is found


def test_no_window_without_a_gradient() -> None:
    assert window_in(loop(LOSS, backward="with torch.no_grad():\n            loss.backward()")) is None


@pytest.mark.parametrize(
    ("gate", "at_end"),
    [
        ("step % steps == 0 or step == len(loader) - 1", True),
        ("step == len(loader) - 1 or step % steps == 0", True),
        ("step % steps == 0 and step == len(loader) - 1", False),
        ("step % steps == 0 or args.flush", False),
        ("step % steps == 0", False),
    ],
)
def test_gates_that_open_at_the_loaders_end_too(gate: str, at_end: bool) -> None:
    found = window_in(loop(LOSS, gate=gate))
    assert (found is not None and found.at_end) is at_end


@pytest.mark.parametrize(
    ("there", "elsewhere", "steps"),
    [
        ("last = True", "last = False", "steps"),
        ("last = True", "if args.x:\n    last = False\nelse:\n    last = False", "steps"),
        ("last = True", "if args.x:\n    last = True\nelse:\n    last = False", None),
        ("if args.x:\n    last = True\nelse:\n    last = False", "last = False", None),
        ("last = True", SOME_RANKS, None),
        (SOME_RANKS, "last = False", None),
        ("last = True", "if args.x:\n    last = args.y\nelse:\n    last = False", None),
        ("last = True", "last = args.y", None),
    ],
)
def test_flags_that_branches_set(there: str, elsewhere: str, steps: str | None) -> None:
    branches = f"if (step + 1) % steps == 0:\n{indent(there, '    ')}\nelse:\n{indent(elsewhere, '    ')}"
    found = window_in(loop(f"{LOSS}\n{branches}", gate="last"))
    assert (found and found.steps) == steps
