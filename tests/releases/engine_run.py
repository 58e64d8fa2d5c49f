"""python engine_run.py SITE STEPS STAGE FILE: one optimizer step of the Trainer under DeepSpeed; FILE takes its update.

SITE is `model` (the head's own loss) or `smoother` (computed from the logits); STAGE is ZeRO's, or `none`: no engine.
"""

from __future__ import annotations

import os
import sys

os.environ.update(
    DS_ACCELERATOR="cpu", MASTER_ADDR="127.0.0.1", MASTER_PORT="0", RANK="0", LOCAL_RANK="0", WORLD_SIZE="1"
)
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

TARGETS = (3, 9, 5, 12)  # of the four samples: ragged
TOKENS, VOCABULARY, RATE = 12, 64, 0.1


def samples() -> list[dict[str, torch.Tensor]]:
    """Four samples of TOKENS tokens."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for targets in TARGETS:
        ids = torch.randint(0, VOCABULARY, (TOKENS,), generator=generator)
        labels = torch.where(torch.arange(TOKENS) < targets, ids, -100)
        found.append({"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids)})
    return found


class InOrder(Trainer):
    def _get_train_sampler(self, *_: object, **__: object) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def update(site: str, steps: int, stage: str, folder: str) -> torch.Tensor:
    """What one step of SGD adds to the parameters, flat, in float32."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
        )
    )
    before = torch.cat([one.detach().flatten().clone() for one in model.parameters()])
    arguments = TrainingArguments(
        folder,
        max_steps=1,
        per_device_train_batch_size=len(TARGETS) // steps,
        gradient_accumulation_steps=steps,
        label_smoothing_factor=0.1 if site == "smoother" else 0.0,
        deepspeed=None if stage == "none" else _configuration(int(stage)),
        optim="sgd",
        learning_rate=RATE,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        save_strategy="no",
        report_to=[],
    )
    InOrder(model=model, args=arguments, train_dataset=samples()).train()
    return torch.cat([one.detach().float().flatten() for one in model.parameters()]) - before


def _configuration(stage: int) -> dict[str, object]:
    return {
        "train_micro_batch_size_per_gpu": "auto",
        "train_batch_size": "auto",
        "gradient_accumulation_steps": "auto",
        "zero_optimization": {"stage": stage},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }


if __name__ == "__main__":
    torch.save(update(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] + ".out"), sys.argv[4])
