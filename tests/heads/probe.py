"""Does a head's loss move when a count is handed to it? A second opinion on what was read, for every head that can be
built tiny from one general configuration.

    PYTHONPATH=.:tests python -m heads.probe
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path

import torch
import transformers

from heads.reading import Verdict
from heads.scan import scan
from heads.tiny import BART, BERT, GPT2, LABELS, LENGTH, T5, VIT, WORDS

GENERAL = {**T5, **BART, **GPT2, **VIT, **BERT, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64}
SMALL = 3_000_000  # parameters; a larger model's configuration has names of its own
SEQUENCES = ("CausalLM", "LMHeadModel", "MaskedLM", "ConditionalGeneration", "WithLMHeadModel", "MTModel")
SAMPLES = ("SequenceClassification", "ImageClassification", "AudioClassification")
SHAPES = {"pixel_values": (2, 3, 16, 16), "input_values": (2, 4000)}


def batch_of(name: str, model: torch.nn.Module) -> dict[str, torch.Tensor] | None:
    """Two rows for that head; None where its labels are of a kind that isn't made here."""
    main = model.main_input_name
    words = torch.randint(4, WORDS, (2, LENGTH), generator=torch.Generator().manual_seed(0))
    if main != "input_ids" and main not in SHAPES:
        return None
    batch = {main: words if main == "input_ids" else torch.randn(SHAPES[main])}
    if name.endswith(SEQUENCES) and main == "input_ids":
        return {**batch, "labels": words}
    if name.endswith("TokenClassification"):
        return {**batch, "labels": words % LABELS}
    if name.endswith("MultipleChoice"):
        return {main: words[:, None].repeat(1, 2, 1), "labels": torch.tensor([0, 1])}
    return {**batch, "labels": torch.tensor([0, 1])} if name.endswith(SAMPLES) else None


def measured(name: str) -> Verdict | None:
    """What becomes of a count that is handed on; None where the head can't be built or run like this."""
    kind = getattr(transformers, name, None)
    if kind is None or kind.config_class is None:
        return None
    try:
        config = kind.config_class(**GENERAL, num_labels=LABELS)
        with torch.device("meta"):
            if sum(weights.numel() for weights in kind(config).parameters()) > SMALL:
                return None
        torch.manual_seed(0)
        model = kind(config).eval()
        batch = batch_of(name, model)
        if batch is None:
            return None
        with torch.no_grad():
            plain = model(**batch).loss
            counted = model(**batch, num_items_in_batch=torch.tensor(1000.0)).loss
        return Verdict.DROPS if torch.allclose(plain, counted) else Verdict.USES
    except Exception:  # noqa: BLE001 - whatever one general configuration meets in hundreds of models
        return None


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    _, readings = scan(Path(os.path.dirname(transformers.__file__)).parent)
    agreed: Counter[str] = Counter()
    for name, reading in sorted(readings.items()):
        if reading.verdict in (Verdict.DROPS, Verdict.USES):
            found = measured(name)
            agreed["not run" if found is None else f"{found}, as read" if found == reading.verdict else "differ"] += 1
            if found not in (None, reading.verdict):
                print(f"{name}: read {reading.verdict} ({reading.why}), measured {found}")
    print(dict(agreed))


if __name__ == "__main__":
    main()
