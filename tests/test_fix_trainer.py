"""Is a rewritten override numerically right? On the real transformers.Trainer, with a tiny random Llama."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.multiprocessing.spawn import start_processes

from ga_lint.api import fix_source
from testbed.rewriting import rewritten

pytestmark = [
    pytest.mark.usefixtures("loaded_trainer"),
    pytest.mark.xdist_group("trainer"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

EXACT = 2e-5  # float32; the worst seen is 1e-6
FAR = 1e-2
TARGETS = (14, 2, 9, 1, 15, 3, 6, 11, 1, 8, 15, 2, 4, 13, 1)  # per row: three windows of four, a short one of three
VOCAB, WIDTH, STEPS, RANKS = 31, 16, 4, 2
Row = dict[str, Tensor]

HEAD = """import torch
import torch.nn as nn
import torch.nn.functional as F
from transformers import LlamaForCausalLM, Trainer, TrainingArguments


class Custom(Trainer):
"""
OWN = """    def compute_loss(self, model, inputs, return_outputs=False{parameter}):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        logits, targets = outputs.logits[:, :-1], labels[:, 1:]
{loss}
        return (loss, outputs) if return_outputs else loss
"""
CALL = "F.cross_entropy(logits.reshape(-1, logits.size(-1)), targets.reshape(-1), ignore_index=-100)"
MASKED = "(losses * mask).sum() / mask.sum()"
MASKED_LOSS = f"""        losses = F.cross_entropy(logits.transpose(1, 2), targets.clamp(min=0), reduction="none")
        mask = (targets != -100).float()
        loss = {MASKED}"""
COUNTED = """        summed = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        loss = {value}"""
IGNORES = ", num_items_in_batch=None"


@dataclass
class Form:
    """An override, and what a rule would say about it."""

    body: str
    fixer: str
    places: dict[str, str | list[str]]
    crashes: bool = False  # the Trainer passes a count that the override does not take
    right_alone: bool = False  # wrong on several ranks only
    per_row: bool = False  # the objective is a mean over rows, each a mean over its tokens
    penalised: bool = False  # PENALTY is added, once for each forward
    softened: bool = False  # SOFT times the same loss at temperature 2 is added
    plain: bool = False  # the model's forward takes no **kwargs
    options: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return HEAD + self.body

    @property
    def make(self) -> Callable[[], Any]:
        return Plain if self.plain else make_model

    @functools.cached_property
    def fixed(self) -> str:
        if self.fixer:
            return rewritten(self.text, self.fixer, self.options, **self.places)
        fixed, left = fix_source(self.text, unsafe=True)  # by what the rules say, all of it
        assert not left
        return fixed


SOFT = 0.5
PENALTY = "0.1 * outputs.logits.logsumexp(-1).square().mean()"


def own(loss: str, parameter: str = IGNORES) -> str:
    return OWN.format(loss=loss, parameter=parameter)


HELPERS = """
    @staticmethod
    def masked_mean(losses, labels):
        mask = labels != -100
        return (losses * mask).sum() / mask.sum().clamp(min=1)

    def soft_loss(self, logits, targets, temperature=2.0):
        losses = F.cross_entropy(logits.transpose(1, 2) / temperature, targets, reduction="none")
        return self.masked_mean(losses, targets)

    def with_metrics(self, outputs, labels):
        targets = labels[:, 1:]
        loss = F.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), targets.flatten())
        return loss, {"targets": targets.numel()}
"""
BY_HELPERS = {
    "a helper's mean": Form(own("        loss = self.soft_loss(logits, targets, 1.0)") + HELPERS, "", {}),
    "a helper's mean, returned at once": Form(
        own("        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction='none')").replace(
            "(loss, outputs) if return_outputs else loss", "self.masked_mean(losses, targets)"
        )
        + HELPERS,
        "",
        {},
    ),
    "a helper's pair, no parameter": Form(
        own("        loss, metrics = self.with_metrics(outputs, labels)", "") + HELPERS, "", {}, crashes=True
    ),
    "two branches of helpers": Form(
        own(
            "        if self.args.per_device_train_batch_size > 1:\n"
            "            loss = self.soft_loss(logits, targets)\n"
            "        else:\n"
            "            loss, _ = self.with_metrics(outputs, labels)"
        )
        + HELPERS,
        "",
        {},
    ),
    "a helper's term beside its own cross-entropy": Form(
        own(
            f"        hard = {CALL}\n"
            "        soft = self.soft_loss(logits, targets)\n"
            f"        loss = hard + {SOFT} * soft"
        )
        + HELPERS,
        "",
        {},
        softened=True,
    ),
    "two cross-entropies over the same labels": Form(
        own(
            f"        hard = {CALL}\n"
            f"        soft = {CALL.replace('-1, logits.size(-1))', '-1, logits.size(-1)) / 2')}\n"
            f"        loss = hard + {SOFT} * soft\n"
            f"        loss = loss + {PENALTY}"
        ),
        "",
        {},
        penalised=True,
        softened=True,
    ),
}

SUPER = """    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        logits, targets = outputs.logits[:, :-1], inputs["labels"][:, 1:]
{term}
        return (loss, outputs) if return_outputs else loss
