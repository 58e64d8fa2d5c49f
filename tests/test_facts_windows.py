"""Which window is seen around a backward, what runs it, and does that divide the loss by itself?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ga_lint.facts.model import Window
from testbed.seen import facts_in, loop, losses_in

MEAN = 'loss = F.cross_entropy(model(batch["x"]).logits, batch["labels"])'
COUNTING = f"{MEAN}\ncounter += 1"
INSIDE = (
    "with accelerator.accumulate(model):\n            accelerator.backward(loss)\n            optimizer.step()\n"
    "            optimizer.zero_grad()"
)
ACCELERATE = (
    "from accelerate import Accelerator\nfrom accelerate.utils import DeepSpeedPlugin, GradientAccumulationPlugin\n"
)
DEEPSPEED = "import deepspeed\n"


def window(text: str, folder: Path = Path("project")) -> Window | None:
    """The one window; None where there is none."""
    found = facts_in(text, folder).windows
    return found[0] if len(found) == 1 else None


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
    found = window(loop(MEAN, gate=gate))
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
    found = window(loop(COUNTING, before="counter = 0", gate=gate))
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
    found = window(loop(f"{MEAN}\nlosses.append(loss.item())", before="losses = []", gate=gate))
    assert (found.steps if found else None) == steps


@pytest.mark.parametrize("counted", ["counter += 2", "counter -= 1", "counter = counter + 1.5", "counter = step + 1"])
def test_what_goes_up_otherwise_counts_no_rounds(counted: str) -> None:
    assert window(loop(f"{MEAN}\n{counted}", before="counter = 0", gate="counter == steps")) is None


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
    found = window(loop(MEAN, backward=backward))
    assert found is not None
    assert (found.stack.value, found.library.answer.value) == (stack, divides)
    assert found.losses and found.handed_over_text == "loss"


@pytest.mark.parametrize(
    "backward", ["model(**batch).backward()", "thing.backward(model(**batch))", "thing.backward(loss=model(**batch))"]
)
def test_a_model_that_returns_its_loss(backward: str) -> None:
    found = window(loop("", backward=backward))
    assert found is not None and found.losses[0][0].site.is_models_own


@pytest.mark.parametrize(
    ("given", "stack", "divides", "steps"),
    [
        ("", "accelerate", "no", ""),
        ("gradient_accumulation_steps=1", "accelerate", "no", ""),
        ("gradient_accumulation_steps=8", "accelerate", "yes", "8"),
        ("gradient_accumulation_steps=8 if tiny else 1", "accelerate", "yes", "8"),
        ("gradient_accumulation_steps=1 if tiny else 8", "accelerate", "yes", "8"),
        ("gradient_accumulation_steps=choose(tiny)", "accelerate", "yes", ""),
        ("**options", "accelerate", "unknown", ""),
        ("gradient_accumulation_steps=8, **options", "accelerate", "yes", "8"),
        ("gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=4)", "accelerate", "yes", "4"),
        ("gradient_accumulation_plugin=GradientAccumulationPlugin(4)", "accelerate", "yes", "4"),
        ("gradient_accumulation_plugin=plugin", "accelerate", "unknown", ""),
        ("gradient_accumulation_plugin=None", "accelerate", "no", ""),
        ("deepspeed_plugin=DeepSpeedPlugin(gradient_accumulation_steps=4)", "DeepSpeed", "yes", "4"),
        ("deepspeed_plugin=DeepSpeedPlugin(None, 4), gradient_accumulation_steps=2", "DeepSpeed", "yes", "4"),
        ("deepspeed_plugin=DeepSpeedPlugin()", "DeepSpeed", "no", ""),
        ('deepspeed_plugin=DeepSpeedPlugin(hf_ds_config="zero2.json")', "DeepSpeed", "unknown", ""),
        ("deepspeed_plugin=plugin", "DeepSpeed", "unknown", ""),
        ("deepspeed_plugin=plugin, gradient_accumulation_steps=2", "DeepSpeed", "yes", "2"),
        ("deepspeed_plugin=None", "accelerate", "no", ""),
    ],
)
def test_accelerators(given: str, stack: str, divides: str, steps: str) -> None:
    found = window(loop(MEAN, f"{ACCELERATE}accelerator = Accelerator({given})", gate="False", backward=INSIDE))
    assert found is not None
    library = found.library
    assert (found.stack.value, library.answer.value, library.steps) == (stack, divides, steps)


@pytest.mark.parametrize(
    ("config", "divides", "steps"),
    [
        ('config={"gradient_accumulation_steps": 4}', "yes", "4"),
        ('config_params={"gradient_accumulation_steps": 4}', "yes", "4"),
        ("config=dict(gradient_accumulation_steps=4)", "yes", "4"),
        ('config={"gradient_accumulation_steps": 1}', "no", ""),
        ('config={"gradient_accumulation_steps": "auto"}', "yes", ""),
        ('config={"zero_optimization": {"stage": 2}}', "no", ""),
        ('config={"train_batch_size": 8, "train_micro_batch_size_per_gpu": 2}', "yes", ""),
        ('config={"train_batch_size": 8}', "no", ""),
        ('config={**options, "train_batch_size": 8}', "yes", ""),
        ('config={**{"a": 1}, "train_batch_size": 8}', "no", ""),
        ('config={**{"a": 1, **options}, "train_batch_size": 8}', "yes", ""),
        ("config=dict(options)", "yes", ""),
        ("config=dict(a=1, **options)", "yes", ""),
        ("config=dict(a=1)", "no", ""),
        ("config=options", "yes", ""),
        ('config="four.json"', "yes", "4"),
        ('config="one.json"', "no", ""),
        ('config="none.json"', "no", ""),
        ('config="auto.json"', "yes", ""),
        ('config="flag.json"', "yes", ""),
        ('config="sizes.json"', "yes", ""),
        ('config="list.json"', "yes", ""),
        ('config="broken.json"', "yes", ""),
        ('config="missing.json"', "yes", ""),
        ('config="../outside.json"', "yes", ""),
        ("", "yes", ""),
    ],
)
def test_engines(config: str, divides: str, steps: str, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    for name, text in {
        "four": '{"gradient_accumulation_steps": 4}',
        "one": '{"gradient_accumulation_steps": 1}',
        "none": "{}",
        "auto": '{"gradient_accumulation_steps": "auto"}',
        "flag": '{"gradient_accumulation_steps": true}',
        "sizes": json.dumps({"train_batch_size": 8, "train_micro_batch_size_per_gpu": 2}),
        "list": "[4]",
        "broken": "{",
        "../outside": '{"gradient_accumulation_steps": 1}',
    }.items():
        (folder / f"{name}.json").write_text(text)
    above = f"{DEEPSPEED}engine, _, _, _ = deepspeed.initialize(model=net, {config})"
    found = window(loop(MEAN, above, backward="engine.backward(loss)"), folder)
    assert found is not None
    assert (found.stack.value, found.library.answer.value, found.library.steps) == ("DeepSpeed", divides, steps)


@pytest.mark.parametrize(
    ("change", "divides"),
    [
        ('config["gradient_accumulation_steps"] = 4', "yes"),
        ('config["stage"] = 2', "no"),
        ("config[name] = 4", "yes"),
        ('config.update({"gradient_accumulation_steps": 4})', "yes"),
        ("config.update(gradient_accumulation_steps=4)", "yes"),
        ("config.update(stage=2)", "no"),
        ("config.update(stage=2, **options)", "yes"),
        ("config.update(options)", "yes"),
    ],
)
def test_configurations_that_are_changed(change: str, divides: str) -> None:
    above = (
        f'{DEEPSPEED}config = {{"a": 1}}\n{change}\nengine, _, _, _ = deepspeed.initialize(model=net, config=config)'
    )
    text = loop(MEAN, above, backward="engine.backward(loss)") + "\n\ntrain(engine, data, optimizer, 4, options)\n"
    found = window(text)
    assert found is not None
    assert found.library.answer.value == divides


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
    one = window(loop(MEAN, backward=call, gate="False"))
    assert (one is not None and one.steps == "steps") is found


def test_no_window_without_a_gradient() -> None:
    assert window(loop(MEAN, backward="with torch.no_grad():\n            loss.backward()")) is None


ENGINE = """\
import deepspeed

