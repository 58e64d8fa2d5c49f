"""How is a Trainer set up, which model does it train, and over how many batches does Lightning accumulate?"""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.facts.model import Accumulation, Answer, TrainerSetup
from testbed.seen import MEAN, facts_in, override

HEAD = """\
import torch.nn as nn
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, Seq2SeqTrainer, Trainer, TrainingArguments
from trl import SFTConfig, SFTTrainer

net = AutoModelForMaskedLM.from_pretrained("bert")
"""
STEPS = "gradient_accumulation_steps"


def setup(text: str) -> TrainerSetup | None:
    found = facts_in(HEAD + text).setups
    return found[0] if len(found) == 1 else None


@pytest.mark.parametrize(
    ("call", "trainer", "head"),
    [
        ("Trainer(net, args)", "transformers.Trainer", "AutoModelForMaskedLM"),
        ("Trainer(model=net)", "transformers.Trainer", "AutoModelForMaskedLM"),
        ("Trainer(args=args, model=net)", "transformers.Trainer", "AutoModelForMaskedLM"),
        ("Seq2SeqTrainer(net)", "transformers.Seq2SeqTrainer", "AutoModelForMaskedLM"),
        ("SFTTrainer(model=net)", "trl.SFTTrainer", "AutoModelForMaskedLM"),
        ("Trainer(model=made())", "transformers.Trainer", None),
        ("Trainer(args, net)", "transformers.Trainer", None),
        ("OtherTrainer(model=net)", None, None),
        ("Own(model=net, train_dataset=data)  # Trainer(", "transformers.Trainer", "AutoModelForMaskedLM"),
        ("Own(model=net)", None, None),
        ("made().Trainer(model=net)", None, None),
        ("libraries[0].Trainer(model=net)", None, None),
    ],
)
def test_trainers(call: str, trainer: str | None, head: str | None) -> None:
    found = setup(f"class Own(Trainer):\n    pass\n\ntrainer = {call}\n")
    assert (found and (found.trainer, found.head)) == (trainer and (trainer, head))


@pytest.mark.parametrize(
    ("arguments", "steps", "value"),
    [
        (f"TrainingArguments('out', {STEPS}=8)", "8", 8.0),
        (f"TrainingArguments('out', {STEPS}=cfg.steps)", "cfg.steps", None),
        ("TrainingArguments('out')", None, None),
        ("TrainingArguments('out', **options)", "**", None),
        (f"TrainingArguments(**options, {STEPS}=4)", "4", 4.0),
        (f"SFTConfig({STEPS}=2)", "2", 2.0),
        (f"OwnTrainingArguments({STEPS}=2)", None, None),  # those of the project are looked at without their Trainer
        (f"OtherConfig({STEPS}=2)", None, None),
    ],
)
def test_arguments(arguments: str, steps: str | None, value: float | None) -> None:
    own = "class OwnTrainingArguments(TrainingArguments):\n    pass\n\n"
    text = f"{own}args = {arguments}\ntrainer = Trainer(net, args)\n"
    (found,) = facts_in(HEAD + text).setups
    given = found.arguments.steps if found.arguments else None
    assert (given and given.text, given and given.value) == (steps, value)


def test_arguments_of_the_project() -> None:
    own = "class OwnTrainingArguments(TrainingArguments):\n    pass\n\n"
    (found,) = facts_in(f"{HEAD}{own}args = OwnTrainingArguments({STEPS}=2)\nTrainer(net, args)\n").arguments
    assert found.steps and found.steps.value == 2.0
    assert found.called == "transformers.TrainingArguments"


@pytest.mark.parametrize(
    ("call", "own_loss", "function"),
    [
        ("Trainer(net)", False, False),
        ("Trainer(net, compute_loss_func=f)", True, True),
        ("PlainTrainer(net)", False, False),
        ("OverridingTrainer(net)", True, False),
        ("HandingTrainer(net)", False, True),
    ],
)
def test_whose_loss_it_is(call: str, own_loss: bool, function: bool) -> None:
    classes = (
        "class PlainTrainer(Trainer):\n    pass\n\n"
        "class OverridingTrainer(Trainer):\n    def compute_loss(self, model, inputs, **kwargs):\n        return 0\n\n"
        "class HandingTrainer(Trainer):\n    def __init__(self, model):\n"
        "        super().__init__(model=model, compute_loss_func=f)\n\n"
    )
    one = setup(f"{classes}args = TrainingArguments('out')\ntrainer = {call}\n")
    assert one is not None
    assert (one.own_loss, one.function) == (own_loss, function)


