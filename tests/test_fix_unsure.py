"""Where may a rewrite not be sure of a name, a term or a text? Each reason once, beside what is rewritten."""

from __future__ import annotations

import pytest

from ga_lint.errors import FixNotApplicable, InternalError
from ga_lint.fixers import rewrite
from ga_lint.fixers.limits import refuse_beyond
from ga_lint.fixers.registry import fixer
from testbed.programs import program
from testbed.rewriting import refusal, request, rewritten, source_of

SHARE = {"steps": "steps", "stack": "plain", "labels": 'batch["labels"]', "ignore_index": "-100"}
TERMS = """def train(model, loader, optimizer, steps):
    for step, batch in enumerate(loader):
        outputs = model(**batch)
        {first}
        {second}
        loss = loss / steps
        loss.backward()
        if (step + 1) % steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""


def share_of(first: str, second: str = "pass") -> tuple[str, dict[str, str]]:
    places = {"loop": "for", "division": "loss / steps", "backward": "loss.backward()", "step": "optimizer.step()"}
    return TERMS.format(first=first, second=second), places


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("loss = outputs.loss + outputs.aux_loss", "pass"),
        ("loss = outputs.loss", "loss += outputs.aux_loss"),
        ("loss = outputs.loss", "loss = loss + 0.1 * outputs.aux_loss"),
        ("loss = sum([outputs.loss, outputs.aux_loss])", "pass"),
        ("loss = outputs.loss + self.weight * penalty(model)", "pass"),  # whose coefficient has no such name
        ("loss = outputs.loss + sum(p.pow(2).sum() for p in model.parameters())", "pass"),
        ("loss = outputs.loss + 0.1 * sum(p.pow(2).sum() for p in model.parameters())", "pass"),
        ("loss = outputs.loss + outputs['router_loss']", "pass"),
        ("loss = outputs.loss + outputs.aux_loss.mean()", "pass"),
        ("loss = outputs.loss + outputs.aux_loss / 2", "pass"),
    ],
)
def test_terms_that_are_weighed(first: str, second: str) -> None:
    text, places = share_of(first, second)
    assert "* equal_share" in rewritten(text, "window-share", SHARE, **places)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("loss = outputs.loss", "loss -= outputs.aux_loss", "sum of terms on line 5"),
        ("loss = outputs.loss - outputs.aux_loss", "pass", "sum of terms on line 4"),
        ("loss = outputs.loss + outputs.other", "pass", "sum of terms on line 4"),
        ("loss = outputs.loss + outputs.aux_loss + outputs.lm_loss", "pass", "sum of terms on line 4"),
        ("loss = outputs.loss * (1 + outputs.aux_loss * outputs.x)", "pass", ""),
        ("loss = (outputs.loss + outputs.aux_loss) * 2", "pass", "sum of terms on line 4"),
        ("loss = (outputs.loss + outputs.aux_loss) / 2", "pass", "sum of terms on line 4"),
        ("loss = outputs.loss if steps else outputs.loss + outputs.aux_loss", "pass", "sum of terms on line 4"),
        ("both = outputs.loss + outputs.aux_loss", "loss = 2 * both", "sum of terms on line 4"),
        ("loss = sum(losses)", "pass", "sum of terms on line 4"),
        ("loss = sum(losses.values())", "pass", "sum of terms on line 4"),
        ("loss = sum(each for each in losses)", "pass", "sum of terms on line 4"),
        ("loss = sum([*losses])", "pass", "sum of terms on line 4"),
        ("loss = torch.sum(torch.stack([outputs.loss, outputs.aux_loss]))", "pass", "sum of terms on line 4"),
        ("loss = (torch.stack(losses) * weights).sum()", "pass", "sum of terms on line 4"),
        ("loss = torch.stack([outputs.loss, outputs.aux_loss]).sum()", "pass", "sum of terms on line 4"),
        ("loss = outputs.loss", "loss *= 2", ""),
        ("loss, aux = outputs.loss, 0", "loss += aux", "sum of terms on line 5"),
    ],
)
def test_terms_that_are_not(first: str, second: str, reason: str) -> None:
    text, places = share_of(first, second)
    if reason:
        assert reason in refusal(text, "window-share", SHARE, **places)
    else:
        assert "equal_share" not in rewritten(text, "window-share", SHARE, **places)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("loss = outputs.loss + outputs.aux_loss", "pass", ""),
        ("loss = outputs.loss + outputs.aux_loss", "outputs.aux_loss = 0", "a term of the loss changes on line 5"),
        ("loss = outputs.loss + outputs.aux_loss", "outputs = other", "a term of the loss changes on line 5"),
        ("loss = outputs.loss", "loss += outputs.aux_loss", "`outputs.loss` is changed in place on line 5"),
        ("loss = outputs.loss + penalty(model)", "pass", "a sum of terms on line 4; each needs a divisor of its own"),
    ],
)
def test_terms_that_backward_reads_once_more(first: str, second: str, reason: str) -> None:
    """Nobody divides their sum: what backward receives is written out, each term with its weight."""
    text, places = share_of(first, second)
    text, places = text.replace("        loss = loss / steps\n", ""), {**places}
    del places["division"]
    if reason:
        assert reason in refusal(text, "window-share", SHARE, **places)
    else:
        wanted = "(outputs.loss * share + outputs.aux_loss * equal_share).backward()"
        assert wanted in rewritten(text, "window-share", SHARE, **places)


def test_a_sum_in_place_that_is_logged_is_not_written_out() -> None:
    """`loss += aux` changes `outputs.loss` too: written out behind it, the penalty would be in it twice."""
    one = program(133)
    assert "loss += aux" in one.text and "scaled_loss = loss / steps" in one.text
    text = one.text[one.text.index("def train") : one.text.index("def main")].rstrip() + "\n"
    places = {"loop": "for batch", "division": "loss / steps", "backward": "scaled_loss.backward()"}
    said = refusal(text, "window-share", SHARE, step="optimizer.step()", **places)
    assert "`outputs.loss` is changed in place" in said


OVERRIDE = """import torch


