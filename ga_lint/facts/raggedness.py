"""Can two micro-batches of one window hold different numbers of targets?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence, Step
from ga_lint.facts.label_tests import counts_around, tests_labels, tests_on_the_way
from ga_lint.facts.model import Answer, Level, LossSite, LossTerm, Raggedness, Reduction, Stack, Window
from ga_lint.knowledge import Knowledge
from ga_lint.project import Project
from ga_lint.syntax.bindings import ImportedName, imported_names
from ga_lint.syntax.parsed import FunctionNode, ParsedFile
from ga_lint.syntax.text import last_name

_WRAPPERS = {
    "DistributedDataParallel": Stack.DDP,
    "DDP": Stack.DDP,
    "FullyShardedDataParallel": Stack.FSDP,
    "FSDP": Stack.FSDP,
    "fully_shard": Stack.FSDP,
}
_EQUAL_BLOCKS = re.compile(r"group_texts|block_size|ConstantLengthDataset|packing", re.IGNORECASE)
_PACKED = re.compile(r"group_texts|ConstantLengthDataset|packing", re.IGNORECASE)
_TOKEN_STREAM = re.compile(r"memmap|block_size|\bB\s*\*\s*T\b|seq_len(gth)?\s*\+\s*1")
_DATA_MODULE = re.compile(r"data|collat|preprocess|loader|examples?_to_features", re.IGNORECASE)
_EVALUATES = re.compile(r"^_*(val|valid|validat|eval|test|predict|generat|infer)", re.IGNORECASE)
_LEAVES_OUT = re.compile(r"targets equal to|positions (of|set)|-100 put|filled with -100")  # no row is shorter for it
_MASKED_WORDS = re.compile(r"\b(masked_lm|mlm|masked_(word|token)s?)_(label(_id)?s?|targets?)\b")
_PADDING_WORDS = ("longest", True)  # padded to one length, unmasked labels are as many in each row


class FileSigns:
    """What a file says about its data outside the flow of the loss: weaker evidence, used where the flow is lost."""

    def __init__(self, parsed: ParsedFile, knowledge: Knowledge, project: Project) -> None:
        self._parsed = parsed
        self._project = project
        self._knowledge = knowledge

    @property
    def path(self) -> Path:
        return self._parsed.path

    @cached_property
    def wrapper(self) -> Stack | None:
        """The wrapper that averages gradients over ranks, if the file puts one around its model."""
        return next((_WRAPPERS[name] for name in self._called if name in _WRAPPERS), None)

    @cached_property
    def strong(self) -> tuple[Step, ...]:
        """-100, padding collators, padded sequences: targets that do not count, somewhere in this file."""
        return tuple(islice(_signs(self._parsed), 2))

    @cached_property
    def imported(self) -> tuple[Step, ...]:
        """The same signs in the project's data modules that this file imports, or those import in turn."""
        steps: list[Step] = []
        near = list(self._data_modules(self._parsed))
        further = (parsed for one in near for parsed in self._data_modules(one))
        for parsed in {one.path: one for one in (*near, *further)}.values():
            steps += islice((step for step in _signs(parsed) if not step.message.startswith("the tokenizer")), 1)
        return tuple(steps[:2])

    @cached_property
    def tags(self) -> tuple[Step, ...]:
        """A head that tags tokens: what is padded, or goes on with a word, has no tag."""
        for node in self._parsed.walked:
            if isinstance(node, ast.alias | ast.Name | ast.Attribute):
                name = node.name if isinstance(node, ast.alias) else last_name(node)
                if name.endswith("ForTokenClassification"):
                    text = f"`{name}` counts no padding"
                    return (Step(text, self._parsed.path, self._parsed.span_of(node)),)
        return ()

    def _data_modules(self, parsed: ParsedFile) -> Iterator[ParsedFile]:
        statements: list[ast.Import | ast.ImportFrom] = [*parsed.of(ast.Import), *parsed.of(ast.ImportFrom)]
        for statement in statements:
            for imported in _modules(statement):
                if _DATA_MODULE.search(f"{imported.module}.{imported.name}"):
                    found = self._project.imported(parsed.path, imported)
                    if found is not None:
                        yield found

    @cached_property
    def equal(self) -> bool:
        """Does the file speak of blocks of one size?"""
        return bool(_EQUAL_BLOCKS.search(self._parsed.source.text))

    @cached_property
    def packed(self) -> bool:
        """Does it fill them, so that all positions count? A block may be a length that rows are padded to."""
        return bool(_PACKED.search(self._parsed.source.text))

    @cached_property
    def blocks(self) -> bool:
        """Does the file cut its batches out of a stream of tokens?"""
        return bool(_TOKEN_STREAM.search(self._parsed.source.text))

    @cached_property
    def level(self) -> Level:
        """The level of the heads that the file names, where they agree."""
        levels = {self._knowledge.head_level(name) for name in self._names if self._knowledge.head_level(name)}
        if not levels and any(map(tests_labels, self._parsed.of(ast.Compare))):
            return Level.TOKEN
        return Level(levels.pop()) if len(levels) == 1 else Level.UNKNOWN

    def with_level(self, window: Window, callers: Sequence[FileSigns] = ()) -> Window:
        """The window with the level of a model's own loss filled in from the file's heads, else from its callers'."""
        levels = {one.level for one in callers} if self.level is Level.UNKNOWN else set()
        if len(levels) == 1:
            return callers[0].with_level(window)
        losses = tuple(tuple(self.levelled(term) for term in terms) for terms in window.losses)
        return replace(window, losses=losses)

    def levelled(self, term: LossTerm) -> LossTerm:
        """One term, likewise."""
        site = term.site
        if site.level is Level.UNKNOWN and site.is_models_own:
            level = Level.TOKEN if self.level is Level.UNKNOWN and self.tests_of(site) else self.level
            return replace(term, site=replace(site, level=level))
        return term

    def tests_of(self, site: LossSite) -> tuple[Step, ...]:
        """Where a function on the way to the loss asks which labels do not count."""
        return tests_on_the_way(site, self._parsed, self._project)

    def counts_of(self, site: LossSite) -> tuple[Step, ...]:
        """Where the loop counts the targets of its batches; in blocks that are filled they are all as many."""
        return () if self.packed else counts_around(site, self._parsed)

    @cached_property
    def _called(self) -> list[str]:
        return [name for node in self._parsed.of(ast.Call) if (name := last_name(node.func))]

    @cached_property
    def _names(self) -> set[str]:
        parsed = self._parsed
        used = {last_name(node) for node in (*parsed.of(ast.Name), *parsed.of(ast.Attribute))}
        return used | {node.name for node in parsed.of(ast.alias)}


