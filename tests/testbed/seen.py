"""What do the facts say of code that a test writes out in full?"""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

from ga_lint.facts.extract import extract
from ga_lint.facts.model import Factor, FileFacts, LossTerm, Override, Window
from ga_lint.project import Project
from ga_lint.source import decode
from ga_lint.syntax.parsed import parse

LOOP = """\
import torch
import torch.nn as nn
import torch.nn.functional as F

{above}

def train(model, loader, optimizer, steps, args):
{before}
    for step, batch in enumerate(loader):
{lines}
        {backward}
        if {gate}:
            optimizer.step()
            optimizer.zero_grad()
"""

HEAD = """\
import torch
import torch.nn.functional as F
from transformers import Trainer
"""
SIGNATURE = "self, model, inputs, return_outputs=False, num_items_in_batch=None"
MEAN = 'return F.cross_entropy(model(inputs["input_ids"]).logits, inputs["labels"])\n'
LOSS = 'loss = F.cross_entropy(model(batch["x"]).logits, batch["labels"])'


def facts_in(text: str, folder: Path = Path("project")) -> FileFacts:
    """The facts of one file of a project, which may hold others on disk."""
    return extract(parse(decode(folder / "train.py", text.encode())), Project(folder))


def loop(
    lines: str,
    above: str = "",
    before: str = "pass",
    gate: str = "(step + 1) % steps == 0",
    backward: str = "loss.backward()",
) -> str:
    """A training loop around these lines."""
    lines, before = indent(lines.strip("\n"), " " * 8), indent(before, " " * 4)
    return LOOP.format(above=above, before=before, lines=lines, gate=gate, backward=backward)


def told(term: LossTerm) -> str:
    """One term in a line: how it was put together, what one element is, and each factor."""
    site = term.site
    marks = [name for name in ("counted", "masked", "weighted", "weighed", "policy", "per_row") if getattr(site, name)]
    words = [site.reduction.value, site.level.value, *marks, *map(_factor, term.factors)]
    return " ".join(words)


def _factor(factor: Factor) -> str:
    return f"{'/*'[factor.power > 0]} {factor.kind.value}"


def losses_in(text: str) -> list[str]:
    """What can reach the one backward of the text, each sum of terms as a line."""
    (window,) = facts_in(text).windows
    return [" + ".join(map(told, terms)) for terms in window.losses]


def overrides(
    body: str,
    after: str = "",
    *,
    bases: str = "(Trainer)",
    signature: str = SIGNATURE,
    method: str = "compute_loss",
    head: str = HEAD,
) -> tuple[Override, ...]:
    text = f"{head}\n\nclass OwnTrainer{bases}:\n    def {method}({signature}):\n{indent(body, ' ' * 8)}\n{after}"
    return facts_in(text).overrides


def override(body: str, after: str = "", **options: str) -> Override:
    return overrides(body, after, **options)[0]


def returned(one: Override) -> list[str]:
    return [" + ".join(map(told, terms)) for each in one.returns for terms in each.sums]


def window_in(text: str, folder: Path = Path("project")) -> Window | None:
    """The one window; None where there is none."""
    found = facts_in(text, folder).windows
    return found[0] if len(found) == 1 else None
