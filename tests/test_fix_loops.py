"""Is a rewritten loop numerically right? Run for real, against a full batch, after every optimizer step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from testbed.accumulation import IGNORED, STEPS, Batch, Recorder, TinyModel, micro_batches, oracle, windows_of, worst
from testbed.rewriting import refusal, rewritten

EXACT = 1e-10  # float64; the worst seen is 3e-15
FAR = 1e-2  # where the original must be, or the data shows nothing

PLAIN = {"stack": "plain", "steps": "steps", "labels": 'batch["labels"]', "shifted": "yes"}
UPDATE = """
                optimizer.step()
                optimizer.zero_grad()
"""


@dataclass
class Form:
    """One way to write the loop, and what a rule would say about it."""

    text: str
    places: dict[str, str]
    fixer: str = "window-share"
    options: dict[str, str] = field(default_factory=lambda: dict(PLAIN))
    short: bool = True  # a last, shorter window is stepped
    shifts: bool = True
    epochs: int = 1
    seen: int = 0  # micro-batches that came before the first one
    aux: float = 0.0  # the coefficient of a term that is one number for each forward
    prepare: Callable[[list[Batch]], Any] = lambda batches: batches


def loop(head: str, body: str, gate: str, extra: str = "") -> str:
    return f"""import torch
import torch.nn.functional as F
from tqdm import tqdm


def train(model, loader, optimizer, steps, epochs):
    for epoch in range(epochs):
{extra}        {head}
{body}
            if {gate}:{UPDATE}"""


BODY = """            outputs = model(**batch)
            loss = outputs.loss / steps  # average over the window
            loss.backward()"""
FLUSH = "(step + 1) % steps == 0 or step + 1 == len(loader)"
PLACES = {"loop": "for step,", "division": "outputs.loss / steps", "step": "optimizer.step()"}
TUPLE = """            logits = model(x).logits
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
            loss /= steps
            loss.backward()"""
AMP = """            with torch.autocast("cpu", enabled=False):
                loss = model(**batch)[0]
            scaler.scale(loss / steps).backward()"""

ENDLESS = """import torch


def train(model, loader, optimizer, steps, epochs):
    batches, seen = iter(loader), 0
    while seen < len(loader):
        batch = next(batches)
        seen += 1
        loss = model(**batch).loss
        (loss / steps).backward()
        if seen % steps == 0 or seen == len(loader):
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)
            optimizer.step()
            optimizer.zero_grad()
"""
ENDLESS_PLACES = {
    "loop": "while seen",
    "division": "loss / steps",
    "backward": "(loss / steps).backward()",
    "step": "optimizer.step()",
}


TRIED = """import torch


