"""GA201: see rules/GA201-missing-num-items.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Finding, Severity
from ga_lint.facts.model import LOSS_OVERRIDE_WORDS, STEP_OVERRIDE_WORDS, FileFacts, Override
from ga_lint.knowledge.trainer_law import Form, Site, Usage
from ga_lint.project import Project
from ga_lint.rules._effects import effect_of
from ga_lint.rules._override_fixes import crash_fix
from ga_lint.rules._overrides import MEAN_FIRST, dropped_calls, receives_count, returns_mean_anyhow
from ga_lint.rules.registry import rule

_PASSED = ("compute_loss", "training_step")


@rule(
    "GA201",
    "missing-num-items",
    "an override has no parameter for the count that the Trainer passes",
    severity=Severity.ERROR,
    needles=(*LOSS_OVERRIDE_WORDS, *STEP_OVERRIDE_WORDS),
)
def missing_num_items(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    for override in facts.overrides:
        if override.method in _PASSED and not receives_count(override) and not _spared(override):
            yield _finding(override, facts, project)


def _spared(override: Override) -> bool:
    """Only the project's own code calls this method, and in its own way."""
    return override.own_step if override.method == "compute_loss" else override.own_loop


def _finding(override: Override, facts: FileFacts, project: Project) -> Finding:
    takes = "passes num_items_in_batch" if override.method == "compute_loss" else "passes a third argument"
    fix, refusal = crash_fix(override, project)
    steps_by_super = override.method == "training_step" and bool(dropped_calls(override))
    if steps_by_super and returns_mean_anyhow(facts, override.cls):
        fix, refusal = None, MEAN_FIRST
    return Finding(
        code="GA201",
        name="missing-num-items",
        severity=Severity.ERROR,
        confidence=override.confidence,
        message=f"`{override.method}` cannot take the count: the Trainer {takes} since transformers 4.46",
        span=override.name.span,
        label="no parameter for the count",
        effect=effect_of(Usage(Site.OVERRIDE_WITHOUT_PARAMETER, Form.MEAN), facts, project),
        scope=override.scope,
        trace=(override.name.as_step(f"{override.cls} reaches {override.base}"),),
        fix=fix,
        fix_refusal=refusal,
    )
