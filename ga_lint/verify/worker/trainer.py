"""How does an override behave on the real Trainer? Its class, cut down, grafted on transformers.Trainer with a tiny Llama."""

from __future__ import annotations

import ast
import inspect
import logging
import re
import warnings
from typing import Any

import torch
from transformers import Trainer, TrainingArguments
from transformers.utils import logging as transformers_logging

from ga_lint.verify.job import STEPS
from ga_lint.verify.judge import COUNT_PASSED, NO_COUNT, PER_EXAMPLE
from ga_lint.verify.worker import data
from ga_lint.verify.worker.examine import Context, Pair
from ga_lint.verify.worker.guesses import guess
from ga_lint.verify.worker.measure import Gradient, is_zero, snapshot
from ga_lint.verify.worker.models import HEAD_GUESSED, head_of, tiny_llama
from ga_lint.verify.worker.namespace import Loader, Namespace
from ga_lint.verify.worker.sources import Function, Module, dotted, last, loaded_names, project_root, statements
from ga_lint.verify.worker.stand_ins import MISSING, Finished, NotVerifiable, Recorder, Unknown

WINDOWS = 2  # optimizer steps of each run: a loss that keeps state between steps shows in the second
_ENTRIES = ("compute_loss", "training_step")
# Overrides that decide what the loss sees, and so stay although nothing in the class calls them.
_KEPT = frozenset((*_ENTRIES, "_get_num_items_in_batch", "_prepare_inputs"))
_TEACHER = re.compile(r"teacher|ref_model|reference|old_model|base_model|frozen", re.I)
_TRAINER_LIKE = re.compile("Trainer|Mixin")
_LACKS_COUNT = "TypeError on transformers >= 4.46, which passes num_items_in_batch: this override does not take it"


class TrainerSubject:
    """One class with a `compute_loss` or `training_step` override, ready to be trained for two steps."""

    settings: tuple[str, ...] = (COUNT_PASSED, NO_COUNT)

    def __init__(self, context: Context, module: Module, row: int | None) -> None:
        self.context, self.module = context, module
        self.raises: str | None = None
        self.equal: str | None = None
        owner = module.find(context.job.scope.rpartition(".")[0], row)
        if not isinstance(owner, ast.ClassDef):
            raise NotVerifiable(f"needs the class `{context.job.scope.rpartition('.')[0]}`")
        self.owner = owner
        self.head = head_of(module.text) or "causal"
        if head_of(module.text) is None:
            context.recorder.assume(HEAD_GUESSED)
            self.settings = (*self.settings, PER_EXAMPLE)
        self.keys = sorted(_batch_keys(owner))

    def pair(self, ragged: bool, setting: str) -> Pair:
        rows = data.rows(ragged, self.context.job.seed)[: WINDOWS * STEPS]
        return Pair(self._train(rows, STEPS, setting), self._train(rows, 1, setting))

    def _train(self, rows: list[data.Row], steps: int, setting: str) -> list[Gradient]:
        job, dtype = self.context.job, self.context.dtype
        head = "sequence" if setting == PER_EXAMPLE else self.head
        model = tiny_llama(head, dtype, job.seed)
        windows: list[Gradient] = []
        optimizer = _Recording(model, windows)
        arguments = _arguments(len(rows) // WINDOWS // steps, steps, self.module, self.context.recorder)
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=_Rows(rows),
            data_collator=lambda chosen: data.add_derived(data.collate(chosen, head), self.keys),
            optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)),
        )
        trainer.model_accepts_loss_kwargs = setting != NO_COUNT
        grafted, space = self._graft()
        trainer.__class__ = grafted
        _set_attributes(trainer, self.owner, space, lambda name: self._second_model(name, head))
        torch.manual_seed(job.seed)
        try:
            trainer.train()
        except Finished:
            pass
        if len(windows) < WINDOWS:
            raise NotVerifiable(f"needs an optimizer step for each window: {len(windows)} of {WINDOWS} were reached")
        if is_zero(windows):
            raise NotVerifiable("needs a loss that reaches the model: its gradient is zero")
        return windows

    def _second_model(self, name: str, head: str) -> object:
        self.context.recorder.assume(f"`{name}` is a second tiny model")
        return tiny_llama(head, self.context.dtype, self.context.job.seed + 9).eval()

    def _graft(self) -> tuple[type[Trainer], Namespace]:
        """The user's class with the real Trainer below it."""
        recorder = self.context.recorder
        loader = Loader(project_root(self.module.path), recorder)
        loader.guess = lambda name: guess(name, self.module, recorder)
        read: set[str] = set()  # attributes of self, in the class and in its ancestors
        loader.cut = lambda node: _cut(node, read)
        loader.base_for = lambda name: Trainer if "Trainer" in last(name) else None
        space = loader.module_namespace(self.module)
        for function in reversed(self.module.functions_around(self.owner)):
            space = space.inner(function, self.owner.lineno)
        space.define(self.owner)
        users = space[self.owner.name]
        assert isinstance(users, type)
        bases = (users,) if issubclass(users, Trainer) else (users, Trainer)
        if bases != (users,):
            if "super" in loaded_names(self.owner):
                raise NotVerifiable(f"needs the trainer below `{self.owner.name}`, whose super() computes the loss")
            recorder.assume("transformers.Trainer added below the class: no base of it was found")
        own = {"__getattr__": _unknown_attribute(read, space), **self._adapted(users)}
        return type(users.__name__, bases, own), space

    def _adapted(self, users: Any) -> dict[str, object]:
        """Overrides that cannot take the count get a caller that drops it, and say so."""
        found: dict[str, object] = {}
        for name in _ENTRIES:
            override = inspect.unwrap(getattr(users, name, getattr(Trainer, name)))
            parameters = inspect.signature(override).parameters.values()
            takes_any = any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters)
            lacks = len(parameters) < 4 if name == "training_step" else not _has(override, "num_items_in_batch")
            if lacks and not takes_any:
                self.raises = _LACKS_COUNT
                self.context.recorder.assume(f"{name} does not take num_items_in_batch: called without it")
                found[name] = _without_count(override, name)
        return found


