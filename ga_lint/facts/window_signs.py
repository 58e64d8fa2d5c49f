"""What else happens to the gradients of a window: cleared too early, scaled by hand, the loss divided too late?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from ga_lint.facts.interpreter import algebra
from ga_lint.facts.interpreter.events import Context, Event, EventKind
from ga_lint.facts.model import Factor, FactorKind, LossTerm, Place, Scaling, Window
from ga_lint.facts.values import Boundary, Loss, Product, alternatives
from ga_lint.syntax.parsed import ParsedFile
from ga_lint.syntax.text import text_of

BOUNDARY_SETTER = b"set_gradient_accumulation_boundary"
# FSDP2's divisor (and torchtitan's helper around it), and DDP's and FSDP's hooks, which may sum instead of average.
REDUCTION_SETTER = re.compile(
    rb"set_(gradient|reduce_scatter)_divide_factor|fsdp_gradient_division"
    rb"|register_(ddp_)?comm_hook"
)

# What the numeric check asks too (verify/worker/distribution.py), which shares no code with what it judges.
SPEAKS_OF_RANKS = re.compile(
    rb"\btorch\.distributed\b|from torch import distributed|\binit_process_group\b|\bdist\.all_"
)
AVERAGED_BY_HAND = re.compile(
    rb"all_reduce\([^)\n]*grad|(average|sync|all_?reduce|reduce)_?(model_)?grad\w*\(", re.IGNORECASE
)

# What the losses of a window are divided by, however they were added up; "steps" alone can be steps in time.
_MICRO_BATCHES = re.compile(r"accum|micro|window|grad|\bgas\b", re.IGNORECASE)
_HALF_PRECISION = re.compile(r"loss_scale|grad_scale|scaler\b")


def may_be_wrapped(data: bytes) -> bool:
    """Does a file speak of ranks whose gradients nobody in it averages? Its model may come wrapped in DDP."""
    return SPEAKS_OF_RANKS.search(data) is not None and AVERAGED_BY_HAND.search(data) is None


def divisor_of(term: LossTerm) -> str:
    """The number of micro-batches that a term is divided by, as it is written."""
    return next((f.text for f in reversed(term.factors) if f.power < 0 and _MICRO_BATCHES.search(f.text)), "")


def scalings_of(backward: Event, events: Sequence[Event]) -> tuple[Scaling, ...]:
    """Every place where gradients are multiplied or divided by hand, but in the loop of another backward."""
    others = {loop.id for one in events if one.kind is EventKind.BACKWARD for loop in one.loops}
    others -= {loop.id for loop in backward.loops}
    found: list[Scaling] = []
    for event in events:
        if event.kind is EventKind.SCALE_GRADIENT and isinstance(event.value, Product):
            if any(loop.id in others for loop in event.loops):
                continue
            factors = tuple(_scaling_factors(event.value, event.value_place))
            if all(_HALF_PRECISION.search(factor.text) for factor in factors):
                continue  # it undoes what the loss was multiplied with
            scaling = Scaling(event.place, factors, event.loops[0].place if event.loops else None)
            if scaling not in found:
                found.append(scaling)
    return tuple(found)


def _scaling_factors(product: Product, place: Place) -> Iterator[Factor]:
    for value, text, power in product.factors:
        factor = algebra.factor_of(value, power, text, place)
        # At the window's end what was counted so far is the window's count.
        kind = FactorKind.WINDOW_COUNT if factor.kind is FactorKind.RUNNING_COUNT else factor.kind
        yield Factor(kind, factor.power, factor.text, factor.place, factor.value)


def cleared_before(backward: Event, step: Event, events: Sequence[Event]) -> Place | None:
    """Where every round of the loop clears the gradients that only some rounds step on."""
    for event in events:
        if event.kind is not EventKind.ZERO_GRAD or event.loops != backward.loops or event.scope != backward.scope:
            continue
        gated = any(isinstance(guard.test, Boundary) for guard in event.guards if guard not in backward.guards)
        same = event.driver_text in (step.driver_text, "") or event.driver == step.driver
        every_round = set(event.guards) <= set(backward.guards) & set(step.guards)
        if same and not gated and every_round:
            return event.place
    return None


def cleared_inside(backward: Event, events: Sequence[Event]) -> Place | None:
    """Where `accumulate()` clears the gradients before backward: when it lets through, on a window's last round."""
    stepped = [one for one in events if one.kind is EventKind.STEP and one.loops == backward.loops]
    for event in events:
        inside = Context.ACCUMULATE in event.contexts  # backward may stand behind the block: it decides all the same
        if event.kind is not EventKind.ZERO_GRAD or not inside or event.scope != backward.scope:
            continue
        first = event.place.span < backward.place.span and event.loops == backward.loops
        # Behind a step of its own it is the other network's turn that ends here: `disc.step(); disc.zero_grad()`.
        behind = any(
            one.driver_text == event.driver_text and one.place.span < event.place.span and one.scope == event.scope
            for one in stepped
        )
        if first and not behind and set(event.guards) <= set(backward.guards):
            return event.place
    return None


