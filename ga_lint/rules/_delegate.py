"""When can `super().compute_loss` take the place of a call of the model whose own loss is returned?"""

from __future__ import annotations

from ga_lint.diagnostics import FixRequest, FixTier
from ga_lint.facts.model import LossTerm, Override
from ga_lint.rules._overrides import added_in
from ga_lint.rules._requests import Fix, Targets


def delegate_fix(override: Override, terms: list[LossTerm]) -> Fix:
    sites = {term.site for term in terms}
    if len(sites) > 1:
        return None, "the model is called more than once"
    site = sites.pop()
    places = [read.span for call, read in override.loss_reads if call == site.call]
    if not places:
        return None, "where the loss is read from the model's output could not be followed"
    targets: Targets = [("call", site.call.span), *(("loss", span) for span in places), *added_in(override)]
    return FixRequest("delegate-loss", FixTier.UNSAFE, "let super() compute the loss", tuple(targets)), None