"""
STEP = """    def training_step(self, model, inputs{parameter}):
        model.train()
        inputs = self._prepare_inputs(inputs)
{loss}
        if self.args.n_gpu > 1:
            loss = loss.mean()
        self.accelerator.backward(loss)
        return loss.detach() / self.args.gradient_accumulation_steps
"""
ROW_LOSS = """        labels = inputs.pop("labels")
        logits, targets = model(**inputs).logits[:, :-1], labels[:, 1:]
        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none").sum(1)
        loss = (losses / (targets != -100).sum(1)).mean()"""
RESCALED = f"""        loss = {CALL}
        if num_items_in_batch is not None:
            loss = {{value}} * self.accelerator.num_processes"""
NET = """

class Net(nn.Module):
    def forward(self, input_ids, attention_mask=None, labels=None):
        return self.model(input_ids=input_ids, attention_mask=attention_mask, labels=labels)


def main(args, data):
    Custom(model=Net(), args=args, train_dataset=data).train()
"""
BY_COUNT = f"""        counted = num_items_in_batch is not None
        loss = {CALL.replace("ignore_index=-100", 'reduction="sum" if counted else "mean"')}
        if counted:
            loss = loss / num_items_in_batch"""
OPTED = """    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False

"""
WITHHELD = {  # the Trainer passes no count for this model
    "a count that is withheld": Form(own(BY_COUNT) + NET, "", {}, plain=True),
    "a count that is withheld, in a helper": Form(
        own("        loss = self.counted_loss(logits, targets, num_items_in_batch)")
        + """
    def counted_loss(self, logits, targets, items):
        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        return losses.sum() / (items if items is not None else (targets != -100).sum())
"""
        + NET,
        "",
        {},
        plain=True,
    ),
    "an opt-out that is turned round": Form(OPTED + own(BY_COUNT) + NET, "", {}, plain=True),
    "an opt-out on the class, turned round": Form(
        "    loss_is_scaled_for_ga = False\n\n" + own(BY_COUNT) + NET, "", {}, plain=True
    ),
    "a withheld count, said to scale": Form(
        "    loss_is_scaled_for_ga = True\n\n" + own(BY_COUNT) + NET, "", {}, plain=True
    ),
    "a count that is withheld, no parameter": Form(
        own(f"        loss = {CALL}", "") + NET, "", {}, crashes=True, plain=True
    ),
    "a count that is withheld, with no branch for that": Form(
        own(COUNTED.format(value="summed / num_items_in_batch")) + NET, "", {}, crashes=True, plain=True
    ),
}
FUNCTION = """    def __init__(self, **kwargs):
        super().__init__(compute_loss_func=token_loss, **kwargs)


def picked_losses(outputs, labels):
    kept = labels[..., 1:] != -100
    return F.cross_entropy(outputs.logits[..., :-1, :][kept], labels[..., 1:][kept], reduction="none"), kept


def masked_mean(losses, labels):
    mask = labels != -100
    return (losses * mask).sum() / mask.sum()


def token_loss(outputs, labels, num_items_in_batch=None):
    logits, targets = outputs.logits[:, :-1], labels[:, 1:]
"""
COUNTING = """    reduction = "mean" if num_items_in_batch is None else "sum"
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)
    return loss if num_items_in_batch is None else loss / num_items_in_batch
