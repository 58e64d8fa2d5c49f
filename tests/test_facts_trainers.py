"""What is seen of a Trainer's overrides: what they are of, what they return, and what their class says of the count?"""

from __future__ import annotations

import pytest

from ga_lint.diagnostics import Confidence
from ga_lint.facts.model import Answer
from ga_lint.facts.received import ASSUMED
from testbed.seen import HEAD, MEAN, SIGNATURE, facts_in, override, overrides, returned

OUTPUTS = """\
labels = inputs["labels"]
outputs = model(**inputs)
loss = F.cross_entropy(outputs.logits, labels, reduction="sum")
"""
COUNT = "the window's count over all ranks"


@pytest.mark.parametrize(
    ("value", "told_of"),
    [
        ("loss", ["sum unknown"]),
        ("(loss, outputs)", ["sum unknown"]),
        ("(loss, outputs) if return_outputs else loss", ["sum unknown"]),
        ('{"loss": loss}', ["sum unknown"]),
        ('{"other": loss}', []),
        ("ModelOutput(loss=loss)", ["sum unknown"]),
        ("ModelOutput(loss)", ["sum unknown"]),
        ("ModelOutput(logits=loss)", []),
        ("OwnOutput(loss=loss)", ["sum unknown"]),
        ("OwnOutput(loss=loss if return_outputs else None)", ["sum unknown"]),
        ("OwnOutput(logits=loss)", []),
        ("model.output(loss=loss)", ["sum unknown"]),
        ("model.output(logits=loss)", []),
        ("outputs", ["mean unknown"]),
        ("outputs.loss", ["mean unknown"]),
        ('outputs["loss"]', ["mean unknown"]),
        ("outputs[0]", ["mean unknown"]),
        ("outputs[:2]", ["mean unknown"]),
        ("outputs.logits", []),
        ("None", []),
        ("loss / num_items_in_batch", [f"sum unknown / {COUNT}"]),
        ("loss / num_items_in_batch.item()", [f"sum unknown / {COUNT}"]),
        ("loss / int(num_items_in_batch)", [f"sum unknown / {COUNT}"]),
        ("loss / (num_items_in_batch or 1)", [f"sum unknown / {COUNT}"]),
        ("loss if num_items_in_batch is None else loss / num_items_in_batch", [f"sum unknown / {COUNT}"]),
        ("loss * self.accelerator.num_processes / num_items_in_batch", [f"sum unknown * number of ranks / {COUNT}"]),
        ("model.penalty() / num_items_in_batch", [f"unknown unknown * something else / {COUNT}"]),
        ("model.penalty() * num_items_in_batch", []),
        ("model.penalty() / (labels != -100).sum()", []),
        ("super().compute_loss(model, inputs)", ["mean unknown"]),
        ("super().compute_loss(model, inputs, return_outputs)", ["mean unknown"]),
        ("super().compute_loss(model, inputs, True)[0]", ["mean unknown"]),
        ("super().compute_loss(model, inputs, return_outputs, num_items_in_batch)", ["sum unknown counted"]),
        ("super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)", ["sum unknown counted"]),
        ("super().compute_loss(model, inputs, num_items_in_batch=None)", ["mean unknown"]),
        ("Trainer.compute_loss(self, model, inputs, False, num_items_in_batch)", ["sum unknown counted"]),
        ("Trainer.compute_loss(self, model, inputs)", ["mean unknown"]),
        ("self.label_smoother(outputs, labels)", ["mean token"]),
        ("self.label_smoother(outputs, labels, **options)", []),
    ],
)
def test_what_is_returned(value: str, told_of: list[str]) -> None:
    own = "class OwnOutput:\n    loss: object = None\n"
    assert returned(override(f"{OUTPUTS}return {value}", own)) == told_of


@pytest.mark.parametrize(
    ("given", "written"), [("", True), (", shift_labels=False", True), (", shift_labels=True", False)]
)
def test_what_a_smoother_of_shifted_labels_counts_is_not_written(given: str, written: bool) -> None:
    (one,) = override(f"{OUTPUTS}return self.label_smoother(outputs, labels{given})").returns
    assert one.terms and (one.terms[0].site.divisor is not None) is written


