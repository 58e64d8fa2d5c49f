"""Class weights: the mean divides by the weights of its targets, so a count of targets is another objective."""

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, Trainer


class WeightedTrainer(Trainer):
    def _get_num_items_in_batch(self, batch_samples, device):
        weight = torch.linspace(0.1, 3.0, self.model.config.vocab_size)
        labels = torch.cat([batch["labels"][:, 1:].flatten() for batch in batch_samples])
        return self.accelerator.gather(weight[labels[labels != -100]].sum().to(device)).sum()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs["labels"][:, 1:]
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        weight = torch.linspace(0.1, 3.0, outputs.logits.size(-1))
        logits = outputs.logits[:, :-1].flatten(0, 1)
        loss = F.cross_entropy(logits, labels.flatten(), weight=weight, reduction="sum")
        loss = loss / num_items_in_batch * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss


def build():
    return WeightedTrainer(model=AutoModelForCausalLM.from_pretrained("a-model"))