"""
FUNCTIONS = {  # the first two take another branch for each micro-batch
    "a function's branches": Form(
        FUNCTION
        + """    if (targets != -100).sum() % 4 == 0:
        loss_fct = nn.CrossEntropyLoss()
        loss = loss_fct(logits.flatten(0, 1), targets.flatten())
    elif (targets != -100).sum() % 4 == 1:
        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        loss = masked_mean(losses, targets)
    elif (targets != -100).sum() % 4 == 2:
        mask = (targets != -100).float()
        losses = F.cross_entropy(logits.transpose(1, 2), targets.clamp(min=0), reduction="none")
        loss = (losses * mask).sum() / mask.sum()
    else:
        losses, kept = picked_losses(outputs, labels)
        loss = torch.mean(losses * torch.ones_like(targets, dtype=losses.dtype).contiguous()[kept].to(losses.device))
    return loss
""",
        "",
        {},
    ),
    "a function that returns at once on each path": Form(
        FUNCTION
        + """    losses, kept = picked_losses(outputs, labels)
    if kept.sum() % 2:
        return losses.mean()
    return (torch.ones_like(losses) * losses).mean()
""",
        "",
        {},
    ),
    "a function of two terms": Form(
        FUNCTION
        + f"""    hard = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    soft = F.cross_entropy(logits.flatten(0, 1) / 2, targets.flatten())
    return hard + {SOFT} * soft
""",
        "",
        {},
        softened=True,
    ),
}
LOCALLY = """    pass


def arguments(**given):
    return TrainingArguments(average_tokens_across_devices=False, **given)


def main(data):
    args = arguments(output_dir="out")
    Custom(model=LlamaForCausalLM.from_pretrained("tiny"), args=args, train_dataset=data).train()