@pytest.mark.parametrize(
    ("value", "partly"),
    [
        ("loss", False),
        ("model.penalty()", True),
        ("(model.penalty(), outputs)", True),
        ("(loss, model.penalty())", False),
    ],
)
def test_what_could_not_be_followed(value: str, partly: bool) -> None:
    assert override(f"{OUTPUTS}return {value}").returns[0].partly is partly


@pytest.mark.parametrize(
    ("signature", "name", "keywords"),
    [
        (SIGNATURE, "num_items_in_batch", None),
        ("self, model, inputs, return_outputs=False, *, num_items_in_batch=None", "num_items_in_batch", None),
        ("self, model, inputs, return_outputs=False, **kwargs", None, "kwargs"),
        ("self, model, inputs, *args, **rest", None, "rest"),
        ("self, model, inputs, return_outputs=False, count=None", None, None),
    ],
)
def test_how_the_count_comes_in(signature: str, name: str | None, keywords: str | None) -> None:
    parameter = override(MEAN, signature=signature).parameter
    assert (parameter.name, parameter.keywords) == (name, keywords)


@pytest.mark.parametrize(
    ("signature", "name"),
    [("self, model, inputs, count", "count"), ("self, model, inputs", None), ("self, model, inputs, *args", None)],
)
def test_a_training_step_is_handed_it_by_position(signature: str, name: str | None) -> None:
    body = f"return super().training_step(model, inputs, {name or '*args'})"
    step = override(body, signature=signature, method="training_step")
    (call,) = step.super_calls
    assert step.parameter.name == name
    assert (call.method, call.forwards_count, call.unpacks) == ("training_step", True, False)


@pytest.mark.parametrize(
    ("call", "forwards", "unpacks"),
    [
        ("super().compute_loss(model, inputs)", False, False),
        ("super().compute_loss(model, inputs, False, kwargs['num_items_in_batch'])", True, False),
        ("super().compute_loss(model, inputs, **kwargs)", True, True),
        ("super().compute_loss(model, inputs, num_items_in_batch=None, **kwargs)", False, False),
        ("super().compute_loss(*args, num_items_in_batch=None)", False, False),
        ("super().compute_loss(*args)", False, False),
        ("super().compute_loss(*args, **kwargs)", True, True),
        ("super(OwnTrainer, self).compute_loss(model, inputs, **kwargs)", True, True),
        ("Trainer.compute_loss(self, model, inputs, **kwargs)", True, False),
    ],
)
def test_calls_of_super(call: str, forwards: bool, unpacks: bool) -> None:
    (seen,) = override(f"return {call}", signature="self, *args, **kwargs").super_calls
    assert (seen.forwards_count, seen.unpacks) == (forwards, unpacks)


@pytest.mark.parametrize(
    ("bases", "base", "confidence"),
    [
        ("(Trainer)", "transformers.Trainer", Confidence.CERTAIN),
        ("(Mixin, Trainer)", "transformers.Trainer", Confidence.CERTAIN),
        ("(Trainer if args else object)", "transformers.Trainer", Confidence.CERTAIN),
        ("(SFTTrainer)", "trl.SFTTrainer", Confidence.CERTAIN),
        ("(OddTrainer)", "trl.extras.OddTrainer", Confidence.LIKELY),
        ("(MyTrainer)", "somewhere.MyTrainer", Confidence.LIKELY),
        ("(somewhere.Trainer)", "somewhere.Trainer", Confidence.LIKELY),
        ("(lightning.Trainer)", None, None),
        ("(somewhere.Training)", None, None),
        ("(UnboundTrainer)", None, None),
        ("", None, None),
        ("(nn.Module)", None, None),
    ],
)
def test_bases(bases: str, base: str | None, confidence: Confidence | None) -> None:
    head = f"{HEAD}import somewhere, lightning\nfrom somewhere import MyTrainer\nfrom trl import SFTTrainer\n"
    found = overrides(MEAN, bases=bases, head=f"{head}from trl.extras import OddTrainer\n")
    assert [(one.base, one.confidence) for one in found] == ([(base, confidence)] if base else [])


