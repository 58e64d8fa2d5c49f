"""What does the text of a loop say about itself? Roles, batches, model, accumulation steps; nothing is run."""

from __future__ import annotations

import ast
import functools
import re
import types
from collections.abc import Sequence
from dataclasses import dataclass, field

from ga_lint.verify.worker.reading.distribution import LIGHTNING, Distribution, distribution
from ga_lint.verify.worker.reading.evidence import equal_counts, only_ids
from ga_lint.verify.worker.reading.feeds import Feed, feeds_of
from ga_lint.verify.worker.reading.heads import head_of
from ga_lint.verify.worker.reading.layout import IGNORE, ONE_TENSOR, batch_keys, ignore_index, tuple_layout
from ga_lint.verify.worker.reading.loop_slice import LoopSlice, slice_loop
from ga_lint.verify.worker.reading.roles import infer, interface, usage
from ga_lint.verify.worker.reading.sources import Module, bindings, dotted, last
from ga_lint.verify.worker.reading.steps import steps_expressions

_TOKENS = re.compile(r"vocab|token(?!iz|_type)|-100|causal|language.?model|gpt|llama|\blm\b", re.IGNORECASE)


@dataclass(frozen=True)
class Reading:
    """A loop and what its names, calls and literals give away."""

    module: Module
    slice: LoopSlice
    roles: dict[str, str]
    members: dict[str, set[str]]  # attributes read from each dotted name
    called: frozenset[str]
    steps: tuple[ast.expr, ...]  # expressions that hold the accumulation steps
    interface: tuple[str, bool]  # how the model's result is taken, and whether the model shifts the labels
    layout: tuple[str, ...] | None  # the parts of a tuple batch
    keys: tuple[str, ...]
    ignore: int
    head: str | None  # None: the file names none
    is_about_tokens: bool
    equal: str | None  # why all counts are equal
    accelerator_divides: bool
    feeds: tuple[Feed, ...]  # what an item of its loader may be, the likeliest first
    unlabelled: bool  # the batches hold no labels: the loop adds its own to them
    stack: Distribution | None  # what puts the code on several ranks; None: it is a single process's
    # What was compiled in one run serves the others.
    code: dict[tuple[int, bool], types.CodeType] = field(default_factory=dict)

    @functools.cached_property
    def counted(self) -> frozenset[str]:
        """Names that the loop itself assigns: whatever they are called, they are no limit that it is given."""
        nodes = (node for node in ast.walk(self.slice.loop) if isinstance(node, ast.Name | ast.Attribute))
        return frozenset(dotted(node) or "" for node in nodes if isinstance(node.ctx, ast.Store))

    @property
    def gates_engine(self) -> bool:
        """Whether the loop decides itself when the engine steps."""
        engines = {f"{name}.step" for name, role in self.roles.items() if role == "engine"}
        gates = (n for n in ast.walk(self.slice.loop) if isinstance(n, ast.If) and _has_period(n.test))
        return any(isinstance(n, ast.Call) and dotted(n.func) in engines for gate in gates for n in ast.walk(gate))

    @property
    def model_members(self) -> list[str]:
        """What the loop reads from its model, which ours may not have."""
        models = (name for name, role in self.roles.items() if role in ("model", "engine"))
        return sorted({member for name in models for member in self.members.get(name, ())})


def read_loop(
    module: Module, scope: str, row: int | None, original: tuple[Module, int] | None, *, adapted: bool = False
) -> Reading:
    """Read a loop; of a rewrite what its original gave away counts too: not every use of a name is still there.

    `adapted`: an adapter makes the model, whatever its head.
    """
    found = slice_loop(module, scope, row, original)
    source = module if original is None else original[0]
    before = found if original is None else slice_loop(source, scope, original[1], None)
    roles = {**_roles(module, found), **_roles(source, before)}
    layout = tuple_layout(before.nodes, roles, before.loop, _given_before(source, before))
    ignore = ignore_index(before.nodes, source)
    head = "causal" if adapted else head_of(source.text)
    used = usage(found.nodes)
    return Reading(
        module=module,
        slice=found,
        roles=roles,
        members=used.members,
        called=frozenset(used.called),
        steps=tuple(
            each
            for at, one in ((module, found), (source, before))
            for each in steps_expressions(one.nodes, one.loop, at.text)
        ),
        interface=interface(before.nodes, roles),
        layout=layout,
        keys=tuple(batch_keys(before.nodes)),
        ignore=IGNORE if ignore is None else ignore,
        head=head,
        is_about_tokens=_TOKENS.search(source.text) is not None,
        equal=_equal(source, before, layout, head),
        accelerator_divides=_accelerator_has_steps(module, found),
        feeds=feeds_of(found.loop, found.nodes, roles),
        unlabelled=_adds_labels(before.nodes),
        stack=LIGHTNING
        if found.is_driven
        else distribution(f"{source.text}\n{module.text}", frozenset(roles.values())),
    )


def _accelerator_has_steps(module: Module, found: LoopSlice) -> bool:
    """An Accelerator divides only by the steps that it was built with, or that its DeepSpeed configuration names."""
    if "deepspeed_plugin" in module.text and "gradient_accumulation_steps" in module.text:
        return True
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and last(dotted(node.func)) == "Accelerator":
            names = {keyword.arg for keyword in node.keywords}
            if names & {"gradient_accumulation_steps", "gradient_accumulation_plugin"}:
                return True
            if None not in names:
                return False
    return any(isinstance(n, ast.Attribute) and n.attr == "accumulate" for root in found.nodes for n in ast.walk(root))


def _adds_labels(nodes: Sequence[ast.AST]) -> bool:
    """`model(**batch, labels=labels)`: a batch with labels of its own would be an error."""
    calls = (n for root in nodes for n in ast.walk(root) if isinstance(n, ast.Call))
    return any({None, "labels"} <= {keyword.arg for keyword in call.keywords} for call in calls)


def _roles(module: Module, found: LoopSlice) -> dict[str, str]:
    return infer(found.nodes, found.loop, _given_before(module, found))


def _given_before(module: Module, found: LoopSlice) -> dict[str, list[ast.stmt]]:
    """The statements that give each name a value before the loop ends."""
    body = module.tree.body if found.function is None else found.function.body
    return bindings(body, found.loop.end_lineno)


def _equal(module: Module, found: LoopSlice, layout: tuple[str, ...] | None, head: str | None) -> str | None:
    """Why every micro-batch holds the same number of targets, or None."""
    if layout == ONE_TENSOR:
        return "its batches are one tensor, without padding"
    if head == "span":
        return "every example has one answer"
    return equal_counts(module.text) or only_ids(found.nodes)


def _has_period(test: ast.expr) -> bool:
    return any(isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mod) for n in ast.walk(test))
