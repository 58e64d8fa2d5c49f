"""Which functions and forwards are handed the count, and what do they return?"""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from ga_lint.diagnostics import Confidence
from ga_lint.facts.model import Level, LossRole, ModelForward
from testbed.seen import HEAD, facts_in, override, returned, told

CE = "cross_entropy(outputs.logits, labels, reduction='sum')"
NN = "import torch.nn as nn\nimport torch.nn.functional as F\n"
COUNT = "the window's count over all ranks"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def f(outputs, labels, num_items_in_batch):\n{}\nTrainer(compute_loss_func=f)\n", ("f", LossRole.ARGUMENT)),
        ("def f(outputs, labels, num_items_in_batch):\n{}\ntrainer.compute_loss_func = f\n", ("f", LossRole.ARGUMENT)),
        ("def f(logits, labels, **kwargs):\n{}\nmodel.loss_function = f\n", ("f", LossRole.MODEL)),
        ("def f(logits, labels, **kwargs):\n{}\nmodel._loss_function = f\n", ("f", LossRole.MODEL)),
        ("def f(logits, targets, **kwargs):\n{}\nmodel.loss_function = f\n", None),
        ("def f(scores, labels, **kwargs):\n{}\nmodel.loss_function = f\n", None),
        ('def f(logits, labels, **kwargs):\n{}\nLOSS_MAPPING["mine"] = f\n', ("f", LossRole.MODEL)),
        ('def f(logits, labels, **kwargs):\n{}\nLOSS_MAPPING.update({{"mine": f}})\n', ("f", LossRole.MODEL)),
        ('def f(logits, labels, **kwargs):\n{}\nloss_map = {{"mine": f}}\n', ("f", LossRole.REGISTERED)),
        ('def f(logits, labels, **kwargs):\n{}\nloss_map: dict = {{"mine": f}}\n', ("f", LossRole.REGISTERED)),
        ('def f(logits, labels, **kwargs):\n{}\nother_map = {{"mine": f}}\n', None),
        ('def f(logits, labels, **kwargs):\n{}\nregister_loss("mine", f)\n', ("f", LossRole.REGISTERED)),
        (
            'def f(logits, labels, **kwargs):\n{}\nx.register_my_loss("mine", f)  # loss_map\n',
            ("f", LossRole.REGISTERED),
        ),
        ('def f(logits, labels, **kwargs):\n{}\nregister_model("mine", f)\n# register_loss', None),
        ('@register_loss("mine")\ndef f(logits, labels, **kwargs):\n{}\n', ("f", LossRole.REGISTERED)),
        ("@register_loss\ndef f(logits, labels, **kwargs):\n{}\n", ("f", LossRole.REGISTERED)),
        ("def ForMineLoss(logits, labels, **kwargs):\n{}\n", ("ForMineLoss", LossRole.MODEL)),
        ("def ForMineLoss(logits, labels):\n{}\n", None),
        ("def ForMine(logits, labels, **kwargs):\n{}\n", None),
    ],
)
def test_loss_functions(text: str, found: tuple[str, LossRole] | None) -> None:
    body = '    return F.cross_entropy(args, labels, reduction="sum") / 2'.replace(
        "args, labels", "logits_of(), labels_of()"
    )
    functions = facts_in(HEAD + text.format(body)).loss_functions
    assert [(one.called, one.role) for one in functions] == ([found] if found else [])


