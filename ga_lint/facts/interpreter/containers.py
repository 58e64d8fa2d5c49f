"""What do the methods of lists and dictionaries give, or of what may be one?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.facts.interpreter import algebra
from ga_lint.facts.interpreter.elements import entry
from ga_lint.facts.values import UNKNOWN, Const, Items, Loss, Many, Symbol, Table, Tensor, TensorKind, Value, choice
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.calls import Call


def method(call: Call, receiver: Table | Items | Many, name: str) -> Value | None:
    """The value of a method of theirs; None when it is none."""
    match receiver:
        case Table() if name in ("get", "pop"):
            return looked_up(call, receiver)
        case Table() if name in ("items", "values"):
            inside = choice([value for _, value in receiver.entries] or [receiver.rest])
            return Many(Items((UNKNOWN, inside)) if name == "items" else inside, receiver)
        case Table() if name == "update":
            call.state.env[call.receiver_text] = _updated(call, receiver)
            return Const(None)
        case Many() if name in ("append", "extend"):
            return Const(None)
        case Items() if name == "append" and call.positional:
            call.state.env[call.receiver_text] = _collected(call, receiver, call.positional[0])
            return Const(None)
        case Many(element=Loss() as loss, loop=loop) if loop and name in ("sum", "mean"):
            return algebra.averaged(loss, call.receiver_text, call.run.place(call.frame, call.node), name)
    return None


def _updated(call: Call, table: Table) -> Table:
    """`table.update(other, key=value)`."""
    given = call.positional[0] if call.positional else Table(())
    other = given if isinstance(given, Table) else Table((), is_open=True)
    named = {key: value for key, value in call.named if key != "**"}
    is_open = table.is_open or other.is_open or len(named) < len(call.named)
    entries = {**dict(table.entries), **dict(other.entries), **named}
    return replace(table, entries=tuple(entries.items()), is_open=is_open)


def guessed_entry(call: Call) -> Value | None:
    """`batch.get("labels")` of something unknown: what the key alone says."""
    key = call.positional[0]
    if isinstance(key, Const) and isinstance(key.value, str):
        guess = entry(Tensor(TensorKind.OTHER), key.value)
        return guess if guess.kind is not TensorKind.OTHER else None
    return None


def _collected(call: Call, known: Items, value: Value) -> Items | Many:
    """A list with one element more; one that each round of a loop adds to, where no round starts it anew."""
    loop = call.frame.loops[-1] if call.frame.loops else None
    if loop is None or call.receiver_text in loop.assigned:
        if _is_micro_batch(value):  # they are gathered until the window's end starts anew
            return Many(value)
        return Items((*known.values, value))
    return Many(algebra.collected(value, loop.id), loop=loop.id)


def _is_micro_batch(value: Value) -> bool:
    """Can it be one? A tensor, a dictionary, or a tuple of tensors."""
    return isinstance(value, Tensor | Table) or (
        isinstance(value, Items) and bool(value.values) and all(isinstance(one, Tensor) for one in value.values)
    )


def looked_up(call: Call, receiver: Table | Tensor) -> Value:
    """`batch["labels"]` by a method: `get` and `pop`, which takes the entry out."""
    key = call.positional[0] if call.positional else UNKNOWN
    if isinstance(receiver, Table) and isinstance(key, Const) and isinstance(key.value, str):
        if call.method == "pop" and call.receiver_text in call.state.env:
            rest = tuple((name, value) for name, value in receiver.entries if name != key.value)
            call.state.env[call.receiver_text] = replace(receiver, entries=rest)
        if key.value in dict(receiver.entries):
            return receiver.get(key.value)
        if receiver.handed:  # the default is for those who put nothing there
            default = call.positional[1] if len(call.positional) > 1 else UNKNOWN
            hint = default.value if isinstance(default, Const) and type(default.value) in (int, float) else None
            return guessed_entry(call) or Symbol(text_of(call.node), hint)  # type: ignore[arg-type]
        return call.positional[1] if len(call.positional) > 1 else receiver.rest
    if isinstance(receiver, Tensor) and isinstance(key, Const) and isinstance(key.value, str):
        return entry(receiver, key.value)
    return UNKNOWN
