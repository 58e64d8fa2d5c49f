"""How are the targets of one micro-batch counted? The options that a fixer gets, or the reason why it can't."""

from __future__ import annotations

from ga_lint.facts.model import LossSite, Reduction
from ga_lint.rules._loops import Loss, in_loop
from ga_lint.rules._requests import Options, Targets


def counting_of(site: LossSite) -> Options | str:
    """How the targets of one micro-batch are counted, in the names of the loop's head; else the reason why not."""
    if site.masked or site.averaged_over:
        return of_targets(site)
    if site.call != site.reduced and not site.is_models_own:
        return "the mean is over all positions, those that are no targets too"
    if site.labels_remade:
        return "some targets are masked, cut off or replaced in the loop, after they would be counted"
    if not site.labels_from:
        return "where the targets come from could not be followed to the loop's head"
    if site.shifted is None and site.is_models_own:
        return "whether the model's own loss shifts its labels is not known"
    if site.explicit_ignore and site.ignore_index is None:
        return "which targets the loss ignores is not written down where the loop could read it"
    options = [("labels", site.labels_from), ("shifted", "yes" if site.shifted else "no")]
    if site.ignore_index is not None:
        options.append(("ignore_index", site.ignore_index))
    return options


def counting_written_out(loss: Loss, targets: Targets) -> Options | str:
    """The same; targets that are made in the loop are written out as the loss call is handed them."""
    site = loss.term.site
    counting = counting_of(site)
    plain = not (site.masked or site.averaged_over or site.is_models_own)
    plain = plain and (site.call == site.reduced or site.reduction is not Reduction.MEAN)  # a mean over targets alone
    if not isinstance(counting, str) or not site.labels_remade or not plain or not site.labels:
        return counting
    if not in_loop(site.call, loss.window) or (site.explicit_ignore and site.ignore_index is None):
        return counting
    targets.append(("handed", site.call.span))
    ignored = [] if site.ignore_index is None else [("ignore_index", site.ignore_index)]
    return [("labels", site.labels), *ignored]


def of_targets(site: LossSite) -> Options | str:
    """The count that a mean by hand divides by."""
    targets = site.live if site.reduction is Reduction.SUM and site.masked else site.targets
    if targets is None and site.averaged_over:
        return f"the mean is over `{site.averaged_over}`, which is made in the loop and not known before"
    if targets is None:
        return "the mean runs over a mask that is made in the loop, or over what its mask leaves out too"
    shifted = ("shifted", "yes" if targets.shifted else "no")
    if targets.leaves_out is None:
        return [("mask", targets.source), shifted]
    return [("labels", targets.source), shifted, ("ignore_index", targets.leaves_out)]
