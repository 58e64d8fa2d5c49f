"""Does a rewrite change only what it must, in the user's own layout, names and encoding?"""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import libcst as cst
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from libcst.metadata import MetadataWrapper, ParentNodeProvider

from ga_lint.diagnostics import FixRequest, FixTier
from ga_lint.errors import FixNotApplicable, InternalError
from ga_lint.fixers import fixer_names, rewrite
from ga_lint.fixers.bindings import bindings_in
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.nodes import parents_below
from ga_lint.fixers.tree import Tree
from ga_lint.source import decode
from testbed.rewriting import refusal, request, rewritten, source_of

SUPER = "super().compute_loss(model, inputs)"
OVERRIDE = """class Custom(Trainer):
    def compute_loss({parameters}):
        return super().compute_loss(model, inputs)
"""


def override(parameters: str) -> str:
    return OVERRIDE.format(parameters=parameters)


SIGNATURES = {
    "one line": ("self, model, inputs", "self, model, inputs, num_items_in_batch=None"),
    "after defaults": (
        "self, model, inputs, return_outputs=False",
        "self, model, inputs, return_outputs=False, num_items_in_batch=None",
    ),
    "before **kwargs that are read": (
        "self, model, inputs, **kwargs",
        "self, model, inputs, num_items_in_batch=None, **kwargs",
    ),
    "behind *args": ("self, model, inputs, *args", "self, model, inputs, *args, num_items_in_batch=None"),
    "keyword-only": (
        "self, model, inputs, *, return_outputs=False",
        "self, model, inputs, *, return_outputs=False, num_items_in_batch=None",
    ),
    "annotated": (
        "self, model: nn.Module, inputs: dict, return_outputs: bool = False",
        "self, model: nn.Module, inputs: dict, return_outputs: bool = False, num_items_in_batch=None",
    ),
    "one a line, trailing comma": (
        "\n        self,\n        model,  # wrapped\n        inputs,\n    ",
        "\n        self,\n        model,  # wrapped\n        inputs,\n        num_items_in_batch=None,\n    ",
    ),
    "one a line, no trailing comma": (
        "\n        self,\n        model,\n        inputs  # a dict\n    ",
        "\n        self,\n        model,\n        inputs,  # a dict\n        num_items_in_batch=None\n    ",
    ),
    "aligned under the bracket": (
        "self, model, inputs,\n                     return_outputs=False",
        "self, model, inputs,\n                     return_outputs=False, num_items_in_batch=None",
    ),
    "no room on the line": (
        "self, model: nn.Module, inputs: dict[str, torch.Tensor | Any], return_outputs: bool = False",
        (
            "self, model: nn.Module, inputs: dict[str, torch.Tensor | Any], return_outputs: bool = False,\n"
            "                     num_items_in_batch=None"
        ),
    ),
    "all on a line of their own": (
        "\n        self, model, inputs, return_outputs=False\n    ",
        "\n        self, model, inputs, return_outputs=False, num_items_in_batch=None\n    ",
    ),
}


@pytest.mark.parametrize(("before", "after"), SIGNATURES.values(), ids=SIGNATURES)
def test_the_parameter_joins_the_signature_in_its_own_layout(before: str, after: str) -> None:
    text = override(before)
    wanted = override(after)
    if "kwargs" in before:
        text, wanted = (each.replace("return super", "print(kwargs)\n        return super") for each in (text, wanted))
    wanted = wanted.replace("(model, inputs)", "(model, inputs, num_items_in_batch=num_items_in_batch)")
    assert rewritten(text, "forward-count", call=SUPER) == wanted


CALLS = {
    "swallowed by **kwargs": (
        "def compute_loss(self, model, inputs, **kw):\n        return super().compute_loss(model, inputs)",
        "def compute_loss(self, model, inputs, **kw):\n        return super().compute_loss(model, inputs, **kw)",
    ),
    "third by position": (
        "def training_step(self, model, inputs, items):\n        return super().training_step(model, inputs)",
        "def training_step(self, model, inputs, items):\n        return super().training_step(model, inputs, items)",
    ),
    "in the tuple of the rest": (
        "def training_step(self, model, inputs, *rest):\n        return super().training_step(model, inputs)",
        "def training_step(self, model, inputs, *rest):\n        return super().training_step(model, inputs, *rest)",
    ),
    "by keyword where the others are": (
        "def training_step(self, model, inputs):\n        return super().training_step(model=model, inputs=inputs)",
        (
            "def training_step(self, model, inputs, num_items_in_batch=None):\n"
            "        return super().training_step(model=model, inputs=inputs, num_items_in_batch=num_items_in_batch)"
        ),
    ),
    "all arguments on a line that ends in a comment": (
        (
            "def compute_loss(self, model, inputs, **kw):\n        return super().compute_loss(\n"
            "            model, inputs  # as they are\n        )"
        ),
        (
            "def compute_loss(self, model, inputs, **kw):\n        return super().compute_loss(\n"
            "            model, inputs,  # as they are\n            **kw\n        )"
        ),
    ),
    "one argument below the other": (
        (
            "def compute_loss(self, model, inputs, **kw):\n        return super().compute_loss(model,\n"
            "                                    inputs)"
        ),
        (
            "def compute_loss(self, model, inputs, **kw):\n        return super().compute_loss(model,\n"
            "                                    inputs,\n                                    **kw)"
        ),
    ),
    "one argument a line": (
        (
            "def compute_loss(self, model, inputs, **kw):\n        return super().compute_loss(\n"
            "            model,\n            inputs,  # as they are\n        )"
        ),
        (
            "def compute_loss(self, model, inputs, **kw):\n        return super().compute_loss(\n"
            "            model,\n            inputs,  # as they are\n            **kw,\n        )"
        ),
    ),
}


