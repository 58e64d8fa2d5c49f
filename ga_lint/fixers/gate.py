"""After which micro-batches does a loop step its optimizer? The gate's condition is run on small numbers.

`(step + 1) % steps == 0 or step + 1 == len(loader)` says it itself once `step`, `steps` and the length have values. A
condition that reads anything else is not understood, and that is said.

A loop that resumes counts on from where it was: `enumerate(loader, start=done + 1)`. Its first window is what `done`
left of one. So it is where the first micro-batch is stepped on (`step % steps == 0`): `steps - 1` are taken as done.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import libcst as cst
from msgspec import Struct

from ga_lint.errors import FixNotApplicable
from ga_lint.fixers.gate_reader import Reader
from ga_lint.fixers.header import Header
from ga_lint.fixers.tree import Tree

_FIRST = -1  # of the steps: what is left of the first window then is one micro-batch


class Gate(Struct, frozen=True):
    """Windows are `steps` micro-batches from the first one on; `flushes`: a last, shorter one is stepped too.

    `seen` is the text of how many micro-batches came before the first one, "" where the loop counts from its own first.
    """

    flushes: bool
    seen: str = ""


def gate_of(tree: Tree, header: Header, step: cst.Call, steps: tuple[str, ...]) -> Gate:
    """Where the windows of this loop end, or a refusal when they do not line up with the loader.

    `steps` holds every text that is known to mean the accumulation steps.
    """
    reader = Reader(tree, header, step, steps)
    literal = next((int(text) for text in steps if text.isdecimal()), None)
    sizes = (literal,) if literal else (3, 4)
    origin = reader.origin(sizes[0])
    # Where the count goes on, the gate may open before it or after it is raised, or not look at where it started.
    for shift in (None, _FIRST) if origin is None else (None, -1, 0):
        flushes = _flushes(reader, sizes, shift, resumes=origin is not None)
        if flushes is None:
            continue
        if len(flushes) > 1:
            raise FixNotApplicable("whether the last window is stepped depends on its length")
        seen = "" if shift is None else _plus(steps[0] if origin is None else origin, shift)
        return Gate(flushes.pop() if flushes else False, seen)
    counted = "the first batch" if origin is None else origin
    raise FixNotApplicable(f"the optimizer does not step after every window, counted from {counted}")


def _flushes(reader: Reader, sizes: tuple[int, ...], shift: int | None, resumes: bool) -> set[bool] | None:
    """Is a last, shorter window stepped? None where windows do not end where they would for this `shift`."""
    found: set[bool] = set()
    for size, length, origin in _cases(sizes, resumes):
        seen = 0 if shift is None else (origin + shift) % size if resumes else size - 1
        full = [index for index in range(length) if (seen + index + 1) % size == 0]
        ends = reader.ends(size, length, origin)
        if ends == full:
            found.update(() if (seen + length) % size == 0 else (False,))
        elif ends == [*full, length - 1]:
            found.add(True)
        else:
            return None
    return found


def _cases(sizes: tuple[int, ...], resumes: bool) -> Iterator[tuple[int, int, int]]:
    for size in sizes:
        for length in (2 * size + 1, 3 * size - 1, 2 * size):
            for origin in range(2 * size + 2) if resumes else (0,):
                yield size, length, origin


def _plus(text: str, number: int) -> str:
    """The text of `text + number`, as short as it gets."""
    node = ast.parse(text, mode="eval").body
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=int() as constant)):
            node, number = left, number + constant
        case ast.BinOp(left=left, op=ast.Sub(), right=ast.Constant(value=int() as constant)):
            node, number = left, number - constant
    sign = "+" if number > 0 else "-"
    return ast.unparse(node) if number == 0 else f"{ast.unparse(node)} {sign} {abs(number)}"