"""
ONCE = own(BY_COUNT)
AVERAGED = {  # each rank has a count of its own
    "counts of the ranks, the model's own loss": Form(LOCALLY, "", {}, right_alone=True),
    "counts of the ranks, an override without their factor": Form(
        LOCALLY.replace("    pass\n", ONCE, 1), "", {}, right_alone=True
    ),
    "counts of the ranks, an override that asks": Form(
        LOCALLY.replace(
            "    pass\n",
            ONCE.replace(
                "            loss = loss / num_items_in_batch",
                "            loss = loss / num_items_in_batch\n"
                "            if self.args.average_tokens_across_devices:\n"
                "                loss = loss * self.accelerator.num_processes",
            ),
            1,
        ),
        "",
        {},
        right_alone=True,
    ),
    "counts of the ranks, a function": Form(
        LOCALLY.replace("    pass\n", FUNCTION + COUNTING, 1),
        "",
        {},
        right_alone=True,
    ),
}
BY_RULES = (
    BY_HELPERS
    | WITHHELD
    | FUNCTIONS
    | AVERAGED
    | {
        "a mean times rows": Form(own(RESCALED.format(value="loss * labels.size(0) / num_items_in_batch")), "", {}),
        "a mean times a share of positions": Form(
            own(
                "        share = targets.numel() / num_items_in_batch if num_items_in_batch is not None else 1\n"
                + RESCALED.format(value="loss * share")
            ),
            "",
            {},
        ),
        "a mean over the count": Form(own(RESCALED.format(value="(loss / num_items_in_batch)")), "", {}),
        "a term of each forward beside super's counted loss": Form(
            SUPER.format(term=f"        penalty = {PENALTY}\n        loss = loss + penalty"), "", {}, penalised=True
        ),
        "a token term beside super's counted loss": Form(
            SUPER.format(
                term=f"        soft = {CALL.replace('-1, logits.size(-1))', '-1, logits.size(-1)) / 2')}\n"
                f"        loss = loss + {SOFT} * soft"
            ),
            "",
            {},
            softened=True,
        ),
        "a penalty beside an own counted loss": Form(
            own(
                COUNTED.format(
                    value="summed / num_items_in_batch * (\n"
                    "            self.accelerator.num_processes if self.args.average_tokens_across_devices else 1\n"
                    f"        ) + {PENALTY}"
                ).replace("/ num_items_in_batch", "/ (num_items_in_batch or (targets != -100).sum())")
            ),
            "",
            {},
            penalised=True,
        ),
        "an own step over compute_loss": Form(
            STEP.format(parameter=IGNORES, loss="        loss = self.compute_loss(model, inputs)"), "", {}
        ),
        "an own step over per-row losses": Form(STEP.format(parameter=IGNORES, loss=ROW_LOSS), "", {}, per_row=True),
        "an own step over per-row losses, no parameter": Form(
            STEP.format(parameter="", loss=ROW_LOSS), "", {}, per_row=True, crashes=True
        ),
    }
)

GATHERED = Form(
    own(
        "        losses = []\n"
        "        for temperature in (1, 1, 2):\n"
        f"            one = {CALL.replace('-1, logits.size(-1))', '-1, logits.size(-1)) / temperature')}\n"
        "            losses.append(one)\n"
        f"        loss = {SOFT} * torch.stack(losses).sum()"
    ),
    "",
    {},
    softened=True,
)
FORMS = BY_RULES | {
    "gathered losses over the same labels": GATHERED,
    "own cross-entropy": Form(own(f"        loss = {CALL}"), "count-loss", {"call": CALL}),
    "own cross-entropy, no parameter": Form(
        own(f"        loss = {CALL}", ""), "count-loss", {"call": CALL}, crashes=True
    ),
    "own cross-entropy, **kwargs": Form(own(f"        loss = {CALL}", ", **kwargs"), "count-loss", {"call": CALL}),
    "loss object in a variable": Form(
        own(
            "        loss_fct = nn.CrossEntropyLoss(reduction='mean')\n"
            "        loss = loss_fct(logits.flatten(0, 1), targets.flatten())"
        ),
        "count-loss",
        {
            "call": "loss_fct(logits.flatten(0, 1), targets.flatten())",
            "constructor": "nn.CrossEntropyLoss(reduction='mean')",
        },
    ),
    "loss object built in place, returned at once": Form(
        """    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        logits = model(**inputs).logits
        return nn.CrossEntropyLoss()(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
""",
        "count-loss",
        {"call": "nn.CrossEntropyLoss()(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())"},
    ),
    "masked mean": Form(own(MASKED_LOSS), "count-loss", {"mean": MASKED}),
    "tokens selected by a mask": Form(
        own(
            """        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        loss = losses[targets != -100].mean()"""
        ),
        "count-loss",
        {"mean": "losses[targets != -100].mean()"},
    ),
    "loss object built in __init__": Form(
        """    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.criterion = nn.CrossEntropyLoss(ignore_index=-100)

"""
        + own("        loss = self.criterion(logits.flatten(0, 1), targets.flatten())"),
        "count-loss",
        {
            "call": "self.criterion(logits.flatten(0, 1), targets.flatten())",
            "constructor": "nn.CrossEntropyLoss(ignore_index=-100)",
        },
        options={"targets": "targets.flatten()", "ignore_index": "-100"},
    ),
    "two branches": Form(
        own(
            "        if self.args.per_device_train_batch_size > 1:\n"
            f"            loss = {CALL}\n"
            "        else:\n" + "\n".join("    " + line for line in MASKED_LOSS.splitlines())
        ),
        "count-loss",
        {"call": CALL, "mean": MASKED},
    ),
    "the model's loss": Form(
        """    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        loss = outputs.loss
        return (loss, outputs) if return_outputs else loss
""",
        "delegate-loss",
        {"call": "model(**inputs)", "loss": "outputs.loss"},
    ),
    "the model's loss, read where it is returned": Form(
        """    def compute_loss(self, model, inputs, return_outputs=False):
        outputs = model(**inputs, output_hidden_states=True)
        self.last_width = inputs["input_ids"].shape[1]
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]
""",
        "delegate-loss",
        {"call": "model(**inputs, output_hidden_states=True)", "loss": ['outputs["loss"]', 'outputs["loss"]']},
        crashes=True,
    ),
    "the model's loss, in one expression": Form(
        """    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return model(**inputs).loss
""",
        "delegate-loss",
        {"call": "model(**inputs)", "loss": "model(**inputs).loss"},
    ),
    "super without the count": Form(
        """    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        return super().compute_loss(model, inputs, return_outputs)
""",
        "forward-count",
        {"call": "super().compute_loss(model, inputs, return_outputs)"},
    ),
    "super without the count, no parameter": Form(
        """    def compute_loss(
        self,
        model,
        inputs,
        return_outputs=False,
    ):
        return super().compute_loss(model, inputs, return_outputs=return_outputs)