@pytest.mark.parametrize(("before", "after"), CALLS.values(), ids=CALLS)
def test_the_count_is_passed_as_the_call_is_written(before: str, after: str) -> None:
    head = "class Custom(Trainer):\n    "
    call = re.search(r"super\(\).*", before, re.DOTALL)
    assert call is not None
    assert rewritten(head + before + "\n", "forward-count", call=call.group()) == head + after + "\n"


DIVISIONS = {
    "the line says nothing any more": ("loss = loss / n", "loss / n", None),
    "its comment stays": ("loss = loss / n  # why", "loss / n", "# why"),
    "another name": ("scaled = loss / n", "loss / n", "scaled = loss"),
    "an argument": ("backward(loss / n)", "loss / n", "backward(loss)"),
    "a sum in parentheses": ("backward((a + b) / n)", "(a + b) / n", "backward(a + b)"),
    "parentheses that are needed": ("x = y * ((a + b) / n)", "(a + b) / n", "x = y * (a + b)"),
    "times an inverse": ("backward(loss * (1 / n))", "loss * (1 / n)", "backward(loss)"),
    "a method": ("loss.div(n).backward()", "loss.div(n)", "loss.backward()"),
    "a function": ("torch.div(loss, n).backward()", "torch.div(loss, n)", "loss.backward()"),
    "a function of a sum": ("x = y * torch.div(a + b, n)", "torch.div(a + b, n)", "x = y * (a + b)"),
    "a function of a product": ("torch.div(a * b, n).backward()", "torch.div(a * b, n)", "(a * b).backward()"),
    "a function of a sum, alone": ("x = torch.div(a + b, n)", "torch.div(a + b, n)", "x = a + b"),
    "in place": ("loss /= n", "loss /= n", None),
    "in place, a method": ("loss.div_(n)", "loss.div_(n)", None),
    "a guard that holds nothing else": ("if n > 1:\n        loss = loss / n", "loss / n", None),
    "a guard on one line": ("if n > 1: loss = loss / n", "loss / n", None),
    "a guard with an else": (
        "if n > 1:\n        loss = loss / n\n    else:\n        log()",
        "loss / n",
        "if n > 1:\n        pass\n    else:\n        log()",
    ),
}


@pytest.mark.parametrize(("before", "division", "after"), DIVISIONS.values(), ids=DIVISIONS)
def test_one_division_is_dropped(before: str, division: str, after: str | None) -> None:
    text = "def step(loss):\n    # first\n    {}\n    # last\n    done()\n"
    wanted = text.format(after) if after else text.replace("    {}\n", "")
    assert rewritten(text.format(before), "drop-division", division=division) == wanted


def test_a_line_that_only_multiplies_goes() -> None:
    text = "def f(loss, n):\n    loss *= n  # of the ranks\n    return loss\n"
    wanted = "def f(loss, n):\n    # of the ranks\n    return loss\n"
    assert rewritten(text, "drop-factor", {"factor": "n"}, product="loss *= n") == wanted


LOGGED = "for batch in loader:\n    {}\n    driver.backward(loss)\n    if batch.last:\n        print(loss.item() * n)\n"


@pytest.mark.parametrize("value", ["model(batch).loss", "model(batch).loss.mean()", "(a + b)"])
def test_what_is_logged_of_a_divided_value_stays(value: str) -> None:
    fixed = rewritten(LOGGED.format(f"loss = {value} / n"), "drop-division", division=f"{value} / n")
    whole = value.strip("()") if value.startswith("(") else value
    kept = LOGGED.format(f"loss = {whole}").replace("(loss)\n", "(loss)\n    loss = loss / n\n")
    assert fixed == kept


def test_a_part_that_was_divided_is_not_taken_back_for_a_log_line() -> None:
    text = LOGGED.format("loss = a / n + b")
    assert "only a part of it was divided" in refusal(text, "drop-division", division="a / n")
    unread = text.replace("loss.item() * n", "n")
    assert "loss = a + b\n" in rewritten(unread, "drop-division", division="a / n")


def test_several_statements_on_a_line_are_refused() -> None:
    assert "more than one statement" in refusal("a = 1; loss = loss / n\n", "drop-division", division="loss / n")


def test_backward_receives_the_divided_loss_and_its_arguments_stay() -> None:
    for before, after in {
        "loss.backward()": "(loss / steps).backward()",
        "(a + b).backward(retain_graph=True)": "((a + b) / steps).backward(retain_graph=True)",
        "scaler.scale(loss).backward()": "scaler.scale(loss / steps).backward()",
        "fabric.backward(loss)": "fabric.backward(loss / steps)",
        "self.manual_backward(a + b)": "self.manual_backward((a + b) / steps)",
    }.items():
        assert rewritten(before + "\n", "divide-by-steps", {"steps": "steps"}, backward=before) == after + "\n"


OWN = dedent('''\
    """What this trains."""

    import os
    from torch.nn import functional as F
    from transformers import Trainer


    class Custom(Trainer):
        """One sum, one count."""

        # the loss
        def compute_loss(self, model, inputs, return_outputs=False):
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            # no shift
            loss = F.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1)  # CE

            return (loss, outputs) if return_outputs else loss
    ''')
CALL = "F.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1)"


