"""What does a fixture say about itself?

Expectations stand at the end of the line that they are about, so a fixture has no line numbers:

    loss = loss / steps  # expect: GA101            a finding starts on this row; several codes with commas
    loss = loss / steps  # ok: GA101 - full blocks  it stays silent here, and why
    loss = loss / steps  # todo: GA101              a known gap; must go when the gap closes

Equality is exact: a finding that no `expect` names fails, and so does an `expect` that nothing meets.

`<name>.fixed.py` beside a fixture is what `ga-lint fix --unsafe-fixes` makes of it without its markers. What cannot be
fixed stays as it is and is expected there too, so a file that must not be rewritten is its own fixed file.

The row of a finding is the row on which its primary location starts:

    GA101, GA103  the division by the steps where the user wrote one (in this file), else the backward call
    GA102         the backward call
    GA104-GA106   the division by the count
    GA107         where gradients are scaled
    GA108, GA110  the division by the steps
    GA109         where gradients are cleared; the backward call of an engine
    GA201         the `def` of the override
    GA202         where the loss is reduced to a mean, if that is in this file; else the first `return` that hands it on
    GA203         the call of super()
    GA204         the division by the count, or the call that is handed it, where that is in the override; else the
                  `return`
    GA212         where the count is computed with, or the call that leads there
    GA214         the division by the count, if that is in the function; else the `return`
    GA217         the Trainer
    GA221         as GA204, or else the `def` of the override
    GA220         the call that computes the loss, if that is in the override; else the `return`
    GA301         the number of batches that the Trainer accumulates, if that is in this file; else the `return`
    GA401-GA403   the argument that sets the steps, the smoothing or the engine
    GA302         the division; for a DeepSpeed strategy the argument that sets the number

When backward runs in a function of another file, the call that leads there takes its place. What a helper of another
file divides or multiplies is shown at the loop's backward, or at the `return` that hands it on.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_MARKER = re.compile(r"#\s*(?P<verb>expect|ok|todo)\b\s*:?")
_CODES = r"GA\d{3}(?:\s*,\s*GA\d{3})*"
_LINE = re.compile(rf"# (?:(?P<verb>expect|todo): (?P<codes>{_CODES})|ok: (?P<silent>{_CODES}) - (?P<reason>\S.*))")
_TRAILING = re.compile(rf"[ ]*# (?:expect|todo|ok): {_CODES}.*$", re.MULTILINE)

Place = tuple[int, str]  # row, code


class FixtureError(Exception):
    """The fixture's own grammar is wrong, at which row."""


@dataclass(frozen=True)
class Expectations:
    """Everything that one file says about its findings."""

    expected: Counter[Place] = field(default_factory=Counter)
    gaps: frozenset[Place] = frozenset()
    silences: frozenset[Place] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.expected or self.gaps or self.silences)

    def complaints(self, found: Counter[Place]) -> list[str]:
        """What differs between `found` and what was expected, as one reads it in a failing test."""
        lines = []
        for row, code in sorted(found - self.expected):
            reason = "a known gap is closed: write `# expect:`" if (row, code) in self.gaps else "not expected"
            lines.append(f"row {row}: {code} reported, {reason}")
        lines += [f"row {row}: {code} expected, not reported" for row, code in self.expected - found]
        return sorted(lines)


def read_expectations(path: Path) -> Expectations:
    """The expectations of one fixture; FixtureError when a marker is misspelt, so that none is silently ignored."""
    expected: Counter[Place] = Counter()
    gaps: set[Place] = set()
    silences: set[Place] = set()
    for row, comment in _comments(path.read_text(encoding="utf-8")):
        if not _MARKER.match(comment):
            continue
        match = _LINE.fullmatch(comment.rstrip())
        if match is None:
            raise FixtureError(f"{path}:{row}: cannot read {comment!r}")
        codes = re.findall(r"GA\d{3}", match["codes"] or match["silent"])
        places = [(row, code) for code in codes]
        if match["silent"]:
            silences.update(places)
        elif match["verb"] == "expect":
            expected.update(places)
        else:
            gaps.update(places)
    return Expectations(expected, frozenset(gaps), frozenset(silences))


def without_markers(text: str) -> str:
    """The code as its author would have it."""
    return _TRAILING.sub("", text)


def _comments(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