""",
        "forward-count",
        {"call": "super().compute_loss(model, inputs, return_outputs=return_outputs)"},
        crashes=True,
    ),
    "super without the count, **kwargs": Form(
        """    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        return super().compute_loss(model, inputs, return_outputs=return_outputs)
""",
        "forward-count",
        {"call": "super().compute_loss(model, inputs, return_outputs=return_outputs)"},
    ),
    "training_step without the count": Form(
        """    def training_step(self, model, inputs):
        return super().training_step(model, inputs)
""",
        "forward-count",
        {"call": "super().training_step(model, inputs)"},
        crashes=True,
    ),
    "training_step with its own name for it": Form(
        """    def training_step(self, model, inputs, items=None):
        return super().training_step(model, inputs)
""",
        "forward-count",
        {"call": "super().training_step(model, inputs)"},
    ),
    "a term beside super's loss": Form(
        f"""    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        result = super().compute_loss(model, inputs, return_outputs=True)
        loss, outputs = result
        loss += {PENALTY}
        return (loss, outputs) if return_outputs else loss
""",
        "forward-count",
        {"call": "super().compute_loss(model, inputs, return_outputs=True)"},
        penalised=True,
    ),
    "the count is handed to the model": Form(
        """    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs, num_items_in_batch=num_items_in_batch)
        return (outputs.loss, outputs) if return_outputs else outputs.loss
""",
        "delegate-loss",
        {
            "call": "model(**inputs, num_items_in_batch=num_items_in_batch)",
            "loss": ["outputs.loss", "outputs.loss"],
        },
        right_alone=True,
    ),
    "a term beside the model's loss": Form(
        f"""    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        loss = outputs.loss + {PENALTY}
        return (loss, outputs) if return_outputs else loss
""",
        "delegate-loss",
        {"call": "model(**inputs)", "loss": "outputs.loss"},
        penalised=True,
    ),
    "a term beside its own cross-entropy, where it is returned": Form(
        own(f"        loss = {CALL}").replace("else loss\n", f"else loss + {PENALTY}\n"),
        "count-loss",
        {"call": CALL},
        penalised=True,
    ),
    "per-row loss opts out": Form(
        own(
            """        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none").sum(1)
        loss = (losses / (targets != -100).sum(1)).mean()"""
        ),
        "opt-out",
        {"method": "def compute_loss"},
        per_row=True,
    ),
    "per-row loss opts out in its own __init__": Form(
        """    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = 0

