"""Which training does `--impact` speak of: its target counts from a file, its window from the code or the options?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from msgspec import Struct

from ga_lint.cli.arguments import Arguments
from ga_lint.diagnostics import EffectKind, Finding
from ga_lint.engine.facts_of import WindowSize
from ga_lint.errors import UsageError
from ga_lint.report.numeric.model import NumericReport, SiteImpact, SiteReport, place
from ga_lint.report.text import shown
from ga_lint.verify.impact import Impact, Law, impact, law_of
from ga_lint.verify.model import Outcome, Site

_NEEDS_IMPACT = ("field", "accumulation_steps", "batch_size")
_LAST_WINDOW = "GA108"
_OF_STEPS_AND_RANKS = re.compile(r"^(1|GAS(\^\d+)?|N|[*/()])+$")
_DIGITS = 12  # of a count
_NOT_COUNTED = -100  # what labels hold where there is no target


class Training(Struct, frozen=True):
    """What the command line says about a training."""

    file: Path
    counts: tuple[int, ...]
    steps: int | None
    batch_size: int | None


def training_of(arguments: Arguments) -> Training | None:
    """None where `--impact` was not given; UsageError names what is wrong with its file or its numbers."""
    file = arguments.text("impact")
    if file is None:
        for name in _NEEDS_IMPACT:
            if arguments.text(name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} speaks of the training of --impact FILE; give both")
        return None
    steps, size = _positive(arguments, "accumulation_steps"), _positive(arguments, "batch_size")
    counts = tuple(_counts(Path(file), arguments.text("field")))
    if not any(counts):
        what = "no sample in it holds a target" if counts else "it is empty"
        raise UsageError(f"--impact: {shown(file)}: {what}; write the number of targets of each sample, one a line")
    return Training(Path(file), counts, steps, size)


def _positive(arguments: Arguments, name: str) -> int | None:
    text = arguments.text(name)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > _DIGITS or not int(text):
        raise UsageError(f"--{name.replace('_', '-')} takes a whole number of 1 or more, not {text!r}")
    return int(text)


def _counts(path: Path, field: str | None) -> Iterator[int]:
    try:
        with path.open(encoding="utf-8") as lines:
            for row, line in enumerate(lines, 1):
                if line.strip():
                    yield _count(line.strip(), field, f"--impact: {shown(path)}:{row}")
    except OSError as error:
        raise UsageError(f"--impact: {shown(path)} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--impact: {shown(path)} is not UTF-8; write one whole number a line") from None


def _count(line: str, field: str | None, where: str) -> int:
    if field is None:
        if line.startswith("{"):
            raise UsageError(f"{where}: JSON lines need --field NAME, one of {_fields(line)}")
        if not line.isdecimal() or not line.isascii() or len(line) > _DIGITS:
            raise UsageError(f"{where}: {_cut(line)} is no number of targets; write one whole number a line")
        return int(line)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise UsageError(f"{where}: {_cut(line)} is not JSON; write one object a line, or leave --field out") from None
    if not isinstance(value, dict) or field not in value:
        raise UsageError(f"{where}: there is no field {field!r}; there is {_fields(line)}")
    return _count_in(value[field], field, where)


def _count_in(value: object, field: str, where: str) -> int:
    """A number, or the labels themselves: those that count."""
    if isinstance(value, list) and all(isinstance(each, int) for each in value):
        return sum(each != _NOT_COUNTED for each in value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_DIGITS:
        return value
    what = "a whole number of targets, or a list of labels"
    raise UsageError(f"{where}: {field!r} is {_cut(json.dumps(value))}; it must be {what}")


def _fields(line: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return "its fields"
    return ", ".join(map(repr, value)) if isinstance(value, dict) and value else "nothing in it"


def _cut(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


class Impacts:
    """Works out what each fault does to the training."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._known: dict[tuple[int, int], Impact] = {}
        self.unknown: list[str] = []  # what was asked for and could not be worked out

    def size(self, found: WindowSize, where: str) -> tuple[int, int]:
        """The accumulation steps and the batch size; the options win over the code."""
        steps = self._training.steps or found.steps
        if steps is None:
            source = f"the code takes them from `{shown(found.steps_text)}`; " if found.steps_text else ""
            raise UsageError(f"--impact: how many accumulation steps has {where}? {source}give --accumulation-steps N")
        batch_size = self._training.batch_size or found.batch_size
        if batch_size is None:
            raise UsageError(f"--impact: how many samples has a micro-batch of {where}? give --batch-size N")
        return steps, batch_size

    def of(self, size: tuple[int, int]) -> Impact:
        if size not in self._known:
            self._known[size] = impact(self._training.counts, *size)
        return self._known[size]

    def added(self, report: NumericReport, size_of: Callable[[Site], WindowSize]) -> NumericReport:
        """The report with the impact of every site that is at fault, or of none."""
        sites = [self._with_impact(site, size_of) for site in report.sites]
        instead = None
        if not any(site.impact for site in sites) and self._training.steps and self._training.batch_size:
            instead = self.of((self._training.steps, self._training.batch_size))
        return replace(report, sites=sites, counts=str(self._training.file), instead=instead)

    def _with_impact(self, site: SiteReport, size_of: Callable[[Site], WindowSize]) -> SiteReport:
        law = fault_of(site)
        if law is None:
            return site
        try:
            size = self.size(size_of(site.site), place(site))
        except UsageError as error:  # `check` says nothing of this site: found out too late to refuse the run
            self.unknown.append(str(error))
            return site
        return replace(site, impact=SiteImpact(law, self.of(size)))


def fault_of(site: SiteReport) -> Law | None:
    """What the site does wrong: as measured, else as `check` says. None: nothing, or nothing that is known."""
    stated = [each.stated for each in site.findings if each not in site.withdrawn]
    measured = law_of(site.verdict.runs)
    if measured is None or not site.is_fault or site.fault_of_ranks is not None:  # one process shows nothing
        laws = [law for finding in stated if (law := stated_law(finding)) is not None]
        measured = laws[0] if laws and site.outcome is not Outcome.CORRECT else Law()
    if any(finding.code == _LAST_WINDOW for finding in stated):
        measured = replace(measured, last_window=True)
    return measured if measured != Law() else None


def stated_law(finding: Finding) -> Law | None:
    """What a finding says about sizes and weights."""
    effect = finding.effect
    if finding.code == _LAST_WINDOW:
        return Law(last_window=True)
    if effect.kind is EffectKind.WEIGHTS:
        return Law(mean_of_means=True) if effect.mean_of_means else None
    if effect.kind is EffectKind.SCALE and effect.factor and _OF_STEPS_AND_RANKS.match(effect.factor):
        return Law(effect.factor, effect.mean_of_means)
    return None
