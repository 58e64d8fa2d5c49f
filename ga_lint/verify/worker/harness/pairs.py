"""Does the trainer compare answers in pairs, and how does its batch hold them? Told by what its loss reads.

The unit of such a batch is a pair: a micro-batch of one sample holds both of its rows, however they are laid out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ga_lint.verify.worker.harness.data import IGNORE, VOCABULARY, Batch, Row, add_derived, collate, derived
from ga_lint.verify.worker.reading.sources import Function, dotted, last

# Names of the better and the worse answer; the first of a pair that the code uses is its vocabulary.
_SIDES = (
    ("chosen", "rejected"),
    ("preferred", "dispreferred"),
    ("win", "lose"),
    ("better", "worse"),
    ("pos", "neg"),
    ("positive", "negative"),
    ("j", "k"),
    ("w", "l"),
)
_PARTS = ("input_ids", "attention_mask", "labels")
_LOG_PROBABILITIES = re.compile(r"log_softmax|logsumexp|log_?probs?\b|logps\b|cross_entropy")
_SIZE = re.compile(r"shape\[0\]|size\(0\)|size\(dim=0\)|\blen\(|^(bsz|batch_size|num_examples|n_examples)$")
_OF_PAIRS = re.compile(r"logsigmoid|\bsigmoid\(|margin_ranking|softplus")
_VALUES = re.compile(r"\w+, \w+, \w*(values?|rewards?|scores?)\)? = model\(")
NONE, OPTIONAL, NEEDED = "none", "if they are there", "needed"
INTERLEAVED, HALVES = "each pair in two neighbouring rows", "the better answers first, then the worse"


@dataclass(frozen=True)
class Pairs:
    """How the rows of a pair stand in a batch: under names of their own, or in one tensor."""

    sides: tuple[str, str] | None  # what names them, as a format of the part
    layout: str = ""
    keys: tuple[str, ...] = ()  # what else the code reads
    scores: bool = False  # the code compares what the model gives for each row, not log probabilities of its tokens
    labels: str = NONE  # of rows that stand in one tensor: whether the code takes some
    values: bool = False  # the model gives a value for each position, behind its logits and its loss
    answers: int = 2  # how many answers to each prompt the code cuts a tensor into

    def told(self) -> str:
        how = f"as `{self.sides[0]}` and `{self.sides[1]}`" if self.sides else self.layout
        many = "pairs" if self.answers == 2 else f"{self.answers} groups"
        return f"the batch holds {many} of answers ({how}){', and no labels at its top' if self.labels == NONE else ''}"

    def head(self, named: Sequence[str]) -> str:
        """What the model ends in: as the file names it, else as the code uses what it gives."""
        if self.values:
            return "value"
        is_score = named[0] == "sequence" if named else self.scores
        return "score" if is_score else "causal"

    def collate(self, rows: Sequence[Row], head: str, with_labels: bool = True) -> Batch:
        worse = [partner(row) for row in rows]
        if self.sides is None:
            groups = [list(rows), worse, *([[partner(row) for row in worse]] if self.answers > 2 else [])]
            groups = groups if self.layout == HALVES else [list(pair) for pair in zip(rows, worse, strict=True)]
            batch = add_derived(collate([row for group in groups for row in group], head), self.keys)
            if self.labels == NONE or not with_labels:
                del batch["labels"]
            return batch
        halves = collate(rows, head), collate(worse, head)
        batch = Batch(
            {side.format(part): half[part] for side, half in zip(self.sides, halves, strict=True) for part in _PARTS}
        )
        for key in self.keys:
            value = self._named(key, halves)
            if value is not None:
                batch.setdefault(key, value)
        return batch

    def _named(self, key: str, halves: tuple[Batch, Batch]) -> torch.Tensor | None:
        """An item of one side by the rest of its name; the prompt is that of both."""
        assert self.sides is not None
        for side, half in zip(self.sides, halves, strict=True):
            word = side.replace("{}", "").strip("_")
            parts = key.split("_")
            if word in parts:
                return derived(half, "_".join(part for part in parts if part != word))
        return derived(halves[0], key) if "prompt" in key else None


def partner(row: Row) -> Row:
    """The worse answer to a row's prompt: other tokens, and a length that the better one's decides."""
    prompt = int((row.labels != IGNORE).long().argmax())
    length = (len(row.ids) - prompt) * 5 % 13 + 1
    answer = (row.ids[torch.arange(length) % len(row.ids)] * 3 + 7) % (VOCABULARY - 1) + 1
    ids = torch.cat([row.ids[:prompt], answer])
    labels = ids.clone()
    labels[:prompt] = IGNORE
    return Row(ids, labels)


def pairs_of(functions: Sequence[Function]) -> Pairs | None:
    """What the loss reads as pairs, None where it reads none."""
    read = {key: needed for function in functions for key, needed in _read(function)}
    read |= {key: True for function in functions for key, needed in _read(function) if needed}
    keys = sorted(read)
    text = "\n".join(ast.unparse(function) for function in functions)
    values = _VALUES.search(text) is not None
    scores = not values and _LOG_PROBABILITIES.search(text) is None
    sides = _sides([*keys, *(string for function in functions for string in _strings(function))])
    if sides is not None:
        return Pairs(sides, keys=tuple(keys), scores=scores, values=values)
    layouts = [found for function in functions for found in _layouts(function)]
    layout = layouts[0][0] if layouts else None
    if layout is None or not _OF_PAIRS.search(text):
        return None
    labels = {None: NONE, False: OPTIONAL, True: NEEDED}[read.get("labels")]
    answers = max(many for _, many in layouts)
    return Pairs(None, layout, tuple(keys), scores, labels, values, answers)


def _sides(keys: Sequence[str]) -> tuple[str, str] | None:
    for better, worse in _SIDES:
        for form in ("{0}_{{}}", "{{}}_{0}"):
            names = form.format(better), form.format(worse)
            if all(any(name.format(part) in keys for part in _PARTS) for name in names):
                return names
    for better, worse in _SIDES[:1]:  # read by what their names begin with: `key.startswith("chosen")`
        if {better, worse} <= set(keys):
            return f"{better}_{{}}", f"{worse}_{{}}"
    return None


def _layouts(function: Function) -> Iterator[tuple[str, int]]:
    """How the function takes the answers of a prompt apart, and how many there are."""
    for node in ast.walk(function):
        match node:
            case ast.Subscript(slice=ast.Slice(step=ast.Constant(value=2))):
                yield INTERLEAVED, 2
            case ast.Subscript(slice=ast.Tuple(elts=[ast.Slice(step=ast.Constant(value=2)), *_])):
                yield INTERLEAVED, 2
            case ast.Call(args=[_, _, ast.Constant(value=2)]) if last(dotted(node.func)) == "arange":
                yield INTERLEAVED, 2
            case ast.BinOp(left=size, op=ast.FloorDiv(), right=ast.Constant(value=2)):
                if _SIZE.search(ast.unparse(size)):
                    yield HALVES, 2
            case ast.Call(func=ast.Attribute(attr="chunk")) if (many := _chunks(node)) in (2, 3):
                yield HALVES, many


def _chunks(call: ast.Call) -> int:
    """Into how many parts the first dimension is cut; 0 where that is another one, or not told."""
    is_function = dotted(call.func) == "torch.chunk"
    given = dict(zip(("chunks", "dim"), call.args[is_function:], strict=False))
    given.update((keyword.arg or "", keyword.value) for keyword in call.keywords)
    told = {name: node.value for name, node in given.items() if isinstance(node, ast.Constant)}
    many = told.get("chunks")
    return many if len(told) == len(given) and told.get("dim", 0) == 0 and isinstance(many, int) else 0


def _read(function: Function) -> Iterator[tuple[str, bool]]:
    """The keys that a function takes from dictionaries, and whether it needs them to be there."""
    for node in ast.walk(function):
        match node:
            case ast.Subscript(slice=ast.Constant(value=str(key)), ctx=ast.Load()):
                yield key, True
            case ast.Call(func=ast.Attribute(attr="pop" | "get"), args=[ast.Constant(value=str(key)), *rest]):
                yield key, not rest and last(dotted(node.func)) == "pop"
            case ast.Compare(left=ast.Constant(value=str(key)), ops=[ast.In() | ast.NotIn()]):
                yield key, False


def _strings(function: Function) -> Iterator[str]:
    documentation = ast.get_docstring(function, clean=False)
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != documentation:
            yield node.value
