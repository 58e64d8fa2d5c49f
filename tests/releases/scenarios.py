"""By how much is one update of the installed Trainer too large, and which mean does it follow? A process of its own.

python scenarios.py FOLDER STEPS AVERAGES SCENARIO..., alone or on several ranks; one line of JSON for each scenario.
AVERAGES is average_tokens_across_devices: "default", "true" or "false".
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

sys.modules["datasets"] = None  # type: ignore[assignment]  # the installed one needs a newer hub than old releases do
warnings.filterwarnings("ignore")
os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import transformers  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments  # noqa: E402
from transformers.modeling_outputs import CausalLMOutput  # noqa: E402
from transformers.trainer_callback import PrinterCallback, TrainerCallback  # noqa: E402

torch.set_num_threads(1)
VOCAB, LENGTH, TARGETS = 61, 16, (14, 2, 9, 1)  # targets of the four samples
WORLD, RANK = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
Batch = dict[str, Tensor]


def samples(first: bool) -> list[Batch]:
    """Four samples; with `first` the label that no causal loss uses is a target's too."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for count in TARGETS:
        ids = torch.randint(3, VOCAB, (LENGTH,), generator=generator)
        labels = ids.clone()
        labels[slice(count + 1, None) if first else slice(0, LENGTH - count)] = -100
        made.append({"input_ids": ids, "labels": labels})
    return made


def collate(rows: list[Batch], key: str = "labels") -> Batch:
    stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return {key if name == "labels" else name: value for name, value in stacked.items()}


def llama() -> nn.Module:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=32, use_cache=False, bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def token_loss(logits: Tensor, labels: Tensor, count: Any = None, smoothing: float = 0.0) -> Tensor:
    """The mean over the targets, or the sum over `count`."""
    logits, labels = logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten()
    reduction = "mean" if count is None else "sum"
    loss = F.cross_entropy(logits, labels, ignore_index=-100, reduction=reduction, label_smoothing=smoothing)
    return loss if count is None else loss / count


class Own(nn.Module):
    """A model of one's own, around the stock one."""

    counts = False

    def __init__(self) -> None:
        super().__init__()
        self.inner = llama()

    def run(self, input_ids: Tensor, labels: Tensor | None, count: Any = None) -> CausalLMOutput:
        logits = self.inner(input_ids=input_ids).logits
        return CausalLMOutput(loss=None if labels is None else token_loss(logits, labels, count), logits=logits)


class Plain(Own):
    def forward(self, input_ids=None, labels=None):  # type: ignore[no-untyped-def]
        return self.run(input_ids, labels)


class Ignoring(Own):
    def forward(self, input_ids=None, labels=None, **kwargs):  # type: ignore[no-untyped-def]
        return self.run(input_ids, labels)


class IgnoringAndSaysSo(Ignoring):
    accepts_loss_kwargs = False


class Using(Own):
    def forward(self, input_ids=None, labels=None, num_items_in_batch=None, **kwargs):  # type: ignore[no-untyped-def]
        return self.run(input_ids, labels, num_items_in_batch)


class Named(Own):
    def forward(self, input_ids=None, labels=None, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        return self.run(input_ids, labels, num_items_in_batch)


class NamedAndSaysSo(Named):
    accepts_loss_kwargs = True


def override(loss: Callable[..., Tensor], key: str = "labels") -> type[Trainer]:
    """A Trainer whose compute_loss is `loss(trainer, logits, labels, count)`."""

    class Overriding(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]
            labels = inputs.pop(key)
            outputs = model(**inputs)
            value = loss(self, outputs.logits, labels, num_items_in_batch)
            return (value, outputs) if return_outputs else value

    return Overriding


def mean(trainer: Trainer, logits: Tensor, labels: Tensor, count: Any) -> Tensor:
    return token_loss(logits, labels)


def over_steps(trainer: Trainer, logits: Tensor, labels: Tensor, count: Any) -> Tensor:
    return token_loss(logits, labels) / trainer.args.gradient_accumulation_steps


def used(trainer: Trainer, logits: Tensor, labels: Tensor, count: Any) -> Tensor:
    return token_loss(logits, labels, count)


def canon(trainer: Trainer, logits: Tensor, labels: Tensor, count: Any) -> Tensor:
    averages = getattr(trainer.args, "average_tokens_across_devices", False) and trainer.model_accepts_loss_kwargs
    factor = trainer.accelerator.num_processes if averages and count is not None else 1
    return token_loss(logits, labels, count) * factor


class NoParameter(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False):  # type: ignore[no-untyped-def]
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        value = token_loss(outputs.logits, labels)
        return (value, outputs) if return_outputs else value


class Keywords(NoParameter):
    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):  # type: ignore[no-untyped-def]
        return super().compute_loss(model, inputs, return_outputs)