class Net(nn.Module):
    def __init__(self):
        self.criterion = nn.CrossEntropyLoss(reduction="sum")

    def forward(self, x, labels=None):
        {}

engine, _, _, _ = deepspeed.initialize(model=Net(), config=options)
"""


@pytest.mark.parametrize(
    ("forward", "lines", "told"),
    [
        ("return x", 'loss = engine.criterion(batch["x"], batch["labels"])', ["sum unknown"]),
        ("return x", 'loss = engine.module.criterion(batch["x"], batch["labels"])', ["sum unknown"]),
        ("return self.criterion(x, labels)", 'loss = engine(batch["x"], batch["labels"])', ["sum unknown"]),
        ("return self.criterion(x, labels), x", 'loss = engine(batch["x"], batch["labels"])[0]', ["sum unknown"]),
        ("return x", 'loss = F.cross_entropy(engine(batch["x"]), batch["labels"])', ["mean unknown"]),
    ],
)
def test_the_network_inside_an_engine(forward: str, lines: str, told: list[str]) -> None:
    text = loop(lines, ENGINE.format(forward), backward="engine.backward(loss)", gate="True")
    text = text.replace("optimizer.step()", "engine.step()").replace("model, loader", "engine, loader")
    assert losses_in(f"{text}\n\ntrain(engine, data, None, 4, cfg)\n") == told


def test_an_engine_by_another_name_steps() -> None:
    above = "import deepspeed\nds, _, _, _ = deepspeed.initialize(model=net, config=options)"
    found = window(loop(MEAN, above, backward="ds.backward(loss)").replace("optimizer.step()", "ds.step()"))
    assert found is not None and found.steps_by_engine


@pytest.mark.parametrize(
    ("above", "value"),
    [
        ("args = TrainingArguments('out', gradient_accumulation_steps=4)", 4.0),
        ("args = TrainingArguments('out')", None),
        ("class Args:\n    gradient_accumulation_steps = 4\n\nargs = Args()", 4.0),
        ("args = dict(gradient_accumulation_steps=4)", 4.0),
    ],
)
def test_steps_of_arguments(above: str, value: float | None) -> None:
    text = loop(
        MEAN,
        f"from transformers import TrainingArguments\n{above}",
        gate="step % args.gradient_accumulation_steps == 0",
    )
    found = window(f"{text}\n\ntrain(net, data, opt, 4, args)\n")
    assert found is not None
    assert (found.steps, found.steps_value) == ("args.gradient_accumulation_steps", value)