@pytest.mark.parametrize(
    ("imported", "signature", "confidence"),
    [
        ("somewhere", SIGNATURE, [Confidence.LIKELY]),
        ("somewhere", SIGNATURE.replace("num_items_in_batch", "count"), [Confidence.POSSIBLE]),
        ("somewhere", "self, network, batch, num_items_in_batch", []),
        ("trl.extras", "self, network, batch, num_items_in_batch", [Confidence.LIKELY]),
    ],
)
def test_trainers_of_packages_that_are_not_here(imported: str, signature: str, confidence: list[Confidence]) -> None:
    head = f"import torch.nn.functional as F\nfrom {imported} import MyTrainer\n"
    found = overrides("return 0", bases="(MyTrainer)", signature=signature, head=head)
    assert [one.confidence for one in found] == confidence


@pytest.mark.parametrize(
    ("heirs", "signature", "found"),
    [
        ("class Both(OwnTrainer, Trainer):\n    pass\n", SIGNATURE, True),
        ("class Heir(OwnTrainer):\n    pass\n\nclass Both(Heir, Trainer):\n    pass\n", SIGNATURE, True),
        ("class Both(OwnTrainer, Trainer):\n    pass\n", "self, network, batch", False),
        ("class Heir(OwnTrainer):\n    pass\n", SIGNATURE, False),
        ("class Both(Other, Trainer):\n    pass\n", SIGNATURE, False),
    ],
)
def test_mixins(heirs: str, signature: str, found: bool) -> None:
    assert bool(overrides(MEAN, heirs, bases="", signature=signature)) is found


@pytest.mark.parametrize("bases", ["", "(object)", "(Callback)"])
def test_a_loop_of_its_own_makes_no_trainer_of_a_class(bases: str) -> None:
    assert not overrides(
        MEAN, "    def _inner_training_loop(self):\n        return 1\n", bases=bases, signature="self, x"
    )
    assert overrides(MEAN, "    def _inner_training_loop(self):\n        return 1\n", signature="self, x")


@pytest.mark.parametrize(
    ("after", "facts"),
    [
        ("    def _inner_training_loop(self):\n        return 1\n", {"confidence": Confidence.POSSIBLE}),
        (
            "    def _inner_training_loop(self):\n        return super()._inner_training_loop()\n",
            {"confidence": Confidence.CERTAIN},
        ),
        ("    def training_step(self, model, inputs):\n        self.compute_loss(model, inputs)\n", {"own_step": True}),
        (
            "    def training_step(self, *a):\n        super().training_step(*a)\n        self.compute_loss(*a)\n",
            {"own_step": False},
        ),
        ("    def training_step(self, model, inputs):\n        return 1\n", {"own_step": False}),
        ("    def train(self):\n        self.training_step(1, 2)\n", {"own_loop": True}),
        ("    def train(self):\n        super().train()\n        self.training_step(1, 2)\n", {"own_loop": False}),
        ("    def train(self):\n        return 1\n", {"own_loop": False}),
        ("    def _get_num_items_in_batch(self, samples, device):\n        return 1\n", {"counts_itself": True}),
        ("    def get_batch_samples(self, samples, n):\n        return 1\n", {"counts_itself": True}),
        ("    def other(self):\n        return 1\n", {"counts_itself": False, "own_loop": False, "own_step": False}),
    ],
)
def test_what_else_the_class_does(after: str, facts: dict[str, object]) -> None:
    one = override(MEAN, after)
    assert {name: getattr(one, name) for name in facts} == facts


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ('return F.cross_entropy(model(inputs["x"]), inputs["target"])', Answer.NO),
        ('return F.cross_entropy(model(inputs["x"]), inputs["labels"])', Answer.YES),
        ('return F.cross_entropy(model(inputs["x"]), inputs["shift_labels"])', Answer.YES),
        ("return F.cross_entropy(model(inputs.x), inputs.labels)", Answer.YES),
        ("return F.cross_entropy(model(inputs.x), inputs.shift_labels)", Answer.YES),
        ('return F.cross_entropy(model(inputs["x"]), self.targets(inputs))', Answer.UNKNOWN),
        ("return model(inputs)[0]", Answer.UNKNOWN),
        ("return model(**inputs).loss", Answer.YES),
        ('return model(inputs, labels=inputs["y"]).loss', Answer.NO),
        ('part = inputs["chosen"]\nreturn model(**part).loss', Answer.NO),
        ('return model(x=inputs["chosen"]["labels"]).loss', Answer.UNKNOWN),
        ('part = inputs["chosen"]\nreturn F.cross_entropy(model(part["x"]), part["labels"])', Answer.NO),
        ('part = inputs.pop("chosen")\nreturn F.cross_entropy(model(part["x"]), part.pop("labels"))', Answer.NO),
        ('part = {"labels": inputs["chosen"]["labels"]}\nreturn model(**part).loss', Answer.NO),
        ('part = {k: v for k, v in inputs["chosen"].items()}\nreturn F.nll_loss(model(1), part["labels"])', Answer.NO),
        ('part = {k: v for k, v in inputs.items()}\nreturn F.cross_entropy(model(1), part["labels"])', Answer.YES),
        ('part = {k: v for k, v in inputs.items() if k != "labels"}\nreturn F.nll_loss(1, part["y"])', Answer.YES),
    ],
)  # fmt: skip
def test_is_the_key_in_the_batch(body: str, answer: Answer) -> None:
    assert override(body).labels_in_batch is answer