def _modules(statement: ast.Import | ast.ImportFrom) -> Iterator[ImportedName]:
    """What is imported; of `import src.data`, which binds `src`, the module itself."""
    for _, imported in imported_names(statement):
        yield imported
    if isinstance(statement, ast.Import):
        yield from (ImportedName(one.name, 0, None) for one in statement.names if not one.asname and "." in one.name)


def raggedness_of(site: LossSite, signs: FileSigns) -> Raggedness:
    """The flow decides; where it was lost, strong signs in the same file make it likely."""
    if _is_over_all_positions(site):
        lengths = tuple(step for step in site.ragged if not _LEAVES_OUT.match(step.message))
        known = (Answer.YES, Confidence.CERTAIN) if lengths else (Answer.UNKNOWN, Confidence.POSSIBLE)
        return Raggedness(*known, lengths)
    if site.ragged:
        return Raggedness(Answer.YES, Confidence.CERTAIN, site.ragged)
    # timid: an ignore index in a model's forward, or beside targets cut from a token stream, may never occur
    in_forward = site.scope.endswith("forward")
    masked_words = _of_masked_words(site)
    if in_forward and signs.blocks:
        return masked_words or Raggedness(Answer.UNKNOWN, Confidence.POSSIBLE)
    in_loop = site.call.path == signs.path and not in_forward and not signs.blocks
    if site.explicit_ignore and (site.named_labels or in_loop):
        text = f"targets equal to `{site.ignore_index}` do not count"
        return Raggedness(Answer.YES, Confidence.LIKELY, (site.call.as_step(text),))
    if masked_words is not None:
        return masked_words
    if not site.named_labels and not site.explicit_ignore:
        return Raggedness(Answer.UNKNOWN, Confidence.POSSIBLE)
    if signs.strong and not signs.equal and site.level is Level.TOKEN:
        return Raggedness(Answer.YES, Confidence.LIKELY, signs.strong)
    if site.named_labels and site.level is Level.TOKEN and signs.imported and not signs.equal:
        return Raggedness(Answer.YES, Confidence.LIKELY, signs.imported)
    tests = signs.tests_of(site) if site.level is Level.TOKEN and not signs.equal else ()
    counts = signs.counts_of(site) if site.level is Level.TOKEN and site.named_labels else ()
    if tests or counts:
        return Raggedness(Answer.YES, Confidence.LIKELY, tests or counts)
    tags = site.tags or (signs.tags if site.is_models_own and site.level is Level.TOKEN else ())
    if tags and not signs.equal:
        return Raggedness(Answer.YES, Confidence.LIKELY, tags)
    return Raggedness(Answer.UNKNOWN, Confidence.POSSIBLE)


