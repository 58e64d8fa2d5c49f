"""What does arithmetic make of a loss? Sums, products, divisions and reductions as operations on terms."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from ga_lint.facts.model import SCALAR, Factor, FactorKind, Level, LossSite, LossTerm, Place, Reduction
from ga_lint.facts.values import (
    UNKNOWN,
    Const,
    Count,
    Counter,
    Elements,
    Loss,
    Product,
    Scale,
    Symbol,
    Tensor,
    Unknown,
    Value,
)

# Names that the field uses for the accumulation steps; a gate's own expression needs no such name.
STEPS_NAME = re.compile(
    r"(^|\.)steps$|accum\w*(_|\b)|grad_?acc\w*|\bgas\b|update_freq|accumulate_grad_batches|iters_to_accumulate|micro_?(steps|batches)|n_micro|(^|[._])acc_(steps|iters?)$",
    re.IGNORECASE,
)
# The window's rows over the micro-batch's: `loss / (args.train_batch_size / input_ids.shape[0])`.
_ROWS_OVER_ROWS = re.compile(r"batch_size\)? //? \w+\.(shape\[0\]|size\(0\))$", re.IGNORECASE)
WORLD_NAME = re.compile(
    r"world_?size|num_processes|num_gpus?|n_gpus?|dp_size|get_world_size|num_replicas", re.IGNORECASE
)
_COUNT_KIND = {
    Scale.MICRO_BATCH: FactorKind.LOCAL_COUNT,
    Scale.RUNNING: FactorKind.RUNNING_COUNT,
    Scale.WINDOW: FactorKind.WINDOW_COUNT,
    Scale.GLOBAL: FactorKind.GLOBAL_COUNT,
}


_CAPS = frozenset("clamp clamp_min clamp_max clip max min maximum minimum".split())
# What makes of a mean something that is no multiple of it.
SHAPING = _CAPS | set("exp expm1 log log1p sqrt square pow abs tanh sigmoid relu softplus logsigmoid where".split())


def shaped(loss: Loss, function: str, text: str, place: Place) -> Loss:
    """The loss after a function that is no multiple of it."""
    by = Factor(FactorKind.CAP if function in _CAPS else FactorKind.SHAPE, 1, text, place)
    return replace(loss, terms=tuple(replace(term, factors=(*term.factors, by)) for term in loss.terms))


def scaled(loss: Loss, by: Value, power: int, text: str, place: Place) -> Loss:
    """The loss multiplied (`power` 1) or divided (-1) by `by`."""
    if isinstance(by, Product):
        for factor, own_text, own_power in by.factors:
            loss = scaled(loss, factor, power * own_power, own_text, place)
        return loss
    written = by.text if isinstance(by, Symbol) else text
    if isinstance(by, Symbol | Unknown) and WORLD_NAME.search(written) and (parts := _written_factors(written)):
        return scaled(loss, Product(parts), power, text, place)  # `steps * world_size` is two factors
    return replace(loss, terms=tuple(_scaled_term(term, by, power, text, place) for term in loss.terms))


def _scaled_term(term: LossTerm, by: Value, power: int, text: str, place: Place) -> LossTerm:
    if isinstance(by, Count) and by.scale is Scale.MICRO_BATCH and by.depth < term.site.outside:
        by = replace(by, scale=Scale.WINDOW)  # counted before the loop that computes the loss
    if isinstance(by, Count) and by.scale is Scale.RUNNING and by.loop == term.site.collected:
        by = replace(by, scale=Scale.WINDOW)  # gathered as the loss is, and as far as it
    factor = factor_of(by, power, text, place)
    if isinstance(by, Counter) and term.site.collected:
        factor = replace(factor, kind=FactorKind.STEPS)  # as many as were gathered
    term = _normal(replace(term, factors=(*term.factors, factor)))
    if isinstance(by, Count) and by.per_rank:
        term = replace(term, factors=(*term.factors, Factor(FactorKind.WORLD, -power, text, place)))
    return term


def _written_factors(text: str) -> tuple[tuple[Value, str, int], ...]:
    """The factors of a product as it is written; none where it is something else."""
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return ()
    match node:
        case ast.BinOp(op=ast.Mult() | ast.Div()):
            return tuple(_factors_in(node, 1))
    return ()


def _factors_in(node: ast.expr, power: int) -> Iterator[tuple[Value, str, int]]:
    match node:
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as operator, right=right):
            yield from _factors_in(left, power)
            yield from _factors_in(right, power if isinstance(operator, ast.Mult) else -power)
        case ast.Constant(value=int() | float() as number):
            yield Const(number), f"{number:g}", power
        case ast.Name() | ast.Attribute() | ast.Call() | ast.Subscript():
            yield Symbol(text := ast.unparse(node)), text, power
        case _:
            yield UNKNOWN, ast.unparse(node), power


def collected(value: Value, loop: int) -> Value:
    """A loss that the rounds of a loop gather; any other value as it is."""
    return _marked(value, collected=loop)


def gathered(value: Value, depth: int) -> Value:
    """The same when that loop has ended, and `depth` others still run."""
    return _marked(value, collected=0, gathered_at=depth)


def _marked(value: Value, **marks: int) -> Value:
    if not isinstance(value, Loss):
        return value
    terms = tuple(replace(term, site=replace(term.site, **marks)) for term in value.terms)
    return replace(value, terms=terms)


def averaged(loss: Loss, text: str, place: Place, reduction: str) -> Loss:
    """The gathered losses in one: their sum, or their mean, which divides by how many there are."""
    if reduction == "sum":
        return loss
    by = Factor(FactorKind.STEPS, -1, text, place)
    return replace(loss, terms=tuple(replace(term, factors=(*term.factors, by)) for term in loss.terms))


def product(left: Value, left_text: str, right: Value, right_text: str, power: int) -> Product | None:
    """`left * right` or `left / right` where a count is among the factors and nothing but counts, steps and ranks.

    The Trainer's own count keeps company with anything: a share is computed with it, whatever is counted beside it.
    """
    parts = (*_parts(left, left_text, 1), *_parts(right, right_text, power))
    counts = any(isinstance(value, Count | Product) for value in (left, right))
    trainers = any(isinstance(value, Count) and value.is_trainers for value, _, _ in parts)
    known = trainers or all(
        isinstance(value, Count) or _kind_by_name(text) is not FactorKind.OTHER for value, text, _ in parts
    )
    return Product(parts) if counts and known and len(parts) > 1 else None


def _parts(value: Value, text: str, power: int) -> tuple[tuple[Value, str, int], ...]:
    if isinstance(value, Product):
        return tuple((factor, own_text, power * own_power) for factor, own_text, own_power in value.factors)
    return ((value, text, power),)


def factor_of(by: Value, power: int, text: str, place: Place) -> Factor:
    """What a factor of a loss means, by its value first and by its name second."""
    match by:
        case Count(scale=scale, what=what):
            kind = FactorKind.OTHER if what == SCALAR else _COUNT_KIND[scale]
            factor = Factor(kind, power, text, place, counted=what, shifted=by.shifted, targets=by.targets)
            return replace(factor, divisor=by.divisor, counted_at=by.place)
        case Const(value=bool()):
            return Factor(FactorKind.OTHER, power, text, place)
        case Const(value=int() | float() as number):
            return Factor(FactorKind.CONSTANT, power, text, place, float(number))
        case Symbol(text=name, value=number):
            return Factor(_kind_by_name(name), power, name, place, number)
        case _:
            return Factor(_kind_by_name(text), power, text, place)


def _kind_by_name(text: str) -> FactorKind:
    if STEPS_NAME.search(text) or _ROWS_OVER_ROWS.search(text):
        return FactorKind.STEPS
    return FactorKind.WORLD if WORLD_NAME.search(text) else FactorKind.OTHER


def _normal(term: LossTerm, at: Place | None = None) -> LossTerm:
    """A mean times its own count is a sum; a sum over its own count is a mean. `at`: where, if not at that factor."""
    last, site = term.factors[-1], term.site
    if last.kind is not FactorKind.LOCAL_COUNT:
        return term
    if site.reduction is Reduction.SUM and last.power == -1:
        mean = _reduced(site, Reduction.MEAN, at or last.place)
        mean = replace(mean, averaged_over=last.counted, divisor=last.divisor, targets=last.targets)
        return LossTerm(mean, term.factors[:-1])
    if site.reduction is Reduction.MEAN and last.power == 1:
        undone = last.counted == site.averaged_over
        total = _reduced(site, Reduction.SUM, at or last.place)
        if not undone:
            total = replace(total, rescaled_by=last.counted, rescaled_as=last.text, rescaled_shifted=last.shifted)
            total = replace(total, rescaled_at=last.counted_at)
        return LossTerm(total, term.factors[:-1])
    return term


def added(left: Loss, right: Loss) -> Loss:
    """The sum of two losses, each term once."""
    terms = left.terms + tuple(term for term in right.terms if term not in left.terms)
    return Loss(terms, tuple(dict.fromkeys((*left.added, *right.added))))


def added_up(values: Sequence[Value], place: Place) -> Loss | None:
    """The losses among them in one, with whatever else there is beside them; None where there are none."""
    losses = [one for one in values if isinstance(one, Loss)]
    if not losses:
        return None
    total = functools.reduce(added, losses)
    return with_added(total, place) if any(isinstance(one, Unknown | Symbol | Tensor) for one in values) else total


def with_added(loss: Loss, place: Place) -> Loss:
    """The loss with something beside it that could not be followed."""
    return loss if place in loss.added else replace(loss, added=(*loss.added, place))


def reduced(elements: Elements, reduction: Reduction, place: Place) -> Loss:
    """All elements as one number."""
    term = LossTerm(_reduced(elements.site, reduction, place))
    for factor in elements.factors:
        term = _normal(replace(term, factors=(*term.factors, factor)), place)
    return Loss((term,))


def each_scaled(elements: Elements, by: Value, power: int, text: str, place: Place) -> Elements:
    """Every element multiplied with or divided by a count or the steps before they are put together; else as it was."""
    factor = factor_of(by, power, text, place)
    unnamed = power < 0 and isinstance(by, Symbol) and elements.site.level is not Level.SAMPLE
    if isinstance(by, Count) or factor.kind is FactorKind.STEPS or unnamed:
        return replace(elements, factors=(*elements.factors, factor))
    if power < 0 and elements.site.level is Level.SAMPLE and not isinstance(by, Const):
        return replace(elements, site=replace(elements.site, per_row=True))
    return elements


def _reduced(site: LossSite, reduction: Reduction, place: Place) -> LossSite:
    return replace(site, reduction=reduction, reduced=place)


def along_axis(elements: Elements, axis: int | None, reduction: Reduction, place: Place) -> Elements | Loss:
    """Reduce one axis: the vocabulary first where it is still there, else time, which leaves samples."""
    if elements.inner and axis in (-1, 2):
        return replace(elements, inner=elements.inner - 1)
    if axis == 2:  # the features of each position, of (batch, time, features)
        return elements
    if elements.site.level is Level.SAMPLE or axis == 0:
        return reduced(elements, reduction, place)
    return replace(elements, site=replace(elements.site, level=Level.SAMPLE))
