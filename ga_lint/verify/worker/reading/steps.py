"""Which expression of a loop holds its accumulation steps, and how is the harness's number put there?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence

from ga_lint.verify.worker.reading.sources import dotted, last

STEPS_NAME = "__ga_steps__"
ACCUMULATION = re.compile(
    r"accum|^gas$|micro_?steps|num_micro|update_freq|acc_?steps|acc_?iter|grad_acc|gradient_acc", re.IGNORECASE
)
_OTHER_PERIODS = re.compile(
    r"log|save|eval|print|report|epoch|valid|disp|world|tokens?$|count|total|warm", re.IGNORECASE
)
_CONFIGURED = re.compile(r"gradient_accumulation_steps[\"']?\s*[:=]\s*(\d+)")


def steps_expressions(nodes: Sequence[ast.AST], loop: ast.AST, text: str) -> list[ast.expr]:
    """The expressions that hold the accumulation steps: `% A`, `/ A`, `range(A)`; those with a telling name first.

    `text`: the whole file, which may configure an engine that steps without a gate in the loop.
    """
    uses: dict[str, tuple[ast.expr, set[str]]] = {}
    for expression, use in _uses(nodes, loop):
        inner = _inner(expression)
        if not isinstance(inner, ast.Constant) or (isinstance(inner.value, int | float) and inner.value > 1):
            uses.setdefault(ast.dump(inner), (inner, set()))[1].add(use)
    named = [e for e, _ in uses.values() if _has_telling_name(e)]
    if named:
        return named
    lengths = [length for root in nodes for node in ast.walk(root) if (length := _window_length(node)) is not None]
    if lengths:
        return lengths
    gates = [e for e, found in uses.values() if "gate" in found and not _OTHER_PERIODS.search(ast.unparse(e))]
    both = [e for e in gates if "divisor" in uses[ast.dump(e)][1]]
    return both or gates[:1] or list(_configured(uses, text))


def _configured(uses: Mapping[str, tuple[ast.expr, set[str]]], text: str) -> Iterator[ast.expr]:
    """`loss / 8` where an engine is told `{"gradient_accumulation_steps": 8}`."""
    told = {int(number) for number in _CONFIGURED.findall(text)}
    for expression, found in uses.values():
        if "divisor" in found and isinstance(expression, ast.Constant) and expression.value in told:
            yield expression


def _uses(nodes: Sequence[ast.AST], loop: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """What stands where the steps do: in a gate, under a division, beside a counter."""
    for root in nodes:
        for node in ast.walk(root):
            match node:
                case ast.BinOp(op=ast.Mod(), left=left, right=right) if not isinstance(
                    left, ast.Constant | ast.JoinedStr
                ):
                    yield right, "gate"
                case ast.BinOp(op=ast.Div(), right=right):
                    yield right, "divisor"
                case ast.AugAssign(op=ast.Div(), value=value):
                    yield value, "divisor"
                case ast.Compare(comparators=[right], ops=[ast.Eq() | ast.GtE()]):
                    yield right, "compared"
                case ast.Call(func=ast.Attribute(attr="div" | "div_"), args=[value, *_]):
                    yield value, "divisor"
                case ast.Call(func=ast.Name(id="range" | "with_target_share" | "islice"), args=[_, *_]) if (
                    node is not loop
                ):
                    if not _is_stride(node):
                        yield node.args[-1], "gate"
                case ast.Call(func=ast.Attribute(attr="islice"), args=[_, _]):
                    yield node.args[-1], "gate"


def _inner(expression: ast.expr) -> ast.expr:
    """`n` of `max(int(n), 1)`."""
    while (
        isinstance(expression, ast.Call)
        and last(dotted(expression.func)) in ("int", "float", "max")
        and expression.args
    ):
        expression = expression.args[0]
    return expression


def _is_stride(call: ast.AST) -> bool:
    """`range(0, rows, size)`: the size of a micro-batch, and not their number."""
    return isinstance(call, ast.Call) and last(dotted(call.func)) == "range" and len(call.args) == 3


def _window_length(node: ast.AST) -> ast.expr | None:
    """`for window in windows(loader, size)` with a loop over the window inside: `size`."""
    match node:
        case ast.For(target=ast.Name(id=window), iter=ast.Call(args=[_, *_, length])) if isinstance(length, ast.Name):
            inner = [n for n in ast.walk(node) if isinstance(n, ast.For) and n is not node]
            if any(isinstance(n, ast.Name) and n.id == window for loop in inner for n in ast.walk(loop.iter)):
                return length
    return None


def _has_telling_name(expression: ast.expr) -> bool:
    if isinstance(expression, ast.Call) and (expression.args or expression.keywords):
        return False
    name = dotted(expression.func if isinstance(expression, ast.Call) else expression)
    return (
        name is not None
        and ACCUMULATION.search(last(name)) is not None
        and not re.search("loss|token|count", last(name))
    )


# What is handed a loader and the steps: a rewrite's class, and what cuts an iterator into windows.
_CUTS_WINDOWS = re.compile(r"islice|batched|chunked|With(TargetShare|WindowTargets)\w*")


class ReplaceSteps(ast.NodeTransformer):
    """Puts the harness's number of steps where the user's stands."""

    def __init__(self, expressions: Sequence[ast.expr]) -> None:
        self.dumps = {ast.dump(e) for e in expressions if not isinstance(e, ast.Constant)}
        self.literals = {e.value for e in expressions if isinstance(e, ast.Constant)}

    def visit(self, node: ast.AST) -> ast.AST:
        is_read = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        if isinstance(node, ast.expr) and self.dumps and is_read and ast.dump(node) in self.dumps:
            return _steps_name(node)
        self.generic_visit(node)
        if self.literals:
            self._replace_literal(node)
        return node

    def _replace_literal(self, node: ast.AST) -> None:
        """A literal is replaced only where it acts as the steps."""
        match node:
            case ast.BinOp(op=ast.Mod() | ast.Div(), right=ast.Constant(value=value)) if value in self.literals:
                node.right = _steps_name(node.right)
            case ast.AugAssign(op=ast.Div(), value=ast.Constant(value=value)) if value in self.literals:
                node.value = _steps_name(node.value)
            case ast.Call(func=ast.Name(id="range" | "min"), args=[ast.Constant(value=value), *_]) if (
                value in self.literals
            ):
                node.args[0] = _steps_name(node.args[0])
            case ast.Call(func=func, args=[_, ast.Constant(value=value), *_]) if value in self.literals:
                if _CUTS_WINDOWS.fullmatch(last(dotted(func) or "")):
                    node.args[1] = _steps_name(node.args[1])
            case ast.BinOp(
                left=ast.BinOp(op=ast.FloorDiv(), right=ast.Constant(value=value)) as windows,
                op=ast.Mult(),
                right=ast.Constant(value=same),
            ) if value == same and value in self.literals:  # `index // 8 * 8`: the micro-batches of whole windows
                windows.right, node.right = _steps_name(windows.right), _steps_name(node.right)


def _steps_name(node: ast.expr) -> ast.Name:
    return ast.copy_location(ast.Name(STEPS_NAME, ast.Load()), node)
