"""A second term, one number for each forward, has another weight than a mean over targets."""

import contextlib

from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModelForCausalLM


def train(loader, optimizer, steps):
    model = DistributedDataParallel(AutoModelForCausalLM.from_pretrained("a-model"))
    for step, batch in enumerate(loader):
        last = (step + 1) % steps == 0 or step + 1 == len(loader)
        with contextlib.nullcontext() if last else model.no_sync():
            out = model(**batch)
            loss = out.loss + 0.5 * out.aux_loss
            (loss / steps).backward()
        if last:
            optimizer.step()
            optimizer.zero_grad()