@pytest.mark.parametrize(
    ("handed", "told_of"),
    [
        ("f", [f"sum unknown / {COUNT}"]),
        (
            "lambda outputs, labels, num_items_in_batch: f(outputs, labels, num_items_in_batch)",
            [f"sum unknown / {COUNT}"],
        ),
        ("lambda outputs, labels, num_items_in_batch: f(outputs, labels)", ["sum unknown / something else"]),
        ("functools.partial(f, num_items_in_batch=7)", ["sum unknown / constant"]),
        ("Called()", [f"sum unknown / {COUNT}"]),
        ("Called().method", [f"sum unknown / {COUNT}"]),
    ],
)
def test_what_a_handed_function_returns(handed: str, told_of: list[str]) -> None:
    text = (
        "import functools\n\ndef f(outputs, labels, num_items_in_batch=None):\n"
        '    return F.cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch\n\n'
        "class Called:\n    def __call__(self, outputs, labels, num_items_in_batch):\n"
        "        return f(outputs, labels, num_items_in_batch)\n\n"
        "    def method(self, outputs, labels, num_items_in_batch):\n"
        "        return self(outputs, labels, num_items_in_batch)\n\n"
    )
    (one,) = facts_in(f"{HEAD}{text}Trainer(compute_loss_func={handed})\n").loss_functions
    assert [" + ".join(map(told, terms)) for each in one.returns for terms in each.sums] == told_of


def forward(
    bases: str, body: str, head: str = "", signature: str = "self, input_ids, labels=None, **kwargs"
) -> list[ModelForward]:
    text = f"{NN}{head}\n\nclass Net({bases}):\n"
    return list(facts_in(f"{text}    def forward({signature}):\n{indent(body, ' ' * 8)}\n").forwards)


LOSS = 'logits = self.net(input_ids)\nloss = F.cross_entropy(logits, labels)\nreturn {"loss": loss}'
HF = "from transformers import PreTrainedModel, LlamaForCausalLM"


@pytest.mark.parametrize(
    ("bases", "head", "confidence"),
    [
        ("PreTrainedModel", HF, Confidence.CERTAIN),
        ("LlamaForCausalLM", HF, Confidence.CERTAIN),
        ("base.OwnPreTrainedModel", "", Confidence.LIKELY),
        ("OwnForTagging", "", Confidence.LIKELY),
        ("Gemma3TextModel", "from transformers import Gemma3TextModel", Confidence.CERTAIN),
        ("Gemma3TextModel", "from own import Gemma3TextModel", None),
        ("nn.Module", "", None),
        ("nn.Module", HF, Confidence.POSSIBLE),
        ("L.LightningModule", f"{HF}\nimport lightning as L\nL.Trainer()", None),
        ("object", HF, None),
    ],
)
def test_models(bases: str, head: str, confidence: Confidence | None) -> None:
    assert [one.confidence for one in forward(bases, LOSS, head)] == ([confidence] if confidence else [])


@pytest.mark.parametrize(
    ("name", "answer", "found"),
    [
        ("Net", '{"loss": loss}', True),
        ("Net", "Output(loss=loss)", True),
        ("Net", "(loss, logits)", False),
        ("NetForTagging", "(loss, logits)", True),
        ("NetForTagging", "(self.tag_loss, logits)", True),
        ("NetForTagging", "(logits, loss)", False),
        ("NetForTagging", "(loss,)", False),
        ("NetForTagging", "loss", False),
    ],
)
def test_modules_that_answer_as_heads_do(name: str, answer: str, found: bool) -> None:
    body = f"logits = self.net(input_ids)\nloss = F.cross_entropy(logits, labels)\nreturn {answer}"
    model = f"class {name}(nn.Module):\n    def forward(self, input_ids, labels=None):\n{indent(body, ' ' * 8)}\n"
    assert bool(facts_in(f"{NN}{HF}\n\n{model}").forwards) is found


