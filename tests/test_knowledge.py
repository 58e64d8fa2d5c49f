"""Is every row of the knowledge true of the libraries that are installed? Each row is compared by introspection."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import warnings
from collections.abc import Callable, Mapping

import pytest

from ga_lint.knowledge.load import load, project_rows, with_rows
from ga_lint.knowledge.model import BaseRow, CollatorRow, DriverRow, HeadRow, LossRow, TrainerRow

KNOWLEDGE = load()
REMOVED = "removed"  # a row's source says so: old code still names it
pytestmark = pytest.mark.slow


def library(name: str) -> str:
    """The row's library; the test is skipped where that is not installed."""
    root = name.partition(".")[0]
    if importlib.util.find_spec(root) is None:
        pytest.skip(f"{root} is not installed")
    return root


def resolve(name: str) -> object | None:
    """The object of that name, or None."""
    module, _, attribute = name.rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # trl.experimental says what it is
        try:
            return getattr(importlib.import_module(module), attribute, None)
        except ModuleNotFoundError:
            return None


def installed(row: LossRow | CollatorRow | DriverRow) -> Callable[..., object]:
    """What the row is about; a row about something that is gone is stale."""
    library(row.name)
    found = resolve(row.name)
    if found is None and REMOVED in row.source:
        pytest.skip(f"{row.name} was removed; older code still names it")
    assert callable(found), f"{row.name} does not exist in the installed release"
    return found


