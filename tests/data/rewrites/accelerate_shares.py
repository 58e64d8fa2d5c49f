"""accelerate's own windows, by a generator that looks one window ahead."""

from accelerate import Accelerator
from transformers import AutoModelForCausalLM


def train(loader, optimizer, steps):
    accelerator = Accelerator(gradient_accumulation_steps=steps, cpu=True)
    model = AutoModelForCausalLM.from_pretrained("a-model")
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for batch in loader:
        with accelerator.accumulate(model):
            loss = model(**batch).loss
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