NETS = """
class Plain(nn.Module):
    def forward(self, input_ids, labels=None):
        return 0

class Taking(nn.Module):
    def forward(self, input_ids, labels=None, **kwargs):
        return 0

class Declining(nn.Module):
    accepts_loss_kwargs = False

    def forward(self, input_ids, labels=None, **kwargs):
        return 0

class Asking(nn.Module):
    accepts_loss_kwargs = asked()

    def forward(self, input_ids, labels=None):
        return 0

class Wrapped(Declining):
    pass

class Without(nn.Module):
    pass

"""


@pytest.mark.parametrize(
    ("built", "accepted"),
    [
        ("OwnTrainer(model=Plain())", Answer.NO),
        ("OwnTrainer(Plain())", Answer.NO),
        ("OwnTrainer(model=Taking())", Answer.YES),
        ("OwnTrainer(model=Declining())", Answer.NO),
        ("OwnTrainer(model=Wrapped())", Answer.NO),
        ("OwnTrainer(model=Asking())", Answer.UNKNOWN),
        ("OwnTrainer(model=Without())", Answer.UNKNOWN),
        ("OwnTrainer(model=made())", Answer.UNKNOWN),
        ("OwnTrainer(model=Plain() if args else Taking())", Answer.YES),
        ("OwnTrainer(model=Plain() if args else made())", Answer.UNKNOWN),
        ("OwnTrainer(model=Plain())\nOwnTrainer(model=Taking())", Answer.YES),
        ("OwnTrainer(model=Plain(), compute_loss_func=f)", Answer.UNKNOWN),
        ("model = Plain()\nmodel.accepts_loss_kwargs = True\nOwnTrainer(model=model)", Answer.UNKNOWN),
        ("model = Plain()\nmodel.accepts_loss_kwargs = False\nOwnTrainer(model=model)", Answer.NO),
        ("class HeirTrainer(OwnTrainer):\n    pass\n\nHeirTrainer(model=Plain())", Answer.NO),
        ("class OtherTrainer(Trainer):\n    pass\n\nOtherTrainer(model=Plain())", Answer.UNKNOWN),
        ("Trainer(model=Plain())", Answer.UNKNOWN),
        ("def main():\n    net = Plain()\n    trainer = OwnTrainer(net, None)\n", Answer.NO),
        ("", Answer.UNKNOWN),
    ],
)
def test_does_the_model_take_the_count(built: str, accepted: Answer) -> None:
    assert override(MEAN, f"{NETS}{built}\n", head=HEAD).accepted is accepted


@pytest.mark.parametrize(
    ("lines", "accepted"),
    [
        ("self.model_accepts_loss_kwargs = True", Answer.YES),
        ("self.model_accepts_loss_kwargs = asked()", Answer.UNKNOWN),
        ("self.model_accepts_loss_kwargs = False", Answer.NO),
        ("self.compute_loss_func = f", Answer.UNKNOWN),
        ("self.other = True", Answer.NO),
        ("if not isinstance(self.model, Taking):\n            raise TypeError", Answer.NO),
    ],
)
def test_what_the_class_says_of_every_model(lines: str, accepted: Answer) -> None:
    after = f"    def later(self):\n        {lines}\n"
    assert override(MEAN, f"{after}{NETS}OwnTrainer(model=Plain())\n", head=HEAD).accepted is accepted


@pytest.mark.parametrize(("name", "accepted"), [("Plain", Answer.NO), ("Taking", Answer.YES), ("str", Answer.UNKNOWN)])
def test_a_class_that_demands_its_model(name: str, accepted: Answer) -> None:
    after = f"    def later(self):\n        assert isinstance(self.model, {name})\n"
    assert override(MEAN, f"{after}{NETS}", head=HEAD).accepted is accepted