class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        {first}
        if self.args.x:
            loss = {one}
        else:
            loss = {other}
        return loss
"""
TWO_HELPERS = """class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        {first}
        if self.args.x:
            loss = self.own(inputs)
        second = self.other(inputs)
        return loss + second
"""
DIVISORS = {f"divisor on line {row}": "(inputs['labels'] != -100).sum()" for row in (5, 6)}
HANDED = ["self.own(inputs)", "self.other(inputs)"]


@pytest.mark.parametrize(
    "first",
    [
        "loss = None",
        "loss = 0",
        "loss = 0.0",
        "loss = torch.tensor(0.0)",
        "loss = torch.zeros(())",
        "loss = x.new_tensor(0)",
    ],
)
def test_a_name_that_is_nothing_where_no_helper_fills_it(first: str) -> None:
    after = rewritten(TWO_HELPERS.format(first=first), "count-loss", DIVISORS, handed=HANDED)
    assert after.count("/ num_items_in_batch") == 2


@pytest.mark.parametrize(
    "first", ["loss = self.penalty()", "loss = 1.0", "loss = torch.ones(())", "loss = x.tensor(1)"]
)
def test_a_name_that_is_another_term_on_another_path(first: str) -> None:
    said = refusal(TWO_HELPERS.format(first=first), "count-loss", DIVISORS, handed=HANDED)
    assert "loss is another term on line 3" in said


def test_a_mean_over_every_position_has_no_count() -> None:
    text = OVERRIDE.format(first="losses = self.losses(inputs)", one="losses.mean()", other="losses[0]")
    assert "is over all positions" in refusal(text, "count-loss", mean="losses.mean()")


def test_a_mean_in_another_form_is_left() -> None:
    text = OVERRIDE.format(first="losses = self.losses(inputs)", one="losses.mean(0)", other="losses[0]")
    assert "a form that is not known here" in refusal(text, "count-loss", picked="losses.mean(0)")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = (1\n", ""),  # short: not even parsed
        ("x = 1\n" * 20_000, ""),
        ("x = [" + "1, " * 30_000 + "]\n", ""),
        ("x = [" + "f(1), " * 130_000 + "]\n", "the file is too long to be rewritten"),
        ("x = " + " or ".join(["y"] * 1_100) + "\n", "a chain of more than 1000"),
        ("x = " + " or ".join(["y"] * 900) + "\n" + "x = a and b\n" * 200, ""),
    ],
)
def test_texts_that_libcst_is_not_asked_about(text: str, reason: str) -> None:
    if not reason:
        refuse_beyond(text)
        return
    with pytest.raises(FixNotApplicable, match=reason):
        refuse_beyond(text)


LOOP = """def train(model, loader, optimizer, steps):
    for step, batch in enumerate(loader):
        loss = {loss}
        loss.backward()