def train(model, loader, optimizer, steps, epochs):
    batches = iter(loader)
    for update in range(-(-len(loader) // steps)):
        for _ in range(steps):
            try:
                batch = next(batches)
            except StopIteration:
                break
            outputs = model(**batch)
            (outputs.loss / steps).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)
        optimizer.step()
        optimizer.zero_grad()
"""
TRIED_PLACES = {
    "loop": "for _",
    "division": "outputs.loss / steps",
    "backward": "(outputs.loss / steps).backward()",
    "step": "optimizer.step()",
}


def resumed(text: str, done: int = 2) -> str:
    """The loop goes on after `done` micro-batches, which left a window begun."""
    return text.replace("epochs):", f"epochs, done={done}):", 1)


LEFT_OVER = """        if last > done and last % steps != 0:
            optimizer.step()
            optimizer.zero_grad()
"""
RESUMED = resumed(
    loop(
        "for step, batch in enumerate(loader, start=done + 1):",
        "            last = step\n" + BODY,
        "step % steps == 0",
        extra="        last = done\n",
    )
    + LEFT_OVER
)

SUM = """            outputs = model(**batch)
            loss = outputs.loss + 0.5 * outputs.aux_loss
            loss = loss / steps
            loss.backward()"""
ADDED = """            with torch.autocast("cpu", enabled=False):
                logits = model(x)
                nll = F.cross_entropy(logits.logits.flatten(0, 1), y.flatten(), reduction="none")
                loss = nll.view(y.size())
                loss = (loss * mask).sum() / mask.sum()
                if logits.aux_loss is not None:  # of a mixture of experts
                    loss += logits.aux_loss * 0.5
                loss = loss / steps
            loss.backward()"""
LOGGED = """            outputs = model(**batch)
            aux = outputs.aux_loss.mean()
            loss = outputs.loss + coefficient * aux
            print(loss.item(), file=io.StringIO())
            (loss / steps).backward()"""
INSIDE = """            with torch.autocast("cpu", enabled=False):
                outputs = model(**batch)
            ((outputs.loss + outputs.aux_loss * 0.5) / steps).backward()"""
UNDIVIDED = """            outputs = model(**batch)
            loss = outputs[0] + 0.5 * outputs.aux_loss
            loss.backward()
            print(loss.item(), file=io.StringIO())"""
HEAD = "for step, batch in enumerate(loader):"

GATHERED = """import itertools
import torch.nn.functional as F


def train(model, loader, optimizer, steps, epochs):
    for epoch in range(epochs):
        batches = iter(loader)
        while window := list(itertools.islice(batches, steps)):
            {start}
            for batch in window:
                logits = model(batch["input_ids"]).logits[:, :-1].flatten(0, 1)
                {gather}
            loss = {average}
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
"""
CROSS = 'F.cross_entropy(logits, batch["labels"][:, 1:].flatten())'
GATHERS = {  # start, gather, average
    "a total": ("total = 0", f"total += {CROSS}", "total / steps"),
    "a total, by way of a name": (
        "total = 0.0", f"nll = {CROSS}\n                total = total + nll", "total / len(window)"
    ),
    "a list": ("losses = []", f"losses.append({CROSS})", "sum(losses) / len(losses)"),
}  # fmt: skip
SUMMED = {
    f"gathered in {name}": Form(
        GATHERED.format(start=start, gather=gather, average=average),
        {"call": CROSS, "division": average},
        "window-gathered",
        {"stack": "plain", "labels": 'batch["labels"]', "shifted": "yes"},
    )
    for name, (start, gather, average) in GATHERS.items()
}

SUMS = {
    "a sum that is divided": Form(loop(HEAD, SUM, FLUSH), PLACES | {"division": "loss / steps"}, aux=0.5),
    "a term that is added on a condition": Form(
        loop("for step, (x, y, mask) in enumerate(tqdm(loader, disable=True)):", ADDED, FLUSH),
        PLACES | {"division": "loss / steps"},
        options={"stack": "plain", "steps": "steps", "mask": "mask"},
        shifts=False,
        aux=0.5,
        prepare=lambda batches: [
            (b["input_ids"], b["labels"].clamp(min=0), (b["labels"] != IGNORED).double()) for b in batches
        ],
    ),
    "a sum that is logged before it is divided": Form(
        loop(HEAD, LOGGED, FLUSH)
        .replace("epochs):", "epochs, coefficient=0.5):", 1)
        .replace("import", "import io\nimport", 1),
        PLACES | {"division": "loss / steps"},
        aux=0.5,
    ),
    "a sum in the division": Form(
        loop(HEAD, INSIDE, FLUSH), PLACES | {"division": "(outputs.loss + outputs.aux_loss * 0.5) / steps"}, aux=0.5
    ),
    "a sum that nobody divides": Form(
        loop(HEAD, UNDIVIDED, FLUSH).replace("import", "import io\nimport", 1),
        {"loop": "for step,", "backward": "loss.backward()", "step": "optimizer.step()"},
        aux=0.5,
    ),
    "a sum, resumed": Form(
        RESUMED.replace(
            "            loss = outputs.loss / steps  # average over the window\n",
            "            loss = outputs.loss\n            loss += outputs.aux_loss * 0.5\n            loss /= steps\n",
        ),
        PLACES | {"division": "loss /= steps"},
        seen=2,
        aux=0.5,
    ),
}

FORMS = SUMMED | {
    "drawn without end": Form(ENDLESS, ENDLESS_PLACES),
    "drawn without end, undivided": Form(
        ENDLESS.replace("(loss / steps).", "loss."),
        {"loop": "while seen", "backward": "loss.backward()", "step": "optimizer.step()"},
    ),
    "drawn without end, with a gradient scaler": Form(
        ENDLESS.replace("batches, seen =", "scaler = torch.amp.GradScaler('cpu', enabled=False)\n    batches, seen =")
        .replace("(loss / steps).backward()", "scaler.scale(loss / steps).backward()")
        .replace("            torch.nn", "            scaler.unscale_(optimizer)\n            torch.nn")
        .replace("optimizer.step()", "scaler.step(optimizer)\n            scaler.update()"),
        ENDLESS_PLACES | {"backward": "scaler.scale(loss / steps).backward()", "step": "scaler.step(optimizer)"},
    ),
    "counted micro-batches": Form(
        ENDLESS.replace("while seen < len(loader):", "for seen in range(1, len(loader) + 1):").replace(
            "        seen += 1\n", ""
        ),
        ENDLESS_PLACES | {"loop": "for seen"},
        fixer="window-gradients",
    ),
    "drawn in a try": Form(TRIED, TRIED_PLACES, fixer="window-sum"),
    "drawn in a try, divided on a line of its own": Form(
        TRIED.replace(
            "            (outputs.loss / steps).backward()\n",
            "            loss = outputs.loss / steps\n            loss.backward()\n            print(outputs.loss)\n",
        ),
        TRIED_PLACES | {"backward": "loss.backward()"},
        fixer="window-sum",
    ),
    "enumerate, flushed": Form(loop("for step, batch in enumerate(loader):", BODY, FLUSH), PLACES),
    "short window carried into the next epoch": Form(
        loop("for step, batch in enumerate(loader):", BODY, "(step + 1) % steps == 0"), PLACES, short=False, epochs=2
    ),
    "progress bar inside": Form(loop("for step, batch in enumerate(tqdm(loader, disable=True)):", BODY, FLUSH), PLACES),
    "progress bar outside": Form(
        loop("for step, batch in tqdm(enumerate(loader), total=len(loader), disable=True):", BODY, FLUSH), PLACES
    ),
    "progress bar with a name": Form(
        loop("for step, batch in enumerate(bar):", BODY, FLUSH, extra="        bar = tqdm(loader, disable=True)\n"),
        PLACES,
    ),
    "counted from one": Form(
        loop("for step, batch in enumerate(loader, 1):", BODY, "step % steps == 0 or step == len(loader)"), PLACES
    ),
    "steps on the first batch": Form(
        loop("for step, batch in enumerate(loader):", BODY, "not step % steps"), PLACES, short=False, seen=2
    ),
    "steps on the first batch and the last": Form(
        loop("for step, batch in enumerate(loader):", BODY, "step % steps == 0 or step == len(loader) - 1"),
        PLACES,
        seen=2,
    ),
    "resumed within a window": Form(RESUMED, PLACES, seen=2),
    "resumed at the start of a window": Form(RESUMED.replace("done=2", "done=6"), PLACES),
    "resumed, its last window dropped": Form(
        resumed(
            loop("for step, batch in enumerate(tqdm(loader, disable=True), done):", BODY, "(step + 1) % steps == 0")
        ),
        PLACES,
        seen=2,
        short=False,
    ),
    "resumed, counted from its own start": Form(
        resumed(loop("for step, batch in enumerate(loader, done):", BODY, "(step - done + 1) % steps == 0")),
        PLACES,
        short=False,
    ),
    "a counter that goes on": Form(
        resumed(
            loop(
                "for batch in loader:",
                BODY + "\n            seen += 1",
                "seen % steps == 0",
                extra="        seen = done\n",
            )
        ),
        PLACES | {"loop": "for batch in"},
        seen=2,
        short=False,
    ),
    "a counter that goes on and is raised last": Form(
        resumed(
            loop("for batch in loader:", BODY, "seen % steps == steps - 1", extra="        seen = done\n")
            + "            seen += 1\n"
        ),
        PLACES | {"loop": "for batch in"},
        seen=2,
        short=False,
    ),
    "own counter": Form(
        loop(
            "for batch in loader:",
            BODY + "\n            seen += 1",
            "seen % steps == 0 or seen == len(loader)",
            extra="        seen = 0\n",
        ),
        PLACES | {"loop": "for batch in"},
    ),
    "counter that starts again": Form(
        loop("for batch in loader:", BODY + "\n            seen += 1", "seen == steps", extra="        seen = 0\n")
        + "                seen = 0\n",
        PLACES | {"loop": "for batch in"},
        short=False,
    ),
    "left by continue": Form(
        loop("for step, batch in enumerate(loader):", BODY, "(step + 1) % steps != 0").replace(
            UPDATE, "\n                continue" + UPDATE.replace(" " * 16, " " * 12)
        ),
        PLACES,
        short=False,
    ),
    "boundary has a name": Form(
        loop(
            "for step, batch in enumerate(loader):",
            "            last = step == len(loader) - 1\n            sync = (step + 1) % steps == 0 or last\n" + BODY,
            "sync",
        ),
        PLACES,
    ),
    "flushed behind the loop": Form(
        loop("for step, batch in enumerate(loader):", BODY, "(step + 1) % steps == 0")
        + "        if (step + 1) % steps:\n            optimizer.step()\n            optimizer.zero_grad()\n",
        PLACES,
    ),
    "tuples, divided in place": Form(
        loop("for step, (x, y) in enumerate(loader):", TUPLE, FLUSH),
        {"loop": "for step,", "division": "loss /= steps", "step": "optimizer.step()"},
        options=PLAIN | {"labels": "y", "shifted": "no"},
        shifts=False,
        prepare=lambda batches: [(b["input_ids"], b["labels"]) for b in batches],
    ),
    "ignore index in a variable": Form(
        loop("for x, y in loader:", TUPLE + "\n            step += 1", "step % steps == 0", extra="        step = 0\n")
        .replace("y.flatten())", "y.flatten(), ignore_index=pad)")
        .replace("epochs):", "epochs, pad=-100):", 1),
        {"loop": "for x,", "division": "loss /= steps", "step": "optimizer.step()"},
        options=PLAIN | {"labels": "y", "shifted": "no", "ignore_index": "pad"},
        shifts=False,
        short=False,
        prepare=lambda batches: [(b["input_ids"], b["labels"]) for b in batches],
    ),
    "a scaler": Form(
        loop("for step, batch in enumerate(loader):", AMP, FLUSH)
        .replace("    for epoch", '    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)\n    for epoch')
        .replace("optimizer.step()", "scaler.step(optimizer)\n                scaler.update()"),
        {"loop": "for step,", "division": "loss / steps", "step": "scaler.step(optimizer)"},
    ),
    "divided behind a guard": Form(
        loop(
            "for step, batch in enumerate(loader):",
            "            loss = model(**batch).loss\n            if steps > 1:\n                loss = loss / steps\n"
            "            loss.backward()",
            FLUSH,
        ),
        PLACES | {"division": "loss / steps"},
    ),
    "steps under two names": Form(
        loop(
            "for step, batch in enumerate(loader):",
            "            loss = model(**batch).loss / accumulate\n            loss.backward()",
            "(step + 1) % steps == 0 or step + 1 == len(loader)",
            extra="        accumulate = steps\n",
        ),
        PLACES | {"division": "model(**batch).loss / accumulate"},
    ),
    "a method of the tensor": Form(
        loop(
            "for step, batch in enumerate(loader):",
            "            loss = model(**batch).loss\n            loss.div(steps).backward()",
            FLUSH,
        ),
        PLACES | {"division": "loss.div(steps)"},
    ),
    "nobody divides": Form(
        loop(
            "for step, batch in enumerate(loader):",
            "            loss = model(**batch).loss\n            loss.backward()",
            FLUSH,
        ),
        {"loop": "for step,", "backward": "loss.backward()", "step": "optimizer.step()"},
    ),
    "a mask is summed": Form(
        loop(
            "for step, batch in enumerate(loader):",
            """            logits = model(batch["input_ids"]).logits
            nll = F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten().clamp(min=0), reduction="none")
            mask = batch["mask"].flatten()
            loss = (nll * mask).sum() / mask.sum()
            (loss / steps).backward()""",
            FLUSH,
        ),
        PLACES | {"division": "loss / steps"},
        options={"stack": "plain", "steps": "steps", "mask": 'batch["mask"]'},
        shifts=False,
        prepare=lambda batches: [b | {"mask": (b["labels"] != IGNORED).double()} for b in batches],
    ),
    "the window is a list": Form(
        """import itertools