LIGHTNING = """\
import lightning as L

class Own(L.LightningModule):
    def training_step(self, batch, index):
        return self.net(**batch).loss
"""
OFF = "automatic_optimization = False"
PROPERTY = "    @property\n    def automatic_optimization(self):\n"
BASE = "class Base(L.LightningModule):\n    def __init__(self):\n"


def accumulation(text: str, folder: Path) -> Accumulation:
    (step,) = facts_in(f"{LIGHTNING}{text}", folder).lightning_steps
    return step.accumulation


@pytest.mark.parametrize(
    ("text", "answer", "steps"),
    [
        ("L.Trainer(accumulate_grad_batches=4)", Answer.YES, 4.0),
        ("L.Trainer(accumulate_grad_batches=1)", Answer.NO, None),
        ("L.Trainer(accumulate_grad_batches=None)", Answer.NO, None),
        ("L.Trainer(accumulate_grad_batches=True)", Answer.NO, None),
        ("L.Trainer(accumulate_grad_batches=cfg.n)", Answer.YES, None),
        ("L.Trainer(accumulate_grad_batches=1)\nL.Trainer(accumulate_grad_batches=2)", Answer.YES, 2.0),
        ("L.Trainer(accumulate_grad_batches=cfg.n)\nL.Trainer(accumulate_grad_batches=2)", Answer.YES, 2.0),
        ("L.Trainer()", Answer.NO, None),
        ("L.Trainer(**options)", Answer.UNKNOWN, None),
        ("", Answer.UNKNOWN, None),
        ('options = {"accumulate_grad_batches": 8}\nL.Trainer(**options)', Answer.YES, 8.0),
        ('options = {"other": 8}\nL.Trainer(**options)', Answer.UNKNOWN, None),
        ("trainer = L.Trainer()\ntrainer.accumulate_grad_batches = 2", Answer.YES, 2.0),
        ("    def setup(self):\n        self.accumulate_grad_batches = 2\n", Answer.UNKNOWN, None),
        ("    def setup(self):\n        self.trainer.accumulate_grad_batches = 2\n", Answer.YES, 2.0),
        ("L.Trainer(callbacks=[GradientAccumulationScheduler({0: 1, 4: 8})])", Answer.YES, 8.0),
        ("L.Trainer(callbacks=[OtherScheduler({0: 1, 4: 8})])", Answer.NO, None),
        ('parser.add_argument("--accumulate_grad_batches", type=int, default=4)', Answer.YES, 4.0),
        ('parser.add_argument("--accumulate_grad_batches", type=int, default=1)', Answer.UNKNOWN, None),
    ],
)
def test_lightning_accumulates(text: str, answer: Answer, steps: float | None, tmp_path: Path) -> None:
    found = accumulation(text, tmp_path)
    assert (found.answer, found.steps_value) == (answer, steps)


