"""Where does a rewrite stop, right beside code that it rewrites? Each base is rewritten; with one change it is not."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from testbed.rewriting import refusal, rewritten


@dataclass(frozen=True)
class Base:
    """What a rule asks for, on code where that is done."""

    fixer: str
    text: str
    places: dict[str, str | list[str]]
    options: dict[str, str] = field(default_factory=dict)


LOOP = """\
def train(model, loader, optimizer, steps):
    for step, batch in enumerate(loader):
        loss = model(**batch).loss / steps
        loss.backward()
        if (step + 1) % steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""
SHARED = {"stack": "plain", "steps": "steps", "labels": 'batch["labels"]', "shifted": "yes"}
SHARE = Base(
    "window-share",
    LOOP,
    {"loop": "for step", "division": "model(**batch).loss / steps", "step": "optimizer.step()"},
    SHARED,
)
WINDOW = Base(
    "window-sum",
    """\
def train(model, windows, optimizer, steps):
    for window in windows:
        for batch in window:
            loss = model(**batch).loss / steps
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
""",
    {"loop": "for batch", "division": "model(**batch).loss / steps"},
    {"stack": "plain", "labels": 'batch["labels"]', "shifted": "yes"},
)
COUNTED = Base(
    "window-sum",
    """\
def train(model, batches, optimizer, steps):
    while model.training:
        for _ in range(steps):
            batch = next(batches)
            loss = model(**batch).loss / steps
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
""",
    {
        "loop": "for _ in",
        "division": "model(**batch).loss / steps",
        "fetch": "batch = next(batches)",
        "backward": "loss.backward()",
    },
    WINDOW.options,
)
DRAWN = Base(
    "window-gradients",
    """\
def train(model, batches, optimizer, steps):
    while model.training:
        batch = next(batches)
        loss = model(**batch).loss
        loss.backward()
        if model.full:
            optimizer.step()
            optimizer.zero_grad()
""",
    {"loop": "while model", "backward": "loss.backward()", "step": "optimizer.step()"},
    WINDOW.options,
)
GATHERED = Base(
    "window-gathered",
    """\
def train(model, window, optimizer):
    losses = []
    for x, y in window:
        losses.append(F.cross_entropy(model(x), y))
    loss = sum(losses) / len(losses)
    loss.backward()
""",
    {"call": "F.cross_entropy(model(x), y)", "division": "sum(losses) / len(losses)"},
    {"stack": "plain", "labels": "y", "shifted": "no"},
)
DIVIDED = Base("drop-division", "def f(loss, n):\n    loss = loss / n\n    return loss\n", {"division": "loss / n"})
PLACED = Base("drop-division", "def f(loss, n):\n    loss.div_(n)\n    return loss\n", {"division": "loss.div_(n)"})
BACKWARD = Base(
    "drop-division",
    """\
def train(model, loader, n):
    for batch in loader:
        loss = model(**batch).loss
        loss = loss / n
        loss.backward()
""",
    {"division": "loss / n"},
)
FACTOR = Base(
    "drop-factor", "def f(loss, n):\n    loss = loss * n\n    return loss\n", {"product": "loss * n"}, {"factor": "n"}
)
ALONE = Base("divide-by-steps", "def f(loss):\n    loss.backward()\n", {"backward": "loss.backward()"}, {"steps": "n"})
DECLINED = Base(
    "decline-count", "def f(args):\n    trainer = Trainer(model, args)\n    trainer.train()\n", {"model": "model"}
)
GUARDED = Base(
    "guard-count",
    "def f(loss, labels, n=None):\n    loss = loss / n\n    return loss\n",
    {"division": "loss / n"},
    {"count": "n", "targets": "labels", "ignore_index": "-100", "form": "branch"},
)
RESCALED = Base(
    "rescale-mean",
    "def f(loss, labels, rows, n):\n    mask = labels != -100\n    loss = loss * rows / n\n    return loss\n",
    {"scaled": "loss * rows"},
    {"factor": "rows", "divisor": "mask.sum()"},
)
TOLD = Base(
    "set-boundary",
    """\
def train(engine, loader, n):
    for step, batch in enumerate(loader):
        engine.backward(engine(batch))
        if step % n == 0:
            engine.step()
""",
    {"backward": "engine.backward(engine(batch))", "gate": "step % n == 0"},
    {"engine": "engine"},
)
MATCHED = Base(
    "match-count",
    """\
def train(model, windows):
    for window in windows:
        n = sum(batch["labels"].numel() for batch in window)
        for one in window:
            loss = model(one) / n
            loss.backward()
""",
    {"loop": "for one", "count": 'batch["labels"].numel()'},
    {"labels": 'one["labels"]'},
)
STEPPED = Base(
    "divide-in-step",
    """\
class Custom(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = self.compute_loss(model, inputs)
        self.accelerator.backward(loss)
        return loss.detach()
""",
    {"value": "loss", "call": "self.compute_loss(model, inputs)"},
)
DELEGATED = Base(
    "divide-in-step",
    STEPPED.text.replace("self.compute_loss(model, inputs)", "model(**inputs).loss"),
    {"value": "loss", "model": "model(**inputs)", "loss": "model(**inputs).loss"},
)
RANKED = Base(
    "rank-factor",
    """\
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = total(model, inputs) / num_items_in_batch
        return loss
""",
    {"division": "total(model, inputs) / num_items_in_batch"},
)
LIT = Base(
    "lightning-count",
    """\
class LM(L.LightningModule):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def training_step(self, batch, index):
        return self.net(**batch).loss
""",
    {"method": "def training_step", "returned": "self.net(**batch).loss", "call": "self.net(**batch)"},
    {"labels": 'batch["labels"]', "shifted": "yes", "own": "yes", "index": "no"},
)