"""


def test_the_ranks_multiply_one_term() -> None:
    options = {"ranks": "ranks", "steps": ""}
    alone = rewritten(LOOP.format(loss="total / count"), "times-ranks", options, loop="for", backward="loss.backward()")
    assert "(loss * ranks).backward()" in alone
    text = LOOP.format(loss="outputs.loss + outputs.aux_loss")
    assert "sum of terms" in refusal(text, "times-ranks", options, loop="for", backward="loss.backward()")


@pytest.mark.parametrize(
    ("fixer", "text", "places", "reason"),
    [
        ("divide-by-steps", "loss.sum().mean()\n", {"backward": "loss.sum().mean()"}, "a form that is not known here"),
        ("drop-division", "x = loss // steps\n", {"division": "loss // steps"}, "a form that is not known here"),
        (
            "count-loss",
            "def f(a, b):\n    x = 1; y = F.cross_entropy(a, b)\n    return y\n",
            {"call": "F.cross_entropy(a, b)"},
            "line 2 holds more than one statement",
        ),
        ("count-loss", "loss = F.cross_entropy(a, b)\n", {"call": "F.cross_entropy(a, b)"}, "outside any function"),
    ],
)
def test_places_that_hold_something_else(fixer: str, text: str, places: dict[str, str], reason: str) -> None:
    assert reason in refusal(text, fixer, {"steps": "steps"}, **places)


def test_a_request_without_what_its_fixer_needs_is_our_own_fault() -> None:
    with pytest.raises(InternalError, match="needs the option 'steps'"):
        rewritten(LOOP.format(loss="x"), "divide-by-steps", backward="loss.backward()")
    with pytest.raises(InternalError, match="needs one place 'backward'"):
        rewritten(LOOP.format(loss="x"), "divide-by-steps", {"steps": "steps"})
    with pytest.raises(ValueError, match="two modules define the fixer 'times-ranks'"):
        fixer("times-ranks")(lambda target, edits: None)


def test_a_request_for_another_text_finds_nothing_at_its_places() -> None:
    asked = request(LOOP.format(loss="x"), "divide-by-steps", {"steps": "steps"}, backward="loss.backward()")
    with pytest.raises(FixNotApplicable, match="no call on line 4"):
        rewrite(source_of(LOOP.format(loss="x").replace("loss.backward()", "loss.backward")), asked)


@pytest.mark.parametrize(
    "body", ["loss = with_router(outputs)", "loss = (lambda a, b: a + b)(outputs.loss, outputs.aux)"]
)
def test_what_is_added_where_no_term_is_in_sight(body: str) -> None:
    """The facts say that something is added there; a fixer that has not seen to it may not weigh the whole."""
    text, places = share_of(body)
    added = body.removeprefix("loss = ")
    assert "something is added to the loss on line 4" in refusal(text, "window-share", SHARE, added=added, **places)
