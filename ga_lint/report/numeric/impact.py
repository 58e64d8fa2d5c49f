"""What does the fault do to this user's training? In words, and as bars in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ga_lint.outcome import plural
from ga_lint.report.numeric.model import NumericReport, SiteImpact, place
from ga_lint.report.text import shown, wrapped
from ga_lint.verify.impact import Impact, Weight

_BEFORE_BARS = 33  # columns of the numbers of a row
_LEAST_BARS = 6  # columns; narrower bars say nothing
_NAMES = {0.0: "shortest", 0.5: "median", 1.0: "longest"}
_RARE = 1e-4  # a share of empty micro-batches that is worth a word


def impact_lines(report: NumericReport) -> Iterator[str]:
    """Everything about the training set, or nothing where it was not asked for."""
    found = [site for site in report.sites if site.impact is not None]
    if report.counts is None or not (found or report.instead):
        return
    yield ""
    for site in found:
        assert site.impact is not None
        yield f"Impact of {place(site)} with the counts of {shown(report.counts)}:"
        yield from _site(site.impact, report)
    if report.instead is not None:
        yield from wrapped(
            "No fault was found, so nothing is distorted. A mean of means would do this:", report.width, 0
        )
        yield from _set(report.instead, report.width)
        yield from _table(report.instead.weights, report)
        for sentence in weight_sentences(report.instead):
            yield from wrapped(sentence, report.width)


def _site(found: SiteImpact, report: NumericReport) -> Iterator[str]:
    yield from _set(found.impact, report.width)
    for sentence in scale_sentences(found):
        yield from wrapped(sentence, report.width)
    if found.law.mean_of_means:
        yield from _table(found.impact.weights, report)
        for sentence in weight_sentences(found.impact):
            yield from wrapped(sentence, report.width)


def _set(impact: Impact, columns: int) -> list[str]:
    return wrapped(set_sentence(impact), columns)


def set_sentence(impact: Impact) -> str:
    """The training set and how it is cut."""
    batches = "1 micro-batch" if impact.steps == 1 else f"{impact.steps:,} micro-batches"
    samples = f"{plural(impact.samples, 'sample')} with {impact.shortest:,} to {impact.longest:,} targets"
    return f"{samples}, {impact.mean:,.0f} on average; windows of {batches} of {plural(impact.batch_size, 'sample')}"


def scale_sentences(found: SiteImpact) -> Iterator[str]:
    """What becomes of the size of the gradient."""
    ranks = ", and once more for each rank" if found.by_ranks else ""
    if found.scale > 1:
        yield f"Gradients are {found.scale:,.4g} times too large{ranks}: so is an SGD step, and clipping cuts more."
    elif found.scale < 1:
        yield f"Gradients are {1 / found.scale:,.4g} times too small{ranks}: so is an SGD step, and clipping cuts less."
    elif found.by_ranks:
        yield "The size of the gradients changes with the number of ranks."
    elif found.law.mean_of_means:
        yield "The gradient's size is right on average."
    impact = found.impact
    if found.law.last_window and impact.last < impact.steps:
        yield (
            f"An epoch ends with a window of {impact.last} of {impact.steps} micro-batches: its gradient is "
            f"{impact.last / impact.steps:.2g} of the right one."
        )


def weight_sentences(impact: Impact) -> Iterator[str]:
    """What becomes of the weights of targets."""
    if impact.steps == 1:
        yield "One micro-batch is a whole window: nothing is distorted."
        return
    if impact.spread < _RARE:
        yield "All micro-batches hold as many targets: nothing is distorted."
        return
    yield (
        f"Expected relative error where targets are independent of each other: {impact.spread:.2g}. "
        f"A window's gradient is as noisy as that of {100 * impact.effective:.0f} % of its targets."
    )
    if impact.empty > _RARE:
        yield f"{100 * impact.empty:.2g} % of the micro-batches hold no target at all: their mean is NaN."


def quantile_name(quantile: float) -> str:
    """ "shortest", "10 %", "median"."""
    return _NAMES.get(quantile, f"{100 * quantile:.0f} %")


def _table(weights: Sequence[Weight], report: NumericReport) -> Iterator[str]:
    yield from wrapped("What a sample's targets weigh, where 1 is their weight in the full batch:", report.width)
    yield f"  {'sample':<9} {'targets':>9} {'weight':>8}"
    bars = _bars([math.log2(each.weight) for each in weights], report.width - _BEFORE_BARS, plain=report.plain)
    for each, bar in zip(weights, bars, strict=True):
        yield f"  {quantile_name(each.quantile):<9} {each.count:>9,} {each.weight:>8.3g}  {bar}".rstrip()


def _bars(values: Sequence[float], columns: int, *, plain: bool) -> list[str]:
    """Bars to both sides of an axis: to the right what weighs more, to the left what weighs less."""
    low, high = max(0.0, -min(values)), max(0.0, *values)
    if columns < _LEAST_BARS or low + high == 0:
        return [""] * len(values)
    ink, axis = ("#", "|") if plain else ("█", "│")
    unit = (columns - 1) / (low + high)
    left = round(low * unit)
    found = []
    for value in values:
        length = round(abs(value) * unit)
        before = (ink * length if value < 0 else "").rjust(left)
        found.append(f"{before}{axis}{ink * length if value > 0 else ''}")
    return found
