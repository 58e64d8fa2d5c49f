"""What do numbers say about a rewrite, before it is written?"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from ga_lint.diagnostics import Finding
from ga_lint.engine.fix_file import Answer, Judgement, Trial
from ga_lint.verify import Outcome, Settings, Verdict, Verifier, site_at


class Confirmer:
    """Runs each rewrite in a warm worker and keeps the verdicts."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._verifier = Verifier(settings or Settings())
        self.verdicts: dict[Finding, Verdict] = {}

    def __call__(self, trial: Trial) -> Answer:
        site = site_at(trial.before.path, trial.before.text, trial.finding.span.start.row)
        if site is None:
            return Answer(Judgement.UNKNOWN, "nothing around it can be run")
        site = replace(site, rewritten=trial.after.text)
        verdict = self.verdicts[trial.finding] = self._verifier.verify(site)
        match verdict.outcome:
            case Outcome.CONFIRMED:
                return Answer(Judgement.CONFIRMED)
            case Outcome.REFUTED:
                return Answer(Judgement.REFUTED, verdict.reason or "the gradient is still wrong")
            case Outcome.CORRECT:
                return Answer(Judgement.REFUTED, "the code is right as it is")
            case outcome:
                reason = f": {verdict.reason}" if verdict.reason else ""
                return Answer(Judgement.UNKNOWN, f"{outcome.value}{reason}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._verifier.close()