@pytest.mark.parametrize(
    ("files", "answer", "steps"),
    [
        ({"main.py": "import lightning as L\nL.Trainer(accumulate_grad_batches=4)\n"}, Answer.YES, 4.0),
        ({"conf/a.yaml": "trainer:\n  accumulate_grad_batches: 4\n"}, Answer.YES, 4.0),
        ({"conf/a.yaml": "trainer:\n  accumulate_grad_batches: ${n}\n"}, Answer.YES, None),
        ({"conf/a.yaml": "trainer:\n  accumulate_grad_batches: none\n"}, Answer.UNKNOWN, None),
        ({"conf/a.yaml": "trainer:\n  # accumulate_grad_batches: 4\n"}, Answer.UNKNOWN, None),
        ({"conf/a.yaml": "accumulate_grad_batches: 1\n", "b.yaml": "accumulate_grad_batches: 2\n"}, Answer.YES, 2.0),
        ({"conf/a.yaml": "accumulate_grad_batches: 1\n"}, Answer.NO, None),
        ({"broken.py": "accumulate_grad_batches = (\n", "b.yaml": "accumulate_grad_batches: 2\n"}, Answer.YES, 2.0),
    ],
)
def test_lightning_is_set_up_elsewhere(
    files: dict[str, str], answer: Answer, steps: float | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = accumulation("", tmp_path)
    assert (found.answer, found.steps_value) == (answer, steps)


@pytest.mark.parametrize(
    ("returned", "wrapped", "logs"),
    [
        ("loss", False, False),
        ('{"loss": loss}', True, False),
        ('{"loss": loss, "log": {}}', True, True),
        ('{"loss": loss, "progress_bar": {}}', True, True),
    ],
)
def test_what_a_lightning_step_returns(returned: str, wrapped: bool, logs: bool) -> None:
    text = LIGHTNING.replace(
        "return self.net(**batch).loss", f"loss = self.net(**batch).loss\n        return {returned}"
    )
    (step,) = facts_in(text).lightning_steps
    assert step.returns and (bool(step.wrapped), step.logs_by_returning) == (wrapped, logs)


@pytest.mark.parametrize(
    ("change", "is_one"),
    [
        (("", ""), True),
        (("(L.LightningModule)", "(nn.Module)"), False),
        (("(L.LightningModule)", "(other.LightningModule)"), False),
        (("(L.LightningModule)", ""), False),
        (("    def", "    automatic = False\n    def"), True),
        (("self, batch, index", "self, *batch"), True),
        (("        return", "        self.automatic_optimization = False\n        return"), False),
        (("        return", "        self.automatic_optimization = True\n        return"), True),
        (("        return", "        self.automatic_optimization = self.own\n        return"), True),
        (("        return", "        automatic_optimization = False\n        return"), True),
        (("        return", "        self.own = self.automatic_optimization = False\n        return"), False),
        (("        return", "        self.automatic_optimization: bool = False\n        return"), False),
        (("    def", "    automatic_optimization = False\n\n    def"), False),
        (("    def", "    automatic_optimization: bool = False\n\n    def"), False),
        (("    def", "    automatic_optimization = True\n\n    def"), True),
        (("    def", f"{PROPERTY}        return False\n\n    def"), False),
        (("    def", f"{PROPERTY}        return True\n\n    def"), True),
        (("    def", f"{PROPERTY}        return self.own\n\n    def"), True),
        (
            ("class Own(L.LightningModule)", f"{BASE}        self.automatic_optimization = False\n\nclass Own(Base)"),
            False,
        ),
        (
            ("class Own(L.LightningModule)", f"{BASE}        self.automatic_optimization = True\n\nclass Own(Base)"),
            True,
        ),
        (
            (
                "class Own(L.LightningModule):\n",
                f"{BASE}        self.{OFF}\n\nclass Own(Base):\n    automatic_optimization = True\n\n",
            ),
            True,
        ),
        (("class Own(L", f"{BASE}        self.automatic_optimization = False\n\nclass Own(L"), True),
    ],
)
def test_lightning_modules(change: tuple[str, str], is_one: bool) -> None:
    assert bool(facts_in(LIGHTNING.replace(*change)).lightning_steps) is is_one


OF = 'F.cross_entropy(model(inputs["input_ids"]).logits, inputs["labels"]'


@pytest.mark.parametrize(
    ("returned", "asked"),
    [
        (f"{OF})", True),
        (f'{OF}, reduction="sum")', False),
        (f'{OF}) + {OF}, reduction="sum")', True),
        (f'{OF}, reduction="sum") / num_items_in_batch', True),
        ("super().compute_loss(model, inputs)", True),
        ("super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)", False),
    ],
)
def test_what_cannot_be_wrong_is_not_asked_what_it_trains(returned: str, asked: bool) -> None:
    one = override(f"return {returned}\n", f"{NETS}OwnTrainer(model=Plain())\n", head=HEAD)
    assert one.accepted is (Answer.NO if asked else Answer.UNKNOWN)


def test_a_step_that_withholds_the_count_is_asked_what_it_trains() -> None:
    """It returns no loss that could be a mean."""
    step = {"method": "training_step", "signature": "self, model, inputs, num_items_in_batch=None"}
    after = f"{NETS}OwnTrainer(model=Plain())\n"
    supers = "return super().training_step(model, inputs{})\n"
    assert override(supers.format(""), after, head=HEAD, **step).accepted is Answer.NO
    assert override(supers.format(", num_items_in_batch"), after, head=HEAD, **step).accepted is Answer.UNKNOWN
