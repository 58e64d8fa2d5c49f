"""GA220: see rules/GA220-uncounted-labels.md."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Confidence, Finding, Severity
from ga_lint.facts.model import LOSS_OVERRIDE_WORDS, Answer, FileFacts, Level, LossTerm, Override, Place, Returned
from ga_lint.project import Project
from ga_lint.rules._effects import MEAN_OF_MEANS
from ga_lint.rules._overrides import inside, receives_count, returned_terms
from ga_lint.rules.registry import rule


@rule(
    "GA220",
    "uncounted-labels",
    "the targets stand under another key than `labels`, so the Trainer counts nothing",
    severity=Severity.WARNING,
    needles=LOSS_OVERRIDE_WORDS,
)
def uncounted_labels(facts: FileFacts, project: Project) -> Iterator[Finding]:
    if project.trainer_passes_count is False:
        return
    for override in facts.overrides:
        if override.method != "compute_loss" or not receives_count(override) or override.counts_itself:
            continue
        if override.opted_out or override.sample_base or override.labels_in_batch is not Answer.NO:
            continue
        reported: set[Place] = set()
        for returned, term in returned_terms(override):
            place = term.site.call if inside(term.site.call, override.function) else returned.place
            named = bool(term.site.labels_from)  # which entry of the batch they are is all there is to say
            if named and term.site.level is not Level.SAMPLE and place not in reported:
                reported.add(place)
                yield _finding(override, returned, term, place)


def _finding(override: Override, returned: Returned, term: LossTerm, place: Place) -> Finding:
    key = term.site.labels_from
    # Who divides by the count expects one; a batch of batches has labels as a language model takes them. Others who
    # return a mean may know that there is none.
    sure = key.endswith('["labels"]') or (term.uses_count and term.site.level is Level.TOKEN)
    return Finding(
        code="GA220",
        name="uncounted-labels",
        severity=Severity.WARNING,
        confidence=min(override.confidence, Confidence.LIKELY if sure else Confidence.POSSIBLE),
        message=f"the targets are `{key}`: the Trainer looks for a key `labels`, finds none and passes no count",
        span=place.span,
        label="targets that nobody counts",
        effect=MEAN_OF_MEANS,
        scope=override.scope,
        trace=(
            override.name.as_step(f"{override.cls} reaches {override.base}; the count is None here"),
            term.site.call.as_step(f"the loss is over `{key}`"),
            returned.place.as_step("returned to the Trainer, which divides it by the steps"),
        ),
        fix_refusal="rename the key to `labels` in the collator, or count it in `_get_num_items_in_batch`",
    )