def is_discarded(backward: Event, step: Event, events: Sequence[Event]) -> bool:
    """Are these gradients cleared right after, before any step: a pass that only measures something?"""
    helper = step.scope != backward.scope  # which clears them itself, and does not lead to the step
    if helper and (backward.function is None or _leads_to(backward.function, step)):
        return False
    return any(
        event.kind is EventKind.ZERO_GRAD
        and event.loops == backward.loops
        and event.scope == backward.scope
        and event.place.path == backward.place.path
        and backward.place.span < event.place.span
        and (helper or event.place.span < step.place.span)
        and set(event.guards) <= set(backward.guards)
        for event in events
    )


def _leads_to(function: Place, event: Event) -> bool:
    """Is the event inside of this function, or in one that it calls?"""
    return any(
        place.path == function.path and function.span.contains(place.span) for place in (*event.via, event.place)
    )


def every_round(backward: Event, backwards: Sequence[Event]) -> Event:
    """The backward without the guard on whose other side another one runs: between the two, every round has one.

    `if last: loss.backward()`, `else: with model.no_sync(): loss.backward()`.
    """
    others = [guard for one in backwards if one.loops == backward.loops for guard in one.guards]
    opposite = {(guard.place, not guard.outcome) for guard in others if isinstance(guard.test, Boundary)}
    guards = tuple(guard for guard in backward.guards if (guard.place, guard.outcome) not in opposite)
    return replace(backward, guards=guards)


def stepped_behind(backward: Event, step: Event, events: Sequence[Event]) -> bool:
    """Does the same optimizer step right behind the loop too, on what is left over?"""
    around, end = _places(backward)[:-1], backward.loops[-1].body.span.end
    behind = [
        event
        for event in events
        if event.scope == backward.scope and event.place.path == backward.place.path and event.place.span.start >= end
    ]
    for event in sorted(behind, key=lambda one: one.place.span):
        if event.kind in (EventKind.BACKWARD, EventKind.ZERO_GRAD):
            return False
        if event.kind is EventKind.STEP and event.driver_text == step.driver_text:
            return _places(event) == around
    return False


def _places(event: Event) -> list[Place]:
    return [loop.place for loop in event.loops]


def with_shared(windows: Iterable[Window], events: Sequence[Event]) -> Iterator[Window]:
    """The windows with the places of their losses on which a backward of another kind depends, or one in no window.

    `loss = loss / steps`, then `accelerator.backward(loss)` or, on another path, `loss.backward()`.
    """
    known = list(windows)
    kinds: dict[Place, set[object]] = {}
    for window in known:
        for place in _made_at(term for terms in window.losses for term in terms):
            kinds.setdefault(place, set()).add((window.library.answer, window.driver, window.idiom))
    inside = {window.backward for window in known}
    for event in events:
        if event.kind is EventKind.BACKWARD and event.place not in inside:
            losses = (one for one in alternatives(event.value) if isinstance(one, Loss))
            for place in _made_at(term for loss in losses for term in loss.terms):
                kinds.setdefault(place, set()).add(None)
    for window in known:
        own = dict.fromkeys(_made_at(term for terms in window.losses for term in terms))
        yield replace(window, shared=tuple(place for place in own if len(kinds[place]) > 1))


def _made_at(terms: Iterable[LossTerm]) -> Iterator[Place]:
    """Where losses are computed and divided."""
    for term in terms:
        yield term.site.call
        yield from (factor.place for factor in term.factors if factor.power < 0)


def divided_after(window: Window, parsed: ParsedFile) -> Factor | None:
    """`loss = loss / steps` on the loss that backward has already run on."""
    name = window.handed_over_text
    if not name.isidentifier() or window.backward.path != parsed.path:
        return None
    rows = window.backward.span.end.row, window.loop.span.end.row
    for node in (*parsed.on_rows(ast.AugAssign, *rows), *parsed.on_rows(ast.Assign, *rows)):
        match node:
            case ast.AugAssign(target=ast.Name(id=target), op=ast.Div(), value=divisor) if target == name:
                pass
            case ast.Assign(
                targets=[ast.Name(id=target)],
                value=ast.BinOp(left=ast.Name(id=left), op=ast.Div(), right=divisor),
            ) if target == left == name:
                pass
            case _:
                continue
        span = parsed.span_of(node)
        text = text_of(divisor)
        is_steps = text == window.steps or algebra.STEPS_NAME.search(text)
        if is_steps and window.loop.span.contains(span) and span.start > window.backward.span.end:
            return Factor(FactorKind.STEPS, -1, text, Place(parsed.path, span))
    return None
