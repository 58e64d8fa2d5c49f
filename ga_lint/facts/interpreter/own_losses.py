"""What loss does a model, a head or the Trainer compute by itself? Who called it sees the result alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from ga_lint.diagnostics import Confidence, Step
from ga_lint.facts.interpreter import losses
from ga_lint.facts.model import HEADS_LOSS, OWN_LOSS, SUPERS_LOSS, Level, LossSite, LossTerm, Place, Reduction
from ga_lint.facts.values import (
    COUNT,
    UNKNOWN,
    Choice,
    Const,
    Count,
    Instance,
    Items,
    Loss,
    Model,
    Output,
    Table,
    Tensor,
    TensorKind,
    Value,
    alternatives,
    choice,
    matters,
)
from ga_lint.syntax.text import text_of

if TYPE_CHECKING:
    from ga_lint.facts.interpreter.calls import Call

_Handed = tuple[Level, tuple[Step, ...]]  # of a network that is handed labels: what it predicts, and what tells of tags
OWN_LABELS = ("labels", "lm_labels", "masked_lm_labels")  # by the names that transformers gave them before 4.0 too


def _labels_text(source: Tensor | None, passed: bool) -> str:
    if source is None or not source.origin:
        return ""
    return source.origin if passed or source.kind is TensorKind.LABELS else f'{source.origin}["labels"]'


def loss_of_super(call: Call, forwarded: bool) -> Value:
    """What the Trainer's own compute_loss returns: a sum over the count and times the ranks, or a mean without one."""
    place = call.run.place(call.frame, call.node)
    site = LossSite(
        SUPERS_LOSS,
        Reduction.SUM if forwarded else Reduction.MEAN,
        Level.UNKNOWN,
        place,
        place,
        Confidence.CERTAIN,
        counted=forwarded,
        depth=len(call.frame.loops),
    )
    loss = Loss((LossTerm(site),))
    with_outputs = Items((loss, Output(Model(), loss, loss)))
    match call.argument(2, "return_outputs"):
        case Const(value=True):
            return with_outputs
        case None | Const():
            return loss
        case _:
            return choice([loss, with_outputs])


def loss_of_head(call: Call, level: Level, confidence: Confidence = Confidence.CERTAIN) -> Value:
    """`loss_function(logits, labels, ...)` of a transformers model: a sum over the count where that is handed on."""
    place = call.run.place(call.frame, call.node)
    counted = isinstance(call.argument(None, COUNT), Count)
    labels = call.argument(1, "labels")
    site = LossSite(
        HEADS_LOSS,
        Reduction.SUM if counted else Reduction.MEAN,
        level,
        place,
        place,
        confidence,
        ignore_index="-100",
        labels=labels.text if isinstance(labels, Tensor) else None,
        ragged=labels.ragged if isinstance(labels, Tensor) else (),
        counted=counted,
        scope=call.frame.name,
        named_labels=True,
    )
    return Loss((LossTerm(site),))


def output_of(call: Call, model: Model) -> Value:
    """What a model returns for a batch: its own loss when it was given labels."""
    unpacked = next((value for name, value in call.named if name == "**"), None)
    if isinstance(unpacked, Choice):
        return choice([_output(call, model, one) for one in unpacked.values])
    return _output(call, model, unpacked)


