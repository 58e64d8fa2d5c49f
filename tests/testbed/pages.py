"""What stands on a rule's page, and in which parts?

A page starts with `# CODE name` and has the headings of `HEADINGS`, in that order. Code that is tested stands in blocks
whose first line says what it is: ```python bad, ```python good, and how it is measured:

    equal      on micro-batches with equal counts (a fault of scale needs no others); ragged ones are the default
    ranks=2    on two ranks, each with one window of a loop's
    rows=6     on so many micro-batches, so that the last window of a loop is shorter
    with=transformers==5.3.0   in a project that requires this release
    measured=default           with that release: its number of that name in tests/data/measured-gradients.toml
    computed=default           with that release, by the law; tests/releases holds the law against real releases

The table under *Numbers* has one row for each block, in the order of the page: `bad` or `good`, then the scale of the
gradient and its relative error, as printed numbers or as a bound (`< 1e-6`), or the name of an exception.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HEADINGS = (
    "What it does", "Why is this bad?", "Example", "Use instead", "Numbers", "Fix safety", "Known limits", "References",
)  # fmt: skip
ALL_ROWS = 8  # two windows of four
_BLOCK = re.compile(r"^```python (?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r"\A# (?P<code>GA\d{3}) (?P<name>[a-z-]+)\n")
_ROW = re.compile(r"^\| (?P<role>bad|good) \| (?P<scale>[^|]*)\|(?P<error>[^|]*)\|$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One piece of code on a page."""

    role: str  # "bad" or "good"
    code: str
    row: int
    ragged: bool
    ranks: int
    rows: int
    requirement: str = ""
    measured: str = ""
    computed: str = ""


@dataclass(frozen=True)
class Printed:
    """One row of the table under *Numbers*, as it is printed."""

    role: str
    scale: str
    error: str


@dataclass(frozen=True)
class Page:
    """One rule's page."""

    path: Path
    code: str
    name: str
    headings: tuple[str, ...]
    blocks: tuple[Block, ...]
    numbers: tuple[Printed, ...]
    text: str

    def __str__(self) -> str:
        return self.code

    def section(self, heading: str) -> str:
        """The text below one heading."""
        return self.text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].strip()


def read_page(path: Path) -> Page:
    """Take a page apart; ValueError where it does not keep the form."""
    text = path.read_text(encoding="utf-8")
    title = _TITLE.match(text)
    if title is None:
        raise ValueError(f"{path}: does not start with '# GAnnn name'")
    prose = _BLOCK.sub("", text)
    return Page(
        path=path,
        code=title["code"],
        name=title["name"],
        headings=tuple(re.findall(r"^## (.+)$", prose, re.MULTILINE)),
        blocks=tuple(_block(path, text, match) for match in _BLOCK.finditer(text)),
        numbers=tuple(Printed(m["role"], m["scale"].strip(), m["error"].strip()) for m in _ROW.finditer(prose)),
        text=text,
    )


def _block(path: Path, text: str, match: re.Match[str]) -> Block:
    role, *options = match["info"].split()
    row = text.count("\n", 0, match.start()) + 1
    given = {name: value for name, _, value in (option.partition("=") for option in options)}
    if role not in ("bad", "good") or not given.keys() <= {"equal", "ranks", "rows", "with", "measured", "computed"}:
        raise ValueError(f"{path}:{row}: cannot read {match['info']!r}")
    return Block(
        role,
        match["code"],
        row,
        "equal" not in given,
        int(given.get("ranks", 1)),
        int(given.get("rows", ALL_ROWS)),
        given.get("with", ""),
        given.get("measured", ""),
        given.get("computed", ""),
    )
