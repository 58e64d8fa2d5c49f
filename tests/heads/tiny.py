"""How is each head built tiny, with random weights and no download? And what is it trained on?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import transformers

from heads.lab import ROWS, Row

WORDS, LENGTH, LABELS = 97, 12, 3
TARGETS = (11, 2, 8, 1)  # of LENGTH positions, the first of which no shifted loss predicts
BERT = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "pad_token_id": 0,
}
LLAMA = {**BERT, "num_key_value_heads": 2}
GPT2 = {"vocab_size": WORDS, "n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 32, "pad_token_id": 0}
BART = {
    "vocab_size": WORDS,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 2,
}
LED = {**BART, "max_encoder_position_embeddings": 64, "max_decoder_position_embeddings": 64, "attention_window": 4}
T5 = {
    "vocab_size": WORDS,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 1,
    "num_heads": 4,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}
WHISPER = {**BART, "num_mel_bins": 8, "max_source_positions": 16, "max_target_positions": 32}
WAV2VEC2 = {
    **BERT,
    "conv_dim": (16, 16),
    "conv_kernel": (4, 4),
    "conv_stride": (4, 4),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 16,
}
VIT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "image_size": 16,
    "patch_size": 8,
}
CONVNEXT = {"hidden_sizes": [16, 32], "depths": [1, 1], "num_stages": 2}
SWIN = {"image_size": 16, "patch_size": 2, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
RESNET = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1]}
ESM = {**BERT, "max_position_embeddings": 64, "mask_token_id": 3}
NEOX = {**BERT, "rotary_pct": 0.5}


@dataclass(frozen=True)
class Head:
    """One head: its class, its configuration, and what it eats."""

    name: str
    config: Mapping[str, object]
    inputs: str = "text"  # or "image", "sound", "speech"
    labels: str = "token"  # or "sample", "word": one of the vocabulary at each position
    extra: Mapping[str, object] = field(default_factory=dict)

    def build(self) -> torch.nn.Module:
        torch.manual_seed(1)
        kind = getattr(transformers, self.name)
        labels = {} if self.labels == "word" else {"num_labels": LABELS}
        model = kind(kind.config_class(**{**self.config, **self.extra, **labels}))
        model.eval()
        model.train = lambda mode=True: model  # no dropout: the same gradient twice
        return model

    def rows(self, *, ragged: bool) -> list[Row]:
        generator = torch.Generator().manual_seed(0)
        return [self._row(generator, TARGETS[number] if ragged else 8, number) for number in range(ROWS)]

    def _row(self, generator: torch.Generator, targets: int, number: int) -> Row:
        words = torch.randint(3, WORDS, (LENGTH,), generator=generator)
        row = INPUTS[self.inputs](words, generator)
        if self.labels == "sample":
            return {**row, "labels": torch.tensor(number % LABELS)}
        labels = words.clone() if self.labels == "word" else torch.randint(0, LABELS, (LENGTH,), generator=generator)
        labels[: LENGTH - targets] = -100
        return {**row, "labels": labels}


def _text(words: torch.Tensor, generator: torch.Generator) -> Row:
    return {"input_ids": words, "attention_mask": torch.ones_like(words)}


INPUTS: Mapping[str, Callable[[torch.Tensor, torch.Generator], Row]] = {
    "text": _text,
    "image": lambda _, generator: {"pixel_values": torch.randn(3, 16, 16, generator=generator)},
    "sound": lambda _, generator: {"input_values": torch.randn(400, generator=generator)},
    "speech": lambda _, generator: {"input_features": torch.randn(8, 32, generator=generator)},
}

DROPPERS = (
    Head("BertForSequenceClassification", BERT, labels="sample"),
    Head("BertForMaskedLM", BERT, labels="word"),
    Head("BertForTokenClassification", BERT),
    Head("RobertaForMaskedLM", BERT, labels="word", extra={"max_position_embeddings": 64}),
    Head("RobertaForTokenClassification", BERT, extra={"max_position_embeddings": 64}),
    Head("XLMRobertaForSequenceClassification", BERT, labels="sample", extra={"max_position_embeddings": 64}),
    Head("DistilBertForTokenClassification", {**BERT, "dim": 32, "n_layers": 1, "n_heads": 4, "hidden_dim": 64}),
    Head("ElectraForTokenClassification", {**BERT, "embedding_size": 16}),
    Head("ElectraForMaskedLM", {**BERT, "embedding_size": 16}, labels="word"),
    Head("AlbertForMaskedLM", {**BERT, "embedding_size": 16}, labels="word"),
    Head("DebertaV2ForSequenceClassification", BERT, labels="sample"),
    Head("DebertaV2ForTokenClassification", BERT),
    Head("MPNetForTokenClassification", BERT),
    Head("LlamaForSequenceClassification", LLAMA, labels="sample"),
    Head("LlamaForTokenClassification", LLAMA),
    Head("Qwen2ForTokenClassification", LLAMA),
    Head("MistralForSequenceClassification", LLAMA, labels="sample"),
    Head("GPT2ForSequenceClassification", GPT2, labels="sample"),
    Head("GPT2ForTokenClassification", GPT2),
    Head("GPTNeoXForTokenClassification", NEOX),
    Head("BartForConditionalGeneration", BART, labels="word"),
    Head("MBartForConditionalGeneration", BART, labels="word"),
    Head("PegasusForConditionalGeneration", BART, labels="word"),
    Head("MarianMTModel", BART, labels="word"),
    Head("M2M100ForConditionalGeneration", BART, labels="word"),
    Head("LEDForConditionalGeneration", LED, labels="word"),
    Head("T5ForConditionalGeneration", T5, labels="word"),
    Head("MT5ForConditionalGeneration", T5, labels="word"),
    Head("T5ForTokenClassification", T5),
    Head("WhisperForConditionalGeneration", WHISPER, inputs="speech", labels="word"),
    Head("Wav2Vec2ForSequenceClassification", WAV2VEC2, inputs="sound", labels="sample"),
    Head("ResNetForImageClassification", RESNET, inputs="image", labels="sample"),
    Head("XLMWithLMHeadModel", {**GPT2, "emb_dim": 32, "n_layers": 1, "n_heads": 4}, labels="word"),
)
EXACT = (
    Head("BertLMHeadModel", BERT, labels="word", extra={"is_decoder": True}),
    Head("ViTForImageClassification", VIT, inputs="image", labels="sample"),
    Head("ConvNextForImageClassification", CONVNEXT, inputs="image", labels="sample"),
    Head("SwinForImageClassification", SWIN, inputs="image", labels="sample"),
    Head("EsmForSequenceClassification", ESM, labels="sample"),
    Head("LlamaForCausalLM", LLAMA, labels="word"),
    Head("GPT2LMHeadModel", GPT2, labels="word"),
    Head("Qwen2ForCausalLM", LLAMA, labels="word"),
    Head("GPTNeoXForCausalLM", NEOX, labels="word"),
    Head("ModernBertForMaskedLM", BERT, labels="word"),
)
WEIGHTS = (
    Head("EsmForMaskedLM", ESM, labels="word"),
    Head("EsmForTokenClassification", ESM),
)