def test_an_own_loss_keeps_its_lines() -> None:
    wanted = OWN.replace("return_outputs=False):", "return_outputs=False, num_items_in_batch=None):")
    wanted = wanted.replace("import os\n", "import os\nimport torch\n").replace(
        "import os\nimport torch\n", "import os\n"
    )
    wanted = wanted.replace("from torch.nn", "import torch\nfrom torch.nn")
    wanted = wanted.replace(
        ", label_smoothing=0.1)  # CE\n",
        ', label_smoothing=0.1,\n                               reduction="mean" if num_items_in_batch is None'
        ' else "sum")  # CE\n'
        "        if num_items_in_batch is not None:\n"
        "            if torch.is_tensor(num_items_in_batch):\n"
        "                num_items_in_batch = num_items_in_batch.to(loss.device)\n"
        "            loss = loss / num_items_in_batch\n"
        "            if self.args.average_tokens_across_devices:\n"
        "                loss = loss * self.accelerator.num_processes\n",
    )
    assert rewritten(OWN, "count-loss", call=CALL) == wanted


REFUSED = {
    "class weights": (", label_smoothing=0.1)", ", weight=self.weights)", "built with weight="),
    "summed already": ("label_smoothing=0.1)", 'reduction="sum")', 'reduced by "sum"'),
    "options by position": ("labels.flatten(), label_smoothing=0.1)", "labels.flatten(), None)", "by position"),
    "a term that is scaled": (
        "# CE\n",
        "# CE\n        loss = loss + outputs.aux_loss / self.args.gradient_accumulation_steps\n",
        "another term on line 17, which is scaled already",
    ),
    "part of a sum": ("loss = F.cross", "loss = outputs.aux_loss + F.cross", "part of a larger expression"),
}


@pytest.mark.parametrize(("old", "new", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_loss_that_is_no_plain_sum_is_refused(old: str, new: str, reason: str) -> None:
    text = OWN.replace(old, new)
    assert text != OWN
    call = re.search(r"F\.cross_entropy\(.*?\)(?=  #)", text)
    assert call is not None
    assert reason in refusal(text, "count-loss", call=call.group())


DELEGATED = """class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = {call}
        loss = outputs.loss  # the model's own
        {use}
        return (loss, outputs) if return_outputs else loss
"""


@pytest.mark.parametrize(
    ("call", "use", "passed"),
    [
        ("model(**inputs)", "self.seen += 1", "inputs"),
        ("model(**inputs)", 'self.seen += inputs["labels"].numel()', "{**inputs}"),
        ("model(**inputs, use_cache=False)", "self.seen += 1", '{**inputs, "use_cache": False}'),
    ],
)
def test_the_models_loss_comes_from_super(call: str, use: str, passed: str) -> None:
    text = DELEGATED.format(call=call, use=use)
    wanted = text.replace(
        f"outputs = {call}\n        loss = outputs.loss  # the",
        f"loss, outputs = super().compute_loss(model, {passed}, return_outputs=True, "
        "num_items_in_batch=num_items_in_batch)\n        # the",
    )
    fixed = rewritten(text, "delegate-loss", call=call, loss="outputs.loss")
    assert max(map(len, fixed.splitlines())) <= 120
    assert re.sub(r",\n +num_items", ", num_items", fixed) == wanted


def test_a_conditional_reading_is_one_reading() -> None:
    read = 'outputs["loss"] if isinstance(outputs, dict) else outputs[0]'
    text = DELEGATED.format(call="model(**inputs)", use="pass").replace("outputs.loss", read)
    whole = rewritten(text, "delegate-loss", call="model(**inputs)", loss=read)
    assert rewritten(text, "delegate-loss", call="model(**inputs)", loss=['outputs["loss"]', "outputs[0]"]) == whole
    assert "outputs[0]" not in whole


STEPS_LINES = (
    "        # the Trainer divides no term of a loss that it passes a count for\n"
    "        steps = self.{steps} if model.training and num_items_in_batch is not None else 1\n"
)
WINDOW = STEPS_LINES.format(steps="current_gradient_accumulation_steps")


def test_a_term_beside_the_loss_is_divided_by_the_steps() -> None:
    text = DELEGATED.format(call="model(**inputs)", use="loss = loss + 0.1 * penalty(outputs)  # smooth")
    fixed = rewritten(text, "delegate-loss", call="model(**inputs)", loss="outputs.loss")
    assert WINDOW + "        loss = loss + 0.1 * penalty(outputs) / steps  # smooth\n" in fixed
    text = override("self, model, inputs, **kwargs").replace("return ", "loss = ")
    text += "        return loss + (one\n                       - other)\n"
    fixed = rewritten(text, "forward-count", {"steps": "args.gradient_accumulation_steps"}, call=SUPER)
    assert "inputs, num_items_in_batch=num_items_in_batch)" in fixed  # **kwargs would not name the count
    older = STEPS_LINES.format(steps="args.gradient_accumulation_steps")
    assert fixed.endswith(older + "        return loss + (one\n                       - other) / steps\n")


def test_terms_in_branches_share_one_line() -> None:
    text = override("self, model, inputs, num_items_in_batch=None").replace("return ", "loss = ")
    text += "        if a:\n            loss += x\n        elif b:\n            loss = y - loss\n        return loss\n"
    fixed = rewritten(text, "forward-count", call=SUPER)
    assert fixed.endswith(
        WINDOW + text[text.index("        if a") :].replace("x\n", "x / steps\n").replace("y -", "y / steps -")
    )


def test_the_loss_keeps_its_terms_under_other_names() -> None:
    text = override("self, model, inputs, num_items_in_batch=None").replace("return ", "result = ")
    text += "        steps, _ = result if pair else (result, None)\n"
    text += "        total = 2 * steps + a + b\n        return total - c\n"
    fixed = rewritten(text, "forward-count", call=SUPER)
    assert "total = 2 * steps + a / window_steps + b / window_steps\n        return total - c / window_steps\n" in fixed


def test_what_a_training_step_returns_is_only_logged() -> None:
    text = override("self, model, inputs").replace("compute_loss", "training_step") + "        seen = loss + 1\n"
    fixed = rewritten(text, "forward-count", call="super().training_step(model, inputs)")
    assert "steps" not in fixed.replace("training_step", "")


def test_a_count_of_none_is_replaced() -> None:
    text = override("self, model, inputs, num_items_in_batch=None").replace(
        "inputs)\n", "inputs, num_items_in_batch=None)\n"
    )
    fixed = rewritten(text, "forward-count", call="super().compute_loss(model, inputs, num_items_in_batch=None)")
    assert fixed == text.replace(
        "inputs, num_items_in_batch=None)\n", "inputs, num_items_in_batch=num_items_in_batch)\n"
    )


def test_a_training_step_that_leaves_backward_to_others_is_refused() -> None:
    text = override("self, model, inputs").replace("compute_loss", "training_step")
    assert "does not run backward itself" in refusal(text, "take-count", method="def training_step")


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        ("loss = loss * kept / num_items_in_batch", "scales by the count itself on line 5"),
        ("outputs['loss'] = loss_of(outputs)", "replaced on line 5"),
        ("outputs.loss = 2 * outputs.loss", "replaced on line 5"),
        ("self.labels = inputs.pop('labels')", "labels are taken out"),
        ("loss = outputs.logits[1] if loss is None else loss", "may return no loss (line 5)"),
    ],
)
def test_a_loss_that_the_override_deals_with_itself_is_not_delegated(use: str, reason: str) -> None:
    text = DELEGATED.format(call="model(**inputs)", use=use)
    loss = "outputs.loss"
    assert reason in refusal(text, "delegate-loss", call="model(**inputs)", loss=loss)


