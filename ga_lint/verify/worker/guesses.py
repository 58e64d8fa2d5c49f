"""What does a name say about a value that cannot be found? The last resort, and each guess is an assumption."""

from __future__ import annotations

import ast
import dataclasses
import re
import sys

import torch
from torch import nn

from ga_lint.verify.worker.harness import ranks
from ga_lint.verify.worker.harness.data import IGNORE, LONGEST, PAD, VOCABULARY
from ga_lint.verify.worker.harness.stand_ins import MISSING, Recorder
from ga_lint.verify.worker.reading.configured import configured
from ga_lint.verify.worker.reading.declared import DEFAULT, NONE, declared, drawn, optional
from ga_lint.verify.worker.reading.sources import Module, dotted, last

NEVER = 10**9


class Asked(int):
    """A number that a library has as an attribute, or gives when it is called: `comm.rank`, `comm.rank()`."""

    def __call__(self, *_: object, **__: object) -> int:
        return int(self)


class AnyShapeLoss(nn.CrossEntropyLoss):
    """Cross entropy as fused kernels offer it: logits and targets may keep their time axis; options of theirs are
    taken and do nothing."""

    def __init__(self, *_: object, ignore_index: int = IGNORE, reduction: str = "mean", **__: object) -> None:
        super().__init__(ignore_index=ignore_index, reduction=reduction)

    def forward(self, input: torch.Tensor, target: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        if input.dim() == 3 and target.dim() == 2:
            input, target = input.flatten(0, 1), target.flatten()
        return super().forward(input, target)


# Where training ends; the check runs a few windows and is not ended by what such a limit is computed from.
LIMITS = (
    r"^(max|total|num|n)_?(train_|training_|global_|optimi[sz]ation_|update_|opt_)?"
    r"(steps?|iters|iterations|updates|iter|batches|tokens)$|train_iters|max_updates"
)
_CLIPPING = r"grad.*(clip|norm)|clip.*(grad|norm|value)|max_norm|^clip$|max_grad"
_CLIPS = re.compile(_CLIPPING, re.IGNORECASE)
# First match wins; matched against the last part of the dotted name.
_QUIET: tuple[tuple[str, object], ...] = (  # harness values that nobody needs to hear about
    (r"^(device|dev|local_device|input_device|cuda_device)$|_device$", torch.device("cpu")),
    (r"device_type", "cpu"),
    (_CLIPPING, 1e9),
    (
        r"^(log|save|eval|print|val|checkpoint|ckpt|report|sample|test|vis)\w*_(steps?|iters?|freq|interval|every|epochs?)$",
        NEVER,
    ),
    (r"_(freq|interval|every|period)$|every_n|every_x|^every_|frequency|^log_every|interval", NEVER),
    (LIMITS, NEVER),
    (r"(start|cur|begin|first|starting|last|current)_?epoch|^epoch$", 0),
    (r"epochs?$", 1),
    (r"(resume|start|skip|initial|completed|init|past|resumed)\w*_?(step|steps|iter|iters|batch|batches)\w*$", 0),
    (
        r"^(global|completed|train|cur|current|total|optimizer|opt|update|micro|n|num)?_?(step|iter|iteration|it|itr|update|i|step_count|steps|niter|iter_num|counter|batch_idx|idx|batches_seen)$",
        0,
    ),
    (r"local_iter_num|step_cnt|micro_step$|tokens_seen|_seen$|n_tokens|_count$", 0),
    (
        r"^(running|total|sum|avg|tr|cum|accum\w*|logging|best|epoch|train|interval|window)_?\w*(loss|acc|accuracy|ppl|tokens|time|norm)$",
        0.0,
    ),
    (r"^(split|mode|phase|stage)$", "train"),
    (r"^is_train(ing)?$|^train(ing)?$", True),
    (r"warmup", 1),
    (r"^(learning_rate|lr|min_lr|base_lr|max_lr)$", 1.0),
    (r"vocab_?size|n_vocab|ntokens?$", VOCABULARY),
    (r"^mask(_token)?_?(id|idx|index)$", VOCABULARY),  # no token of a row
    (r"ignore_?(index|idx|id|label)|label_pad", IGNORE),
    (r"^(pad|padding)(_token)?_?(id|idx|index)$|pad_token_id|pad_idx", PAD),
    (r"batch_size|micro_batch|mbs$|^bs$", 1),
    (r"(seq|block|context|max)_?(len|length|size|seq_?len\w*)$", LONGEST),
)
_RANK = re.compile(r"(local_|global_|ddp_|dp_|node_)?rank$|process_index$", re.IGNORECASE)
_RANKS = re.compile(
    r"world_size|n_?gpus?$|num_gpus|num_processes|nproc|dp_size|(data_parallel|dp|ddp)_degree|^n(um)?_(ranks|replicas)$",
    re.IGNORECASE,
)
_FALSE = re.compile(
    r"^(use_|do_|is_|enable_|with_|if_|no_)?(fp16|bf16|amp|mixed_precision|half|compile|profile|profiler|wandb|debug|distributed"
    r"|ddp|multi_gpu|parallel|tracking|deepspeed|fsdp|gradient_checkpointing|checkpoint_activations|sync|resume|ema|tensorboard"
    r"|swanlab|moe|use_moe|eval|profiling|verbose)$|is_(main|master|rank|world|global|local)|^(main|master)_?(process|rank|proc)$|^master$"
    r"|overflow|skipped",
    re.IGNORECASE,
)
_STRENGTH = re.compile(
    r"(^|_)(alpha|beta|lambda|lmbda|gamma|mu|\w*weights?|coef\w*|\w*(?<!gene)ratio|temperature|tau|scale|margin|epsilon|eps|smoothing|\w*loss_factor)"
    r"(_|\d|$)",
    re.IGNORECASE,
)
_DROP_IN = re.compile(r"^([A-Z]\w*)?CrossEntropyLoss$")  # kernels with the interface of torch's: Fused..., Liger...
_ARGUMENTS = re.compile(
    r"(^|\.)(\w*args|\w*config|\w*cfg|conf|hparams|hps?|opts?|options|flags)(\.\w+)+$", re.IGNORECASE
)
_QUIET_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), value) for pattern, value in _QUIET)


