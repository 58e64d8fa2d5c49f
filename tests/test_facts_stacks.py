"""Does an accelerator or an engine divide the loss by itself, and by how many steps? As it was configured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ga_lint.facts.extract import extract
from ga_lint.facts.interpreter.engines import MAX_BYTES
from ga_lint.facts.model import Window
from ga_lint.project import Project
from ga_lint.source import decode
from ga_lint.syntax.parsed import parse
from ga_lint.trail import recording
from testbed.seen import LOSS, loop, losses_in, window_in

INSIDE = (
    "with accelerator.accumulate(model):\n            accelerator.backward(loss)\n            optimizer.step()\n"
    "            optimizer.zero_grad()"
)
ACCELERATE = (
    "from accelerate import Accelerator\nfrom accelerate.utils import DeepSpeedPlugin, GradientAccumulationPlugin\n"
)
DEEPSPEED = "import deepspeed\n"


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
        ('deepspeed_plugin=DeepSpeedPlugin("zero2.json")', "DeepSpeed", "unknown", ""),
        ('deepspeed_plugin=DeepSpeedPlugin(hf_ds_config="zero2.json")', "DeepSpeed", "unknown", ""),
        ("deepspeed_plugin=plugin", "DeepSpeed", "unknown", ""),
        ("deepspeed_plugin=plugin, gradient_accumulation_steps=2", "DeepSpeed", "yes", "2"),
        ("deepspeed_plugin=None", "accelerate", "no", ""),
    ],
)
def test_accelerators(given: str, stack: str, divides: str, steps: str) -> None:
    found = window_in(loop(LOSS, f"{ACCELERATE}accelerator = Accelerator({given})", gate="False", backward=INSIDE))
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
    found = window_in(loop(LOSS, above, backward="engine.backward(loss)"), folder)
    assert found is not None
    assert (found.stack.value, found.library.answer.value, found.library.steps) == ("DeepSpeed", divides, steps)


@pytest.mark.parametrize(
    ("places", "divides", "steps"),
    [
        ({"scripts": 4}, "yes", "4"),
        ({".": 4}, "yes", "4"),
        ({"scripts/other": 4}, "yes", ""),
        ({".": 5, "scripts": 4}, "yes", "4"),
        ({".": 4, "scripts": 1}, "no", ""),
    ],
)
def test_an_engines_configuration_is_looked_for_beside_the_code_and_at_the_root(
    places: dict[str, int], divides: str, steps: str, tmp_path: Path
) -> None:
    (tmp_path / "scripts/other").mkdir(parents=True)
    for place, number in places.items():
        (tmp_path / place / "ds.json").write_text(json.dumps({"gradient_accumulation_steps": number}))
    found = _engine_in(tmp_path, "scripts/train.py", 'config="ds.json"')
    assert (found.library.answer.value, found.library.steps) == (divides, steps)


def test_what_is_no_file_or_no_configuration_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "scripts/ds.json").mkdir(parents=True)
    (tmp_path / "ds.json").write_text('{"gradient_accumulation_steps": 4}')
    assert _engine_in(tmp_path, "scripts/train.py", 'config="ds.json"').library.steps == "4"
    (tmp_path / "ds.json").write_text('{"gradient_accumulation_steps": 4}' + " " * MAX_BYTES)
    assert _engine_in(tmp_path, "scripts/train.py", 'config="ds.json"').library.steps == ""


def test_an_answer_depends_on_each_place_where_the_configuration_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text('{"gradient_accumulation_steps": 4}')
    with recording() as places:
        _engine_in(tmp_path, "scripts/train.py", 'config="ds.json"')
    assert {str(tmp_path / "scripts/ds.json"), str(tmp_path / "ds.json")} <= places


def _engine_in(folder: Path, file: str, config: str) -> Window:
    above = f"{DEEPSPEED}engine, _, _, _ = deepspeed.initialize(model=net, {config})"
    text = loop(LOSS, above, backward="engine.backward(loss)")
    (found,) = extract(parse(decode(folder / file, text.encode())), Project(folder)).windows
    return found


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
    text = loop(LOSS, above, backward="engine.backward(loss)") + "\n\ntrain(engine, data, optimizer, 4, options)\n"
    found = window_in(text)
    assert found is not None
    assert found.library.answer.value == divides


ENGINE = """\
import deepspeed

class Net(nn.Module):
    def __init__(self):
        self.criterion = nn.CrossEntropyLoss(reduction="sum")

    def forward(self, x, labels=None):
        {}

engine, _, _, _ = deepspeed.initialize({})
"""


@pytest.mark.parametrize("handed", ["model=Net(), config=options", "args, Net(), config=options"])
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
def test_the_network_inside_an_engine(forward: str, lines: str, told: list[str], handed: str) -> None:
    text = loop(lines, ENGINE.format(forward, handed), backward="engine.backward(loss)", gate="True")
    text = text.replace("optimizer.step()", "engine.step()").replace("model, loader", "engine, loader")
    assert losses_in(f"{text}\n\ntrain(engine, data, None, 4, cfg)\n") == told


def test_an_engine_by_another_name_steps() -> None:
    above = "import deepspeed\nds, _, _, _ = deepspeed.initialize(model=net, config=options)"
    found = window_in(loop(LOSS, above, backward="ds.backward(loss)").replace("optimizer.step()", "ds.step()"))
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
        LOSS,
        f"from transformers import TrainingArguments\n{above}",
        gate="step % args.gradient_accumulation_steps == 0",
    )
    found = window_in(f"{text}\n\ntrain(net, data, opt, 4, args)\n")
    assert found is not None
    assert (found.steps, found.steps_value) == ("args.gradient_accumulation_steps", value)
