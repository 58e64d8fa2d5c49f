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
import transformers  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from trainers import SCENARIOS, VOCAB, mean, override, token_loss, used  # noqa: E402
from transformers import Trainer, TrainingArguments  # noqa: E402
from transformers.trainer_callback import PrinterCallback, TrainerCallback  # noqa: E402

torch.set_num_threads(1)
LENGTH, TARGETS = 16, (14, 2, 9, 1)  # targets of the four samples
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