class ModelsLoss(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


class ModelsLossWithCount(ModelsLoss):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        counted = {} if num_items_in_batch is None else {"num_items_in_batch": num_items_in_batch}
        return super().compute_loss(model, {**inputs, **counted}, return_outputs)


class SuperWithout(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        return super().compute_loss(model, inputs, return_outputs)


class SuperWith(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        return super().compute_loss(model, inputs, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch)


def mean_function(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    return token_loss(outputs["logits"], labels)


def sum_function(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    return token_loss(outputs["logits"], labels, num_items_in_batch)


def assigned(counts: bool) -> Callable[[], nn.Module]:
    def loss_function(logits, labels, vocab_size, num_items_in_batch=None, **kwargs):  # type: ignore[no-untyped-def]
        return token_loss(logits, labels, num_items_in_batch if counts else None)

    def make() -> nn.Module:
        model = llama()
        model.loss_function = loss_function
        return model

    return make


SCENARIOS: dict[str, tuple[type[Trainer], Callable[[], nn.Module], dict[str, Any]]] = {
    "default": (Trainer, llama, {}),
    "noparam": (NoParameter, llama, {}),
    "ignored": (override(mean), llama, {}),
    "kwignored": (Keywords, llama, {}),
    "over_steps": (override(over_steps), llama, {}),
    "used": (override(used), llama, {}),
    "canon": (override(canon), llama, {}),
    "outloss": (ModelsLoss, llama, {}),
    "outloss_fwd": (ModelsLossWithCount, llama, {}),
    "super_drop": (SuperWithout, llama, {}),
    "super_fwd": (SuperWith, llama, {}),
    "clf_mean": (Trainer, llama, {"compute_loss_func": mean_function}),
    "clf_sum": (Trainer, llama, {"compute_loss_func": sum_function}),
    "smooth": (Trainer, llama, {}),
    "m_nokw": (Trainer, Plain, {}),
    "m_nokw_canon": (override(canon), Plain, {}),
    "m_nokw_clf": (Trainer, Plain, {"compute_loss_func": sum_function}),
    "m_named": (Trainer, Named, {}),
    "m_namedattr": (Trainer, NamedAndSaysSo, {}),
    "m_kwign": (Trainer, Ignoring, {}),
    "m_kwignattr": (Trainer, IgnoringAndSaysSo, {}),
    "m_kwuse": (Trainer, Using, {}),
    "lossfn_mean": (Trainer, assigned(False), {}),
    "lossfn_sum": (Trainer, assigned(True), {}),
}


def flat(tensors: Any) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1).double() for tensor in tensors])


def gradient(make: Callable[[], nn.Module], groups: list[list[Batch]], smoothing: float) -> tuple[Tensor, float]:
    """The gradient of the mean over the groups of each group's token mean, and that mean."""
    model = make().train()
    losses = [
        token_loss(model(input_ids=b["input_ids"]).logits, b["labels"], None, smoothing) for b in map(collate, groups)
    ]
    loss = torch.stack(losses).mean()
    loss.backward()
    return flat(parameter.grad for parameter in model.parameters()), loss.item()


def options(folder: str, steps: int, averages: str, smoothing: float) -> TrainingArguments:
    wanted: dict[str, Any] = {
        "output_dir": folder, "use_cpu": True, "per_device_train_batch_size": 1, "gradient_accumulation_steps": steps,
        "per_device_eval_batch_size": len(TARGETS) // WORLD, "num_train_epochs": 1, "learning_rate": 1.0,
        "optim": "sgd", "lr_scheduler_type": "constant", "max_grad_norm": 0.0, "save_strategy": "no",
        "report_to": [], "seed": 0, "disable_tqdm": True, "remove_unused_columns": False, "log_level": "critical",
        "prediction_loss_only": True, "label_smoothing_factor": smoothing,
    }  # fmt: skip
    known = inspect.signature(TrainingArguments.__init__).parameters
    if averages != "default" and "average_tokens_across_devices" in known:
        wanted["average_tokens_across_devices"] = averages == "true"
    return TrainingArguments(**{name: value for name, value in wanted.items() if name in known})


def measure(scenario: str, folder: str, steps: int, averages: str) -> dict[str, object]:
    """Which mean the first update follows, how many times too large it is, and how far it is from that mean."""
    name, _, option = scenario.partition("+")
    kind, make, more = SCENARIOS[name]
    key = "targets" if option == "nolabels" else "labels"
    if option == "nolabels":
        kind = override({"ignored": mean, "used": used}[name], key)
    smoothing = 0.1 if name == "smooth" else 0.0
    rows = samples(option == "first")
    before: list[Tensor] = []

    class Snapshot(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):  # type: ignore[no-untyped-def]
            before.append(flat(trainer.accelerator.unwrap_model(trainer.model).parameters()))

    class Here(kind):  # type: ignore[valid-type,misc]
        if option == "scaledF":
            loss_is_scaled_for_ga = False

        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            if option == "flagF":
                self.model_accepts_loss_kwargs = False

        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
            return torch.utils.data.SequentialSampler(rows)

    def built(**given: Any) -> Trainer:
        made = Here(
            model=make(), args=options(folder, steps, averages, smoothing), data_collator=lambda b: collate(b, key),
            **given, **more,
        )  # fmt: skip
        made.remove_callback(PrinterCallback)
        return made

    trainer = built(train_dataset=rows, callbacks=[Snapshot()])
    before.append(flat(trainer.model.parameters()))
    trainer.train()
    update = before[0] - before[1]
    token, token_mean = gradient(make, [rows], smoothing)
    means = {"tokens": token, "micro-batches": gradient(make, [[row] for row in rows], smoothing)[0]}
    if WORLD > 1:
        means["ranks"] = gradient(make, [rows[rank::WORLD] for rank in range(WORLD)], smoothing)[0]
    found = min(
        (((update / (factor := (update @ g / (g @ g)).item()) - g).norm() / g.norm()).item(), name, factor)
        for name, g in means.items()
    )
    result: dict[str, object] = {"follows": found[1], "factor": found[2], "distance": found[0]}
    if WORLD > 1 and not option and not smoothing:
        result["eval"] = built(eval_dataset=rows).evaluate()["eval_loss"] / token_mean
    return result


def main(folder: str, steps: str, averages: str, *scenarios: str) -> None:
    for scenario in scenarios:
        try:
            result = measure(scenario, folder, int(steps), averages)
        except Exception as error:  # noqa: BLE001 - which one it is is what was asked
            result = {"raises": type(error).__name__, "message": str(error)[:200]}
        if RANK == 0:
            print(json.dumps({"scenario": scenario, "release": transformers.__version__, **result}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
