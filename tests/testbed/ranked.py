"""Loops of several ranks beyond the plain ones: resumed, of two terms, divided late, in the cells of a notebook."""

from __future__ import annotations

from pathlib import Path

from ga_lint.fixers import rewrite
from ga_lint.notebook import read_text
from testbed.notebooks import Book, CodeCell, sources
from testbed.rewriting import request, rewritten

HEAD = """import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel


def train(model, loader, optimizer, steps{more}):
    model = DistributedDataParallel(model)
"""
DONE = 2  # micro-batches that a run before has left in a window that is not full
RESUMED = (
    HEAD.format(more=f", done={DONE}")
    + """    for step, batch in enumerate(loader, start=done + 1):
        loss = model(**batch).loss / steps
        loss.backward()
        if step % steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""
)
LATE = (
    HEAD.format(more="")
    + """    for step, batch in enumerate(loader):
        loss = model(**batch).loss
        loss.backward()
        loss /= steps
        if (step + 1) % steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""
)
TRIED = (
    HEAD.format(more="")
    + """    batches = iter(loader)
    for update in range(len(loader) // steps + 1):
        for _ in range(steps):
            try:
                batch = next(batches)
            except StopIteration:
                break
            out = model(**batch)
            (out.loss / steps).backward()
        optimizer.step()
        optimizer.zero_grad()
"""
)
RESUMED_SUM = RESUMED.replace(
    "        loss = model(**batch).loss / steps\n",
    "        out = model(**batch)\n        loss = (out.loss + 0.5 * out.aux_loss) / steps\n",
)
CELLS = (
    ("%load_ext autoreload", "from torch.nn.parallel import DistributedDataParallel", "steps_of_window = 3"),
    (
        "def train(model, loader, optimizer, steps):",
        "    model = DistributedDataParallel(model)",
        "    for step, batch in enumerate(loader):",
        "        loss = model(**batch).loss / steps",
        "        loss.backward()",
        "        if (step + 1) % steps == 0 or step + 1 == len(loader):",
        "            optimizer.step()",
        "            optimizer.zero_grad()",
    ),
    ("print(steps_of_window)",),
)
_SHARED = {"stack": "distributed", "steps": "steps", "labels": 'batch["labels"]', "shifted": "yes"}
_STEP = {"step": "optimizer.step()"}


def fix_resumed(stack: str = "distributed") -> str:
    division = "model(**batch).loss / steps"
    return rewritten(RESUMED, "window-share", _SHARED | {"stack": stack}, loop="for step,", division=division, **_STEP)


def fix_resumed_sum() -> str:
    division = "(out.loss + 0.5 * out.aux_loss) / steps"
    return rewritten(RESUMED_SUM, "window-share", _SHARED, loop="for step,", division=division, **_STEP)


def fix_tried() -> str:
    """The rule takes it for a loop of one process: that there are ranks is said elsewhere in the file."""
    places = {"division": "out.loss / steps", "backward": "(out.loss / steps).backward()", **_STEP}
    return rewritten(TRIED, "window-sum", _SHARED | {"stack": "plain"}, loop="for _ in", **places)


def fix_late() -> str:
    return rewritten(LATE, "divide-before", {"steps": "steps"}, backward="loss.backward()", division="loss /= steps")


def fix_cells(stack: str = "distributed") -> str:
    """The notebook is rewritten as a file; what its code cells then hold, one after another, without the magics."""
    book = Book([CodeCell(lines) for lines in CELLS])
    before = read_text(Path("train.ipynb"), book.written())
    places = {"loop": "for step,", "division": "model(**batch).loss / steps", **_STEP}
    after = before.rewritten(
        rewrite(before, request(before, "window-share", _SHARED | {"stack": stack}, **places)).text
    )
    cells = sources(after.on_disk)
    assert len(cells) == len(CELLS)
    return "\n".join(line for cell in cells for line in cell.split("\n") if not line.startswith("%"))


def cells_as_written() -> str:
    return "\n".join(line for lines in CELLS for line in lines if not line.startswith("%"))