def test_a_late_import_is_used() -> None:
    text = OWN.replace("import os\nimport torch\n", "import os\n")
    text = text.replace("        labels = inputs", "        import torch\n\n        labels = inputs", 1)
    assert rewritten(text, "count-loss", call=CALL).count("import torch\n") == text.count("import torch\n")


@pytest.mark.parametrize(
    "call", ["self.model(**inputs)", 'model(inputs["input_ids"])', "model(**batch)", "model(labels=made)"]
)
def test_another_call_is_not_delegated(call: str) -> None:
    assert refusal(DELEGATED.format(call=call, use="pass"), "delegate-loss", call=call, loss="outputs.loss")


LOOP = dedent("""\
    import torch


    def train(model, loader, optimizer, steps):
        # one epoch
        for step, batch in enumerate(loader):

            loss = model(**batch).loss / steps
            loss.backward()  # sums up
            if (step + 1) % steps == 0:
                optimizer.step()
                optimizer.zero_grad()
    """)
LOOP_OPTIONS = {"stack": "plain", "steps": "steps", "labels": 'batch["labels"]', "shifted": "yes"}
LOOP_PLACES = {"loop": "for step", "division": "model(**batch).loss / steps", "step": "optimizer.step()"}


def test_a_second_loop_uses_the_same_helper() -> None:
    once = rewritten(LOOP, "window-share", LOOP_OPTIONS, **LOOP_PLACES)
    again = (
        re.sub(r"\bstep\b", "index", LOOP.partition("\n\n\n")[2]).replace("train", "again").replace("optimizer", "opt")
    )
    again = again.replace("opt.index", "opt.step")
    places = LOOP_PLACES | {"loop": "for index", "step": "opt.step()"}
    twice = rewritten(f"{once}\n\n{again}", "window-share", LOOP_OPTIONS, **places)
    assert twice.count("class WithTargetShare") == 1
    assert twice.count("(batch, share) in enumerate(WithTargetShare(loader, steps)):") == 2


def test_a_guard_on_the_steps_goes_with_the_division() -> None:
    """The share of a window of one is right too, and ranks have shares even then."""
    guarded = LOOP.replace(
        "loss = model(**batch).loss / steps\n",
        "loss = model(**batch).loss\n        # average\n        if steps > 1:\n            # here\n"
        "            loss = loss / steps\n",
    )
    fixed = rewritten(guarded, "window-share", LOOP_OPTIONS, **LOOP_PLACES | {"division": "loss / steps"})
    assert "\n        # average\n        # here\n        loss = loss * share  #" in fixed
    other = guarded.replace("if steps > 1", "if averaged")
    fixed = rewritten(other, "window-share", LOOP_OPTIONS, **LOOP_PLACES | {"division": "loss / steps"})
    assert "if averaged:\n            # here\n            loss = loss * share  #" in fixed


def test_names_that_are_taken_are_left_alone() -> None:
    text = LOOP.replace("import torch\n", "import torch\n\nshare = 1\nWithTargetShare = None\n")
    fixed = rewritten(text, "window-share", LOOP_OPTIONS, **LOOP_PLACES)
    assert "class WithTargetShare_2:" in fixed
    assert "(batch, target_share) in enumerate(WithTargetShare_2(loader, steps))" in fixed


def test_a_long_head_gets_a_name_above_it_and_a_longer_name_its_own_lines() -> None:
    loader = "loader_of(" + ", ".join(f"argument_{number}" for number in range(5)) + ")"
    fixed = rewritten(LOOP.replace("(loader)", f"({loader})"), "window-share", LOOP_OPTIONS, **LOOP_PLACES)
    assert f"    micro_batches = WithTargetShare({loader}, steps)\n    # one epoch\n" in fixed
    longer = loader.replace("argument", "long_argument")
    fixed = rewritten(LOOP.replace("(loader)", f"({longer})"), "window-share", LOOP_OPTIONS, **LOOP_PLACES)
    assert f"    micro_batches = WithTargetShare(\n        {longer}, steps\n    )\n" in fixed
    assert "in enumerate(micro_batches):" in fixed


