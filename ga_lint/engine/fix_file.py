"""Which findings of a file can be rewritten, one after another, each on the result of the last?"""

from __future__ import annotations

import contextlib
import enum
from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ga_lint.diagnostics import Finding, FixRequest, FixTier
from ga_lint.engine.own_fixes import unsuppress
from ga_lint.engine.own_rules import UNSUPPRESS
from ga_lint.engine.proof import Check, prove
from ga_lint.errors import FixNotApplicable
from ga_lint.fixers import rewrite
from ga_lint.source import SourceFile

MAX_REWRITES = 100  # of one file; a run that needs more is not going to end


class Judgement(enum.Enum):
    """What a numeric check says about one rewrite."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNKNOWN = "unknown"


class Trial(Struct, frozen=True):
    """One rewrite that is proved to be sound text: is it numerically right?"""

    finding: Finding
    before: SourceFile
    after: SourceFile
    notes: tuple[str, ...] = ()


class Answer(Struct, frozen=True):
    """The numeric check's judgement, and its reason as the user reads it."""

    judgement: Judgement
    reason: str = ""


Confirm = Callable[[Trial], Answer]
Ask = Callable[[Trial, str], bool]  # with the numeric check's word, empty where it was not asked


class Applied(Struct, frozen=True):
    """A finding that was rewritten; `verified` is the numeric check's word, where it was asked."""

    finding: Finding
    verified: str | None
    notes: tuple[str, ...] = ()  # what else the rewrite changes


class NewText(Struct, frozen=True):
    """A rewrite that is proved, what was asked for in the end, and what else the user should know of it."""

    source: SourceFile
    request: FixRequest
    notes: tuple[str, ...]


class Refused(Struct, frozen=True):
    """A finding that was not rewritten, and why.

    `proposed` is the whole text that it would have become, `verified` what the numeric check says about that.
    """

    finding: Finding
    reason: str
    proposed: NewText | None = None
    verified: str | None = None


class FixOutcome(Struct, frozen=True):
    """What became of one file. `refused` findings are those of `after`: their places are in the new text."""

    before: SourceFile
    after: SourceFile
    applied: tuple[Applied, ...]
    refused: tuple[Refused, ...]

    @property
    def changed(self) -> bool:
        return self.after.on_disk != self.before.on_disk


def fix_file(
    source: SourceFile,
    check: Check,
    *,
    unsafe: bool = False,
    verified_only: bool = False,
    confirm: Confirm | None = None,
    ask: Ask | None = None,
) -> FixOutcome:
    """Rewrite what can be proved. `check` says what is wrong with a text; `confirm` runs a rewrite on numbers.

    Safe rewrites are written, unsafe ones with `unsafe` or when `confirm` has confirmed them, all of them only then
    with `verified_only`; one that is refuted never is. With `ask`, the user decides about safe and unsafe ones.
    """
    current, applied, refused = source, list[Applied](), dict[_Key, Refused]()
    for _ in range(MAX_REWRITES):
        findings = check(current)
        keys = _keys(current, findings)
        refused = {key: refused[key] for key in keys if key in refused}
        todo = next(((key, finding) for key, finding in zip(keys, findings, strict=True) if key not in refused), None)
        if todo is None:
            break
        key, finding = todo
        result = _attempt(current, finding, findings, check, _Policy(unsafe, verified_only, confirm, ask))
        if isinstance(result, Refused):
            refused[key] = result
        else:
            current = result.after
            applied.append(result.applied)
            refused.clear()  # what could not be done before may be possible now, and its places have moved
    return FixOutcome(source, current, tuple(applied), tuple(refused.values()))


class _Policy(Struct, frozen=True):
    unsafe: bool
    verified_only: bool
    confirm: Confirm | None
    ask: Ask | None


class _Rewritten(Struct, frozen=True):
    after: SourceFile
    applied: Applied


def _attempt(
    source: SourceFile, finding: Finding, findings: Sequence[Finding], check: Check, policy: _Policy
) -> _Rewritten | Refused:
    request = finding.fix
    if request is None:
        return Refused(finding, finding.fix_refusal or "there is no rewrite for it")
    try:
        new = rewritten(source, finding, request, findings, check)
    except FixNotApplicable as refusal:
        return Refused(finding, str(refusal))
    after, written = new.source, replace(finding, fix=new.request)
    if request.tier is FixTier.DISPLAY:
        return Refused(finding, "shown only: whether it is right depends on what the code is for", new)
    trial = Trial(written, source, after, new.notes)
    confirm = None if request.fixer == UNSUPPRESS else policy.confirm  # a comment has no gradient
    answer = Answer(Judgement.UNKNOWN) if confirm is None else confirm(trial)
    verified = None if confirm is None else answer.judgement.value
    if answer.judgement is Judgement.REFUTED:
        reason = f"the numeric check refutes the rewrite: {answer.reason}"
        return Refused(finding, reason, verified=verified)
    confirmed = answer.judgement is Judgement.CONFIRMED
    if policy.verified_only and not confirmed:
        return Refused(finding, f"not confirmed numerically{_because(answer)}", new, verified)
    if policy.ask is not None:
        word = "" if verified is None else f"{verified}{_because(answer)}"
        if not policy.ask(trial, word):
            return Refused(finding, "declined", new, verified)
    elif request.tier is FixTier.UNSAFE and not policy.unsafe and not confirmed:
        reason = f"it changes the gradient by intent; use --unsafe-fixes{_because(answer)}"
        return Refused(finding, reason, new, verified)
    return _Rewritten(after, Applied(written, verified, new.notes))


def rewritten(
    source: SourceFile, finding: Finding, request: FixRequest, findings: Sequence[Finding], check: Check
) -> NewText:
    """The text without this finding, proved; FixNotApplicable with the reason where that cannot be had."""
    change = unsuppress if request.fixer == UNSUPPRESS else rewrite
    try:
        rewriting = change(source, request)
        after = prove(source, rewriting, finding, findings, check)
    except FixNotApplicable as refusal:
        if request.otherwise is None:
            raise
        with contextlib.suppress(FixNotApplicable):
            return rewritten(source, finding, request.otherwise, findings, check)
        raise refusal from None
    return NewText(after, request, rewriting.notes)


def _because(answer: Answer) -> str:
    return f" ({answer.reason})" if answer.reason else ""


_Key = tuple[str, str, str, int]


def _keys(source: SourceFile, findings: Sequence[Finding]) -> list[_Key]:
    """What a finding is recognised by while lines move: rule, scope, line, and how many before it were alike."""
    seen: Counter[tuple[str, str, str]] = Counter()
    keys = []
    for finding in findings:
        row = finding.span.start.row
        line = source.lines[row - 1].strip() if row <= len(source.lines) else ""
        kind = (finding.code, finding.scope, line)
        keys.append((*kind, seen[kind]))
        seen[kind] += 1
    return keys
