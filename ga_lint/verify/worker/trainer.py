"""How does an override behave on the real Trainer? It trains a tiny Llama for two steps."""

from __future__ import annotations

import ast
import contextlib
import logging
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
import transformers
from transformers import Trainer, TrainingArguments
from transformers.trainer_pt_utils import LabelSmoother
from transformers.utils import logging as transformers_logging

from ga_lint.verify.job import STEPS
from ga_lint.verify.runs import COUNT_PASSED, NO_COUNT, OPTED_OUT
from ga_lint.verify.worker.attributes import set_attributes
from ga_lint.verify.worker.batches import Batches
from ga_lint.verify.worker.exceptions import Finished, NotVerifiable
from ga_lint.verify.worker.graft import Graft, with_class
from ga_lint.verify.worker.guesses import guess
from ga_lint.verify.worker.harness import data
from ga_lint.verify.worker.harness.engines import start_accelerate
from ga_lint.verify.worker.harness.llamas import tiny_llama
from ga_lint.verify.worker.harness.ranks import count, setting_up, together
from ga_lint.verify.worker.harness.repeated import TOLD as REPEATED
from ga_lint.verify.worker.harness.repeated import repeated, repeats_windows
from ga_lint.verify.worker.harness.stand_ins import MISSING, Recorder, Unknown
from ga_lint.verify.worker.harness.tokens import Tokenizer
from ga_lint.verify.worker.measure import Gradient, Pair, is_zero, snapshot
from ga_lint.verify.worker.optouts import OptOut, opt_out
from ga_lint.verify.worker.reading.sources import Module
from ga_lint.verify.worker.subjects import Context

WINDOWS = 2  # optimizer steps of each run: a loss that keeps state between steps shows in the second

_OWN_COUNT = re.compile(r"average_tokens_across_devices\s*=\s*False")
_SMOOTHS = re.compile(r"\bself\.label_smoother\(")
_OPTS_OUT = re.compile(r"\baccepts_loss_kwargs\s*(?::\s*\w+\s*)?=\s*False")  # on the model, wherever the file builds it