"""
        + own(
            """        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none").sum(1)
        loss = (losses / (targets != -100).sum(1)).mean()"""
        ),
        "opt-out",
        {"method": "def compute_loss"},
        per_row=True,
    ),
    "count without the ranks": Form(
        own(COUNTED.format(value="summed / num_items_in_batch")),
        "rank-factor",
        {"division": "summed / num_items_in_batch"},
        right_alone=True,
    ),
    "count without the ranks, in a condition": Form(
        own(COUNTED.format(value="summed if num_items_in_batch is None else summed / num_items_in_batch")),
        "rank-factor",
        {"division": "summed / num_items_in_batch"},
        right_alone=True,
    ),
    "count without the ranks, where it is returned": Form(
        own(COUNTED.format(value="summed")).replace(
            "(loss, outputs) if return_outputs else loss",
            "(loss / num_items_in_batch, outputs) if return_outputs else loss / num_items_in_batch",
        ),
        "rank-factor",
        {"division": ["loss / num_items_in_batch", "loss / num_items_in_batch"]},
        right_alone=True,
    ),
    "count that may be missing": Form(
        own(COUNTED.format(value="summed / num_items_in_batch")),
        "guard-count",
        {"division": "summed / num_items_in_batch"},
        right_alone=True,
        options={"count": "num_items_in_batch", "targets": "targets", "ignore_index": "-100", "form": "branch"},
    ),
    "count that may be missing, in a larger expression": Form(
        own(COUNTED.format(value="1.0 * (summed / num_items_in_batch)")),
        "guard-count",
        {"division": "summed / num_items_in_batch"},
        right_alone=True,
        options={"count": "num_items_in_batch", "targets": "targets", "ignore_index": "-100", "form": "count"},
    ),
}


def rows() -> list[Row]:
    generator = torch.Generator().manual_seed(0)
    found = []
    for count in TARGETS:
        ids = torch.randint(3, VOCAB, (WIDTH,), generator=generator)
        labels = ids.clone()
        labels[: WIDTH - count] = -100
        found.append({"input_ids": ids, "attention_mask": torch.ones(WIDTH, dtype=torch.long), "labels": labels})
    return found


def windows(data: list[Row] | None = None) -> list[list[Row]]:
    """What each optimizer step sees."""
    data = rows() if data is None else data
    return [data[start : start + STEPS] for start in range(0, len(data), STEPS)]


def collate(batch: list[Row]) -> Row:
    return {key: torch.stack([row[key] for row in batch]) for key in batch[0]}


def make_model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=32,
            use_cache=False,
        )
    )


def flat(model: Any) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1).double() for parameter in model.parameters()])


class Plain(torch.nn.Module):
    """A model whose forward takes no **kwargs, so that the Trainer passes no count."""

    def __init__(self) -> None:
        super().__init__()
        self.model = make_model()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None) -> Any:
        return self.model(input_ids=input_ids, attention_mask=attention_mask, labels=labels)


def train(
    text: str, steps: int = STEPS, make: Callable[[], Any] = make_model, count: int = len(TARGETS)
) -> list[Tensor]:
    """Every optimizer step of plain SGD; the parameters before and after each."""
    import transformers

    names: dict[str, Any] = {}
    exec(compile(text, "trainer.py", "exec"), names)
    model = make()
    seen = [flat(model)]

    class Record(transformers.TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            seen.append(flat(model))

    with tempfile.TemporaryDirectory() as folder:
        arguments = names.get("arguments", transformers.TrainingArguments)(
            output_dir=folder,
            use_cpu=True,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=steps,
            num_train_epochs=1,
            learning_rate=1.0,
            lr_scheduler_type="constant",
            optim="sgd",
            max_grad_norm=0.0,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        )
        data: Any = rows()[:count]
        trainer = names["Custom"](
            model=model, args=arguments, train_dataset=data, data_collator=collate, callbacks=[Record()]
        )
        trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(data)
        trainer.train()
    return seen


def gradient(parameters: Tensor, window: list[Row], form: Form) -> Tensor:
    """The gradient of the whole window in one batch, at these parameters."""
    model = make_model()
    torch.nn.utils.vector_to_parameters(parameters.float(), model.parameters())
    whole = collate(window)
    every = model(input_ids=whole["input_ids"], attention_mask=whole["attention_mask"]).logits
    logits = every[:, :-1]
    losses = F.cross_entropy(logits.transpose(1, 2), whole["labels"][:, 1:], ignore_index=-100, reduction="none")
    live = whole["labels"][:, 1:] != -100
    loss = (losses.sum(1) / live.sum(1)).mean() if form.per_row else losses.sum() / live.sum()
    if form.softened:
        soft = F.cross_entropy(logits.transpose(1, 2) / 2, whole["labels"][:, 1:], ignore_index=-100)
        loss = loss + SOFT * soft
    if form.penalised:  # rows are equally wide, so a mean over all is the mean over the forwards
        loss = loss + 0.1 * every.logsumexp(-1).square().mean()
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([each.reshape(-1).double() for each in gradients])


def error(seen: list[Tensor], windows: list[list[Row]], form: Form) -> float:
    """The largest relative error of a step's update."""
    assert len(seen) == len(windows) + 1
    found = []
    for before, after, window in zip(seen, seen[1:], windows, strict=False):
        wanted = gradient(before, window, form)
        found.append(float((before - after - wanted).norm() / wanted.norm()))
    return max(found)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_step_equals_the_full_batch(form: Form) -> None:
    assert error(train(form.fixed, make=form.make), windows(), form) < EXACT
    if form.crashes:
        with pytest.raises(TypeError):
            train(form.text, make=form.make)
    else:
        off = error(train(form.text, make=form.make), windows(), form)
        assert off < EXACT if form.right_alone else off > FAR


def test_wrong_texts_would_be_seen() -> None:
    form = FORMS["own cross-entropy"]
    fixed = form.fixed
    for old, new in (
        ("loss = loss / num_items_in_batch", "loss = loss / num_items_in_batch / 4"),
        ("loss = loss / num_items_in_batch", "loss = loss / labels.numel()"),
        ('"mean" if num_items_in_batch is None else "sum"', '"mean"'),
    ):
        assert old in fixed
        assert error(train(fixed.replace(old, new)), windows(), form) > FAR