@pytest.mark.parametrize(
    ("other", "confidence"),
    [
        ("own.Trainer()", Confidence.LIKELY),
        ("import lightning as L\nL.Trainer()", Confidence.POSSIBLE),
        ("import lightning as L\nTrainer(args=TrainingArguments())", Confidence.LIKELY),
        ("import lightning as L\nimport transformers\ntransformers.Trainer(net)", Confidence.LIKELY),
    ],
)
def test_which_trainer_another_file_of_the_project_builds(other: str, confidence: Confidence, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(other)
    model = f"class Net(nn.Module):\n    def forward(self, input_ids, labels=None):\n{indent(LOSS, ' ' * 8)}\n"
    text = f"{NN}{HF}\n\n{model}"
    assert [one.confidence for one in facts_in(text, tmp_path).forwards] == [confidence]


@pytest.mark.parametrize(
    ("built", "found"),
    [
        ("Trainer(model=Net())", True),
        ("Trainer(Net())", True),
        ("model = Net()\nTrainer(model=model)", True),
        ("model = Net()\nOwnTrainer(model)", True),
        ("model = Net()\nother = Else()\nTrainer(model=other)", False),
        ("model = Net()\nTrainer(args, model)", False),
        ("model = Net()\nTrainer()", False),
        ("model = Net().float().to('cuda')\nTrainer(model=model)", True),
        ("Trainer(model=Net().cuda())", True),
        ("model = Net().encoder()\nTrainer(model=model)", False),
        ("class Trainer:\n    pass\nTrainer(model=Net())", False),
        ("Trainer(model=Net)", False),
        ("model = Net()\nTrainers(model=model)", False),
    ],
)
def test_a_model_that_is_handed_to_a_trainer(built: str, found: bool) -> None:
    model = f"class Net(nn.Module):\n    def forward(self, input_ids, labels=None):\n{indent(LOSS, ' ' * 8)}\n"
    text = f"{NN}\n{model}\n{built}\n"
    assert bool(facts_in(text).forwards) is found


@pytest.mark.parametrize(
    ("body", "level"),
    [
        (LOSS, Level.UNKNOWN),
        (f"if self.num_labels == 1:\n    pass\n{LOSS}", Level.SAMPLE),
        (f"if self.num_labels == 2:\n    pass\n{LOSS}", Level.UNKNOWN),
        (f"if self.num_labels > 1:\n    pass\n{LOSS}", Level.UNKNOWN),
        (f"if self.layers == 1:\n    pass\n{LOSS}", Level.UNKNOWN),
        (f"last = hidden[torch.arange(4), ends]\n{LOSS}", Level.SAMPLE),
        (f"last = hidden[torch.ones(4), ends]\n{LOSS}", Level.UNKNOWN),
    ],
)
def test_what_one_target_of_a_model_is(body: str, level: Level) -> None:
    (one,) = forward("PreTrainedModel", body, HF)
    assert one.level is level


def test_an_override_returns_what_its_helper_does() -> None:
    helper = (
        "    def own(self, logits, labels, n):\n        return F.cross_entropy(logits, labels, reduction='sum') / n\n"
    )
    one = override('return self.own(model(inputs["x"]), inputs["labels"], num_items_in_batch)', helper)
    assert returned(one) == [f"sum unknown / {COUNT}"]


@pytest.mark.parametrize(
    "bound",
    [
        "import torch.nn.functional as fn\n    cross_entropy = fn.cross_entropy",
        "from torch.nn.functional import cross_entropy",
        "cross_entropy = F.cross_entropy",
        "class own:\n        ce = F.cross_entropy\n    cross_entropy = own.ce",
        "def cross_entropy(a, b, reduction):\n        return F.cross_entropy(a, b, reduction=reduction)",
        "if args:\n        cross_entropy = F.cross_entropy",
        "try:\n        from torch.nn.functional import cross_entropy\n    except ImportError:\n        pass",
    ],
)
def test_a_function_sees_what_the_function_around_it_binds(bound: str) -> None:
    inner = f"    def f(outputs, labels, num_items_in_batch):\n        return {CE} / num_items_in_batch\n"
    text = f"{HEAD}\ndef main(args):\n    {bound}\n{inner}    return Trainer(compute_loss_func=f)\n"
    (one,) = facts_in(text).loss_functions
    assert [told(term) for each in one.returns for terms in each.sums for term in terms] == [f"sum unknown / {COUNT}"]


@pytest.mark.parametrize(
    ("handed", "found"),
    [("self.own", True), ("self.other", False), ("Own().own", True)],
)
def test_a_method_that_is_handed_over(handed: str, found: bool) -> None:
    own = f"    def own(self, outputs, labels, num_items_in_batch):\n        return F.{CE} / num_items_in_batch\n"
    text = f"{HEAD}\nclass Own:\n    def run(self):\n        return Trainer(compute_loss_func={handed})\n\n{own}"
    assert bool([each for one in facts_in(text).loss_functions for each in one.returns if each.terms]) is found


@pytest.mark.parametrize(
    ("body", "assigned", "name"),
    [
        (LOSS, "LlamaForCausalLM.forward = f", "LlamaForCausalLM"),
        (LOSS, "transformers.LlamaForCausalLM.forward = f", "LlamaForCausalLM"),
        ("return 0", "LlamaForCausalLM.forward = f", None),
        (LOSS, "LlamaForCausalLM.other = f", None),
        (LOSS, "model.forward = f", None),
        (LOSS, "model.forward = types.MethodType(f, model)", "model"),
        (LOSS, "model.forward = f.__get__(model)", "model"),
        (LOSS, "LlamaForCausalLM.forward = made(f)", None),
    ],
)
def test_forwards_that_are_assigned(body: str, assigned: str, name: str | None) -> None:
    function = f"def f(self, input_ids, labels=None, **kwargs):\n{indent(body, '    ')}\n"
    found = facts_in(f"{NN}{HF}\n\n{function}\n{assigned}\n").forwards
    assert [one.cls for one in found] == ([name] if name else [])


@pytest.mark.parametrize(
    ("body", "declared"),
    [
        (LOSS, True),
        (LOSS.replace("labels)", 'labels, reduction="sum")'), False),
        (f"if self.x:\n    return F.cross_entropy(self.net(input_ids), labels, reduction='sum')\n{LOSS}", True),
    ],
)
@pytest.mark.parametrize("flag", ["    accepts_loss_kwargs = False\n", "\nmodel.accepts_loss_kwargs = False\n"])
def test_a_mean_is_asked_what_is_declared(body: str, declared: bool, flag: str) -> None:
    method = f"    def forward(self, input_ids, labels=None):\n{indent(body, ' ' * 8)}\n"
    text = f"{NN}{HF}\n\nclass Net(PreTrainedModel):\n{method}{flag}"
    (one,) = facts_in(text).forwards
    assert [step.message for step in one.declared] == (["accepts_loss_kwargs = False"] if declared else [])


def test_bases_that_lead_back_are_asked_once() -> None:
    text = f"{NN}class Base(Net):\n    pass\n\nclass Net(Base, nn.Module):\n"
    method = f"    def forward(self, input_ids, labels=None):\n{indent(LOSS, ' ' * 8)}\n"
    assert facts_in(f"{text}{method}").forwards == ()


@pytest.mark.parametrize(
    ("handed", "found"),
    [
        ("labels", True),
        ("labels=labels", True),
        ("F.cross_entropy(logits, labels, reduction='none')", True),
        ("F.cross_entropy(logits, labels)", True),
        ("labels if self.training else None", True),
        ("None if self.training else labels", True),
        ("logits, labels", True),
        ("labels.view(-1)", True),
        ("logits", False),
        ("F.log_softmax(logits, dim=-1)", False),
        ("input_ids", False),
        ("kwargs['mask']", False),
        ("", False),
    ],
)
def test_a_forward_is_followed_into_what_it_hands_its_targets_or_its_loss(handed: str, found: bool) -> None:
    helper = "def own(*args, labels=None):\n    return nn.CrossEntropyLoss()(args, labels_of(args))\n\n"
    body = f"logits = self.net(input_ids)\nloss = own({handed})\nreturn {{'loss': loss}}"
    (one,) = forward("PreTrainedModel", body, f"{HF}\n\n{helper}")
    assert any(each.terms for each in one.returns) is found


@pytest.mark.parametrize(("called", "found"), [("self.loss_function", True), ("self.loss_fct", False)])
def test_a_network_that_calls_the_heads_loss(called: str, found: bool) -> None:
    seen = forward("nn.Module", f"return {called}(self.net(input_ids), labels)")
    assert [one.base for one in seen] == (["a head of transformers"] if found else [])


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("Trainer(compute_loss_func=f)", Confidence.CERTAIN),
        ("model.loss_function = f", Confidence.POSSIBLE),
        ("model.loss_function = with_rest", Confidence.LIKELY),
        ("model.loss_function = with_size", Confidence.LIKELY),
        ("loss_map = {'own': f}", Confidence.POSSIBLE),
        ("loss_map = {'own': with_rest}", Confidence.POSSIBLE),
        ("loss_map = {'own': with_count}", Confidence.LIKELY),
        ("loss_map = {'own': with_outputs}", Confidence.LIKELY),
    ],
)
def test_how_sure_it_is_that_a_count_reaches_it(text: str, confidence: Confidence) -> None:
    signatures = {
        "f": "logits, labels",
        "with_rest": "logits, labels, **rest",
        "with_size": "logits, labels, vocab_size",
        "with_count": "logits, labels, num_items_in_batch",
        "with_outputs": "outputs, labels",
    }
    functions = "".join(f"def {name}({given}):\n    return 0\n" for name, given in signatures.items())
    (one,) = facts_in(f"{HEAD}{functions}{text}\n").loss_functions
    assert one.confidence is confidence