class TrainerSubject:
    """One class with a `compute_loss` or `training_step` override, ready to be trained for two steps."""

    settings: tuple[str, ...] = (COUNT_PASSED, NO_COUNT)
    stack: str | None = (
        f"real Trainers of transformers {transformers.__version__} with their Accelerators, and a stand-in for "
        "DistributedDataParallel"
    )

    def __init__(self, context: Context, module: Module, row: int | None) -> None:
        self.context, self.module = context, module
        self.raises: str | None = None
        self.draws = False
        self.equal: str | None = None
        owner = module.find(context.job.scope.rpartition(".")[0], row)
        if not isinstance(owner, ast.ClassDef):
            raise NotVerifiable(f"needs the class `{context.job.scope.rpartition('.')[0]}`")
        self.owner = owner
        self.batches = Batches(context, module, owner)
        self.recorder = context.recorder
        self.opted_out = self._opted_out()
        self.repeats = repeats_windows(owner)
        if self.repeats:
            self.recorder.assume(REPEATED)
        if context.job.withheld:
            self.settings = (NO_COUNT,)
        elif self.opted_out is OptOut.MAYBE:
            self.settings = (*self.settings, OPTED_OUT)
        self.settings = (*self.settings, *self.batches.doubts)

    def _opted_out(self) -> OptOut:
        """Whether the Trainer counts for this class; without labels at the top of its batch it does not matter."""
        graft = Graft(self.owner, self.module, self.recorder)
        found = opt_out(graft.space, self.owner)
        if found is OptOut.NO and not self.batches.is_uncounted:
            graft.made()
            return OptOut.MAYBE if graft.may_opt_out else OptOut.NO
        return found

    def pair(self, ragged: bool, setting: str, ranks: int = 1) -> Pair:
        return self._guessing(lambda: self._pair(ragged, setting, ranks))

    def windows(self, rows: Sequence[data.Row], steps: int, setting: str) -> Pair:
        return self._guessing(lambda: self._windows(rows, steps, setting))

    def _guessing(self, run: Callable[[], Pair]) -> Pair:
        """Where the code gives up, the next guess is tried: a text that it asks for, another shape of weights."""
        while True:
            try:
                return run()
            except Exception as error:
                gave_up = isinstance(error, UnboundLocalError | ValueError | NotImplementedError | AssertionError)
                if gave_up and self.recorder.choose():
                    continue
                if data.Batch.weights is None or data.Batch.weights + 1 == len(data.WEIGHT_SHAPES):
                    raise
                data.Batch.weights += 1

    def _pair(self, ragged: bool, setting: str, ranks: int) -> Pair:
        seed = self.context.job.seed
        if ranks == 1:
            return self._windows(data.rows(ragged, seed), STEPS, setting)
        # accelerate deals whole batches to one rank after the other
        dealt = list(zip(*data.dealt(ragged, seed, ranks), strict=True))
        rows = [row for batch in dealt[: WINDOWS * STEPS] for row in batch]

        def work(_: int) -> list[Gradient]:
            with self.context.steady.another():
                return self._train(rows, STEPS, setting)

        return Pair(together(ranks).run(work), self._train(rows, 1, setting))

    def _windows(self, rows: Sequence[data.Row], steps: int, setting: str) -> Pair:
        rows = rows[: WINDOWS * steps]
        data.Batch.apart = data.Batch.hides_labels = False
        first = self._train(rows, steps, setting)
        if data.Batch.apart:  # a tuple, or a dictionary of batches: the Trainer finds no labels to count
            data.Batch.hides_labels = True
            self.context.recorder.assume("the batch has no labels at its top: the Trainer counts nothing")
            first = self._train(rows, steps, setting)
        return Pair([first], self._train(rows, 1, setting))

    def _train(self, rows: Sequence[data.Row], steps: int, setting: str) -> list[Gradient]:
        job = self.context.job
        head = self.batches.head(setting)
        model = self.batches.model(setting)
        windows: list[Gradient] = []
        start_accelerate()
        trainer = self._plain_trainer(model, rows, steps, setting, windows)
        accepts = setting not in (NO_COUNT, OPTED_OUT) and not _OPTS_OUT.search(self.module.text)
        trainer.model_accepts_loss_kwargs = accepts
        graft = Graft(self.owner, self.module, self.recorder)
        trainer = with_class(trainer, graft.made())
        for name in ("processing_class", "tokenizer"):
            with contextlib.suppress(AttributeError):  # a property of the user's own
                setattr(trainer, name, Tokenizer())
        self.raises = graft.raises
        with setting_up():
            set_attributes(trainer, self.owner, graft.space, lambda name: self._second_model(name, head))
        if trainer.label_smoother is None and _SMOOTHS.search(ast.unparse(self.owner)):
            self.recorder.assume("labels are smoothed by 0.1, since the Trainer's smoother is called")
            trainer.label_smoother = LabelSmoother(epsilon=0.1)
        if self.opted_out is not OptOut.NO:
            trainer.model_accepts_loss_kwargs = accepts and self.opted_out is OptOut.MAYBE
        if self.repeats:
            trainer.get_train_dataloader = repeated(trainer, _Rows(rows), WINDOWS)
        torch.manual_seed(job.seed)
        with contextlib.suppress(Finished):
            trainer.train()
        if data.Batch.weights is not None:
            self.recorder.assume(f"the batch holds weights: {data.WEIGHT_SHAPES[data.Batch.weights]}")
        if len(windows) < WINDOWS:
            raise NotVerifiable(f"needs an optimizer step for each window: {len(windows)} of {WINDOWS} were reached")
        if is_zero(windows):
            raise NotVerifiable("needs a loss that reaches the model: its gradient is zero")
        return windows

    def _plain_trainer(
        self, model: torch.nn.Module, rows: Sequence[data.Row], steps: int, setting: str, windows: list[Gradient]
    ) -> Trainer:
        """transformers' own Trainer, which takes the rows in order and notes the gradient of each window."""
        optimizer = _Recording(model, windows)
        batch = len(rows) // WINDOWS // steps // count()
        trainer = Trainer(
            model=model,
            args=_arguments(batch, steps, self.module, self.context.recorder),
            train_dataset=_Rows(rows),
            data_collator=lambda chosen: self.batches.collate(chosen, setting),
            optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)),
        )
        trainer._get_train_sampler = lambda *_: None  # type: ignore[method-assign]
        return trainer

    def _second_model(self, name: str, head: str) -> object:
        self.context.recorder.assume(f"`{name}` is a second tiny model")
        return tiny_llama(head, self.context.dtype, self.context.job.seed + 9).eval()


def preload() -> None:
    """Build a Trainer once: what it imports lazily would cost every child half a second."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = tiny_llama("causal", torch.float32, 0)
    model(**data.collate(data.rows(True)[:2]))
    Trainer(model=model, args=TrainingArguments(output_dir=".", use_cpu=True, report_to=[]))


class _Recording(torch.optim.SGD):
    """Takes down the gradient where the user's optimizer would step; the parameters never move."""

    def __init__(self, model: Any, windows: list[Gradient]) -> None:
        super().__init__(model.parameters(), lr=0.0)
        self._model, self._windows = model, windows

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002 - as optimizers have it
        self._windows.append(snapshot(self._model))
        if len(self._windows) == WINDOWS:
            raise Finished


class _Rows(torch.utils.data.Dataset[data.Row]):
    def __init__(self, rows: Sequence[data.Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> data.Row:
        return self.rows[index]


def _arguments(batch: int, steps: int, module: Module, recorder: Recorder) -> TrainingArguments:
    class Arguments(TrainingArguments):
        """Arguments that the user added to the class are taken by their declared default or their name."""

        def __getattr__(self, name: str) -> object:
            if name.startswith("_"):
                raise AttributeError(name)
            value = guess(f"args.{name}", module, recorder)
            return Unknown(f"self.args.{name}", recorder) if value is MISSING else value

    arguments = TrainingArguments(
        output_dir=".",
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=steps,
        max_steps=WINDOWS,
        max_grad_norm=0.0,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    if _OWN_COUNT.search(module.text):
        arguments.average_tokens_across_devices = False
    arguments.__class__ = Arguments
    return arguments