def test_an_undivided_term_would_be_seen() -> None:
    form = FORMS["a term beside super's loss"]
    assert form.fixed.count(".mean() / steps") == 1
    text = form.fixed.replace(".mean() / steps", ".mean()")
    assert error(train(text), windows(), form) > FAR


@pytest.mark.parametrize("name", [name for name in FORMS if name.startswith("count that may be missing")])
def test_without_a_count_the_mean_is_taken(name: str) -> None:
    """One row a window, and a model that is passed no count: each step is the gradient of its own mean."""
    form = FORMS[name]
    with pytest.raises(TypeError):
        train(form.text, 1, Plain)
    assert error(train(form.fixed, 1, Plain), [[row] for row in rows()], form) < EXACT
    assert " != -100" in form.fixed
    wrong = form.fixed.replace(" != -100", " != 0")
    assert error(train(wrong, 1, Plain), [[row] for row in rows()], form) > FAR


TELLS = '        print("told", loss.item())'
TOLD = {
    "own cross-entropy": own(f"        loss = {CALL}\n{TELLS}"),
    "masked mean": own(f"{MASKED_LOSS.replace('mask.sum()', 'mask.sum().clamp(min=1)')}\n{TELLS}"),
    "a mean over a little more than its mask": own(
        f"{MASKED_LOSS.replace('/ mask.sum()', '/ (mask.sum() + 1e-12)')}\n"
        '        told = torch.exp(loss).log().item()\n        print("told", told)'
    ),
    "tokens selected by a mask": own(
        '        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")\n'
        f"        loss = losses[targets != -100].mean()\n{TELLS}"
    ),
    "a helper's mean": own(f"        loss = self.soft_loss(logits, targets, 1.0)\n{TELLS}") + HELPERS,
}


@pytest.mark.parametrize("body", TOLD.values(), ids=TOLD)
def test_the_log_tells_the_same_mean(body: str, capfd: pytest.CaptureFixture[str]) -> None:
    form = Form(body, "", {})
    told = []
    for text in (form.text, form.fixed):
        seen = train(text)
        told.append([float(line.split()[1]) for line in capfd.readouterr().out.splitlines() if line.startswith("told")])
    assert error(seen, windows(), form) < EXACT
    assert told[0][:STEPS] == pytest.approx(told[1][:STEPS])  # of the first window: behind it the parameters differ


def test_a_class_attribute_would_not_opt_out() -> None:
    """Why the flag goes behind super().__init__(): the Trainer's own constructor sets it on the instance."""
    form = FORMS["per-row loss opts out"]
    text = form.text.replace(
        "class Custom(Trainer):\n", "class Custom(Trainer):\n    model_accepts_loss_kwargs = False\n"
    )
    assert error(train(text), windows(), form) > FAR


