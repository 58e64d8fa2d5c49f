"""GA211: see rules/GA211-contradicted-opt-out.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Effect, Finding, FixRequest, FixTier, Severity, Step
from ga_lint.facts.model import ALL_OFF, LOSS_OVERRIDE_WORDS, Answer, Factor, FileFacts, LossTerm, Override
from ga_lint.knowledge.trainer_law import Form, Site, Usage
from ga_lint.project import Project
from ga_lint.rules._count_passed import accept_fix
from ga_lint.rules._effects import effect_of
from ga_lint.rules._overrides import SUPER, returned_terms, says
from ga_lint.rules._requests import Fix
from ga_lint.rules.registry import rule

_FLAGS = (
    ("model_accepts_loss_kwargs is set to False", "so the Trainer never passes one", {"accepted": False}),
    ("loss_is_scaled_for_ga is set to False", "so the Trainer divides by the steps as well", {"scaled": False}),
)


@rule(
    "GA211",
    "contradicted-opt-out",
    "a class opts out of the count and divides by it",
    severity=Severity.WARNING,
    needles=LOSS_OVERRIDE_WORDS,
)
def contradicted_opt_out(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    for override in facts.overrides:
        if override.method != "compute_loss" or override.own_step:
            continue
        if says(override, ALL_OFF) is not None:
            continue  # all scaling is switched off on purpose: the count is the class's own
        divided = next(((t, f) for _, t in returned_terms(override) if (f := _division(t))), None)
        for words, consequence, opted_out in _FLAGS:
            flag = says(override, words)
            if divided is not None and flag is not None:
                effect = effect_of(Usage(Site.OVERRIDE, Form.COUNT, **opted_out), facts, project)
                yield _finding(override, *divided, flag, consequence, effect, project)
                break


def _division(term: LossTerm) -> Factor | None:
    if term.site.callee == SUPER:
        return None
    return term.count_division


def _finding(
    override: Override,
    term: LossTerm,
    division: Factor,
    flag: Step,
    consequence: str,
    effect: Effect,
    project: Project,
) -> Finding:
    here = division.place if division.place.path == override.function.path else override.name
    fix, refusal = _fix(override, flag, project)
    return Finding(
        code="GA211",
        name="contradicted-opt-out",
        severity=Severity.WARNING,
        confidence=min(override.confidence, term.site.confidence),
        message=f"the loss is divided by the count, but {flag.message.replace(' is set to ', ' is ')}, {consequence}",
        span=here.span,
        label="divided by the count",
        effect=effect,
        scope=override.scope,
        trace=(
            flag,
            division.place.as_step(f"divided by `{division.text}`"),
        ),
        fix=fix,
        fix_refusal=refusal,
    )


def _fix(override: Override, flag: Step, project: Project) -> Fix:
    """Take the opt-out away; for a model that takes no count, say the opposite."""
    if flag.path != override.function.path:
        return None, "the opt-out stands in another file"
    if override.accepted is Answer.NO:
        return accept_fix(override, project, flag.span)
    return FixRequest("drop-statement", FixTier.UNSAFE, "drop the opt-out", (("statement", flag.span),)), None
