"""What must hold for every input, whatever is in it?"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from fuzz.inputs import Input
from ga_lint.config import Config
from ga_lint.engine.check_file import check_bytes
from ga_lint.engine.finish import Examined, Wanted, finished
from ga_lint.engine.fix import Policy, fix_bytes
from ga_lint.engine.fix_file import MAX_REWRITES, FixOutcome
from ga_lint.engine.own_rules import SYNTAX_ERROR
from ga_lint.engine.pack import pack, unpack
from ga_lint.engine.scope import Scope
from ga_lint.outcome import Clean, Failed, FileOutcome, Found, Report
from ga_lint.project import Project
from ga_lint.report import FORMATS, renderer

_CONTROLS = frozenset(chr(code) for code in (*range(32), *range(127, 160))) - {"\n"}
_LINE_END = re.compile(rb"\r\n|\r|\n")
_PARSE = {
    "json": json.loads,
    "gitlab": json.loads,
    "sarif": json.loads,
    "rdjson": json.loads,
    "junit": ElementTree.fromstring,
}
_BY_LINE = ("json-lines",)


class Laws:
    """The laws, in one empty project."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scope = Scope(Config(root=folder), Project(folder))
        self.rewritten = self.found = self.read = 0

    def broken(self, one: Input) -> Iterator[str]:
        """The laws that this input breaks, one line each."""
        path = self._folder / one.name
        outcome = check_bytes(path, one.data, self._scope, whole=True)
        yield from _told(outcome)
        self.read += isinstance(outcome, Clean | Found)
        self.found += isinstance(outcome, Found)
        yield from self._same_unnamed(path, one.data, outcome)
        yield from self._travels(outcome)
        yield from self._written_down(one.data, outcome)
        if isinstance(outcome, Found):
            yield from self._rewritten(path, one.data)

    def _same_unnamed(self, path: Path, data: bytes, whole: FileOutcome) -> Iterator[str]:
        """In a large tree only what a rule may apply to is parsed: the findings are the same."""
        found = check_bytes(path, data, self._scope)
        yield from _told(found)
        if isinstance(whole, Failed) or SYNTAX_ERROR.code in _codes(whole):
            return  # nobody looks for faults in what no rule applies to
        if _codes(whole) != _codes(found) or (isinstance(whole, Found) and whole != found):
            yield f"not named: {_codes(whole)} or {_codes(found)}"

    def _travels(self, outcome: FileOutcome) -> Iterator[str]:
        packed = pack(outcome)
        if packed is not None and unpack(outcome.path, json.loads(json.dumps(packed))) != outcome:
            yield "another outcome after its journey"

    def _written_down(self, data: bytes, outcome: FileOutcome) -> Iterator[str]:
        (outcome,) = finished([Examined(outcome, lambda: self._scope)], Wanted(edits=True), data)
        for name in FORMATS:
            text = renderer(name)(Report([outcome]))
            if controls := set(text) & _CONTROLS:
                yield f"{name}: control characters {sorted(controls)}"
            try:
                if name in _PARSE and text:
                    _PARSE[name](text)
                for line in text.splitlines() if name in _BY_LINE else ():
                    json.loads(line)
            except (ValueError, ElementTree.ParseError) as error:
                yield f"{name}: cannot be read back: {error}"

    def _rewritten(self, path: Path, data: bytes) -> Iterator[str]:
        path.write_bytes(data)
        try:
            outcome, rewriting = fix_bytes(path, data, self._scope, Policy(unsafe=True), whole=True)
            on_disk = path.read_bytes()
        finally:
            path.unlink()
        yield from _told(outcome)
        after = data if rewriting is None else rewriting.after.on_disk
        if on_disk != after:
            yield "fix: on the disk is something else"
        if rewriting is None or not rewriting.changed:
            return
        self.rewritten += 1
        if isinstance(outcome, Failed):
            yield f"fix: {outcome.error}"
        yield from still_whole(path, data, after)
        yield from only_there(rewriting)
        yield from self._once_is_enough(path, after, rewriting)

    def _once_is_enough(self, path: Path, after: bytes, rewriting: FixOutcome) -> Iterator[str]:
        if len(rewriting.applied) >= MAX_REWRITES:
            return
        outcome, again = fix_bytes(path, after, self._scope, Policy(unsafe=True, write=False), whole=True)
        yield from _told(outcome)
        if again is not None and again.changed:
            yield f"fix: a second run rewrites {[each.finding.code for each in again.applied]}"


def _told(outcome: FileOutcome) -> Iterator[str]:
    if isinstance(outcome, Failed) and outcome.internal:
        yield outcome.error


def _codes(outcome: FileOutcome) -> Sequence[str]:
    return [each.finding.code for each in outcome.diagnostics] if isinstance(outcome, Found) else ()


def still_whole(path: Path, before: bytes, after: bytes) -> Iterator[str]:
    """What Python read before it reads now, and line ends and the byte-order mark are those of before."""
    if path.suffix == ".ipynb":
        if _without_sources(before) != _without_sources(after):
            yield "fix: something besides a cell's code has changed"
        return
    if _compiles(before) and not _compiles(after):
        yield "fix: no Python any more"
    ends = set(_LINE_END.findall(before)) or {b"\n"}
    if new := set(_LINE_END.findall(after)) - ends:
        yield f"fix: line ends {new} among {ends}"
    if before.startswith(b"\xef\xbb\xbf") != after.startswith(b"\xef\xbb\xbf"):
        yield "fix: the byte-order mark"


def _compiles(data: bytes) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(data, "x", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _without_sources(data: bytes) -> object:
    document = json.loads(data)
    for cell in document["cells"]:
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            cell["source"] = isinstance(cell.get("source"), list)
    return repr(document)  # NaN is not equal to itself


def only_there(rewriting: FixOutcome) -> Iterator[str]:
    """Every statement of the module that no rewritten finding speaks of is still there, to the letter, in order."""
    before, after = rewriting.before, rewriting.after
    spoken = {row for each in rewriting.applied for row in _rows(each.finding)}
    lines = [line.rstrip("\r\n") for line in _lines(before.text)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            body = ast.parse(before.text).body
        except (SyntaxError, ValueError):
            return  # the module's rows are those of several cells
    if len(rewriting.applied) > 1:
        return  # the rows of later ones are counted in a text that is gone
    left = "\n".join(line.rstrip("\r\n") for line in _lines(after.text))
    at = 0
    for node in body:
        first, last = node.lineno, node.end_lineno or node.lineno
        shared = isinstance(node, ast.Import | ast.ImportFrom) or spoken & set(range(first, last + 1))
        if shared or node.col_offset:
            continue
        text = "\n".join(lines[first - 1 : last])
        found = left.find(text, at)
        if found < 0:
            yield f"fix: line {first} has changed, of which nothing was said"
            return
        at = found + len(text)


def _rows(finding: object) -> Iterator[int]:
    spans = [finding.span]  # type: ignore[attr-defined]
    spans += [step.span for step in finding.trace]  # type: ignore[attr-defined]
    if finding.fix is not None:  # type: ignore[attr-defined]
        spans += [span for part in finding.fix.parts for _, span in part.targets]  # type: ignore[attr-defined]
    for span in spans:
        yield from range(span.start.row, span.end.row + 1)


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", text)