@pytest.mark.parametrize(
    ("parameters", "targets", "origin"),
    [("outputs, labels", "labels", "labels"), ("outputs, y", "y", "labels"), ("y, labels", "labels", "labels")],
)
def test_what_a_handed_function_is_given(parameters: str, targets: str, origin: str) -> None:
    function = f"def f({parameters}):\n    return F.cross_entropy({parameters.partition(',')[0]}.logits, {targets})\n"
    (one,) = facts_in(f"{HEAD}{function}Trainer(compute_loss_func=f)\n").loss_functions
    (returned_one,) = one.returns
    assert returned_one.terms and returned_one.terms[0].site.labels_from == origin


@pytest.mark.parametrize(
    ("call", "told_of", "labels"),
    [
        ("self.loss_function(logits, labels, vocab_size=9)", "mean unknown", "labels"),
        ("self.loss_function(logits, labels, vocab_size=9, num_items_in_batch=1)", "mean unknown", "labels"),
        ("self.loss_function(logits, labels, num_items_in_batch=kwargs['num_items_in_batch'])",
         "sum unknown counted", "labels"),
        ("self.loss_function(logits=logits, labels=labels, vocab_size=9, **kwargs)", "sum unknown counted", "labels"),
        ("self.loss_function(logits, made(labels), vocab_size=9)", "mean unknown", None),
    ],
)  # fmt: skip
def test_the_heads_loss(call: str, told_of: str, labels: str | None) -> None:
    (one,) = forward("PreTrainedModel", f"logits = self.net(input_ids)\nreturn {call}", HF)
    (term,) = one.returns[0].terms or ()
    assert (told(term), term.site.labels, term.site.ignore_index) == (told_of, labels, "-100")


