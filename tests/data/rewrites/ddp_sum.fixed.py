"""A second term, one number for each forward, has another weight than a mean over targets."""

import contextlib
import itertools

import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModelForCausalLM


class WithTargetShare:
    """Yields each micro-batch of a loader with its share of the targets in its window and with an equal share.

    The mean over a micro-batch times its share is its part of the mean over the whole window. A term of the loss that
    is one number for each forward takes the equal share.
    """

    def __init__(self, loader, steps):
        self.loader = loader
        self.steps = steps

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        batches = iter(self.loader)
        while window := list(itertools.islice(batches, self.steps)):
            counts = [int((batch["labels"][..., 1:] != -100).sum()) for batch in window]
            totals = [sum(counts)]
            if dist.is_initialized():  # which average their gradients
                totals *= dist.get_world_size()
                dist.all_gather_object(totals, totals[0])
            scale = len(totals) / max(sum(totals), 1)
            for count in counts:
                yield window.pop(0), count * scale, 1 / len(counts)


def train(loader, optimizer, steps):
    model = DistributedDataParallel(AutoModelForCausalLM.from_pretrained("a-model"))
    for step, (batch, share, equal_share) in enumerate(WithTargetShare(loader, steps)):
        last = (step + 1) % steps == 0 or step + 1 == len(loader)
        with contextlib.nullcontext() if last else model.no_sync():
            out = model(**batch)
            loss = out.loss * share + 0.5 * out.aux_loss * equal_share
            loss.backward()
        if last:
            optimizer.step()
            optimizer.zero_grad()