def _of_masked_words(site: LossSite) -> Raggedness | None:
    """`masked_lm_labels`: what their name says of them, in blocks of one length too."""
    if site.ignore_index is None or site.level is not Level.TOKEN or not _MASKED_WORDS.search(site.labels or ""):
        return None
    text = "the words that were masked are the targets: of each row as many as were drawn"
    return Raggedness(Answer.YES, Confidence.LIKELY, (site.call.as_step(text),))


def _is_over_all_positions(site: LossSite) -> bool:
    """`cross_entropy(..., reduction="none").mean()`: what does not count is a zero in a mean as wide as the rows."""
    by_hand = site.reduction is Reduction.MEAN and site.call != site.reduced and not site.is_models_own
    return by_hand and site.explicit_ignore and not site.masked and not site.averaged_over


def raggedness_as_called(site: LossSite, own: FileSigns, callers: Sequence[FileSigns]) -> Raggedness:
    """Where the loop's own file says nothing, what all the files say that call it: they hand it its batches."""
    known = raggedness_of(site, own)
    if known.answer is not Answer.UNKNOWN or own.equal or own.blocks or not callers:
        return known
    said = [raggedness_of(site, signs) for signs in callers]
    return said[0] if all(one.answer is Answer.YES for one in said) else known


def _signs(parsed: ParsedFile) -> Iterator[Step]:
    """Every sign in a file but those in functions that only evaluate: they pad for themselves."""
    apart: list[tuple[int, int]] | None = None
    for node in parsed.walked:
        text = _sign(node)
        if text is not None:
            if apart is None:
                functions: list[FunctionNode] = [*parsed.of(ast.FunctionDef), *parsed.of(ast.AsyncFunctionDef)]
                evaluates = [one for one in functions if _EVALUATES.match(one.name)]
                apart = [(one.lineno, one.end_lineno or one.lineno) for one in evaluates]
            span = parsed.span_of(node)
            if not any(first <= span.start.row <= last for first, last in apart):
                yield Step(text, parsed.path, span)


def _sign(node: ast.AST) -> str | None:
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(100))):  # `-1e2` is a number like any other
            return "-100 marks targets that do not count"
        case ast.Call(func=func) if last_name(func) in ("pad_sequence", "DataCollatorForSeq2Seq"):
            return f"rows are padded by {last_name(func)}"
        case ast.keyword(arg="padding", value=ast.Constant(value=value)) if value in _PADDING_WORDS:
            return "the tokenizer pads"
    return None