@pytest.mark.parametrize(
    ("patch", "base"),
    [
        ("Trainer.compute_loss = f", "transformers.Trainer"),
        ("transformers.Trainer.compute_loss = f", "transformers.Trainer"),
        ("trainer = Trainer(net)\ntrainer.compute_loss = f", "transformers.Trainer"),
        ("def attach(trainer: Trainer):\n    trainer.compute_loss = f", "transformers.Trainer"),
        ("def attach(*, one: Trainer):\n    one.compute_loss = f", "transformers.Trainer"),
        ("def attach(one: Other):\n    one.compute_loss = f", None),
        ("def attach(one):\n    one.compute_loss = f", None),
        ("def attach(one: Trainer):\n    other.compute_loss = f", None),
        ("my_trainer.compute_loss = f", "transformers.Trainer"),
        ("self.trainer.compute_loss = f", "transformers.Trainer"),
        ("thing.compute_loss = f", None),
        ("my_trainer.compute_loss = made(f)", None),
        ("my_trainer.other = f", None),
    ],
)
def test_functions_that_are_put_in_the_place_of_a_method(patch: str, base: str | None) -> None:
    function = f"def f(model, inputs, return_outputs=False, num_items_in_batch=None):\n    return F.{CE}\n"
    found = facts_in(f"import transformers\n{HEAD}{function}\n{patch}\n").overrides
    assert [one.base for one in found] == ([base] if base else [])
