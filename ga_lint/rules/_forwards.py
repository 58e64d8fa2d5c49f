"""What do the rules about models' forwards share? Their losses, what the class says of the count, and the rewrites."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import FixRequest, FixTier, Step
from ga_lint.facts.model import Level, LossTerm, ModelForward, Place
from ga_lint.rules._overrides import added_in, adds_elsewhere, inside, is_plain_mean, other_targets, returned_terms
from ga_lint.source import Span


def means_of(forward: ModelForward) -> Iterator[tuple[Place, LossTerm]]:
    """Each mean that the forward returns, with the place to point at: its reduction, else the return."""
    seen: set[Place] = set()
    for returned, term in returned_terms(forward):
        place = term.site.reduced if inside(term.site.reduced, forward.function) else returned.place
        counted = any(other.site.counted or not is_plain_mean(other) for other in returned.terms or ())
        if is_plain_mean(term) and not counted and place not in seen:
            seen.add(place)
            yield place, term


def says(forward: ModelForward, value: bool) -> bool:
    """Does the class say that it uses the count (True), or that it does not (False)?"""
    return any(step.message.endswith(str(value)) for step in forward.declared)


def trace_of(forward: ModelForward, term: LossTerm, passes: str) -> tuple[Step, ...]:
    """From the signature to the reduction."""
    reduced = term.site.reduced
    return (
        forward.name.as_step(f"`{forward.cls}.forward` {passes}"),
        *term.site.via,
        reduced.as_step("reduced to a mean here"),
    )


def count_fix(forward: ModelForward, terms: list[LossTerm], *, add_keywords: bool) -> FixRequest | None:
    """Divide the one cross-entropy of this forward by the count; None where that is not its shape."""
    site = terms[0].site
    here = site.reduced.path == forward.function.path and forward.function.span.contains(site.reduced.span)
    if len({term.site for term in terms}) > 1 or terms[0].factors or not here or site.level is Level.SAMPLE:
        return None
    if forward.level is Level.SAMPLE or other_targets(site) is not None or adds_elsewhere(forward):
        return None
    role = "call" if site.call == site.reduced else "mean"
    targets: list[tuple[str, Span]] = [*added_in(forward), (role, site.reduced.span)]
    if site.call == site.reduced:
        if not site.callee.lower().replace("_", "").endswith(("crossentropy", "crossentropyloss")):
            return None
        if site.constructor is not None:
            if not forward.function.span.contains(site.constructor.span):
                return None
            targets.append(("constructor", site.constructor.span))
    options = (("keywords", "kwargs"),) if add_keywords else ()
    summary = "divide the sum by the count"
    return FixRequest("count-loss-function", FixTier.UNSAFE, summary, tuple(targets), options)
