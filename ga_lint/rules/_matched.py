"""When can a count be made that of what the loss sums, where it is counted?"""

from __future__ import annotations

from ga_lint.diagnostics import FixRequest, FixTier
from ga_lint.facts.model import Place
from ga_lint.rules._counting import counting_written_out
from ga_lint.rules._loops import Loss
from ga_lint.rules._requests import MASKED, WEIGHED, Fix, Targets


def match_fix(loss: Loss, places: list[Place | None]) -> Fix:
    """The request to count what the loss sums at `places`, or why there is none."""
    window, site = loss.window, loss.term.site
    if site.weighted:
        return None, "the loss has class weights, so no count of targets is what its sum is over"
    if any(len(terms) > 1 for terms in window.losses):
        return None, "the loss has several terms, and each needs a count of its own"
    if site.masked or site.weighed:
        return None, MASKED if site.masked else WEIGHED
    targets: Targets = [("loop", window.loop.span)]
    counting = counting_written_out(loss, targets)
    if isinstance(counting, str):
        return None, counting
    for place in places:
        if place is None or place.path != window.loop.path:
            return None, "where the micro-batches are counted could not be followed"
        targets.append(("count", place.span))
    return FixRequest("match-count", FixTier.UNSAFE, "count what the loss sums", tuple(targets), tuple(counting)), None