@pytest.mark.parametrize(("above", "below", "left"), [("\n", "\n", "\n"), ("\n\n", "\n", "\n\n"), ("", "\n", "\n")])
def test_two_gaps_around_a_line_that_goes_become_one(above: str, below: str, left: str) -> None:
    text = f"def f(loss):\n    ready()\n{above}    loss = loss / n\n{below}    # b\n    done()\n"
    assert rewritten(text, "drop-division", division="loss / n") == (
        f"def f(loss):\n    ready()\n{left}    # b\n    done()\n"
    )


def test_a_gate_that_divides_by_zero_is_refused() -> None:
    text = LOOP.replace("% steps", "% (1 - 1)")
    assert "divides by zero" in refusal(text, "window-share", LOOP_OPTIONS, **LOOP_PLACES)


# Every fixer once, on code whose layout the tests below disturb.
EACH = {
    "forward-count": (override("self, model, inputs"), {}, {"call": SUPER}),
    "drop-division": ("def f(loss):\n    # a\n    loss = loss / n  # b\n    done()\n", {}, {"division": "loss / n"}),
    "drop-factor": (
        "def f(loss):\n    # a\n    loss = loss * n  # b\n    done()\n",
        {"factor": "n"},
        {"product": "loss * n"},
    ),
    "drop-statement": ("class A:\n    # a\n    b = False  # b\n    c = 1\n", {}, {"statement": "b = False"}),
    "divide-by-steps": ("def f(loss):\n    loss.backward()  # a\n", {"steps": "n"}, {"backward": "loss.backward()"}),
    "count-loss": (OWN, {}, {"call": CALL}),
    "count-loss-function": (OWN, {}, {"call": CALL}),
    "delegate-loss": (
        DELEGATED.format(call="model(**inputs)", use="pass"),
        {},
        {"call": "model(**inputs)", "loss": "outputs.loss"},
    ),
    "opt-out-model": (OWN, {}, {"method": "def compute_loss"}),
    "opt-out": (OWN, {}, {"method": "def compute_loss"}),
    "accept-count": (OWN, {}, {"method": "def compute_loss"}),
    "take-count": (
        "class A:\n    def training_step(self, m, i):\n        # a\n        self.x.backward(i)\n        m()\n",
        {},
        {"method": "def training_step"},
    ),
    "rank-factor": (
        OVERRIDE.format(parameters="self, model, inputs").replace(
            "return super()", "loss = total / num_items_in_batch  # mean\n        return loss or super()"
        ),
        {},
        {"division": "total / num_items_in_batch"},
    ),
    "guard-count": (
        "def f(loss, n=None):\n    # a\n    loss = loss / n  # b\n    done()\n",
        {"count": "n", "targets": "y", "ignore_index": "-100", "form": "branch"},
        {"division": "loss / n"},
    ),
    "decline-count": (
        "def f():\n    # a\n    trainer = Trainer(model, args)  # b\n    done()\n",
        {},
        {"model": "model"},
    ),
    "lightning-count": (
        (
            "class LM(L.LightningModule):\n    def __init__(self, m):\n        self.m = m  # a\n\n"
            "    def training_step(self, batch, i):\n        # b\n        return self.m(**batch).loss  # c\n"
        ),
        {"labels": 'batch["labels"]', "shifted": "yes", "own": "yes", "index": "no"},
        {"method": "def training_step", "returned": "self.m(**batch).loss", "call": "self.m(**batch)"},
    ),
    "window-gathered": (
        (
            "def f(window, n):\n    # a\n    total = 0  # b\n    for x, y in window:\n        # c\n"
            "        total += F.cross_entropy(x, y)  # d\n    loss = total / n  # e\n    loss.backward()\n"
        ),
        {"stack": "plain", "labels": "y", "shifted": "no"},
        {"call": "F.cross_entropy(x, y)", "division": "total / n"},
    ),
    "average-tokens": (
        "def f():\n    # a\n    args = Args(out, average_tokens_across_devices=False, seed=1)  # b\n    done(args)\n",
        {"form": "set"},
        {"argument": "average_tokens_across_devices=False"},
    ),
    "divide-terms": (
        OVERRIDE.format(parameters="self, model, inputs, num_items_in_batch=None").replace(
            "return super()",
            "loss = total / num_items_in_batch  # mean\n        loss = loss + penalty  # once\n        return super()",
        ),
        {},
        {"counted": "total / num_items_in_batch"},
    ),
    "rescale-mean": (
        "def f(loss, n):\n    # a\n    loss = loss * rows / n  # b\n    done()\n",
        {"factor": "rows", "divisor": "(labels != -100).sum()"},
        {"scaled": "loss * rows"},
    ),
    "divide-in-step": (
        (
            "class A:\n    def training_step(self, m, i):\n        # a\n        loss = m(i)  # b\n"
            "        self.accelerator.backward(loss.mean())  # c\n        return loss.detach()\n"
        ),
        {"take": "yes"},
        {"value": "loss.mean()"},
    ),
    "divide-before": (
        "def f(loss, n):\n    # a\n    loss.backward()  # b\n    # c\n    loss = loss / n  # d\n    done()\n",
        {"steps": "n"},
        {"backward": "loss.backward()", "division": "loss / n"},
    ),
    "set-boundary": (
        (
            "def f(loader, e):\n    for n, b in loader:\n        # a\n        e.backward(b)  # b\n"
            "        if n == 1:\n            e.step()\n"
        ),
        {"engine": "e"},
        {"backward": "e.backward(b)", "gate": "n == 1"},
    ),
    "times-ranks": (
        "def f(window, n):\n    for b in window:\n        # a\n        g(b).backward()  # b\n",
        {"ranks": "torch.distributed", "steps": "n"},
        {"loop": "for b", "backward": "g(b).backward()"},
    ),
    "count-over-ranks": (
        (
            "def f(windows):\n    for w in windows:\n        n = h(w)\n        # a\n        for b in w:\n"
            "            loss = g(b) / n  # b\n            loss.backward()\n"
        ),
        {},
        {"loop": "for b", "division": "g(b) / n"},
    ),
    "window-share": (LOOP, LOOP_OPTIONS, LOOP_PLACES),
    "match-count": (
        (
            "def f(windows):\n    for w in windows:\n        # a\n        n = sum(b.numel() for b in w)  # b\n"
            "        for x in w:\n            loss = g(x) / n  # c\n            loss.backward()\n"
        ),
        {"labels": "x"},
        {"loop": "for x", "count": "b.numel()"},
    ),
    "window-length": (
        LOOP.replace("steps == 0", "steps == 0 or step + 1 == len(loader)"),
        {"steps": "steps", "behind": "no"},
        LOOP_PLACES,
    ),
    "window-gradients": (
        (
            "def f(o, n):\n    while g():\n        b = h()\n        # a\n        x(b).backward()\n"
            "        if n:\n            o.step()\n"
        ),
        {"stack": "plain", "labels": "b"},
        {"loop": "while g", "backward": "x(b).backward()", "step": "o.step()"},
    ),
    "window-sum": (
        "def f(window, n):\n    for b in window:\n        loss = g(b) / n  # a\n        loss.backward()\n",
        {"stack": "plain", "labels": "b"},
        {"loop": "for b", "division": "g(b) / n"},
    ),
}
SWAPS_LINES = {"divide-before"}  # their comments go with them
CASES = pytest.mark.parametrize(("fixer", "case"), EACH.items(), ids=EACH)
Case = tuple[str, dict[str, str], dict[str, str]]


