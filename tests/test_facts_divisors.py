"""How would the caller of a helper write the number of targets that the helper's mean is over, if it can?"""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.facts.model import LossSite
from testbed.seen import facts_in, loop

HEAD = 'logits, labels, args = model(batch["input_ids"]).logits, batch["labels"], args\n'
MEAN = "    return F.cross_entropy(a, b)\n"
OWN = "(labels != -100).sum()"
CUT = "(labels[:, 1:] != -100).sum()"


def site(helper: str, call: str, lines: str = "") -> LossSite:
    (window,) = facts_in(loop(f"{HEAD}{lines}\nloss = {call}", helper)).windows
    return window.losses[0][0].site


def written(helper: str, call: str = "f(logits, labels)", lines: str = "") -> str:
    divisor = site(helper, call, lines).divisor
    assert divisor is not None
    return divisor.text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (MEAN, OWN),
        ("    return F.cross_entropy(a, b[:, 1:])\n", CUT),
        (f"    b = b[:, 1:]\n{MEAN}", CUT),
        (f"    b = b.view(-1)\n{MEAN}", OWN),
        (f"    if b is None:\n        b = None\n{MEAN}", OWN),
        ("    c = b[:, 1:]\n    return F.cross_entropy(a, c)\n", CUT),
        ("    c = b\n    d = c[:, 1:]\n    return F.cross_entropy(a, d)\n", CUT),
        ("    c = b[:, 1:]\n    c = c + 1\n    return F.cross_entropy(a, c)\n", ""),
        ("    c = b\n    if a.x:\n        c = b[:, 1:]\n    return F.cross_entropy(a, c)\n", ""),
        ("    c = made(b)\n    return F.cross_entropy(a, c)\n", ""),
        ("    for c in b:\n        pass\n    return F.cross_entropy(a, c)\n", ""),
        (f"    if a.x:\n        b = b[:, 1:]\n{MEAN}", ""),
        (f"    print(b)\n    b = b[:, 1:]\n{MEAN}", ""),
        (f"    b, c = b[:, 1:], print(b)\n{MEAN}", ""),
        (f"    b[0] = 1\n{MEAN}", ""),
        (f"    del b[0]\n{MEAN}", ""),
        (f"    b.fill_(0)\n{MEAN}", ""),
        ("    n = (b != -100).sum()\n    return F.cross_entropy(a, b, reduction='sum') / n\n", OWN),
        ("    n = max((b != -100).sum(), 1)\n    return F.cross_entropy(a, b, reduction='sum') / n\n", OWN),
        ("    n = (b != a.pad).sum()\n    return SUM / n\n", "(labels != logits.pad).sum()"),
        ("    n = (b != len(a)).sum()\n    return SUM / n\n", "(labels != len(logits)).sum()"),
        ("    n = (b != PAD).sum()\n    return F.cross_entropy(a, b, reduction='sum') / n\n", "(labels != PAD).sum()"),
        ("    PAD = 3\n    n = (b != PAD).sum()\n    return SUM / n\n", "(labels != 3).sum()"),
        ("    return F.cross_entropy(a, *b)\n", ""),
        ("    return F.cross_entropy(*(a, b))\n", OWN),
        ("    c = (a, b)\n    return F.cross_entropy(*c)\n", "((logits, labels)[1] != -100).sum()"),
        ("    def g(c):\n        return F.cross_entropy(a, c)\n\n    return g(b)\n", OWN),
    ],
)  # fmt: skip
def test_bodies(body: str, text: str) -> None:
    body = body.replace("SUM", "F.cross_entropy(a, b, reduction='sum')")
    assert written(f"PAD = 0\n\ndef f(a, b):\n{body}") == text


@pytest.mark.parametrize(
    ("parameters", "call", "text"),
    [
        ("a, b", "f(logits, b=labels)", OWN),
        ("a, b", "f(b=labels, a=logits)", OWN),
        ("a, b", "f(*(logits, labels))", ""),
        ("a, b", "f(**{'a': logits, 'b': labels})", ""),
        ("a, b", "f(logits, made(labels))", ""),
        ("a, b", "f(logits, labels[:, 1:])", CUT),
        ("a, b=None", "f(logits, labels)", OWN),
        ("a, /, b", "f(logits, labels)", OWN),
        ("a, *, b", "f(logits, b=labels)", OWN),
        ("x, a, b", "functools.partial(f, 1)(logits, labels)", OWN),
    ],
)
def test_arguments(parameters: str, call: str, text: str) -> None:
    assert written(f"import functools\n\ndef f({parameters}):\n{MEAN}", call) == text