def reductions_of(name: str, module: Module) -> set[str]:
    """The `reduction=` with which the file makes what it keeps under this name."""
    found: set[str] = set()
    for node in ast.walk(module.tree):
        match node:
            case ast.Assign(targets=[target], value=ast.Call(keywords=given)) if last(dotted(target)) == name:
                values = [k.value for k in given if k.arg == "reduction" and isinstance(k.value, ast.Constant)]
                found |= {str(value.value) for value in values}
    return found


def drop_in(name: str, recorder: Recorder) -> object:
    """torch's own loss for a kernel's class that says it is one."""
    if not _DROP_IN.search(last(name)):
        return MISSING
    recorder.assume(f"`{name}` is nn.CrossEntropyLoss")
    return AnyShapeLoss


def _of_files(name: str, module: Module) -> tuple[object, str]:
    return (_ARGUMENTS.search(name) and configured(module, name)) or (None, "")


def _of_library(part: str, module: Module) -> tuple[object, str] | None:
    """The default of transformers' own options, where the file speaks of them and the library is loaded."""
    options = getattr(sys.modules.get("transformers"), "TrainingArguments", None)
    if options is None or not re.search(r"\bTrainingArguments\b", module.text):
        return None
    fields = {each.name: each.default for each in dataclasses.fields(options)}
    value = fields.get(part, dataclasses.MISSING)
    return None if value is dataclasses.MISSING or value is None else (value, "its default in transformers")


def guess(name: str, module: Module, recorder: Recorder) -> object:
    """A value for `name`: the harness's, a default that the file declares, what such names mean; else MISSING."""
    part = last(name)
    if _FALSE.search(part):
        return False if name == part else Asked(False)
    if _RANK.search(part) or _RANKS.search(part):
        return Asked(ranks.rank() if _RANK.search(part) else ranks.count())
    is_none = part in optional(module) or declared(module).get(part) == (None, DEFAULT)
    if _CLIPS.search(part) and is_none:
        return None  # clipping is neutralised; what it needs besides is not run
    for pattern, value in _QUIET_COMPILED:
        if pattern.search(part):
            return value
    if part in drawn(module):
        recorder.assume(f"`{name}` is 0: what it decides at random does not happen")
        return 0.0
    value, what = declared(module).get(part) or _of_library(part, module) or _of_files(name, module)
    # a strength is a number
    is_given = value is not None or what == NONE or (what == DEFAULT and not _STRENGTH.search(part))
    if is_given and "." in name:
        recorder.assume(f"`{name}` is {what} {value!r}")
        return value
    kernel = drop_in(name, recorder)
    if kernel is not MISSING:
        return kernel
    if _ARGUMENTS.search(name) and part in optional(module):
        recorder.assume(f"`{name}` is None: the code asks whether it is")
        return None
    if _STRENGTH.search(part):
        recorder.assume(f"`{name}` taken as 0.5")
        return 0.5
    return MISSING