def test_every_fixer_is_among_them() -> None:
    assert set(EACH) == fixer_names()


@CASES
def test_line_ends_and_indentation_are_the_users(fixer: str, case: Case) -> None:
    """A file with other line ends or tabs is rewritten into the same text with those."""
    text, options, places = case
    plain = rewritten(text, fixer, options, **places)
    crlf = rewritten(text.replace("\n", "\r\n"), fixer, options, **places)
    assert crlf == plain.replace("\n", "\r\n")
    two = rewritten(text.replace("    ", "  "), fixer, options, **places)
    assert two.replace(" ", "") == plain.replace(" ", "")


@CASES
def test_tabs_stay_tabs(fixer: str, case: Case) -> None:
    text, options, places = case
    fixed = rewritten(_tabs(text), fixer, options, **places)
    assert not re.search(r"^\t* +\S(?<!\()", _unaligned(fixed), re.MULTILINE)
    assert _unaligned(fixed).replace("\t", "    ") == _unaligned(rewritten(text, fixer, options, **places))


def _tabs(text: str) -> str:
    return re.sub(r"^(?:    )+", lambda found: "\t" * (len(found.group()) // 4), text, flags=re.MULTILINE)


def _unaligned(text: str) -> str:
    """Without breaks below a bracket, which a tabbed file does not get."""
    return re.sub(r",\s+(?=reduction=)", ", ", text)


@CASES
def test_encoding_mark_and_final_newline_stay(fixer: str, case: Case) -> None:
    text, options, places = case
    for head, codec, tail in (
        (b"\xef\xbb\xbf", "utf-8", ""),
        (b"", "latin-1", ""),
        (b"", "utf-8", "\n\x0c\ndef other():\n    return '\u2028\x1c\xe9\U0001f600'"),
    ):
        whole = text + tail if tail else text
        if codec == "latin-1":
            whole = "# -*- coding: latin-1 -*-\n# caf\xe9\n" + text
        source = decode(Path("train.py"), head + whole.encode(codec))
        fixed = rewrite(source, request(source, fixer, options, **places)).text
        data = source.encode(fixed)
        assert data.startswith(head)
        assert fixed.endswith(tail)
        assert _without_header(fixed, whole, text, tail) == rewritten(text, fixer, options, **places)


def _without_header(fixed: str, whole: str, text: str, tail: str) -> str:
    header = whole[: whole.index(text)]
    assert fixed.startswith(header)
    return fixed[len(header) : len(fixed) - len(tail)]


@CASES
def test_a_file_without_a_final_newline_keeps_none(fixer: str, case: Case) -> None:
    text, options, places = case
    fixed = rewritten(text.rstrip("\n"), fixer, options, **places)
    assert fixed == rewritten(text, fixer, options, **places).rstrip("\n")


COMMENT = st.sampled_from(["# note", "# ga: \u00e9", "#!x", "# type: ignore"])


@CASES
@settings(max_examples=25)  # each line has a comment above it in about a third of them
@given(data=st.data())
def test_comments_and_blank_lines_survive(fixer: str, case: Case, data: st.DataObject) -> None:
    """Comments and blank lines anywhere around: each comment is still there, in order where lines keep theirs."""
    text, options, places = case
    lines = []
    for index, line in enumerate(text.splitlines()):
        if index and line.strip() and data.draw(st.booleans(), label=f"above {line!r}"):
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(data.draw(st.one_of(st.just(""), COMMENT.map(lambda c, i=indent: f"{i}{c}"))))  # type: ignore[misc]
        lines.append(line)
    noisy = "\n".join(lines) + "\n"
    fixed = rewritten(noisy, fixer, options, **places)
    before, after = (re.findall(r"#.*", each) for each in (noisy, fixed))
    if fixer in SWAPS_LINES:
        before, after = sorted(before), sorted(after)
    remaining = iter(after)
    assert all(comment in remaining for comment in before)


AWKWARD = [
    "x = 1",
    "",
    "\n\n",
    "# only a comment",
    "def f():\n\treturn (a\n\t\t/ b)\n",
    "x = 1\r\nif x:\r\n    y = 2",
    "\x0c\nclass A: pass\n",
    "if x:\n  if y:\n        z = '''\n  a\n'''\n",
    "match x:\n    case [1, *rest] if rest: pass\n",
    "x = f'{a!r:>{w}} {b=}'\nprint(\"\\N{BULLET}\")\n",
    "async def f():\n    async with a as b, c: await d\n",
    "s = '\x85\u2028'  # \x1c\n",
    "try:\n    pass\nexcept* E as e:\n    raise\n",
    "def f[T: int](x: T, /, *, y=1) -> T: ...\n",
]


@pytest.mark.parametrize("text", AWKWARD)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_nothing_to_do_changes_no_byte(text: str, newline: str) -> None:
    source = source_of(text.replace("\r\n", "\n").replace("\n", newline))
    assert source.encode(Edits(Tree(source)).apply().text) == source.data


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("x = y = 1", ["x 1", "y 1"]),
        ("x, (y, z) = 1, [2, 3]", ["x 1", "y 2", "z 3"]),
        ("x, *y = 1, 2", ["x, *y None"]),
        ("x, y = *z, 1", ["x, y None"]),
        ("x, y = z", ["x, y None"]),
        ("x: int = 1", ["x 1"]),
        ("x: int", []),
        ("x.y += 1", ["x.y None"]),
        ("for x, y in z:\n    x[0] = 1", ["x, y None", "x[0] 1"]),
        ("with a, b as (x, y): pass", ["(x, y) None"]),
        ("if x := 1: pass", ["x None"]),
        ("[x for x in y]", []),
    ],
)
def test_what_is_given_a_value(text: str, bound: list[str]) -> None:
    tree = Tree(source_of(f"{text}\n"))
    found = bindings_in(tree, tree.module)
    assert [f"{tree.code(one.target)} {one.value and tree.code(one.value)}" for one in found] == bound