@pytest.mark.parametrize(
    ("parameters", "call", "text"),
    [
        ("a, b, pad", "f(logits, labels, args.pad)", "(labels != args.pad).sum()"),
        ("a, b, pad", "f(logits, labels, made())", ""),
        ("a, b, pad=3", "f(logits, labels)", ""),
    ],
)
def test_a_helper_that_is_handed_the_padding(parameters: str, call: str, text: str) -> None:
    body = "    n = (b != pad).sum()\n    return F.cross_entropy(a, b, reduction='sum') / n\n"
    assert written(f"def f({parameters}):\n{body}", call) == text


def test_a_name_of_the_module_that_the_caller_binds_anew_is_another() -> None:
    helper = "PAD = 0\n\ndef f(a, b):\n    return F.cross_entropy(a, b, reduction='sum') / (b != PAD).sum()\n"
    assert written(helper) == "(labels != PAD).sum()"
    assert written(helper, lines="PAD = 7") == ""


def test_a_closure_reads_the_names_of_the_function_around_it() -> None:
    closure = "PAD = 7\ndef f(a, b):\n    return F.cross_entropy(a, b, reduction='sum') / (b != PAD).sum()"
    assert written("", lines=closure) == "(labels != PAD).sum()"


@pytest.mark.parametrize(
    ("returned", "taken", "known"),
    [
        ("F.cross_entropy(a, b), a", "[0]", (OWN, True)),
        ("a, F.cross_entropy(a, b)", "[1]", None),
        ("{'loss': F.cross_entropy(a, b)}", "['loss']", None),
        ("F.cross_entropy(a, b)", "", (OWN, False)),
    ],
)
def test_what_the_loss_is_returned_in(returned: str, taken: str, known: tuple[str, bool] | None) -> None:
    divisor = site(f"def f(a, b):\n    return {returned}\n", f"f(logits, labels){taken}").divisor
    assert (divisor and (divisor.text, divisor.in_pair)) == known


@pytest.mark.parametrize(
    ("name", "policy"),
    [("ppo_loss", True), ("actor_loss_fn", True), ("hippo_loss", False), ("own_loss", False)],
)
def test_objectives_of_a_policy_by_their_helper(name: str, policy: bool) -> None:
    assert site(f"def {name}(a, b):\n{MEAN}", f"{name}(logits, labels)").policy is policy


@pytest.mark.parametrize(
    ("parameter", "policy"),
    [("advantages", True), ("old_advantage", True), ("advantaged", False), ("disadvantages", False)],
)
def test_objectives_of_a_policy_by_what_their_helper_is_handed(parameter: str, policy: bool) -> None:
    assert site(f"def f(a, b, {parameter}):\n{MEAN}", "f(logits, labels, args.x)").policy is policy


@pytest.mark.parametrize(
    ("cls", "text"),
    [
        ("    def f(self, a, b):\n    " + MEAN, OWN),
        ("    def f(self, a, b):\n        return F.cross_entropy(a, b, reduction='sum') / (b != self.pad).sum()\n",
         "(labels != own.pad).sum()"),
        ("    @staticmethod\n    def f(a, b):\n    " + MEAN, OWN),
    ],
)  # fmt: skip
def test_methods(cls: str, text: str) -> None:
    assert written(f"class Own:\n{cls}\nown = Own()\n", "own.f(logits, labels)") == text


@pytest.mark.parametrize(
    ("above", "divisor", "text"),
    [
        ("", "(b != -100).sum()", OWN),
        ("", "(b != len(a)).sum()", "(labels != len(logits)).sum()"),
        ("PAD = 7\n", "(b != PAD).sum()", "(labels != 7).sum()"),
        ("PAD = -7\n", "(b != PAD).sum()", "(labels != -7).sum()"),
        ("PAD = made()\n", "(b != PAD).sum()", ""),
        ("PAD = 7\nPAD = 8\n", "(b != PAD).sum()", ""),
    ],
)
def test_a_helper_of_another_file(above: str, divisor: str, text: str, tmp_path: Path) -> None:
    body = f"def f(a, b):\n    return F.cross_entropy(a, b, reduction='sum') / {divisor}\n"
    (tmp_path / "helper.py").write_text(f"import torch.nn.functional as F\n{above}\n{body}")
    (window,) = facts_in(loop(f"{HEAD}loss = f(logits, labels)", "from helper import f"), tmp_path).windows
    found = window.losses[0][0].site.divisor
    assert found is not None and found.text == text