def parameters(function: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


@pytest.mark.parametrize("row", KNOWLEDGE.losses.rows.values(), ids=lambda row: row.name)
def test_loss(row: LossRow) -> None:
    found = installed(row)
    assert row.kind == ("class" if isinstance(found, type) else "function")
    options = parameters(found)
    inputs = (
        list(parameters(getattr(found, "forward", found.__call__)))[1:] if isinstance(found, type) else list(options)
    )
    if "reduction" in options:
        assert options["reduction"].default == row.default
    ignored = options["ignore_index"].default if "ignore_index" in options else None
    assert ignored == row.ignore_index
    assert row.count == ("num_items_in_batch" if "num_items_in_batch" in {*options, *inputs} else None)
    assert inputs[row.labels] in ("target", "labels", "targets"), f"{inputs[row.labels]} is no target"


@pytest.mark.parametrize(
    "row", [row for row in KNOWLEDGE.losses.rows.values() if row.name.startswith("torch.")], ids=lambda row: row.name
)
def test_what_one_element_of_a_torch_loss_is(row: LossRow) -> None:
    """Unreduced, a "shape" loss has one element for each target, an "element" loss one for each input."""
    torch = pytest.importorskip("torch")
    found = installed(row)
    by_class = row.level == "shape"
    scores = torch.rand(2, 5, 3)
    targets = torch.zeros(2, 3, dtype=torch.long) if by_class else torch.rand(2, 5, 3)
    loss = found(reduction="none") if row.kind == "class" else lambda *args: found(*args, reduction="none")
    assert loss(scores, targets).shape == (targets.shape if by_class else scores.shape)  # type: ignore[operator]


@pytest.mark.parametrize("row", KNOWLEDGE.heads, ids=lambda row: row.suffix)
def test_head(row: HeadRow) -> None:
    transformers = pytest.importorskip("transformers")
    if row.source.startswith(("unsloth", "liger", REMOVED)):
        pytest.skip("no head of transformers' own today")
    names = [name for name in dir(transformers) if name.endswith(row.suffix)]
    assert names, f"no class of transformers ends with {row.suffix}"
    # The first row that fits counts: another one above it must not take its classes away with another level.
    assert {KNOWLEDGE.head_level(name) for name in names} == {row.level}


@pytest.mark.parametrize("row", KNOWLEDGE.heads, ids=lambda row: row.suffix)
def test_loss_of_a_head(row: HeadRow) -> None:
    """Where transformers maps the head to a loss function, the row's source names that function."""
    loss_utils = pytest.importorskip("transformers.loss.loss_utils")
    mapped = loss_utils.LOSS_MAPPING.get(row.suffix)
    if mapped is None or "loss_utils" not in row.source:
        pytest.skip("the head computes its loss itself")
    assert mapped.__name__ in row.source


@pytest.mark.parametrize(
    "row",
    [row for row in KNOWLEDGE.heads if row.shifts is not None and "For" in row.suffix[1:]],
    ids=lambda row: row.suffix,
)
def test_what_a_head_drops(row: HeadRow) -> None:
    """The head named so hands its labels to a loss that drops the first, or computes one over all of them."""
    transformers = pytest.importorskip("transformers")
    loss_utils = pytest.importorskip("transformers.loss.loss_utils")
    found = getattr(transformers, row.suffix, None)
    if found is None or not hasattr(found, "forward"):
        pytest.skip("several classes end with this name, and no class is it")
    source = inspect.getsource(found.forward)
    if row.shifts:
        kind = next(name for name in loss_utils.LOSS_MAPPING if row.suffix.endswith(name))
        assert loss_utils.LOSS_MAPPING[kind] is loss_utils.ForCausalLMLoss
        assert "self.loss_function(" in source and "shift_labels=" not in source
    else:
        assert "CrossEntropyLoss()" in source or "CrossEntropyLoss(ignore_index=-100)" in source or "loss_fct" in source
        assert "[..., 1:]" not in source and "[:, 1:]" not in source


@pytest.mark.parametrize("row", KNOWLEDGE.bases, ids=lambda row: row.name)
def test_base(row: BaseRow) -> None:
    transformers = pytest.importorskip("transformers")
    assert "Loss(" not in inspect.getsource(getattr(transformers, row.name).__init__)


@pytest.mark.parametrize("row", KNOWLEDGE.collators.rows.values(), ids=lambda row: row.name)
def test_collator(row: CollatorRow) -> None:
    options = parameters(installed(row))
    if "label_pad_token_id" in options:
        assert row.targets == "pads"
        assert options["label_pad_token_id"].default == -100
    assert row.targets in ("pads", "masks", "keeps")


@pytest.mark.parametrize("row", KNOWLEDGE.trainers.rows.values(), ids=lambda row: row.name)
def test_trainer(row: TrainerRow) -> None:
    library(row.name)
    transformers = pytest.importorskip("transformers")
    found = resolve(row.name) or resolve(f"{_module_of_source(row.source)}.{row.name.rpartition('.')[2]}")
    if found is None and REMOVED in row.source:
        pytest.skip(f"{row.name} was removed; older code still names it")
    assert isinstance(found, type), f"{row.name} is in no module of the installed release"
    assert issubclass(found, transformers.Trainer)
    opts_out = getattr(found, "loss_is_scaled_for_ga", None) is not None  # of transformers 5.19 and TRL 1.16
    assert opts_out == (row.loss == "sample")


@pytest.mark.parametrize("row", KNOWLEDGE.drivers.rows.values(), ids=lambda row: row.name)
def test_driver(row: DriverRow) -> None:
    options = parameters(installed(row))
    assert {row.steps, row.plugin, row.engine_plugin} - {None} <= set(options)
    assert (row.divides == "steps") == (row.steps is not None)


def test_accelerate_divides_by_its_steps_and_only_then() -> None:
    """The row that two rules rest on, measured."""
    torch = pytest.importorskip("torch")
    accelerate = pytest.importorskip("accelerate")
    state = importlib.import_module("accelerate.state")
    for steps, gradient in ((1, 3.0), (4, 0.75)):
        state.AcceleratorState._reset_state()
        state.GradientState._reset_state()
        weight = torch.ones((), requires_grad=True)
        accelerate.Accelerator(cpu=True, gradient_accumulation_steps=steps).backward(3 * weight)
        assert weight.grad.item() == gradient


def test_every_row_names_its_source() -> None:
    tables = (KNOWLEDGE.losses, KNOWLEDGE.collators, KNOWLEDGE.trainers, KNOWLEDGE.drivers)
    rows = [row for table in tables for row in table.rows.values()]
    assert all(row.source.strip() for row in [*rows, *KNOWLEDGE.heads, *KNOWLEDGE.bases])


def test_a_project_adds_its_own_loss() -> None:
    rows = project_rows({"losses": {"mylib.lm_loss": {"reduction": "sum", "level": "token"}}})
    row = with_rows(KNOWLEDGE, rows).losses.get("mylib.lm_loss")
    assert row is not None and (row.default, row.level) == ("sum", "token")
    assert KNOWLEDGE.losses.get("mylib.lm_loss") is None


def _module_of_source(source: str) -> str:
    """As a module: trl/experimental/gkd/gkd_trainer.py is trl.experimental.gkd.gkd_trainer."""
    return os.path.splitext(source.partition(":")[0])[0].replace("/", ".")