INNER = Base(
    "window-gradients",
    COUNTED.text,
    {key: text for key, text in COUNTED.places.items() if key != "fetch"} | {"step": "optimizer.step()"},
    COUNTED.options,
)
OVER = Base(
    "count-over-ranks",
    """\
def train(model, windows):
    for window in windows:
        n = count(window)
        for batch in window:
            loss = model(batch) / n
            loss.backward()
""",
    {"loop": "for batch", "division": "model(batch) / n"},
)
FORWARDED = Base(
    "forward-count",
    """\
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False):
        return super().compute_loss(model, inputs)
""",
    {"call": "super().compute_loss(model, inputs)"},
)
OUTPUTS = Base(
    "delegate-loss",
    """\
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False):
        outputs = model(**inputs)
        return outputs.loss
""",
    {"call": "model(**inputs)", "loss": "outputs.loss"},
)
HANDED = Base(
    "rank-factor",
    """\
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = total(model, inputs, num_items_in_batch)
        return loss
""",
    {"handed": "total(model, inputs, num_items_in_batch)"},
)
HELPED = Base(
    "match-count",
    """\
class Run:
    def count(self, window):
        return sum(labels.numel() for _, labels in window)

    def train(self, model, windows):
        for window in windows:
            n = self.count(window)
            for x, y in window:
                loss = model(x, y) / n
                loss.backward()
""",
    {"loop": "for x, y", "count": "labels.numel()"},
    {"labels": "y"},
)
TERMS = Base(
    "window-share",
    LOOP.replace("loss = model(**batch).loss", "out = model(**batch)\n        loss = out.loss"),
    SHARE.places | {"division": "out.loss / steps"},
    SHARED,
)


SUMMED = Base(
    "lightning-count",
    """\
class LM(L.LightningModule):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def training_step(self, batch, index):
        criterion = nn.CrossEntropyLoss()
        x, y = batch
        return criterion(self.net(x), y)
""",
    {
        "method": "def training_step",
        "returned": "criterion(self.net(x), y)",
        "call": "criterion(self.net(x), y)",
        "summed": "criterion(self.net(x), y)",
        "constructor": "nn.CrossEntropyLoss()",
    },
    {"labels": "y", "own": "no", "index": "no"},
)
DIVIDED_SUM = Base(
    "window-gradients",
    DRAWN.text.replace("loss = model(**batch).loss", "loss = total(model, batch) / steps"),
    DRAWN.places | {"division": "total(model, batch) / steps"},
    DRAWN.options | {"loss": "sum", "divisor": "steps"},
)
ADDED = Base(
    "divide-terms",
    """\
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        loss = loss + self.penalty(model)
        return loss
""",
    {"counted": "super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)"},
)
LENGTH = Base(
    "window-length",
    LOOP.replace("% steps == 0:", "% steps == 0 or step + 1 == len(loader):"),
    SHARE.places | {"backward": "loss.backward()"},
    {"steps": "steps", "behind": "no"},
)
HELPERS = Base(
    "count-loss",
    """\
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = self.own(inputs)
        return loss
""",
    {"handed": "self.own(inputs)"},
    {"divisor on line 3": "(inputs['labels'] != -100).sum()"},
)
TWO_HELPED = Base(
    "count-loss",
    """\
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if self.args.x:
            loss = self.own(inputs)
        second = self.other(inputs)
        return loss + second
""",
    {"handed": ["self.own(inputs)", "self.other(inputs)"]},
    {f"divisor on line {row}": "(inputs['labels'] != -100).sum()" for row in (4, 5)},
)
PAIRED = Base(
    "count-loss",
    HELPERS.text.replace("loss = self", "loss, outputs = self"),
    {"handed in a pair": "self.own(inputs)"},
    HELPERS.options,
)
SMOOTHED = Base(
    "count-loss",
    """\
class Custom(Trainer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.smooth = LabelSmoother(epsilon=0.1)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = self.smooth(model(**inputs), inputs["labels"], shift_labels=True)
        return loss
""",
    {
        "call": 'self.smooth(model(**inputs), inputs["labels"], shift_labels=True)',
        "constructor": "LabelSmoother(epsilon=0.1)",
    },
    {"targets": "inputs['labels']"},
)
MODELS = Base(
    "delegate-loss",
    """\
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False):
        loss = model(**inputs).loss
        return loss
""",
    {"call": "model(**inputs)", "loss": "model(**inputs).loss"},
)


MODULE = Base(
    "window-share",
    "".join(line[4:] + "\n" for line in LOOP.splitlines()[1:]),
    SHARE.places,
    SHARED,
)
RESUMED = Base(
    "window-share",
    LOOP.replace("loader)", "loader, start=done + 1)").replace("(step + 1) %", "step %"),
    SHARE.places,
    SHARED,
)
UNFRAMED = Base(
    "match-count",
    """\
first = windows[0][0]["labels"]
print(first.numel())
for window in windows:
    n = sum(batch["labels"].numel() for batch in window)
    for one in window:
        loss = model(one) / n
        loss.backward()
""",
    {"loop": "for one", "count": 'batch["labels"].numel()'},
    MATCHED.options,
)
FETCHED = Base(
    "window-share",
    LOOP.replace(
        "        loss = model(**batch).loss / steps\n",
        '        y = batch["labels"]\n        loss = ce(model(batch), y)\n        loss = loss / steps\n',
    ),
    SHARE.places | {"division": "loss / steps", "handed": "ce(model(batch), y)"},
    SHARED | {"labels": "y"},
)
ENTRIES = Base(
    "delegate-loss",
    """\
class Custom(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False):
        given = {"labels": inputs["labels"], "input_ids": inputs["input_ids"]}
        outputs = model(**given)
        return outputs.loss
""",
    {"call": "model(**given)", "loss": "outputs.loss"},
)
TRAINS = Base(
    "forward-count",
    """\
class Custom(Trainer):
    def training_step(self, model, inputs):
        return super().training_step(model, inputs)
""",
    {"call": "super().training_step(model, inputs)"},
)
HEADS = Base(
    "divide-in-step",
    """\
class Custom(Trainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        self.accelerator.backward(self.total)
""",
    {"value": "self.total"},
)
WRAPPED = Base(
    "lightning-count",
    LIT.text.replace(
        "        return self.net(**batch).loss",
        "        loss = self.net(**batch).loss\n        return dict(logs=1, loss=loss)",
    ),
    {"method": "def training_step", "wrapped": "dict(logs=1, loss=loss)", "call": "self.net(**batch)"},
    LIT.options,
)
AVERAGED = Base(
    "average-tokens",
    "def f(args):\n    args.average_tokens_across_devices = False\n    return Trainer(model, args)\n",
    {"statement": "args.average_tokens_across_devices = False"},
    {"form": "set"},
)