@pytest.mark.parametrize(("test", "outcome"), ASSUMED.items())
def test_what_is_assumed_of_a_training_on_ranks(test: str, outcome: bool) -> None:
    lines = f"if {test}:\n    loss = loss * 2\nreturn loss"
    assert returned(override(OUTPUTS + lines)) == ["sum unknown * constant" if outcome else "sum unknown"]
    assert len(returned(override(OUTPUTS + lines.replace(test, "self.args.other")))) == 2


@pytest.mark.parametrize(
    ("body", "forwards"),
    [
        ("return original(model, inputs)", False),
        ("return original(model, inputs, return_outputs)", False),
        ("return original(model, inputs, return_outputs, num_items_in_batch)", True),
        ("return original(model, inputs, num_items_in_batch=num_items_in_batch)", True),
        ("return original(model, inputs, **{'num_items_in_batch': num_items_in_batch})", True),
    ],
)
def test_a_function_around_what_was_there(body: str, forwards: bool) -> None:
    signature = "model, inputs, return_outputs=False, num_items_in_batch=None"
    text = f"{HEAD}\ntrainer = Trainer(net)\noriginal = trainer.compute_loss\n\ndef f({signature}):\n    {body}\n"
    (one,) = facts_in(f"{text}\ntrainer.compute_loss = f\n").overrides
    assert [call.forwards_count for call in one.super_calls] == [forwards]


@pytest.mark.parametrize(
    ("call", "told_of"),
    [
        ("self.compute_loss(model, inputs)", ["mean unknown"]),
        ("self.compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)", ["sum unknown counted"]),
        ("self.compute_loss(model, inputs, False, num_items_in_batch)", ["sum unknown counted"]),
        ("self.compute_loss(model, inputs=inputs, num_items_in_batch=num_items_in_batch)", ["sum unknown counted"]),
    ],
)
def test_a_training_step_asks_the_trainers_own(call: str, told_of: list[str]) -> None:
    one = override(f"return {call}", method="training_step", signature="self, model, inputs, num_items_in_batch=None")
    assert returned(one) == told_of


def test_super_of_a_class_of_the_project() -> None:
    base = f"class Base(Trainer):\n    def compute_loss({SIGNATURE}):\n        {MEAN.strip()}\n"
    one = overrides("return super().compute_loss(model, inputs)", bases="(Base)", head=f"{HEAD}\n{base}")[1]
    assert returned(one) == ["mean unknown"]
    assert [call.forwards_count for call in one.super_calls] == [False]
