"""GA214: see rules/GA214-mismatched-num-items.md."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, FixRequest, FixTier, Severity
from ga_lint.facts.model import (
    FORWARD_WORDS,
    LOSS_FUNCTION_WORDS,
    LOSS_OVERRIDE_WORDS,
    Factor,
    FactorKind,
    FileFacts,
    Level,
    LossTerm,
    Place,
    Reduction,
    Returned,
)
from ga_lint.project import Project
from ga_lint.rules._overrides import Followed, handed_count, inside, returned_terms
from ga_lint.rules.registry import rule

_ROWS = re.compile(r"\.size\(0\)|\.shape\[0\]|\blen\(|batch_size|\bbsz\b")
_POSITIONS = re.compile(r"attention_mask|input_ids|\.numel\(\)|\.size\(1\)|\.shape\[1\]")
_FROM_SECOND = re.compile(r"\[[^\[\]]*\b[1-9]\d*:")  # `labels[..., 1:]`
# timid: what is called so may be the right number, counted where it could not be followed
_COUNTED = re.compile(r"count|num|n_|tokens|items|valid|target|denom|total|norm", re.IGNORECASE)


@rule(
    "GA214",
    "mismatched-num-items",
    "a mean is divided by the count, and what multiplies it is not the number of its targets",
    severity=Severity.ERROR,
    needles=(*LOSS_OVERRIDE_WORDS, *LOSS_FUNCTION_WORDS, *FORWARD_WORDS),
)
def mismatched_num_items(facts: FileFacts, project: Project) -> Iterator[Finding]:
    for one in handed_count(facts, project):
        reported: set[Place] = set()
        for returned, term in returned_terms(one):
            division = term.count_division
            why = _mismatch(term) if division is not None else None
            if division is None or why is None or division.place in reported:
                continue
            reported.add(division.place)
            yield _finding(one, returned, term, division, *why)


def _mismatch(term: LossTerm) -> tuple[str, Confidence] | None:
    """What the mean was multiplied with instead of its targets, and how sure that is."""
    site = term.site
    if site.level is Level.SAMPLE and not site.per_row:
        return None  # one target for each sample: rows are what the Trainer counts
    tokens = site.level is Level.TOKEN and (site.shifted or site.ragged or site.is_models_own)
    known = Confidence.LIKELY if tokens else Confidence.POSSIBLE
    if site.reduction is Reduction.SUM and _POSITIONS.search(site.rescaled_by):
        return f"`{site.rescaled_by}` also counts positions that are no targets", known
    if site.reduction is Reduction.SUM and site.per_row:
        return "means over rows are summed, not targets", Confidence.LIKELY
    unshifted = site.rescaled_by and not site.rescaled_shifted and not _FROM_SECOND.search(site.rescaled_by)
    if site.reduction is Reduction.SUM and site.shifted and unshifted:
        return f"`{site.rescaled_by}` also counts the first label, which nothing predicts", Confidence.POSSIBLE
    if site.reduction is not Reduction.MEAN or site.counted:
        return None
    by = [factor for factor in term.factors if factor.power > 0 and factor.kind is FactorKind.OTHER]
    rows = next((factor for factor in by if _ROWS.search(factor.text)), None)
    if rows is not None:
        return f"`{rows.text}` counts rows, not targets", known
    positions = next((factor for factor in by if _POSITIONS.search(factor.text)), None)
    if positions is not None:
        return f"`{positions.text}` also counts positions that are no targets", known
    if any(_COUNTED.search(factor.text) for factor in by):
        return None
    return "its own targets have divided it already", known


def _fix(one: Followed, term: LossTerm, division: Factor) -> FixRequest | None:
    """Multiply by the targets of the mean, in the place of what is multiplied with now."""
    site, divisor = term.site, term.site.divisor
    if (
        divisor is None
        or not divisor.text
        or site.per_row
        or not inside(site.call, one.function)
        or not inside(division.place, one.function)
    ):
        return None
    others = [factor for factor in term.factors if factor.kind is FactorKind.OTHER]
    wrong = [one for one in others if one.power > 0 and (_ROWS.search(one.text) or _POSITIONS.search(one.text))]
    if len(wrong) > 1 or any(one.power < 0 for one in others):
        return None  # what else divides it would divide it still
    other = wrong[0] if wrong else None  # the weight of a term stays
    if site.rescaled_by:
        place, factor = site.reduced, site.rescaled_as
    elif other is not None:
        place, factor = other.place, other.text
    else:
        place, factor = division.place, ""
    role = "scaled" if factor else "division"
    options = (("factor", factor), ("divisor", divisor.text))
    return FixRequest(
        "rescale-mean", FixTier.UNSAFE, "multiply the mean by its own targets", ((role, place.span),), options
    )


def _finding(
    one: Followed,
    returned: Returned,
    term: LossTerm,
    division: Factor,
    why: str,
    known: Confidence,
) -> Finding:
    place = division.place if inside(division.place, one.function) else returned.place
    reduced = term.site.reduced
    fix = _fix(one, term, division)
    return Finding(
        code="GA214",
        name="mismatched-num-items",
        severity=Severity.ERROR,
        confidence=min(known, one.confidence, term.site.confidence),
        message=f"a mean is divided by the count of the window's targets: {why}",
        span=place.span,
        label="divided by the count of targets",
        effect=Effect(
            EffectKind.SCALE,
            "gradients are too small, by another factor for each micro-batch",
            "factor/targets",
        ),
        scope=one.scope,
        trace=(
            *term.site.via,
            reduced.as_step("the mean over this micro-batch's targets"),
            division.place.as_step(f"divided by `{division.text}`"),
            returned.place.as_step("returned to the Trainer"),
        ),
        fix=fix,
        fix_refusal=None if fix else "sum the loss instead of averaging it, or multiply the mean by its targets",
    )