@dataclass(frozen=True)
class Miss:
    """One change, and what is said then."""

    base: Base
    old: str
    new: str
    reason: str
    places: dict[str, str | list[str]] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)


MISSES = {
    "an else branch of the loop": Miss(
        SHARE,
        "            optimizer.zero_grad()\n",
        "            optimizer.zero_grad()\n    else:\n        done()\n",
        "asynchronous or has an else branch",
    ),
    "a micro-batch that is kept on an object": Miss(
        SHARE,
        "batch",
        "model.batch",
        "does not bind its micro-batch to plain names",
        {"division": "model(**model.batch).loss / steps"},
        {"labels": 'model.batch["labels"]'},
    ),
    "a pair that is not taken apart": Miss(
        SHARE,
        "for step, batch in enumerate(loader):\n",
        "for pair in enumerate(loader):\n        step, batch = pair\n",
        "does not unpack what enumerate yields",
        {"loop": "for pair"},
    ),
    "a list of the loader in the loop": Miss(
        SHARE,
        "        loss.backward()\n",
        "        loss.backward()\n        left = len(list(loader))\n",
        "iterated a second time in the loop body (line 5)",
    ),
    "a micro-batch that is left out": Miss(
        SHARE,
        "        loss = model",
        "        if model.skips(batch):\n            continue\n        loss = model",
        "a `continue` can leave micro-batches out of their window",
    ),
    "a last window that is stepped at some lengths": Miss(
        SHARE,
        "% steps == 0:",
        "% steps == 0 or step + 1 == len(loader) and len(loader) % steps == 1:",
        "depends on its length",
    ),
    "several optimizers in an inner loop": Miss(
        SHARE,
        "            optimizer.step()\n",
        "            for optimizer in both:\n                optimizer.step()\n",
        "steps outside the loop or in an inner one",
    ),
    "a step behind the loop": Miss(
        SHARE,
        "            optimizer.step()\n            optimizer.zero_grad()\n",
        "            log()\n    optimizer.step()\n",
        "steps outside the loop",
    ),
    "a step for every micro-batch": Miss(
        SHARE,
        "        if (step + 1) % steps == 0:\n            optimizer.step()\n",
        "        optimizer.step()\n        if 1:\n",
        "steps after every micro-batch",
    ),
    "a number that comes from elsewhere": Miss(
        SHARE,
        "(step + 1) % steps",
        "(step + offset) % steps",
        "reads offset",
    ),
    "a counter that is raised twice": Miss(
        SHARE,
        "    for step, batch in enumerate(loader):\n",
        "    step = 0\n    for batch in loader:\n        step += 1\n        step += 1\n",
        "step is counted up in several places",
        {"loop": "for batch"},
    ),
    "a counter without a start": Miss(
        SHARE,
        "    for step, batch in enumerate(loader):\n",
        "    for batch in loader:\n        step += 1\n",
        "where step starts is not known",
        {"loop": "for batch"},
    ),
    "targets that are masked in the loop": Miss(
        SHARE,
        "        loss = model",
        '        batch["labels"][:, :3] = -100\n        loss = model',
        "line 3",
    ),
    "an ignore index of somebody else": Miss(
        SHARE,
        "def",
        "def",
        "the loss ignores tokenizer.pad_token_id, and tokenizer is not known where the loop runs",
        options={"ignore_index": "tokenizer.pad_token_id"},
    ),
    "a window without a name": Miss(
        WINDOW,
        "in window:",
        "in draw(window):",
        "the window has no name",
    ),
    "a division behind the window": Miss(
        WINDOW,
        "            loss = model(**batch).loss / steps\n            loss.backward()\n",
        "            loss = model(**batch).loss\n        loss = loss / steps\n        loss.backward()\n",
        "divided outside the loop over the window",
        {"division": "loss / steps"},
    ),
    "a micro-batch by its number": Miss(
        COUNTED,
        "for _ in range(steps):\n            batch = next(batches)",
        "for i in range(steps):\n            batch = batches[i]",
        "the micro-batch is not drawn first",
        {"loop": "for i in", "fetch": "batch = batches[i]"},
    ),
    "a range with a start": Miss(
        COUNTED,
        "range(steps)",
        "range(1, steps)",
        "the micro-batch is not drawn first",
    ),
    "targets that are not drawn": Miss(
        DRAWN,
        "batch = next(batches)",
        "batch.update(next(batches))",
        "batch is not drawn in the loop",
    ),
    "a loader that starts again": Miss(
        DRAWN,
        "    while model.training:\n        batch = next(batches)\n",
        "    for batch in batches:\n",
        "runs over a loader that starts again",
        {"loop": "for batch"},
    ),
    "epochs around a drawing loop": Miss(
        DRAWN,
        DRAWN.text.partition("\n")[2],
        "    for epoch in range(3):\n" + "".join(f"    {line}\n" for line in DRAWN.text.splitlines()[1:]),
        "gradients that are left from its last round",
    ),
    "a step without a condition": Miss(
        DRAWN,
        "        if model.full:\n            optimizer.step()\n            optimizer.zero_grad()\n",
        "        optimizer.step()\n        optimizer.zero_grad()\n",
        "does not step under a condition of the loop",
    ),
    "clipping before the window is full": Miss(
        DRAWN,
        "        if model.full",
        "        clip_grad_norm_(model.parameters(), 1.0)\n        if model.full",
        "gradients are read on line 6",
    ),
    "a second optimizer": Miss(
        DRAWN,
        "            optimizer.step()\n",
        "            optimizer.step()\n            head_optimizer.step()\n",
        "head_optimizer steps too",
    ),
    "a division behind the gathering function's other lines": Miss(
        GATHERED,
        "    loss = sum(losses) / len(losses)\n",
        "    if losses:\n        loss = sum(losses) / len(losses)\n",
        "not divided right behind the loop",
    ),
    "an average that numpy takes": Miss(
        GATHERED,
        "sum(losses) / len(losses)",
        "torch.stack(losses).sum() / len(losses)",
        "no sum of gathered losses",
        {"division": "torch.stack(losses).sum() / len(losses)"},
    ),
    "a loss that is printed as it is gathered": Miss(
        GATHERED,
        "        losses.append(F.cross_entropy(model(x), y))\n",
        "        one = F.cross_entropy(model(x), y)\n        print(one)\n        losses.append(one)\n",
        "one is read for something else",
    ),
    "a division that rounds": Miss(
        DIVIDED,
        "loss / n",
        "torch.div(loss, n, rounding_mode=mode)",
        "in a form that is not known",
        {"division": "torch.div(loss, n, rounding_mode=mode)"},
    ),
    "half of what it should be": Miss(
        DIVIDED,
        "loss / n",
        "loss * (2.0 / n)",
        "in a form that is not known",
        {"division": "loss * (2.0 / n)"},
    ),
    "a division in place, in the middle": Miss(
        PLACED,
        "    loss.div_(n)\n",
        "    log(loss.div_(n))\n",
        "changes the tensor in place",
    ),
    "a loss that is logged between": Miss(
        BACKWARD,
        "        loss.backward()\n",
        "        log(loss)\n        loss.backward()\n",
        "loss is read on line 5, between its division and backward",
    ),
    "a factor on both sides": Miss(
        FACTOR,
        "loss * n",
        "n * n",
        "in a form that is not known",
        {"product": "n * n"},
    ),
    "backward under another name": Miss(
        ALONE,
        "loss.backward()",
        "run_backward(loss)",
        "in a form that is not known",
        {"backward": "run_backward(loss)"},
    ),
    "a model that is built in the call": Miss(
        DECLINED,
        "Trainer(model, args)",
        "Trainer(build(model), args)",
        "the model has no name",
        {"model": "build(model)"},
    ),
    "a sum that is returned at once": Miss(
        GUARDED,
        "    loss = loss / n\n    return loss\n",
        "    return loss / n\n",
        "no name of its own",
    ),
    "a mask that is made anew": Miss(
        RESCALED,
        "    loss = loss *",
        "    mask = mask & labels.bool()\n    loss = loss *",
        "mask is another value from line 3 on",
    ),
    "a factor that is not there": Miss(
        RESCALED,
        "loss * rows / n",
        "loss * size(labels) / n",
        "where `rows` is multiplied is not known",
        {"scaled": "loss * size(labels)"},
    ),
    "an engine that steps elsewhere": Miss(
        TOLD,
        "        if step % n == 0:\n            engine.step()\n",
        "        full = step % n == 0\n        engine.step()\n",
        "does not step under a test beside backward",
    ),
    "a test that draws": Miss(
        TOLD,
        "step % n == 0",
        "next(step) == 0",
        "next(step) would be asked a second time",
        {"gate": "next(step) == 0"},
    ),
    "a test that changes": Miss(
        TOLD,
        "        if step",
        "        n += 1\n        if step",
        "the test for the step changes on line 4",
    ),
    "a loop that draws": Miss(
        MATCHED,
        "        for one in window:\n",
        "        while one := next(window, None):\n",
        "draws its micro-batches itself",
        {"loop": "while one"},
    ),
    "a count of a lambda": Miss(
        MATCHED,
        'batch["labels"].numel() for batch in window',
        'map(lambda batch: batch["labels"].numel(), window)',
        "is no micro-batch of a window in sight",
    ),
    "a count of other windows": Miss(
        MATCHED,
        "for batch in window)",
        "for batch in windows[0])",
        "not of window",
    ),
    "a call that passes keywords on": Miss(
        STEPPED,
        "(model, inputs)\n",
        "(model, inputs, **self.more)\n",
        "passes keyword arguments on already",
        {"call": "self.compute_loss(model, inputs, **self.more)"},
    ),
    "a loss of the class's own": Miss(
        DELEGATED,
        "    def training",
        "    def compute_loss(self, *_):\n        return 1\n\n    def training",
        "has a compute_loss of its own",
    ),
    "a count under another name": Miss(
        DELEGATED,
        "num_items_in_batch",
        "n",
        "the count is called n here",
    ),
    "a loss without a name": Miss(
        DELEGATED,
        "        loss = model(**inputs).loss\n        self.accelerator.backward(loss)\n        return loss.detach()\n",
        "        self.accelerator.backward(model(**inputs).loss)\n",
        "the loss has no name of its own",
        {"value": "model(**inputs).loss"},
    ),
    "a count that is replaced": Miss(
        RANKED,
        "        loss = ",
        "        if num_items_in_batch is None:\n            num_items_in_batch = inputs.size\n        loss = ",
        "becomes another count on line 4",
    ),
    "a loss that ignores nothing": Miss(
        DRAWN,
        "def",
        "def",
        "the loss ignores no targets, so how many there are is not in sight",
        options={"ignore_index": ""},
    ),
    "a micro-batch that is made anew": Miss(
        SHARE,
        "        loss = model",
        "        batch = augmented(batch)\n        loss = model",
        "line 3",
    ),
    "a difference of two losses": Miss(
        TERMS,
        "out.loss / steps",
        "(out.loss - out.aux_loss) / steps",
        "sum of terms on line 4",
        {"division": "(out.loss - out.aux_loss) / steps"},
    ),
    "a sum on a condition": Miss(
        TERMS,
        "out.loss / steps",
        "(out.loss + out.aux_loss if step else out.loss) / steps",
        "sum of terms on line 4",
        {"division": "(out.loss + out.aux_loss if step else out.loss) / steps"},
    ),
    "a step before the window, and a line behind it": Miss(
        INNER,
        INNER.text[INNER.text.index("        for _") :],
        "        optimizer.step()\n"
        + INNER.text[INNER.text.index("        for _") :].replace("        optimizer.step()\n", "        log()\n"),
        "does not step behind the loop",
    ),
    "a step before the window": Miss(
        INNER,
        INNER.text[INNER.text.index("        for _") :],
        "        optimizer.step()\n"
        + INNER.text[INNER.text.index("        for _") :].partition("        optimizer.step()\n")[0],
        "does not step behind the loop",
    ),
    "a division on a condition": Miss(
        INNER,
        "            loss = model(**batch).loss / steps\n",
        "            loss = model(**batch).loss\n            if steps > 1:\n                loss = loss / steps\n",
        "divided in another block than backward",
        {"division": "loss / steps"},
    ),
    "a counter on an object": Miss(
        COUNTED,
        "for _ in",
        "for model.i in",
        "does not count its micro-batches with range(steps)",
        {"loop": "for model.i"},
    ),
    "a count whose loss is divided behind its window": Miss(
        OVER,
        "            loss = model(batch) / n\n            loss.backward()\n",
        "            loss = model(batch)\n        loss = loss / n\n        loss.backward()\n",
        "outside the loop over the window",
        {"division": "loss / n"},
    ),
    "a call of super that passes keywords on": Miss(
        FORWARDED,
        "(model, inputs)\n",
        "(model, inputs, **self.more)\n",
        "passes keyword arguments on already",
        {"call": "super().compute_loss(model, inputs, **self.more)"},
    ),
    "outputs that are kept on the Trainer": Miss(
        OUTPUTS,
        "outputs = ",
        "self.seen = outputs = ",
        "not bound to a plain name",
    ),
    "a division in a helper": Miss(
        RANKED,
        "total(model, inputs) / num_items_in_batch",
        "mean(model, inputs, num_items_in_batch)",
        "stands in a helper that others may call",
        {"division": "mean(model, inputs, num_items_in_batch)"},
    ),
    "a count among the keywords": Miss(
        HANDED,
        "num_items_in_batch=None):\n        loss = total(model, inputs, num_items_in_batch)",
        "**kwargs):\n        loss = total(model, inputs, **kwargs)",
        "the count is no parameter",
        {"handed": "total(model, inputs, **kwargs)"},
    ),
    "a window by its keyword": Miss(
        HELPED,
        "self.count(window)",
        "self.count(window=window)",
        "which window count counts is not in sight",
    ),
    "a helper that counts for a log too": Miss(
        HELPED,
        "                loss.backward()\n",
        "                loss.backward()\n            self.log(self.count(window))\n",
        "count counts for others too",
    ),
    "a micro-batch of other parts": Miss(
        HELPED,
        "for _, labels in",
        "for _, labels, _ in",
        "takes the micro-batch apart in another way",
    ),
    "targets that are made on the way": Miss(
        LIT,
        "def",
        "def",
        "masked, cut off or replaced",
        options={"remade": "yes"},
    ),
    "an index that only the collator knows": Miss(
        LIT,
        "def",
        "def",
        "pad, which tells targets from others, is not known",
        options={"ignore_index": "pad"},
    ),
    "a constructor on one line": Miss(
        LIT,
        "    def __init__(self, net):\n        super().__init__()\n        self.net = net\n",
        "    def __init__(self, net): self.net = net\n",
        "__init__ has its body on the line of its head",
    ),
    "a constructor that returns early": Miss(
        LIT,
        "        self.net = net\n",
        "        self.net = net\n        if net is None:\n            return\n",
        "__init__ returns before its end",
    ),
    "a loss that is divided behind the loop": Miss(
        SHARE,
        "optimizer.zero_grad()\n",
        "optimizer.zero_grad()\n    mean = loss / steps\n",
        "divided outside the loop, where the share is not known",
        {"division": "loss / steps"},
    ),
    "a sum that is divided twice": Miss(
        TERMS,
        "loss = out.loss / steps",
        "loss = (out.loss + out.aux_loss) / steps",
        "divided by `parts` besides, and is a sum",
        {"division": "(out.loss + out.aux_loss) / steps"},
        {"divided_by": "parts"},
    ),
    "gradients of a loss that is divided twice": Miss(
        DRAWN,
        "def",
        "def",
        "divided by `parts` besides",
        options={"divided_by": "parts"},
    ),
    "a loss without a name, and several ranks": Miss(
        DRAWN,
        "        loss = model(**batch).loss\n        loss.backward()\n",
        "        model(**batch).loss.backward()\n",
        "the loss has no name, so on which device it is",
        {"backward": "model(**batch).loss.backward()"},
        {"stack": "distributed"},
    ),
    "every position is a target": Miss(
        DRAWN,
        "def",
        "def",
        "ignores no targets, so how many there are is not in sight",
        options={"ignore_index": ""},
    ),
    "a sum that is divided by more than the count": Miss(
        DIVIDED_SUM,
        "/ steps",
        "/ (steps * ranks)",
        "the division is by more than `steps`",
        {"division": "total(model, batch) / (steps * ranks)"},
    ),
    "a loss object that another method builds": Miss(
        SUMMED,
        "    def training_step(self, batch, index):\n        criterion = nn.CrossEntropyLoss()\n",
        "        self.ce = nn.CrossEntropyLoss()\n\n"
        "    def training_step(self, batch, index):\n        criterion = self.ce\n",
        "criterion is defined elsewhere",
    ),
    "a term that is added to something else": Miss(
        ADDED,
        "        loss = loss + self.penalty(model)\n",
        "        self.last = [loss, self.penalty(model)]\n",
        "not added to a name that the counted loss has here",
    ),
    "a length where nothing is divided in the loop": Miss(
        LENGTH,
        "optimizer.zero_grad()\n",
        "optimizer.zero_grad()\n    mean = loss / steps\n",
        "divided outside the loop",
        {"division": "loss / steps"},
    ),
    "a batch that the helper's line replaces": Miss(
        PAIRED,
        "loss, outputs = self.own(inputs)",
        "loss, inputs = self.own(batch)",
        "inputs is no longer what the helper was called with",
        {"handed in a pair": "self.own(batch)"},
    ),
    "a pair that is taken apart later": Miss(
        PAIRED,
        "        loss, outputs = self.own(inputs)\n",
        "        pair = self.own(inputs)\n        loss = pair[0]\n",
        "not taken out of what the helper returns where it is called",
    ),
    "a smoother that is told later whether to shift": Miss(
        SMOOTHED,
        "shift_labels=True",
        "shift_labels=self.shifts",
        "whether the loss object shifts its targets is not known",
        {"call": 'self.smooth(model(**inputs), inputs["labels"], shift_labels=self.shifts)'},
    ),
    "a model that is called twice": Miss(
        MODELS,
        "loss = model(**inputs).loss",
        "loss = model(**inputs).loss + model(**inputs).loss",
        "the model is called more than once",
        {"loss": ["model(**inputs).loss", "model(**inputs).loss"]},
    ),
    "steps that change under an annotation": Miss(
        SHARE,
        "        loss.backward()\n",
        "        loss.backward()\n        steps: int = 2\n",
        "steps changes in the loop body",
    ),
    "steps that a loop in the loop binds": Miss(
        SHARE,
        "        loss.backward()\n",
        "        loss.backward()\n        for steps in range(2):\n            log(steps)\n",
        "steps changes in the loop body",
    ),
    "steps that a test binds": Miss(
        SHARE,
        "        loss.backward()\n",
        "        loss.backward()\n        if (steps := 2):\n            log(step)\n",
        "steps changes in the loop body",
    ),
    "steps that a context gives": Miss(
        SHARE,
        "        loss.backward()\n",
        "        loss.backward()\n        with schedule() as (steps, _):\n            log(step)\n",
        "steps changes in the loop body",
    ),
    "a window that grows after it is counted": Miss(
        MATCHED,
        "        for one in window:",
        "        window += [left]\n        for one in window:",
        "the window changes on line 4, after it is counted",
    ),
    "a window that is bound anew, annotated": Miss(
        MATCHED,
        "        for one in window:",
        "        window: list = window[1:]\n        for one in window:",
        "the window changes on line 4, after it is counted",
    ),
    "a count that the loop binds": Miss(
        OVER,
        "            loss.backward()\n",
        "            loss.backward()\n            n: int = 1\n",
        "n changes in the loop",
    ),
    "a test that reads what changes, annotated": Miss(
        TOLD,
        "        if step % n == 0:",
        "        n: int = 3\n        if step % n == 0:",
        "the test for the step changes on line 4",
    ),
    "an index that a loop in the loop binds": Miss(
        LENGTH,
        "        loss.backward()\n",
        "        loss.backward()\n        for step in range(2):\n            pass\n",
        "step changes in the loop body",
    ),
    "a term that grows after it is added": Miss(
        TERMS,
        "        loss = out.loss / steps\n",
        "        total = out.loss + out.aux_loss\n        print(total)\n        out.aux_loss += 1\n"
        "        loss = total / steps\n",
        "a term of the loss changes on line 6",
        {"division": "total / steps"},
    ),
    "a part of a term that is changed": Miss(
        TERMS,
        "        loss = out.loss / steps\n",
        "        total = out.loss + out.aux_loss\n        print(total)\n        out.aux_loss[0] = 1\n"
        "        loss = total / steps\n",
        "a term of the loss changes on line 6",
        {"division": "total / steps"},
    ),
    "a sum under an annotated name, of which one term is not known": Miss(
        TERMS,
        "        loss = out.loss / steps\n",
        "        loss: Tensor = out.loss + out.other\n        loss = loss / steps\n",
        "the loss is a sum of terms on line 4",
        {"division": "loss / steps"},
    ),
    "a count of this rank, annotated": Miss(
        RANKED,
        "        loss = total",
        "        num_items_in_batch: int = count(inputs)\n        loss = total",
        "becomes another count on line 3",
    ),
    "another term on another path, annotated": Miss(
        TWO_HELPED,
        "            loss = self.own(inputs)\n",
        "            loss = self.own(inputs)\n        else:\n            loss: Tensor = self.penalty()\n",
        "loss is another term on line 6",
        options={"divisor on line 7": "(inputs['labels'] != -100).sum()"},
    ),
    "a mask that is bound twice, once annotated": Miss(
        RESCALED,
        "    loss = loss * rows / n\n",
        "    mask: Tensor = labels > 0\n    loss = loss * rows / n\n",
        "mask is another value from line 3 on",
    ),
    "loops at the module's level, and a step behind": Miss(
        MODULE,
        "        optimizer.step()\n        optimizer.zero_grad()\n",
        "        pass\noptimizer.step()\n",
        "the optimizer steps outside the loop",
    ),
    "a count at the module's level": Miss(
        UNFRAMED,
        '    n = sum(batch["labels"].numel() for batch in window)\n',
        "    n = len(window)\n",
        "is no micro-batch of a window in sight",
        {"count": "first.numel()"},
    ),
    "a pair in a pair": Miss(
        HELPED, "for _, labels in", "for (x, (labels, _)) in", "takes the micro-batch apart in another way"
    ),
    "a pair in the pair of the loss": Miss(
        HELPED, "for x, y in", "for x, (y, w) in", "y is no element of the micro-batch", {"loop": "for x, (y, w)"}
    ),
    "a division around the call": Miss(
        STEPPED,
        "loss = self.compute_loss(model, inputs)",
        "loss = self.compute_loss(model, inputs) * (1 / 2)",
        "compute_loss is called in the expression that divides",
        {"division": "self.compute_loss(model, inputs) * (1 / 2)"},
    ),
    "targets that a name holds from the round before": Miss(
        FETCHED,
        '        y = batch["labels"]\n        loss = ce(model(batch), y)\n',
        '        loss = ce(model(batch), y)\n        y = batch["labels"]\n',
        "the targets are made on line 4",
    ),
    "another batch from nowhere": Miss(
        SHARE,
        "        loss = model",
        "        batch = again()\n        loss = model",
        "what line 3 makes of the micro-batch could change its targets",
    ),
    "entries under keys that are computed": Miss(
        ENTRIES, '{"labels":', '{key: 1, "labels":', "what given holds is not written down in one place"
    ),
    "entries beside those of another dictionary": Miss(
        ENTRIES, '{"labels":', '{**more, "labels":', "what given holds is not written down in one place"
    ),
    "an ignore index under a name that is nothing there": Miss(
        SHARE, "batch in", "batch in", "and PAD is not known where the loop runs", options={"ignore_index": "PAD"}
    ),
    "a loss that comes from elsewhere": Miss(
        OUTPUTS, "outputs.loss", "other.loss", "not read from what the model returns", {"loss": "other.loss"}
    ),
    "another path runs backward itself": Miss(
        TRAINS,
        "        return super()",
        "        if self.x:\n            self.loss(inputs).backward()\n        return super()",
        "on another path it runs backward itself",
    ),
    "what backward gets by another way": Miss(
        HEADS,
        "        self.accelerator.backward(self.total)\n",
        "        self.loss = self.total\n        self.accelerator.backward(self.loss)\n",
        "called in a form that is not known here",
    ),
    "a step on the line of its head": Miss(
        HEADS,
        "\n        self.accelerator.backward(self.total)\n",
        " self.accelerator.backward(self.total)\n",
        "training_step has its body on the line of its head",
    ),
    "arguments as a tuple": Miss(
        ADDED,
        "self, model, inputs, return_outputs=False, num_items_in_batch=None",
        "*args, num_items_in_batch=None",
        "compute_loss takes its arguments as a tuple",
    ),
    "a dictionary that a function makes": Miss(
        WRAPPED,
        "dict(logs=1, loss=loss)",
        "make(logs=1, loss=loss)",
        "is set elsewhere",
        {"wrapped": "make(logs=1, loss=loss)"},
    ),
    "a dictionary without the loss": Miss(
        WRAPPED, "dict(logs=1, loss=loss)", "dict(logs=1)", "is set elsewhere", {"wrapped": "dict(logs=1)"}
    ),
    "a gate that multiplies by itself": Miss(
        SHARE,
        "(step + 1) % steps",
        "(step + 1) ** 2 % steps",
        "the condition for the optimizer step reads (step + 1) ** 2",
    ),
    "a setting that is right already": Miss(
        AVERAGED,
        "False",
        "True",
        "the rewrite changes nothing",
        {"statement": "args.average_tokens_across_devices = True"},
    ),
}