def _output(call: Call, model: Model, unpacked: Value | None) -> Value:
    place = call.run.place(call.frame, call.node)
    labels = call.argument(None, *OWN_LABELS)
    if isinstance(unpacked, Table):
        labels = next((one for key, one in unpacked.entries if key in OWN_LABELS), labels)
    batch = (unpacked, *call.positional)
    kinds = (TensorKind.BATCH, TensorKind.LABELS, TensorKind.OTHER)
    whole = [one for one in batch if isinstance(one, Tensor) and one.kind in kinds]
    targets = [one for one in whole if one.kind is TensorKind.LABELS]
    telling = losses.telling(labels)
    source = telling if isinstance(telling, Tensor) else next(iter((*targets, *whole)), None)
    count = next((one for _, one in call.named if _holds_count(one)), call.argument(None, COUNT))
    inner = call.frame.name.endswith("forward") and call.receiver_text == "self"  # a layer, if it gets no targets
    has_loss = labels is not None or any(name == "**" for name, _ in call.named) or bool(call.positional and not inner)
    if not has_loss:
        return Output(model, UNKNOWN, UNKNOWN)
    site = LossSite(
        f"{text_of(call.node.func)}'s {OWN_LOSS}",
        Reduction.SUM if _holds_count(count) else Reduction.MEAN,
        Level.TOKEN if model.level is Level.UNKNOWN and _are_tokens(call, source) else model.level,
        place,
        place,
        Confidence.LIKELY,
        labels=source.text if source else None,
        labels_from=_labels_text(source, labels is not None),
        labels_remade=source is not None and source.remade,
        shifted=model.shifts,
        ragged=source.ragged if source else (),
        tags=_tags(model, place),
        counted=_holds_count(count),
        scope=call.frame.name,
        depth=len(call.frame.loops),
        named_labels=True,
    )
    loss = Loss((LossTerm(site),))
    return Output(model, loss, loss)


def _are_tokens(call: Call, labels: Tensor | None) -> bool:
    """Whatever the network is: what is padded or masked in the labels is tokens, and so is what a decoder is fed."""
    decodes = any(name in ("decoder_input_ids", "decoder_attention_mask") for name, _ in call.named)
    return decodes or (labels is not None and bool(labels.ragged))


def _tags(model: Model, place: Place) -> tuple[Step, ...]:
    """A head that tags tokens counts none of its padding."""
    tagger = next((part for part in (model.head or "").split(".") if part.endswith("ForTokenClassification")), None)
    return (place.as_step(f"`{tagger}` counts no padding"),) if tagger else ()


def _holds_count(value: Value | None) -> bool:
    """The Trainer's count, or a dictionary of keyword arguments that it is in under another name."""
    match value:
        case Count():
            return True
        case Table(entries=entries):
            return any(isinstance(one, Count) and one.is_trainers for _, one in entries)
    return False


def tells_of_loss(value: Value) -> bool:
    """A loss, an output with one in it, or what a head of a library's own returned."""
    if isinstance(value, Table):
        return any(matters(one) for _, one in value.entries)
    return matters(value) or (isinstance(value, Output) and matters(value.loss))


def of_network(call: Call, network: Value, value: Value) -> Value | None:
    """What a language model's forward returned, where a loss is in it.

    The targets that it shifts are the batch's, as with any model's own, and so are those that it is handed as `labels`;
    what those are its name tells, where it is called as transformers' heads.
    """
    if not any(map(tells_of_loss, alternatives(value))):
        return None
    unpacked = (entries for _, one in call.named if isinstance(one, Table) for entries in one.entries)
    if not isinstance(network, Instance) or all(name not in OWN_LABELS for name, _ in (*call.named, *unpacked)):
        return _as_batchs(value, None)
    name = network.cls.node.name
    level = Level(call.run.knowledge.head_level(name) or "unknown")
    return _as_batchs(value, (level, _tags(Model(head=name), call.run.place(call.frame, call.node))))


def _as_batchs(value: Value, handed: _Handed | None) -> Value:
    match value:
        case Loss(terms=terms):
            return replace(value, terms=tuple(replace(one, site=_with_targets(one.site, handed)) for one in terms))
        case Items(values=values):
            return Items(tuple(_as_batchs(one, handed) for one in values))
        case Choice(values=values):
            return Choice(tuple(_as_batchs(one, handed) for one in values))
        case Table(entries=entries):
            return replace(value, entries=tuple((key, _as_batchs(one, handed)) for key, one in entries))
    return value


def _with_targets(site: LossSite, handed: _Handed | None) -> LossSite:
    # timid: a number that it is told to ignore says less in a network of one's own than -100 does everywhere
    own = handed is not None and not site.explicit_ignore and (site.labels or "").partition(".")[0] in OWN_LABELS
    if handed is not None and own:
        site = replace(site, level=handed[0] if site.level is Level.UNKNOWN else site.level, tags=handed[1])
    of_batch = site.level is Level.TOKEN and (own or site.shifted is True) and site.ignore_index is not None
    return replace(site, named_labels=site.named_labels or of_batch)
