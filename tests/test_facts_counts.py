"""Who keeps the Trainer from counting, or counts otherwise? Flags, labels that are replaced, missing counts."""

from __future__ import annotations

import pytest

from testbed.seen import HEAD, MEAN, override

INIT = "    def __init__(self, *args):\n{}"
TRAINERS, MODELS, SCALED = (
    f"{name} is set to False" for name in ("model_accepts_loss_kwargs", "accepts_loss_kwargs", "loss_is_scaled_for_ga")
)
IS_SCALED = "loss_is_scaled_for_ga"
SUPER = "        super().__init__(*args)\n"


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("    model_accepts_loss_kwargs = False\n", []),
        ("    loss_is_scaled_for_ga = False\n", [SCALED]),
        ("    loss_is_scaled_for_ga = True\n", ["loss_is_scaled_for_ga is set to True"]),
        ("    loss_is_scaled_for_ga = None\n", []),
        (INIT.format(f"{SUPER}        self.model_accepts_loss_kwargs = False\n"), [TRAINERS]),
        (INIT.format(f"        self.model_accepts_loss_kwargs = False\n{SUPER}"), []),
        (INIT.format("        self.model_accepts_loss_kwargs = False\n"), [TRAINERS]),
        (INIT.format(f"        self.loss_is_scaled_for_ga = False\n{SUPER}"), [SCALED]),
        (INIT.format(f"{SUPER}        self.model_accepts_loss_kwargs = True\n"), []),
        (
            INIT.format(f"{SUPER}        if args:\n            self.model_accepts_loss_kwargs = False\n"),
            ["model_accepts_loss_kwargs is set to False under a condition"],
        ),
        (
            INIT.format(f"{SUPER}        if self.{IS_SCALED}:\n            self.accepts_loss_kwargs = False\n"),
            [],
        ),
        (INIT.format(f"{SUPER}        self.model.accepts_loss_kwargs = False\n"), [MODELS]),
        (INIT.format("        self.model.accepts_loss_kwargs = False\n"), [MODELS]),
        (
            INIT.format('        super().__init__(*args, compute_loss_func="off")\n'),
            ["a string is passed as compute_loss_func to disable scaling"],
        ),
        (INIT.format("        super().__init__(*args, compute_loss_func=args)\n"), []),
        ("    def later(self):\n        self.model_accepts_loss_kwargs = False\n", [TRAINERS]),
        ("model.accepts_loss_kwargs = False\n", [MODELS]),
        ("trainer.model_accepts_loss_kwargs = False\n", [TRAINERS]),
        ("model.accepts_loss_kwargs = True\n", []),
        ("model.accepts_loss_kwargs = 0\n", []),
        ("self.model_accepts_loss_kwargs = False\n", []),
        ("trainer.loss_is_scaled_for_ga = False\n", []),
    ],
)  # fmt: skip
def test_opt_outs(after: str, said: list[str]) -> None:
    assert [step.message for step in override(MEAN, after).opted_out] == said


def test_an_opt_out_of_a_base() -> None:
    base = f"class Base(Trainer):\n{INIT.format(SUPER)}        self.model_accepts_loss_kwargs = False\n"
    assert override(MEAN, bases="(Base)", head=f"{HEAD}\n\n{base}").opted_out


@pytest.mark.parametrize(
    ("lines", "replaced"),
    [
        ('inputs["labels"] = made(inputs)', 1),
        ('inputs["labels"] = torch.where(mask, inputs["labels"], -100)', 1),
        ('inputs["labels"] = inputs["other"]', 1),
        ('inputs["labels"] = inputs.get("other")', 1),
        ('inputs["labels"] = inputs.get("labels")', 0),
        ('inputs["labels"] = inputs["labels"].to("cpu").long()', 0),
        ('inputs["labels"] = inputs["labels"].roll(1)', 1),
        ('inputs["labels"] = inputs["labels"][:, 1:]', 0),
        ('inputs["labels"] = F.pad(inputs["labels"], (0, 1))', 0),
        ('inputs["labels"] = F.pad(inputs["other"], (0, 1))', 1),
        ('labels = inputs["labels"]\ninputs["labels"] = labels', 0),
        ('labels = inputs["labels"]\nlabels[labels == 3] = -100\ninputs["labels"] = labels', 1),
        ('labels = inputs["labels"]\nlabels["x"] = 1\ninputs["labels"] = labels', 0),
        ('copy = inputs.pop("labels").clone()\nother = copy\ninputs["labels"] = other', 0),
        ('inputs["other"] = made(inputs)', 0),
        ('other = {}\nother["labels"] = made(inputs)', 0),
    ],
)
def test_labels_that_are_replaced(lines: str, replaced: int) -> None:
    assert len(override(f"{lines}\nreturn model(**inputs).loss").replaced) == replaced


@pytest.mark.parametrize(
    ("body", "after", "replaced"),
    [
        ('inputs["labels"] = made(inputs)\nreturn inputs', "", 1),
        ('batch = super()._prepare_inputs(inputs)\nbatch["labels"] = made(batch)\nreturn batch', "", 1),
        (
            "return self._changed(inputs)",
            '    def _changed(self, inputs):\n        inputs["labels"] = made(inputs)\n',
            1,
        ),
        ("return self._again(inputs)", "    def _again(self, inputs):\n        return self._again(inputs)\n", 0),
        (
            "return other._changed(inputs)",
            '    def _changed(self, inputs):\n        inputs["labels"] = made(inputs)\n',
            0,
        ),
        ("return super()._prepare_inputs(inputs)", "", 0),
    ],
)
def test_labels_that_are_replaced_where_batches_are_prepared(body: str, after: str, replaced: int) -> None:
    one = override(body, after, method="_prepare_inputs", signature="self, inputs")
    assert len(one.replaced) == replaced


@pytest.mark.parametrize(
    ("value", "unguarded"),
    [
        ("loss / num_items_in_batch", 1),
        ("loss * 2 / num_items_in_batch", 1),
        ("loss / num_items_in_batch.item()", 1),
        ("loss / max(num_items_in_batch, 1)", 1),
        ("loss / int(num_items_in_batch)", 1),
        ("loss / torch.clamp(num_items_in_batch, min=1)", 1),
        ("loss if num_items_in_batch is None else loss / num_items_in_batch", 0),
        ("loss / num_items_in_batch if num_items_in_batch is not None else loss", 0),
        ("loss / num_items_in_batch if self.model.training else loss", 0),
        ("loss / num_items_in_batch if args.x else loss", 1),
        ("loss / (num_items_in_batch or 1)", 0),
        ("self.divided(loss, num_items_in_batch)", 1),
        ("loss", 0),
    ],
)
def test_missing_counts(value: str, unguarded: int) -> None:
    body = 'loss = F.cross_entropy(model(inputs["x"]), inputs["labels"], reduction="sum")\nreturn '
    one = override(body + value, "    def divided(self, loss, n):\n        return loss / n\n")
    assert len(one.unguarded) == unguarded


@pytest.mark.parametrize(("handler", "unguarded"), [("TypeError", 0), ("Exception", 0), ("", 0), ("ValueError", 1)])
def test_a_missing_count_that_is_caught(handler: str, unguarded: int) -> None:
    body = 'loss = F.cross_entropy(model(inputs["x"]), inputs["labels"], reduction="sum")\n'
    body += f"try:\n    loss = loss / num_items_in_batch\nexcept {handler}:\n    pass\nreturn loss".replace(
        "except :", "except:"
    )
    assert len(override(body).unguarded) == unguarded
