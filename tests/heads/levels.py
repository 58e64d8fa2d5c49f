"""What is one element of a head's loss: one target of several in a row, or the row?"""

from __future__ import annotations

from ga_lint.knowledge.load import load

# Where the end of the name says another thing than rules/knowledge/models.toml makes of it.
_BY_NAME = {
    "BlipForQuestionAnswering": "token",  # its answers are text: the loss is the text decoder's
}
_BY_END = {
    "AudioFrameClassification": "token",
    "CausalImageModeling": "token",
    "DepthDecoder": "token",
    "DepthEstimation": "token",
    "DoubleHeadsModel": "token",
    "EntitySpanClassification": "token",
    "ImageSegmentation": "token",
    "MTModel": "token",
    "MaskedImageModeling": "token",
    "PoseEstimation": "token",
    "PreTraining": "token",
    "RNNT": "token",  # reduction "mean_volume": over all targets
    "RegionToPhraseAlignment": "token",
    "SeamlessM4TModel": "token",
    "SeamlessM4Tv2Model": "token",
    "SemanticSegmentation": "token",
    "SpeechToSpeech": "token",
    "SpeechToText": "token",
    "TextModel": "token",
    "TextToSpectrogram": "token",
    "TextToSpeech": "token",
    "TextToText": "token",
    "TextToWaveform": "token",
    "WithLMHeadModel": "token",
    "EntityClassification": "sample",
    "EntityPairClassification": "sample",
    "GraphClassification": "sample",
    "ImageAndTextRetrieval": "sample",
    "ImageClassificationConvProcessing": "sample",
    "ImageClassificationFourier": "sample",
    "ImageClassificationLearned": "sample",
    "ImagesAndTextClassification": "sample",
    "TDT": "sample",
    "TableQuestionAnswering": "sample",
    "VideoClassification": "sample",
    "VideoGrounding": "sample",
    "VisualQuestionAnswering": "sample",
    "VisualReasoning": "sample",
    "XVector": "sample",
}


def level_of(name: str) -> str:
    """ "token" or "sample"; a KeyError asks for another row here."""
    known = _BY_NAME.get(name) or load().head_level(name)
    if known:
        return known
    for end, level in _BY_END.items():
        if name.endswith(end):
            return level
    raise KeyError(f"{name}: say in tests/heads/levels.py what one element of its loss is")