import torch.nn.functional as F


def train(model, loader, optimizer, steps, epochs):
    iterator = iter(loader)
    while window := list(itertools.islice(iterator, steps)):
        optimizer.zero_grad()
        for batch in window:
            logits = model(batch["input_ids"]).logits[:, :-1]
            loss = F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100)
            loss = loss / len(window)
            loss.backward()
        optimizer.step()
""",
        {
            "loop": "for batch in",
            "division": "loss / len(window)",
            "call": 'F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100)',
        },
        fixer="window-sum",
    ),
    "a counted inner loop whose mean is logged": Form(
        """import torch.nn.functional as F


def train(model, loader, optimizer, steps, epochs, log=print):
    batches = iter(loader)
    for it in range(3):
        for micro_step in range(steps):
            batch = next(batches)  # one micro-batch
            logits = model(batch["input_ids"]).logits[:, :-1]
            loss = F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())
            log(micro_step, loss.item())
            (loss / steps).backward()
        optimizer.step()
        optimizer.zero_grad()
""",
        {
            "loop": "for micro_step",
            "fetch": "batch = next(batches)",
            "division": "loss / steps",
            "call": 'F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())',
        },
        fixer="window-sum",
        short=False,
    ),
    "a counted inner loop over tuples": Form(
        """import torch


