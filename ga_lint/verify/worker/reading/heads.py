"""Which head does the code name? It decides what a row of a batch is, and what the loss is a mean over."""

from __future__ import annotations

import re

from ga_lint.verify.worker.exceptions import NotVerifiable

UNSHIFTED_GUESSED = "the model's labels are not shifted: the file names no head, and its own loss shifts none"
_HEADS = re.compile(r"\b(\w*?)For(\w+)\b")
_HEAD_OF = {
    "CausalLM": "causal",
    "ConditionalGeneration": "causal",
    "ImageTextToText": "causal",
    "MultimodalLM": "causal",
    "Seq2SeqLM": "unshifted",
    "SpeechSeq2Seq": "unshifted",
    "MaskedLM": "unshifted",
    "TokenClassification": "token",
    "SequenceClassification": "sequence",
    "MultipleChoice": "sequence",
    "QuestionAnswering": "span",
}
_OWN_LOSS = re.compile(
    r"cross_entropy|CrossEntropyLoss|nll_loss|log_softmax|criterion|loss_f(n|ct|unc)|label_smoother|LabelSmoother"
)
_MODELS_LOSS = re.compile(r"\.loss\b|\[.loss.\]|\.get\(.loss.|outputs?\[0\]|super\(.*\)\.(compute_loss|training_step)")
_SHIFT = re.compile(r"shift|\.roll\(|(\.\.\.|:), (1:|:-1)")  # as `ast.unparse` writes it
# Heads whose loss is neither one over tokens nor that of a classifier of token sequences. No tiny model stands in.
_OTHER_HEAD = re.compile(
    r"\w*(?:Image|Video|Audio|Frame|Vision)\w*(?:Classification|Modeling)|\w*(?:Segmentation|Detection|Estimation)|CTC|XVector"
    r"|PreTraining|NextSentencePrediction|\w*Retrieval|\w*Generation(?<!ConditionalGeneration)"
)
# Encoder-decoder models shift the decoder's inputs, not the labels; the other *ForConditionalGeneration are causal.
_ENCODER_DECODER = re.compile(
    r"^(U?M?T5|Long?T5|M?Bart|Pegasus|Whisper|Marian|M2M100|LED|Blenderbot|ProphetNet|Pix2Struct|Udop|Speech2Text|Moonshine)"
)


def head_of(text: str) -> str | None:
    """causal, unshifted (token-level), token, sequence or span: the head that the file names most, None without one."""
    return next(iter(heads_of(text)), None)


def shifts_nothing(loss: str) -> bool:
    """Whether this code computes the loss by itself, over labels as they come."""
    own = _OWN_LOSS.search(loss) is not None and _MODELS_LOSS.search(loss) is None
    return own and _SHIFT.search(loss) is None


def heads_of(text: str) -> list[str]:
    """The head that the file names most, then those that it names at least half as often."""
    counts: dict[str, int] = {}
    for family, suffix in _HEADS.findall(text):
        head = next((kind for known, kind in _HEAD_OF.items() if suffix.startswith(known)), None)
        if suffix == "ConditionalGeneration" and _ENCODER_DECODER.match(family):
            head = "unshifted"
        if head is None and family and not family.startswith("DataCollator") and _OTHER_HEAD.fullmatch(suffix):
            head = f"{family}For{suffix}"
        if head is not None:
            counts[head] = counts.get(head, 0) + 1
    if not counts:
        return []
    found = sorted(counts, key=lambda head: (-counts[head], head))
    if found[0] not in _HEAD_OF.values():
        raise NotVerifiable(f"needs a stand-in for {found[0]}: its loss is not one over tokens")
    return [head for head in found if 2 * counts[head] >= counts[found[0]] and head in _HEAD_OF.values()]
