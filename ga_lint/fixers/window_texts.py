"""What is inserted into the user's module to look one window ahead?

Each text is a class, not a generator, so that `len()` keeps working for progress bars. It holds one window of
micro-batches at most, and lets go of each as it hands it out.
"""

from __future__ import annotations

from ga_lint.fixers.counting import Counting
from ga_lint.fixers.gate import Gate

_EQUAL_DOC = '''\
    """Yields each micro-batch of a loader with its share of the targets in its window and with an equal share.

    The mean over a micro-batch times its share is its part of the mean over the whole window. A term of the loss that
    is one number for each forward takes the equal share.
    """
'''
_DOC = '''    """Yields each micro-batch of a loader with its share of the targets in its window.

    The mean over a micro-batch times its share is its part of the mean over the whole window.
    """
'''
_SUMS_DOC = '''    """Yields each micro-batch of a loader with the number of targets in its window.

    The sum over a micro-batch divided by it is its part of the mean over the whole window.
    """
'''


def share_text(
    itertools: str, target: str, counting: Counting, gate: Gate, distributed: str | None, equal: bool, sums: bool
) -> str:
    """The class for a loop that divides by hand; `{name}` stands for its name.

    `equal`: the equal share too; `sums`: the window's targets instead, for a loss that is a sum.
    """
    size = "size" if gate.seen else "self.steps"
    zero = not gate.flushes
    return (
        f"class {{name}}:\n{_doc(equal, sums)}\n"
        f"{_init('steps, seen' if gate.seen else 'steps', counting)}\n"
        "    def __len__(self):\n        return len(self.loader)\n\n"
        "    def __iter__(self):\n"
        "        batches = iter(self.loader)\n"
        f"{_RESUMED if gate.seen else ''}"
        f"        while window := list({itertools}.islice(batches, {size})):\n"
        f"{f'            stepped = len(window) == {size}{_NO_STEP}' if zero else ''}"
        f"{_FULL if gate.seen else ''}"
        f"            counts = [{counting.number}({counting.expression}) for {target} in window]\n"
        f"{_total_of_sums(distributed, zero) if sums else _total(distributed, equal, zero)}"
    )


_RESUMED = "        size = self.steps - self.seen % self.steps  # the first window is what those seen have left of it\n"
_FULL = "            size = self.steps\n"
_NO_STEP = "  # the loop takes no step after a last, shorter window\n"


def _total(distributed: str | None, equal: bool, zero: bool) -> str:
    """`zero`: what is not stepped has a share of 0, so that nothing of it gets into the next window."""
    stepped, more = "stepped * " if zero else "", ""
    if equal:
        more = ", stepped / len(counts)" if zero else ", 1 / len(counts)"
    if distributed is None:
        return (
            "            total = max(sum(counts), 1)\n"
            "            for count in counts:\n"
            f"                yield window.pop(0), {stepped}count / total{more}\n"
        )
    return (
        "            totals = [sum(counts)]\n"
        f"            if {distributed}.is_initialized():  # which average their gradients\n"
        f"                totals *= {distributed}.get_world_size()\n"
        f"                {distributed}.all_gather_object(totals, totals[0])\n"
        f"            scale = {stepped}len(totals) / max(sum(totals), 1)\n"
        "            for count in counts:\n"
        f"                yield window.pop(0), count * scale{more}\n"
    )


def _doc(equal: bool, sums: bool) -> str:
    return _SUMS_DOC if sums else _EQUAL_DOC if equal else _DOC


def _total_of_sums(distributed: str | None, zero: bool) -> str:
    """`zero`: what is not stepped is divided by infinity."""
    if distributed is None:
        total = "            total = max(sum(counts), 1)\n"
    else:
        total = (
            "            totals = [sum(counts)]\n"
            f"            if {distributed}.is_initialized():\n"
            f"                totals *= {distributed}.get_world_size()\n"
            f"                {distributed}.all_gather_object(totals, totals[0])\n"
            "            total = max(sum(totals), 1) / len(totals)  # gradients are averaged over ranks\n"
        )
    handed = 'total if stepped else float("inf")' if zero else "total"
    return f"{total}            while window:\n                yield window.pop(0), {handed}\n"


def accelerate_text(target: str, counting: Counting, equal: bool, sums: bool) -> str:
    """The class for a loop under `accelerator.accumulate`, which divides by the steps and averages over ranks."""
    more = ", steps / len(counts)" if equal else ""
    weight = "1 / scale" if sums else "count.item() * scale"
    return (
        f"class {{name}}:\n{_doc(equal, sums)}\n"
        f"{_init('accelerator', counting)}\n"
        "    def __len__(self):\n        return len(self.loader)\n\n"
        "    def __iter__(self):\n"
        "        steps = self.accelerator.gradient_accumulation_steps\n"
        "        window = []\n"
        "        for batch in self.loader:\n"
        "            window.append(batch)\n"
        "            at_end = self.loader.end_of_dataloader\n"
        "            if len(window) < steps and not at_end:\n"
        "                continue\n"
        f"            counts = [{counting.expression} for {target} in window]\n"
        '            total = self.accelerator.reduce(sum(counts), reduction="sum").item()\n'
        "            scale = steps * self.accelerator.num_processes / max(total, 1)  # backward() divides by both\n"
        "            for count in counts:\n"
        "                batch = window.pop(0)\n"
        "                # accumulate() is to see the end with the last micro-batch, not with the last window\n"
        "                self.loader.end_of_dataloader = at_end and not window\n"
        f"                yield batch, {weight}{more}\n"
    )


def engine_text(itertools: str, target: str, counting: Counting, distributed: str, sums: bool) -> str:
    """The class for a loop in which a DeepSpeed engine divides by its steps, averages over ranks and steps by itself.

    Its windows are always full, so a term that is one number for each forward needs no share.
    """
    return (
        f"class {{name}}:\n{_doc(False, sums)}\n"
        f"{_init('engine', counting)}\n"
        "    def __len__(self):\n"
        "        steps = self.engine.gradient_accumulation_steps()\n"
        "        return len(self.loader) // steps * steps\n\n"
        "    def __iter__(self):\n"
        "        batches = iter(self.loader)\n"
        "        steps = self.engine.gradient_accumulation_steps()\n"
        "        # the engine takes no step after a last, shorter window, so that one is left out\n"
        f"        while len(window := list({itertools}.islice(batches, steps))) == steps:\n"
        f"            counts = [{counting.number}({counting.expression}) for {target} in window]\n"
        f"            totals = [sum(counts)] * {distributed}.get_world_size()\n"
        f"            {distributed}.all_gather_object(totals, totals[0])\n"
        "            scale = steps * len(totals) / max(sum(totals), 1)  # the engine divides by both\n"
        "            for count in counts:\n"
        f"                yield window.pop(0), {'1 / scale' if sums else 'count * scale'}\n"
    )


def _init(others: str, counting: Counting) -> str:
    parameters = ["loader", *others.split(", "), *(["ignore_index"] if counting.given else [])]
    lines = [
        f"    def __init__(self, {', '.join(parameters)}):",
        *(f"        self.{name} = {name}" for name in parameters),
    ]
    return "\n".join(lines) + "\n"
