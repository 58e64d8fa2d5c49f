"""What is added to a loss that the window's count divides, without being divided by it?"""

from __future__ import annotations

from textwrap import indent

import pytest

from testbed.seen import LOSS, loop, losses_in, override, returned

COUNTED = 'loss = F.cross_entropy(model(inputs["x"]), inputs["labels"], reduction="sum") / num_items_in_batch\n'
TERM = "sum unknown / the window's count over all ranks"
BOTH = f"{TERM} + mean unknown"


def told(lines: str, loss: str = COUNTED) -> list[str]:
    return returned(override(f"{loss}{lines}\nreturn loss"))


@pytest.mark.parametrize(
    ("lines", "added"),
    [
        ("loss = loss + model.penalty()", True),
        ("loss = model.penalty() + loss", True),
        ("loss += model.penalty()", True),
        ("loss = loss - model.entropy()", True),
        ("loss = loss + 0.1 * model.penalty()", True),
        ("term = model.penalty()\nloss = loss + term", True),
        ("loss = loss + inputs['x'].mean()", True),
        ("loss = loss + self.penalty", True),
        ("loss = loss + 1", False),
        ("loss = loss + inputs['labels']", False),
        ("loss = loss + inputs['attention_mask']", False),
        ("loss = loss + self.eps", False),
        ("loss = loss + self.epsilon", False),
        ("loss = loss + self.logit_bias", False),
        ("loss = loss + self.offset", False),
        ("loss = loss + self.steps", False),
        ("loss = loss + model.penalty() / num_items_in_batch", False),
        ("term = model.penalty() / num_items_in_batch\nloss = loss + term", False),
        ("term = model.penalty()\nterm /= num_items_in_batch\nloss = loss + term", False),
        ("term: float = model.penalty() / num_items_in_batch\nloss = loss + term", False),
        ("term = model.penalty() / num_items_in_batch\nloss = loss + 2 * term", False),
        ("term = model.penalty() / num_items_in_batch\nloss = loss + (-term)", False),
        ("term = model.penalty() / num_items_in_batch\nloss = loss + term.float()", False),
        ("other = model.penalty() / num_items_in_batch\nloss = loss + f(other)", True),
        ("loss = loss + self.share * model.penalty()", False),
        ("loss = loss + model.penalty(num_items_in_batch)", False),
        ("loss = loss + self.window_term", False),
        ("loss = loss + self.penalty_under_no_grad", False),
        ("loss = loss + model.penalty().item().real", True),
        ("loss = loss + model.penalty().detach()", False),
        ("loss = loss + model.penalty().item()", False),
        ("loss = loss + 0 * model.penalty()", False),
        ("loss = loss + 0.0 * model.penalty()", False),
        ("loss = loss + model.penalty() * 0", False),
        ("loss = loss + 0.01 * model.penalty()", True),
        ("loss = loss + 10 * model.penalty()", True),
        ("loss = loss + model.penalty() / self.gradient_accumulation_steps", False),
        ("total = torch.zeros(1)\ntotal = total + loss\nloss = total", False),
        ("total = torch.zeros(1)\ntotal += loss\nloss = total", False),
        ("total = torch.zeros(1)\nloss = total + loss", True),
    ],
)
def test_terms(lines: str, added: bool) -> None:
    assert told(lines) == [BOTH if added else TERM]


def test_a_term_is_told_once() -> None:
    assert told("for _ in range(2):\n    loss = loss + model.penalty()") == [BOTH]


@pytest.mark.parametrize(
    ("loss", "told_of"),
    [
        (COUNTED.replace(" / num_items_in_batch", ""), "sum unknown"),
        ("loss = super().compute_loss(model, inputs)\n", "mean unknown + mean unknown"),
        (
            "loss = super().compute_loss(model, inputs, False, num_items_in_batch)\n",
            "sum unknown counted + mean unknown",
        ),
    ],
)
def test_only_where_the_count_divides_or_could(loss: str, told_of: str) -> None:
    assert told("loss = loss + model.penalty()", loss) == [told_of]


@pytest.mark.parametrize(
    ("returned_value", "told_of"),
    [("(loss + model.penalty(), outputs)", BOTH), ("{'loss': loss + model.penalty()}", BOTH)],
)
def test_where_it_is_returned(returned_value: str, told_of: str) -> None:
    assert returned(override(f"{COUNTED}return {returned_value}")) == [told_of]


def test_an_attribute_of_the_class_is_looked_at_from_outside() -> None:
    helper = f"    def helped(self, loss, model):\n{indent('return loss + model.penalty()', ' ' * 8)}\n"
    assert returned(override(f"{COUNTED}return self.helped(loss, model)", helper)) == [BOTH]


@pytest.mark.parametrize(
    ("unpacked", "plain"),
    [
        ("torch.div(*(loss, steps))", "loss / steps"),
        ("torch.div(*pair)", "pair[0] / pair[1]"),
        ("loss.div(*pair[1:])", "loss / pair[1]"),
    ],
)
def test_arguments_that_are_unpacked_count_by_their_places(unpacked: str, plain: str) -> None:
    above = f"{LOSS}\npair = (loss, steps)\nloss = "
    assert losses_in(loop(above + unpacked)) == losses_in(loop(above + plain))


@pytest.mark.parametrize(
    "call", ["torch.div(*pair)", "torch.mul(*pair)", "loss.div(*pair)", "torch.masked_select(*pair)"]
)
@pytest.mark.parametrize("pair", ["()", "(loss,)", "made()"])
def test_too_few_or_unknown_arguments_are_no_fault_of_ours(call: str, pair: str) -> None:
    losses_in(loop(f"{LOSS}\npair = {pair}\nx = {call}"))