@pytest.mark.parametrize("text", [*AWKWARD, Path(__file__).read_text()])
def test_parents_are_those_of_libcst(text: str) -> None:
    wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
    assert parents_below(wrapper.module) == wrapper.resolve(ParentNodeProvider)


@pytest.mark.parametrize("text", ["x = 1\ry = f(2)\r", "\x0cx = f(1)\n"], ids=["lone CR", "form feed before code"])
def test_what_does_not_come_back_byte_for_byte_is_refused(text: str) -> None:
    with pytest.raises(FixNotApplicable, match="byte for byte"):
        Tree(source_of(text))


METHOD = """class Custom(Trainer):
    def __init__(self):
        super().__init__()
        self.fct = nn.CrossEntropyLoss(weight=w)

    def compute_loss(self, model, inputs, **kwargs):
        fct = nn.CrossEntropyLoss()
        other = fct(b, c)
        loss = fct(a, b)
        mine = self.fct(a, b)
        n = kwargs["num_items_in_batch"] if kwargs else b.numel()
        return loss / n
"""
PLAIN_METHOD = METHOD.replace('kwargs["num_items_in_batch"] if kwargs else ', "")
COUNTED = """def f(batches, n):
    for i in range(n):
        {first}
        loss = g(x) / n
        loss.backward()
"""
SUM_PLACES = {"loop": "for i", "division": "g(x) / n"}
NEVER: dict[str, tuple[str, str, dict[str, str], dict[str, str], str]] = {
    "a loss object with another use": (
        PLAIN_METHOD,
        "count-loss",
        {},
        {"call": "fct(a, b)", "constructor": "nn.CrossEntropyLoss()"},
        "used for another loss too",
    ),
    "a shared loss object with weights": (
        PLAIN_METHOD,
        "count-loss",
        {"targets": "b"},
        {"call": "self.fct(a, b)", "constructor": "nn.CrossEntropyLoss(weight=w)"},
        "built with weight=",
    ),
    "a shared loss object whose targets are not known": (
        PLAIN_METHOD.replace("weight=w", ""),
        "count-loss",
        {},
        {"call": "self.fct(a, b)", "constructor": "nn.CrossEntropyLoss()"},
        "its targets are not known",
    ),
    "a count that the method takes out of kwargs itself": (
        METHOD,
        "count-loss",
        {},
        {"call": "fct(a, b)", "constructor": "nn.CrossEntropyLoss()"},
        "out of its keyword arguments itself",
    ),
    "ranks for a count that is no parameter": (
        METHOD,
        "rank-factor",
        {},
        {"division": "loss / n"},
        "the count is no parameter",
    ),
    "autograd's own backward": (
        "torch.autograd.backward(losses)\n",
        "divide-by-steps",
        {"steps": "n"},
        {"backward": "torch.autograd.backward(losses)"},
        "a list of losses",
    ),
    "a comment inside the expression": (
        "f(loss  # the sum\n  / n)\n",
        "drop-division",
        {},
        {"division": "loss  # the sum\n  / n"},
        "a comment inside",
    ),
    "a start that is drawn": (
        LOOP.replace("enumerate(loader)", "enumerate(loader, first())"),
        "window-share",
        LOOP_OPTIONS,
        LOOP_PLACES,
        "enumerate starts at first()",
    ),
    "labels from elsewhere": (
        LOOP,
        "window-share",
        LOOP_OPTIONS | {"labels": "self.labels[step]"},
        LOOP_PLACES,
        "not from the micro-batch",
    ),
    "a progress bar under accelerate": (
        LOOP.replace("    # one", "    loader = tqdm(loader)\n    # one"),
        "window-share",
        LOOP_OPTIONS | {"stack": "accelerate", "accelerator": "accelerator"},
        LOOP_PLACES,
        "is a progress bar",
    ),
    "a micro-batch that depends on its number": (
        COUNTED.format(first="x = batches[i]"),
        "window-sum",
        {"stack": "plain", "labels": "x"},
        SUM_PLACES | {"fetch": "x = batches[i]"},
        "not drawn first",
    ),
    "a micro-batch that is not drawn first": (
        COUNTED.format(first="log(i)\n        x = next(batches)"),
        "window-sum",
        {"stack": "plain", "labels": "x"},
        SUM_PLACES | {"fetch": "x = next(batches)"},
        "not drawn first",
    ),
    "a constructor that does not call super": (
        METHOD.replace("        super().__init__()\n", ""),
        "opt-out",
        {},
        {"method": "def compute_loss"},
        "does not call super().__init__",
    ),
}