def train(model, loader, optimizer, steps, epochs):
    batches = iter(loader)
    loss_fct = torch.nn.CrossEntropyLoss(
        ignore_index=-100,
    )
    for it in range(3):
        for _ in range(steps):
            x, y = next(batches)
            loss = loss_fct(model(x).logits.flatten(0, 1), y.flatten())
            loss = loss * (1.0 / steps)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
""",
        {
            "loop": "for _ in",
            "fetch": "x, y = next(batches)",
            "division": "loss * (1.0 / steps)",
            "call": "loss_fct(model(x).logits.flatten(0, 1), y.flatten())",
            "constructor": "torch.nn.CrossEntropyLoss(\n        ignore_index=-100,\n    )",
        },
        fixer="window-sum",
        options={"stack": "plain", "labels": "y"},
        shifts=False,
        short=False,
        prepare=lambda batches: [(b["input_ids"], b["labels"]) for b in batches],
    ),
    "a counted inner loop over tuples that are moved": Form(
        """import torch.nn.functional as F


def train(model, loader, optimizer, steps, epochs):
    batches = iter(loader)
    for it in range(3):
        for _ in range(steps):
            x, y = next(batches)
            x, y = x.to("cpu"), y.to("cpu")
            loss = F.cross_entropy(model(x).logits.transpose(1, 2), y) / steps
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
""",
        {
            "loop": "for _ in",
            "fetch": "x, y = next(batches)",
            "division": "F.cross_entropy(model(x).logits.transpose(1, 2), y) / steps",
            "call": "F.cross_entropy(model(x).logits.transpose(1, 2), y)",
            "handed": "F.cross_entropy(model(x).logits.transpose(1, 2), y)",
        },
        fixer="window-sum",
        options={"stack": "plain", "labels": "y"},
        shifts=False,
        short=False,
        prepare=lambda batches: [(b["input_ids"], b["labels"]) for b in batches],
    ),
    "targets made in the loop": Form(
        loop(
            HEAD,
            """            targets = batch["targets"].masked_fill(batch["drop"], -100)[:, 1:]
            logits = model(batch["input_ids"]).logits[:, :-1]
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten()) / steps
            loss.backward()""",
            FLUSH,
        ),
        {
            "loop": "for step,",
            "division": "F.cross_entropy(logits.flatten(0, 1), targets.flatten()) / steps",
            "handed": "F.cross_entropy(logits.flatten(0, 1), targets.flatten())",
            "step": "optimizer.step()",
        },
        options={"stack": "plain", "steps": "steps", "labels": "targets"},
        prepare=lambda batches: [
            {"input_ids": b["input_ids"], "targets": b["labels"].clamp(min=0), "drop": b["labels"] == IGNORED}
            for b in batches
        ],
    ),
}


def test_a_count_of_what_the_loop_drops_would_be_seen() -> None:
    form = FORMS["targets made in the loop"]
    fixed = rewritten(form.text, form.fixer, form.options, **form.places)
    assert (mask := '.masked_fill(batch["drop"], -100)[:, 1:] !=') in fixed
    assert error(fixed.replace(mask, "[:, 1:] !="), form) > FAR


def run(text: str, form: Form) -> list[torch.Tensor]:
    """Execute the code and let it train; the parameters after every step."""
    names: dict[str, Any] = {}
    exec(compile(text, "train.py", "exec"), names)
    model = TinyModel(form.shifts)
    recorder = Recorder(model)
    names["train"](model, form.prepare(micro_batches()), recorder.optimizer, STEPS, form.epochs)
    return recorder.seen


def error(text: str, form: Form) -> float:
    windows = windows_of(micro_batches(), short=form.short, seen=form.seen) * form.epochs
    return worst(run(text, form), oracle(windows, form.shifts, form.aux))


@pytest.mark.parametrize("form", (FORMS | SUMS).values(), ids=[*FORMS, *SUMS])
def test_every_step_equals_the_full_batch(form: Form) -> None:
    fixed = rewritten(form.text, form.fixer, form.options, **form.places)
    assert error(form.text, form) > FAR
    assert error(fixed, form) < EXACT


WRONG = {
    "unshifted count": ('["labels"][..., 1:]', '["labels"]'),
    "clamped micro-batch": ("counts = [int(", "counts = [2 + int("),
    "steps kept": ("outputs.loss * share", "outputs.loss * share / steps"),
    "window of the wrong length": ("islice(batches, self.steps)", "islice(batches, self.steps + 1)"),
}


@pytest.mark.parametrize(("old", "new"), WRONG.values(), ids=WRONG)
def test_a_wrong_rewrite_would_be_seen(old: str, new: str) -> None:
    form = FORMS["enumerate, flushed"]
    fixed = rewritten(form.text, form.fixer, form.options, **form.places)
    assert old in fixed
    assert error(fixed.replace(old, new), form) > FAR


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[..., 1:]", ""),
        ("scale = 1 /", "scale = 1 / steps /"),
        ("            window_targets += targets_here\n", "            window_targets = targets_here\n"),
        ("        window_targets = 0\n", "        window_targets = 0 if update == 0 else window_targets\n"),
    ],
)
def test_gradients_over_another_number_would_be_seen(old: str, new: str) -> None:
    form = FORMS["drawn in a try"]
    fixed = rewritten(form.text, form.fixer, form.options, **form.places)
    assert old in fixed
    assert error(fixed.replace(old, new), form) > FAR


@pytest.mark.parametrize(
    ("old", "new"), [("[..., 1:]", ""), ("= sum(losses) / targets", "= sum(losses) / len(losses)")]
)
def test_gathered_sums_over_another_number_would_be_seen(old: str, new: str) -> None:
    form = SUMMED["gathered in a list"]
    fixed = rewritten(form.text, form.fixer, form.options, **form.places)
    assert old in fixed
    assert error(fixed.replace(old, new), form) > FAR


GATHERED_OTHERWISE = {
    "read for a log": (
        "a total, by way of a name", "total + nll", "total + nll\n                print(nll.item())", "read for"
    ),
    "a product": ("a total", f"total += {CROSS}", f"total += 2 * {CROSS}", "not the loss alone"),
    "on a condition": (
        "a list",
        f"losses.append({CROSS})",
        f"if batch:\n                    losses.append({CROSS})",
        "not the loss alone",
    ),
    "read elsewhere": ("a list", "loss.backward()", "print(losses)\n            loss.backward()", "elsewhere too"),
    "a generator": ("a total", "in window:", "in iter(window):", "the window has no name"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "reason"), GATHERED_OTHERWISE.values(), ids=GATHERED_OTHERWISE)
def test_what_is_gathered_otherwise_is_left(name: str, old: str, new: str, reason: str) -> None:
    form = SUMMED[f"gathered in {name}"]
    assert old in form.text
    assert reason in refusal(form.text.replace(old, new), form.fixer, form.options, **form.places)


def test_a_resumed_loop_that_starts_a_whole_window_would_be_seen() -> None:
    form = FORMS["resumed within a window"]
    fixed = rewritten(form.text, form.fixer, form.options, **form.places)
    assert "WithTargetShare(loader, steps, done)" in fixed
    for wrong in ("0", "done + 1"):
        assert error(fixed.replace("(loader, steps, done)", f"(loader, steps, {wrong})"), form) > FAR


LATE = loop(
    HEAD,
    """            loss = model(**batch).loss
            # whole
            loss.backward()

            loss /= steps  # for the log
            logged.append(loss.item())""",
    "(step + 1) % steps == 0",
)
BETWEEN = LATE.replace(
    "\n\n            loss /= steps", "\n            logged.append(loss.item())\n            loss = loss / steps"
)


@pytest.mark.parametrize(("text", "division"), [(LATE, "loss /= steps"), (BETWEEN, "loss / steps")])
def test_a_late_division_comes_before_backward(text: str, division: str) -> None:
    """GA110: equal windows become right, and what is logged stays, to the last digit."""
    fixed = rewritten(text, "divide-before", {"steps": "steps"}, backward="loss.backward()", division=division)
    equal, seen = micro_batches([(3, 3)] * 9), []
    for each in (
        text,
        fixed,
        fixed.replace("/= steps", "/= steps + 1").replace("(loss / steps)", "(loss / steps / 2)"),
    ):
        names: dict[str, Any] = {"logged": (logged := [])}
        exec(each, names)
        recorder = Recorder(model := TinyModel())
        names["train"](model, equal, recorder.optimizer, STEPS, 1)
        seen.append((worst(recorder.seen, oracle(windows_of(equal))), logged[:STEPS]))
    (before, log), (after, same), (wrong, _) = seen
    assert before > FAR and after < EXACT and wrong > FAR
    assert log == same


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("wrong", ["share", "1", "1 / steps"])
def test_another_weight_of_the_second_term_would_be_seen(name: str, wrong: str) -> None:
    """The share of the targets, none at all, and on the short window the steps: each is another loss."""
    fixed = rewritten(SUMS[name].text, SUMS[name].fixer, SUMS[name].options, **SUMS[name].places)
    assert "* equal_share" in fixed
    assert error(fixed.replace("* equal_share", f"* ({wrong})"), SUMS[name]) > FAR / 10


def test_division_by_steps_makes_equal_windows_right() -> None:
    """GA102: with equal counts the missing division is the whole fault; what is logged stays."""
    text = loop(
        "for step, batch in enumerate(loader):",
        "            loss = model(**batch).loss\n            loss.backward()\n            logged.append(loss.item())",
        FLUSH,
    ).replace("epochs):", "epochs, logged=[]):", 1)
    rows = [(3, 3)] * 9
    fixed = rewritten(text, "divide-by-steps", {"steps": "steps"}, backward="loss.backward()")
    errors = []
    for each in (text, fixed):
        names: dict[str, Any] = {}
        exec(each, names)
        model = TinyModel()
        recorder = Recorder(model)
        names["train"](model, micro_batches(rows), recorder.optimizer, STEPS, 1)
        errors.append(worst(recorder.seen, oracle(windows_of(micro_batches(rows)))))
    assert errors[0] > FAR
    assert errors[1] < EXACT


def test_the_wrapper_looks_one_window_ahead_and_no_further() -> None:
    form = FORMS["enumerate, flushed"]
    names: dict[str, Any] = {}
    exec(rewritten(form.text, form.fixer, form.options, **form.places), names)
    drawn = itertools.count()
    held: list[int] = []

    class Loader:
        def __len__(self) -> int:
            return 11

        def __iter__(self) -> Any:
            for batch in micro_batches():
                next(drawn)
                yield batch

    wrapped = names["WithTargetShare"](Loader(), STEPS)
    assert len(wrapped) == 11
    for index, _ in enumerate(wrapped):
        held.append(next(drawn) - index)
        drawn = itertools.count(index + held[-1])
    assert max(held) <= STEPS


def test_a_window_without_targets_is_no_zero_division() -> None:
    form = FORMS["enumerate, flushed"]
    names: dict[str, Any] = {}
    exec(rewritten(form.text, form.fixer, form.options, **form.places), names)
    shares = [share for _, share in names["WithTargetShare"](micro_batches([(0, 0)] * 3), STEPS)]
    assert shares == [0.0, 0.0, 0.0]


REFUSED = {
    "epoch-crossing counter": (
        loop("for batch in loader:", BODY + "\n            seen += 1", "seen % steps == 0").replace(
            "    for epoch", "    seen = 0\n    for epoch"
        ),
        PLACES | {"loop": "for batch in"},
        "runs on across epochs",
    ),
    "steps on the second batch": (
        loop("for step, batch in enumerate(loader):", BODY, "(step + 2) % steps == 0"),
        PLACES,
        "counted from the first batch",
    ),
    "sometimes a short window": (
        loop(
            "for step, batch in enumerate(loader):",
            BODY,
            "(step + 1) % steps == 0 or (step + 1 == len(loader) and len(loader) % 2 == 0)",
        ),
        PLACES,
        "depends on its length",
    ),
    "unknown gate": (
        loop("for step, batch in enumerate(loader):", BODY, "ready(step)"),
        PLACES,
        "reads ready(step)",
    ),
    "skipped batches": (
        loop(
            "for step, batch in enumerate(loader):",
            "            if batch is None:\n                continue\n" + BODY,
            FLUSH,
        ),
        PLACES,
        "leave micro-batches out",
    ),
    "loader iterated twice": (
        loop("for step, batch in enumerate(loader):", BODY + "\n            next(iter(loader))", FLUSH),
        PLACES,
        "a second time",
    ),
    "labels masked in the loop": (
        loop("for step, batch in enumerate(loader):", '            batch["labels"][:, 0] = -100\n' + BODY, FLUSH),
        PLACES,
        "changed on line 9",
    ),
    "two terms": (
        loop(HEAD, SUM.replace("outputs.aux_loss", "distillation(outputs, batch)"), FLUSH),
        PLACES | {"division": "loss / steps"},
        "sum of terms on line 10",
    ),
    "a second term on a condition that may be over targets": (
        loop(HEAD, SUM.replace(" + 0.5 * outputs.aux_loss", "\n            if x:\n                loss += kl"), FLUSH),
        PLACES | {"division": "loss / steps"},
        "sum of terms on line 10",
    ),
    "a multiple of a sum": (
        loop(HEAD, SUM.replace("loss / steps", "2 * (a + b)\n            loss = loss / steps"), FLUSH),
        PLACES | {"division": "loss / steps"},
        "sum of terms on line 11",
    ),
    "a sum under another name": (
        loop(
            HEAD,
            SUM.replace("loss = out", "total = out").replace("loss = loss", "loss = total\n            loss = loss"),
            FLUSH,
        ),
        PLACES | {"division": "loss / steps"},
        "sum of terms on line 10",
    ),
    "a sum on one of two paths": (
        loop(
            HEAD,
            SUM.replace(
                "            loss = outputs",
                "            if x:\n                loss = outputs.loss\n"
                "            else:\n                loss = outputs",
            ),
            FLUSH,
        ),
        PLACES | {"division": "loss / steps"},
        "sum of terms on line 13",
    ),
    "what is subtracted": (
        loop(HEAD, SUM.replace("+ 0.5", "- 0.5"), FLUSH),
        PLACES | {"division": "loss / steps"},
        "sum of terms on line 10",
    ),
    "a sum that is logged and divided in place": (
        loop(HEAD, SUM.replace("loss = loss / steps", "log(loss)\n            loss /= steps"), FLUSH),
        PLACES | {"division": "loss /= steps"},
        "read on line 11, before it is divided",
    ),
    "a term that changes before the division": (
        loop(HEAD, SUM.replace("loss = loss", "outputs = log(loss)\n            loss = loss"), FLUSH),
        PLACES | {"division": "loss / steps"},
        "changes on line 11",
    ),
    "drawn again in every epoch": (
        ENDLESS.replace("    while", "    for epoch in range(epochs):\n     while"),
        ENDLESS_PLACES,
        "gradients that are left",
    ),
    "stepped every time": (
        ENDLESS.replace("        if seen % steps == 0 or seen == len(loader):\n", "").replace(" " * 12, " " * 8),
        ENDLESS_PLACES,
        "does not step under a condition",
    ),
    "drawn elsewhere": (
        ENDLESS.replace("        batch = next(batches)\n", "").replace("seen = iter", "seen = batch, iter"),
        ENDLESS_PLACES,
        "batch is not drawn in the loop",
    ),
    "steps where no window that goes on would end": (
        resumed(loop("for step, batch in enumerate(loader, done):", BODY, "(step + 2) % steps == 0")),
        PLACES,
        "counted from done",
    ),
    "resumed, and stepped at the length of what is left": (
        resumed(
            loop("for step, batch in enumerate(loader, done + 1):", BODY, "step % steps == 0 or step == len(loader)")
        ),
        PLACES,
        "counted from done + 1",
    ),
    "started where that can be asked once": (
        loop("for step, batch in enumerate(loader, next(numbers)):", BODY, "(step + 1) % steps == 0"),
        PLACES,
        "next(numbers), which cannot be computed a second time",
    ),
    "an else branch": (
        loop(HEAD, BODY, FLUSH) + "\n        else:\n            log(step)\n",
        PLACES,
        "has an else branch",
    ),
    "a micro-batch that is no name": (
        loop("for step, state.batch in enumerate(loader):", BODY, FLUSH),
        PLACES,
        "does not bind its micro-batch to plain names",
    ),
    "a pair that is taken apart later": (
        loop("for pair in enumerate(loader):", "            step, batch = pair\n" + BODY, FLUSH),
        PLACES | {"loop": "for pair in"},
        "does not unpack what enumerate yields",
    ),
    "loader iterated behind loops and functions of its own": (
        loop(
            HEAD,
            BODY
            + """
            for name in names:
                if name in frozen:
                    continue
            while busy():
                wait()

            def first():
                return next(iter(loader))

            log(list(loader))""",
            FLUSH,
        ),
        PLACES,
        "a second time in the loop body (line 21)",
    ),
    "stepped in an inner loop": (
        loop(HEAD, BODY, FLUSH).replace("optimizer.step()", "for one in optimizers:\n                    one.step()"),
        PLACES | {"step": "one.step()"},
        "outside the loop or in an inner one",
    ),
    "stepped behind the loop": (
        loop(HEAD, BODY, FLUSH).replace("optimizer.step()", "log(step)") + "\n        optimizer.step()\n",
        PLACES,
        "the optimizer steps outside the loop",
    ),
    "stepped after every micro-batch": (
        loop(HEAD, BODY + "\n            optimizer.step()", FLUSH).replace("                optimizer.step()", ""),
        PLACES,
        "steps after every micro-batch",
    ),
    "steps under a name that nobody sets": (
        loop(HEAD, BODY, "(step + 1) % every == 0"),
        PLACES,
        "the condition for the optimizer step reads every",
    ),
    "counted up twice": (
        loop(HEAD, f"{BODY}\n            seen += 1\n            seen += 1", "seen % steps == 0", "        seen = 0\n"),
        PLACES,
        "seen is counted up in several places",
    ),
    "started on a condition": (
        loop(
            HEAD,
            f"{BODY}\n            seen += 1",
            "seen % steps == 0",
            "        seen = 0\n        if epoch:\n            seen = 3\n",
        ),
        PLACES,
        "where seen starts is not known",
    ),
    "two counts that go on": (
        loop(
            HEAD,
            f"{BODY}\n            seen += 1\n            done += 1",
            "seen % steps == 0 or done % steps == 0",
            "        seen = model.seen\n        done = model.done\n",
        ),
        PLACES,
        "waits for counts from done + 1 and seen + 1",
    ),
    "taken away in place": (
        loop(HEAD, SUM.replace("loss = loss", "loss -= outputs.aux_loss\n            loss = loss"), FLUSH),
        PLACES | {"division": "loss / steps"},
        "sum of terms on line 11",
    ),
    "steps change": (
        loop("for step, batch in enumerate(loader):", BODY + "\n            steps = schedule(step)", FLUSH),
        PLACES,
        "steps changes",
    ),
}


_CLIP = "        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)\n"
_BACKWARD = "            (outputs.loss / steps).backward()\n"
SUMS_REFUSED = {
    "clipped every time": (
        TRIED.replace(_CLIP, "").replace(_BACKWARD, f"{_BACKWARD}    {_CLIP}"),
        "gradients are read on line 14",
    ),
    "never cleared": (TRIED.replace("        optimizer.zero_grad()\n", ""), "cleared is not in sight"),
    "another backward": (
        TRIED.replace("        for _ in", "        penalty(model).backward()\n        for _ in"),
        "of another backward, on line 7",
    ),
    "another optimizer": (
        TRIED.replace("        optimizer.zero", "        model.optimizer.step()\n        optimizer.zero"),
        "model.optimizer steps too",
    ),
    "stepped inside": (
        TRIED.replace("        optimizer.step()\n", "").replace(_CLIP, "            optimizer.step()\n"),
        "gradients that are left from its last round",
    ),
    "logged as it is divided": (
        TRIED.replace(
            _BACKWARD,
            "            loss = outputs.loss / steps\n            loss.backward()\n            print(loss.item())\n",
        ),
        "loss is read on line 15",
    ),
    "under horovod": (
        TRIED.replace("import torch\n", "import torch\nimport horovod.torch as hvd\n"),
        "puts gradients of several ranks together",
    ),
}


@pytest.mark.parametrize(("text", "reason"), SUMS_REFUSED.values(), ids=SUMS_REFUSED)
def test_gradients_that_are_not_complete_or_read_before_are_left(text: str, reason: str) -> None:
    places = TRIED_PLACES
    if "outputs.loss / steps).b" not in text:
        places = places | {"backward": "loss.backward()"}
    assert reason in refusal(text, "window-sum", dict(PLAIN), **places)


@pytest.mark.parametrize(("text", "places", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_proved_is_refused(text: str, places: dict[str, str], reason: str) -> None:
    assert reason in refusal(text, "window-share", dict(PLAIN), **places)