def preload() -> None:
    """Build a Trainer once: what it imports lazily would cost every child half a second."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    transformers_logging.disable_progress_bar()
    model = tiny_llama("causal", torch.float32, 0)
    model(**data.collate(data.rows(True)[:2]))
    Trainer(model=model, args=TrainingArguments(output_dir=".", use_cpu=True, report_to=[]))


class _Recording(torch.optim.SGD):
    """Takes down the gradient where the user's optimizer would step; the parameters never move."""

    def __init__(self, model: Any, windows: list[Gradient]) -> None:
        super().__init__(model.parameters(), lr=0.0)
        self._model, self._windows = model, windows

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self._windows.append(snapshot(self._model))
        if len(self._windows) == WINDOWS:
            raise Finished


class _Rows(torch.utils.data.Dataset[data.Row]):
    def __init__(self, rows: list[data.Row]) -> None:
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
        train_sampling_strategy="sequential",
    )
    arguments.__class__ = Arguments
    return arguments


def _cut(node: ast.ClassDef, read: set[str]) -> ast.ClassDef:
    """Without the overrides of Trainer's own methods that the loss never reaches: logging, saving, loaders, __init__."""
    methods = {m.name: m for m in node.body if isinstance(m, Function)}
    reached: set[str] = set()
    todo = [name for name in _ENTRIES if name in methods]
    while todo:
        name = todo.pop()
        if name in methods and name not in reached:
            reached.add(name)
            todo.extend(n.attr for n in ast.walk(methods[name]) if isinstance(n, ast.Attribute))
    if reached or _TRAINER_LIKE.search(" ".join([node.name, *map(ast.unparse, node.bases)])):
        dropped = {m for m in methods if hasattr(Trainer, m) and m not in _KEPT | reached or m == "__init__"}
        node.body = [s for s in node.body if getattr(s, "name", None) not in dropped] or [ast.Pass()]
        read.update(n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute) and dotted(n.value) == "self")
    return node


def _set_attributes(trainer: Any, owner: ast.ClassDef, space: Namespace, second_model: Any) -> None:
    """What the user's `__init__` puts on self, evaluated one by one; parameters by default, role or name."""
    init = next((m for m in owner.body if isinstance(m, Function) and m.name == "__init__"), None)
    if init is None:
        return
    inner = space.inner(init)
    inner.update(self=trainer, model=trainer.model, args=trainer.args)
    own = set(vars(trainer))
    for argument in (*init.args.args, *init.args.kwonlyargs):
        if _TEACHER.search(argument.arg):
            inner[argument.arg] = second_model(argument.arg)
    for statement in statements(init.body):
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        if not isinstance(target, ast.Attribute) or dotted(target.value) != "self":
            continue
        name = target.attr
        if (hasattr(Trainer, name) or name in own) and not isinstance(statement.value, ast.Constant):
            continue  # what Trainer sets itself, such as self.model, is the harness's; its flags are the user's
        try:
            value = inner.evaluate(statement.value)
        except (Exception, NotVerifiable):
            value = None
        if (value is None or isinstance(value, Unknown)) and _TEACHER.search(name) and "model" in name:
            value = second_model(name)
        if value is not None or isinstance(statement.value, ast.Constant):
            setattr(trainer, name, value)


def _unknown_attribute(read: set[str], space: Namespace) -> Any:
    """`__getattr__` for what a base class that is not there would have set; only names that the user's classes read."""

    def find(self: Any, name: str) -> object:
        if name.startswith("__") or name not in read:
            raise AttributeError(name)
        return space.stand_in(f"self.{name}")

    return find


def _without_count(override: Any, name: str) -> object:
    if name == "training_step":
        return lambda self, model, inputs, num_items_in_batch=None: override(self, model, inputs)

    def compute_loss(self: Any, model: Any, inputs: Any, return_outputs: bool = False, **_: object) -> Any:
        return override(self, model, inputs, return_outputs) if return_outputs else override(self, model, inputs)

    return compute_loss


def _has(function: Any, parameter: str) -> bool:
    return parameter in inspect.signature(function).parameters


def _batch_keys(owner: ast.ClassDef) -> set[str]:
    """The keys that the class takes from a batch without a default of its own."""
    found: set[str] = set()
    for node in ast.walk(owner):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            if isinstance(node.slice.value, str) and isinstance(node.ctx, ast.Load):
                found.add(node.slice.value)
        elif isinstance(node, ast.Call) and last(dotted(node.func)) == "pop" and len(node.args) == 1:
            if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return found
