"""GA210: see rules/GA210-half-opt-out.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Effect, Finding, FixRequest, FixTier, Severity, Step
from ga_lint.facts.model import FileFacts, Override, Place
from ga_lint.knowledge.trainer_law import Form, Site, Usage
from ga_lint.project import Project
from ga_lint.rules._effects import effect_of
from ga_lint.rules._overrides import SUPER, returned_terms, says
from ga_lint.rules.registry import rule


@rule(
    "GA210",
    "half-opt-out",
    "loss_is_scaled_for_ga = False beside super().compute_loss, which still multiplies by the number of ranks",
    severity=Severity.ERROR,
    needles=(b"loss_is_scaled_for_ga",),
)
def half_opt_out(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.averages_tokens is False:
        return
    for override in facts.overrides:
        flag = says(override, "loss_is_scaled_for_ga is set to False")
        if flag is None or override.method != "compute_loss" or override.local_average or override.sample_base:
            continue
        if any(step.message.endswith("accepts_loss_kwargs is set to False") for step in override.opted_out):
            continue
        call = next((term.site.call for _, term in returned_terms(override) if term.site.callee == SUPER), None)
        if call is not None:
            usage = Usage(Site.SUPER_WITH_COUNT, Form.MEAN, scaled=False, ranks=True)
            yield _finding(override, flag, call, effect_of(usage, facts, project))


def _finding(override: Override, flag: Step, call: Place, effect: Effect) -> Finding:
    return Finding(
        code="GA210",
        name="half-opt-out",
        severity=Severity.ERROR,
        confidence=override.confidence,
        message="the class says that its loss is a mean, and super() multiplies it by the number of ranks all the same",
        span=(call if call.path == override.name.path else override.name).span,
        label="multiplied by the number of ranks in there",
        effect=effect,
        scope=override.scope,
        trace=(
            flag,
            call.as_step("the Trainer multiplies by the number of ranks wherever a count is passed"),
        ),
        fix=FixRequest(
            "opt-out",
            FixTier.SAFE,
            "opt out of the count as well: model_accepts_loss_kwargs = False",
            (("method", override.function.span),),
        ),
    )