SHARE = " * (targets != -100).sum() / num_items_in_batch"
WRONG = {  # each form once with something of its rewrite left out or done otherwise
    "a helper's mean, not rescaled": ("a helper's mean", SHARE, " / num_items_in_batch"),
    "a helper's mean, over all positions": ("a helper's mean", SHARE, " * targets.numel() / num_items_in_batch"),
    "a helper's mean, left a mean": ("a helper's mean", SHARE, ""),
    "a helper's pair, unshifted": ("a helper's pair, no parameter", "labels[:, 1:] != -100", "labels[:, 3:] != -100"),
    "a helper's term, by the steps": (
        "a helper's term beside its own cross-entropy", SHARE, " / self.current_gradient_accumulation_steps"
    ),
    "the second cross-entropy, undivided": (
        "two cross-entropies over the same labels", "soft = soft / num_items_in_batch", "pass"
    ),
    "a term of each forward, undivided": ("a term of each forward beside super's counted loss", " / steps", ""),
    "a token term, by the steps": (
        "a token term beside super's counted loss",
        "soft = soft / num_items_in_batch",
        "soft = soft / (inputs['labels'][:, 1:] != -100).sum() / self.current_gradient_accumulation_steps",
    ),
    "a penalty, undivided": ("a penalty beside an own counted loss", " / steps", ""),
    "a withheld count, without the flag": (
        "a count that is withheld", "model_accepts_loss_kwargs = True", "model_accepts_loss_kwargs = False"
    ),
    "a withheld count, no parameter, without the flag": (
        "a count that is withheld, no parameter", "self.model_accepts_loss_kwargs = True", "pass"
    ),
    "an opt-out that is only taken away": (
        "an opt-out that is turned round", "self.model_accepts_loss_kwargs = True", "pass"
    ),
    "a function's last branch, left a mean": ("a function's branches", "loss = loss.sum() /", "loss = loss.mean() /"),
    "a function's third branch, left a mean": (
        "a function's branches",
        "if num_items_in_batch is None:\n            loss = loss / mask.sum()",
        "if True:\n            loss = loss / mask.sum()",
    ),
    "a function that returns at once, one path left": (
        "a function that returns at once on each path",
        "losses.mean() if num_items_in_batch is None else losses.sum()",
        "losses.mean()",
    ),
    "a function of two terms, one left": ("a function of two terms", "soft = soft / num_items_in_batch", "pass"),
    "gathered losses, divided by how many too": ("gathered losses over the same labels", ".sum()", ".mean()"),
    "an own step, divided twice": ("an own step over compute_loss", "if num_items_in_batch is None or", "if True or"),
    "an own step, by the configured steps": (
        "an own step over per-row losses", "self.current_gradient", "self.args.gradient"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new"), WRONG.values(), ids=WRONG)
def test_a_wrong_variant_would_be_seen(name: str, old: str, new: str) -> None:
    form = FORMS[name]
    assert old in form.fixed
    assert error(train(form.fixed.replace(old, new), make=form.make), windows(), form) > FAR


ON_RANKS = (
    *BY_RULES,
    "own cross-entropy",
    "masked mean",
    "loss object built in __init__",
    "the model's loss",
    "super without the count, **kwargs",
    "a term beside super's loss",
    "per-row loss opts out",
    "the count is handed to the model",
    "count without the ranks",
    "count without the ranks, in a condition",
    "count without the ranks, where it is returned",
)


RANKS_LEFT_OUT = (  # without the factor that is owed from the moment that the count is that of all ranks
    "a count that is withheld",
    "counts of the ranks, an override without their factor",
)
FACTOR = "loss = loss * self.accelerator.num_processes"
ON_RANKS_COUNT = 10  # dealt out in turn: two windows of two rows on each rank, and a short one of one


def _rank(rank: int, folder: str, texts: dict[str, str]) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(RANKS), ACCELERATE_USE_CPU="true")
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT="29500")  # asked for, not used: the group exists already
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    made = {f"{name}{ending}": form.make for name, form in FORMS.items() for ending in ("", " fixed", " wrong")}
    seen = {name: train(text, 2, made[name], ON_RANKS_COUNT) for name, text in texts.items()}
    if rank == 0:
        torch.save(seen, Path(folder) / "seen.pt")
    dist.destroy_process_group()


@functools.cache
def on_two_ranks() -> dict[str, list[Tensor]]:
    texts = {name: FORMS[name].text for name in ON_RANKS if not FORMS[name].crashes}
    texts |= {f"{name} fixed": FORMS[name].fixed for name in ON_RANKS}
    texts |= {f"{name} wrong": FORMS[name].fixed.replace(FACTOR, "pass") for name in RANKS_LEFT_OUT}
    with tempfile.TemporaryDirectory() as folder:
        # fork: transformers is imported already
        start_processes(_rank, (folder, texts), nprocs=RANKS, start_method="fork")  # type: ignore[no-untyped-call]
        seen: dict[str, list[Tensor]] = torch.load(Path(folder) / "seen.pt")
        return seen


@pytest.mark.parametrize("name", ON_RANKS)
def test_two_ranks_equal_the_full_batch(name: str) -> None:
    seen, dealt = on_two_ranks(), windows(rows()[:ON_RANKS_COUNT])
    assert error(seen[f"{name} fixed"], dealt, FORMS[name]) < EXACT
    assert FORMS[name].crashes or error(seen[name], dealt, FORMS[name]) > FAR


@pytest.mark.parametrize("name", RANKS_LEFT_OUT)
def test_a_count_without_the_factor_of_the_ranks_would_be_seen(name: str) -> None:
    assert FACTOR in FORMS[name].fixed
    assert error(on_two_ranks()[f"{name} wrong"], windows(rows()[:ON_RANKS_COUNT]), FORMS[name]) > FAR