RUNNING = Base(
    "window-sum",
    """\
def train(model, windows, optimizer):
    for window in windows:
        tokens = 0
        for batch in window:
            tokens += batch["labels"].numel()
            loss = total(model, batch) / tokens
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
""",
    {"loop": "for batch", "division": "total(model, batch) / tokens"},
    WINDOW.options | {"loss": "sum", "divisor": "tokens"},
)


CALLED = Base(
    "window-sum",
    WINDOW.text.replace(
        "            loss = model(**batch).loss / steps\n",
        '            loss = F.cross_entropy(model(batch), batch["labels"])\n            mean = 2 * loss / steps\n',
    ).replace("loss.backward", "mean.backward"),
    WINDOW.places | {"division": "2 * loss / steps", "call": 'F.cross_entropy(model(batch), batch["labels"])'},
    WINDOW.options,
)
MEAN = '            loss = F.cross_entropy(model(batch), batch["labels"])\n'
WEIGHED = 'mean = 2 * loss * (batch["labels"][..., 1:] != -100).sum() / targets\n'
HITS = {
    "a mean that is read nowhere else": Miss(CALLED, "mean.backward", "mean.backward", "mean = 2 * loss / targets\n"),
    "a mean that is logged": Miss(CALLED, MEAN, f"{MEAN}            log(loss.item())\n", WEIGHED),
    "an annotated mean that is logged": Miss(
        CALLED, MEAN, f"{MEAN.replace('loss', 'loss: Tensor')}            log(loss.item())\n", WEIGHED
    ),
    "a counter that nobody reads any more": Miss(
        RUNNING, "loss.backward()", "loss.backward()  # here", "for batch in window:\n            loss = total"
    ),
    "a counter that is logged": Miss(
        RUNNING,
        "loss.backward()\n",
        "loss.backward()\n            print(tokens)\n",
        'tokens += batch["labels"].numel()\n            loss = total(model, batch) / targets\n',
    ),
    "backward of what a function returns": Miss(
        ALONE,
        "loss.backward()",
        "total(loss).backward()",
        "(total(loss) / n).backward()",
        {"backward": "total(loss).backward()"},
    ),
    "backward of a scaler": Miss(
        ALONE,
        "loss.backward()",
        "s.scale(loss).backward()",
        "s.scale(loss / n)",
        {"backward": "s.scale(loss).backward()"},
    ),
    "an ignore index of a class of the module": Miss(
        SHARE,
        "def train(",
        "class Config:\n    pad = 0\n\n\ndef train(",
        "WithTargetShare(loader, steps, ignore_index=Config.pad)",
        options={"ignore_index": "Config.pad"},
    ),
    "a comment in the call": Miss(
        FORWARDED,
        "(model, inputs)",
        "(model, inputs  # both\n        )",
        "(model, inputs,  # both\n                                    num_items_in_batch=num_items_in_batch\n        )",
        {"call": "super().compute_loss(model, inputs  # both\n        )"},
    ),
    "an annotated loss, and the ranks": Miss(
        RANKED,
        "loss = total",
        "loss: Tensor = total",
        "        loss: Tensor = total(model, inputs) / num_items_in_batch\n"
        "        if self.args.average_tokens_across_devices:\n"
        "            loss = loss * self.accelerator.num_processes\n",
    ),
    "a mean that is divided in place": Miss(
        RESCALED,
        "loss = loss * rows / n",
        "loss /= n",
        "    loss = loss * mask.sum()\n    loss /= n\n",
        {"division": "loss /= n", "scaled": []},
    ),
    "a part of the micro-batch that the count leaves unnamed": Miss(
        HELPED,
        "labels.numel() for _, labels in",
        "x.numel() for x, _ in",
        "sum((y != -100).sum().item() for x, y in window)",
        {"count": "x.numel()"},
    ),
    "one of two losses": Miss(
        LIT,
        "self.net(**batch).loss",
        "self.net(**batch).loss if index else self.net.first(batch)",
        "return (self.net(**batch).loss if index else self.net.first(batch)) * targets\n",
        {"returned": "self.net(**batch).loss if index else self.net.first(batch)"},
    ),
    "a divisor that is no number of micro-batches yet": Miss(
        SHARE,
        "/ steps",
        "/ max(steps, 1)",
        "(WithTargetShare(loader, steps)):\n        loss = model(**batch).loss * share",
        {"division": "model(**batch).loss / max(steps, 1)"},
    ),
    "a mean without a constant": Miss(
        SHARE,
        "model(**batch).loss / steps",
        "torch.div(model(**batch).loss - 0.5, steps)",
        "loss = (model(**batch).loss - 0.5) * share",
        {"division": "torch.div(model(**batch).loss - 0.5, steps)"},
    ),
    "a mean or another": Miss(
        SHARE,
        "model(**batch).loss / steps",
        "(model(**batch).loss if step else first(batch)) / steps",
        "loss = (model(**batch).loss if step else first(batch)) * share",
        {"division": "(model(**batch).loss if step else first(batch)) / steps"},
    ),
    "products in a log line, of which one takes the loss back": Miss(
        LENGTH,
        "        loss.backward()\n",
        "        loss.backward()\n        log(steps * loss.item(), 2 * loss.item(), steps * 3)\n",
        "log(window_length * loss.item(), 2 * loss.item(), steps * 3)\n",
    ),
    "labels of two names": Miss(
        ENTRIES,
        'given = {"labels": inputs["labels"], "input_ids"',
        'labels = kept = inputs["labels"]\n        given = {"labels": labels, "input_ids"',
        "loss, outputs = super().compute_loss(",
    ),
    "a sum that is divided in place": Miss(
        GUARDED, "loss = loss / n", "loss /= n", "else:\n        loss /= n\n", {"division": "loss /= n"}
    ),
    "a penalty that is one of two values": Miss(
        TERMS,
        "        loss = out.loss / steps\n",
        "        penalty, _ = extra(model)\n        loss = (out.loss + penalty) / steps\n",
        "loss = out.loss * share + penalty * equal_share\n",
        {"division": "(out.loss + penalty) / steps"},
    ),
    "one of two losses, by a name": Miss(
        TERMS,
        "        loss = out.loss / steps\n",
        "        loss = out.loss\n        if step:\n            loss = out.first\n        loss = loss / steps\n",
        "            loss = out.first\n        loss = loss * share",
        {"division": "loss / steps"},
    ),
    "a division that gives no name": Miss(
        BACKWARD,
        "        loss = loss / n\n        loss.backward()\n",
        "        (loss / n).backward()\n        print(loss)\n",
        "        loss.backward()\n        print(loss)\n",
    ),
    "an annotated value that is divided at once": Miss(
        BACKWARD,
        "        loss = model(**batch).loss\n        loss = loss / n\n        loss.backward()\n",
        "        loss: Tensor = model(**batch).loss / n\n        loss.backward()\n        print(loss)\n",
        "        loss.backward()\n        loss = loss / n\n        print(loss)\n",
        {"division": "model(**batch).loss / n"},
    ),
    "another entry that is moved": Miss(
        SHARE,
        "        loss = model",
        '        batch["ids"] = batch["ids"].to(model.device)\n        loss = model',
        "enumerate(WithTargetShare(loader, steps))",
    ),
    "an entry of another attribute": Miss(
        TERMS,
        "        loss = out.loss / steps\n",
        "        total = out.loss + self.weight * out.aux_loss\n        print(total)\n        self.kept[0] = 1\n"
        "        loss = total / steps\n",
        "loss = out.loss * share + self.weight * out.aux_loss * equal_share\n",
        {"division": "total / steps"},
    ),
    "a loop that goes on from one less": Miss(
        RESUMED, "done + 1", "done - 1", "WithTargetShare(loader, steps, done - 2)"
    ),
    "a line between the division and backward": Miss(
        BACKWARD,
        "        loss.backward()\n",
        "        log(n)\n        loss.backward()\n        print(loss)\n",
        "        log(n)\n        loss.backward()\n        loss = loss / n\n        print(loss)\n",
    ),
    "an annotated division": Miss(
        BACKWARD,
        "        loss = loss / n\n        loss.backward()\n",
        "        loss: Tensor = loss / n\n        loss.backward()\n        print(loss)\n",
        ".loss\n        loss.backward()\n        loss: Tensor = loss / n\n        print(loss)\n",
    ),
    "another loss of the same name": Miss(
        BACKWARD,
        "        loss.backward()\n",
        "        loss.backward()\n        loss = model.last()\n        print(loss)\n",
        ".loss\n        loss.backward()\n        loss = model.last()\n",
    ),
    "a line before the step": Miss(
        DRAWN,
        "            optimizer.step()\n",
        "            log(model)\n            optimizer.step()\n",
        "            log(model)\n            # the sum over",
    ),
    "a step whose loss is halved in the log": Miss(
        STEPPED, "return loss.detach()", "return loss.detach() / 2", "return loss.detach() / 2\n"
    ),
    "a term beside a loss that is divided in place": Miss(
        ADDED,
        "        loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)\n",
        "        loss = self.total(model, inputs)\n        loss /= num_items_in_batch\n",
        "loss = loss + self.penalty(model) / steps\n",
        {"counted": "loss /= num_items_in_batch"},
    ),
    "a term beside a loss that is declared first": Miss(
        ADDED, "loss = super()", "loss: Tensor\n        loss = super()", "loss = loss + self.penalty(model) / steps\n"
    ),
    "a log line of another name's division": Miss(
        SHARE,
        "loss = model(**batch).loss / steps\n        loss.backward()\n",
        "mean = model(**batch).loss\n        loss = mean / steps\n        loss.backward()\n        log(loss * steps)\n",
        "loss.backward()\n        log(loss * steps)\n",
        {"division": "mean / steps", "backward": "loss.backward()"},
    ),
    "a term beside an annotated loss": Miss(
        ADDED,
        "loss = super()",
        "loss: Tensor = super()",
        "loss = loss + self.penalty(model) / steps\n",
    ),
}


@pytest.mark.parametrize("hit", HITS.values(), ids=HITS)
def test_another_form_of_it_is_rewritten(hit: Miss) -> None:
    """`reason` is what is written then."""
    base = hit.base
    assert hit.old in base.text
    text = base.text.replace(hit.old, hit.new)
    assert hit.reason in rewritten(text, base.fixer, base.options | hit.options, **(base.places | hit.places))


@pytest.mark.parametrize("miss", MISSES.values(), ids=MISSES)
def test_a_near_miss_is_refused(miss: Miss) -> None:
    base = miss.base
    assert rewritten(base.text, base.fixer, base.options, **base.places) != base.text
    assert miss.old in base.text
    text = base.text.replace(miss.old, miss.new)
    said = refusal(text, base.fixer, base.options | miss.options, **(base.places | miss.places))
    assert miss.reason in said
