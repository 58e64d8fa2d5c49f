"""accelerate's own windows, by a generator that looks one window ahead."""

from accelerate import Accelerator
from transformers import AutoModelForCausalLM


class WithTargetShare:
    """Yields each micro-batch of a loader with its share of the targets in its window.

    The mean over a micro-batch times its share is its part of the mean over the whole window.
    """

    def __init__(self, loader, accelerator):
        self.loader = loader
        self.accelerator = accelerator

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        steps = self.accelerator.gradient_accumulation_steps
        window = []
        for batch in self.loader:
            window.append(batch)
            at_end = self.loader.end_of_dataloader
            if len(window) < steps and not at_end:
                continue
            counts = [(batch["labels"][..., 1:] != -100).sum() for batch in window]
            total = self.accelerator.reduce(sum(counts), reduction="sum").item()
            scale = steps * self.accelerator.num_processes / max(total, 1)  # backward() divides by both
            for count in counts:
                batch = window.pop(0)
                # accumulate() is to see the end with the last micro-batch, not with the last window
                self.loader.end_of_dataloader = at_end and not window
                yield batch, count.item() * scale


def train(loader, optimizer, steps):
    accelerator = Accelerator(gradient_accumulation_steps=steps, cpu=True)
    model = AutoModelForCausalLM.from_pretrained("a-model")
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for batch, share in WithTargetShare(loader, accelerator):
        with accelerator.accumulate(model):
            loss = model(**batch).loss
            accelerator.backward(loss * share)
            optimizer.step()
            optimizer.zero_grad()