@pytest.mark.parametrize(("text", "fixer", "options", "places", "reason"), NEVER.values(), ids=NEVER)
def test_what_cannot_be_right_is_refused(
    text: str, fixer: str, options: dict[str, str], places: dict[str, str], reason: str
) -> None:
    assert reason in refusal(text, fixer, options, **places)


def test_a_place_that_is_not_there_is_refused() -> None:
    asked = request("a = b / c\n", "drop-division", division="b / c")
    with pytest.raises(FixNotApplicable, match="on line 1"):
        rewrite(source_of("a = bb / c\n"), asked)


def test_a_rule_that_asks_wrongly_is_our_own_fault() -> None:
    asked = request("a = b / c\n", "drop-division")
    with pytest.raises(InternalError, match="needs one place 'division'"):
        rewrite(source_of("a = b / c\n"), asked)
    with pytest.raises(InternalError, match="no fixer"):
        rewrite(source_of("a = 1\n"), FixRequest("magic", FixTier.SAFE, ""))


def test_a_model_cannot_divide_what_it_adds_to_its_loss() -> None:
    """Only the Trainer knows how long the window is."""
    text = """class MoE(PreTrainedModel):
    def forward(self, input_ids, labels=None, **kwargs):
        loss = self.loss_function(logits, labels)
        loss += self.router_aux_loss_coef * aux_loss.to(loss.device)
        return loss
"""
    call = "self.loss_function(logits, labels)"
    assert "another term on line 4" in refusal(text, "forward-count", call=call)
    alone = text.replace("        loss += self.router_aux_loss_coef * aux_loss.to(loss.device)\n", "")
    assert "self.loss_function(logits, labels, **kwargs)" in rewritten(alone, "forward-count", call=call)


def test_lines_that_show_a_part_of_the_mean_are_noted() -> None:
    text = """from transformers import Trainer


class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        loss = outputs.loss
        assert torch.isfinite(loss)
        print(loss, loss.device)
        return (loss, outputs) if return_outputs else loss
"""
    asked = request(text, "delegate-loss", call="model(**inputs)", loss="outputs.loss")
    assert rewrite(source_of(text), asked).notes == (
        "`print(loss, loss.device)` shows the micro-batch's part of the window's mean now",
    )


def test_lines_of_a_loop_that_show_a_part_of_the_mean_are_noted() -> None:
    """Whatever is not handed to backward; `del loss` and tests for numbers say the same, and the mean before."""
    text = """import torch


def train(model, loader, optimizer, steps):
    for step, batch in enumerate(loader):
        loss = model(**batch).loss
        print(loss)
        loss = loss / steps
        loss.backward()
        running += loss.detach()
        total: float = loss.item()
        if loss.isnan() or torch.isnan(loss):
            break
        if loss > 9: print("high")
        history.append({"loss": loss}); step_loss = loss
        del loss
        if (step + 1) % steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""
    asked = request(text, "window-share", LOOP_OPTIONS, **LOOP_PLACES | {"division": "loss / steps"})
    assert rewrite(source_of(text), asked).notes == tuple(
        f"`{line}` shows the micro-batch's part of the window's mean now"
        for line in (
            "running += loss.detach()",
            "total: float = loss.item()",
            'if loss > 9: print("high")',
            'history.append({"loss": loss})',
            "step_loss = loss",
        )
    )


IN_A_FUNCTION = """import torch
import torch.nn.functional as F


def own(outputs, labels, num_items_in_batch=None):
    logits = outputs.logits
    {}
    return loss


def helper(loss, outputs):
    return loss + outputs.aux
"""
CE = "F.cross_entropy(logits, labels)"
FIRST_ALONE = f"""if outputs.x:
        loss = {CE}{{}}
    else:
        second = {CE}
        loss = second"""
MORE = "\n        loss = loss + outputs.aux"


@pytest.mark.parametrize(
    ("lines", "places", "reason"),
    [
        (f"loss = {CE}", {"call": CE}, None),
        (f"loss = outputs.aux\n    loss = loss + 1\n    loss = {CE}", {"call": CE}, None),  # which is not added to this
        (f"loss = {CE}\n    loss = loss + outputs.aux", {"call": CE}, "another term on line 8, which needs"),
        (FIRST_ALONE.format(""), {"call": [CE, CE]}, None),
        (FIRST_ALONE.format(MORE), {"call": [CE, CE]}, "another term on line 9, which needs"),
        (f"loss = {CE}", {"call": CE, "added": "loss + outputs.aux"}, "another term on line 12, in a form"),
    ],
)
def test_another_term_of_a_loss_function(lines: str, places: dict[str, str | list[str]], reason: str | None) -> None:
    text = IN_A_FUNCTION.format(lines)
    if reason is None:
        assert "/ num_items_in_batch" in rewritten(text, "count-loss-function", **places)
    else:
        assert reason in refusal(text, "count-loss-function", **places)
