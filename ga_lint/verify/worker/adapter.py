"""What the user says where nothing can be guessed: `ga_lint_verify.py` with `make_model()` and `make_batch()`.

`make_model()` returns a small model as the code calls it. `make_batch(rows, targets)` returns the batch as its loader
yields it: `rows` are lists of token ids, `targets` the same with -100 where a position is no target. Either may be left
out. The file is the user's own program: unlike the checked code it is imported as it stands, in the limited process.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ga_lint.verify.worker.exceptions import NotVerifiable
from ga_lint.verify.worker.harness.data import Row

NAME = "ga_lint_verify.py"


@dataclass(frozen=True)
class Adapter:
    """The functions of one adapter file."""

    path: Path
    make_model: Callable[[], nn.Module] | None
    make_batch: Callable[[list[list[int]], list[list[int]]], Any] | None

    def batch(self, rows: Sequence[Row]) -> Any:
        assert self.make_batch is not None
        return self.make_batch([row.ids.tolist() for row in rows], [row.labels.tolist() for row in rows])

    def model(self, dtype: torch.dtype, seed: int) -> nn.Module:
        """The model in this dtype, without anything random: dropout would differ between two runs."""
        assert self.make_model is not None
        torch.manual_seed(seed)
        model = self.make_model()
        if not isinstance(model, nn.Module):
            raise NotVerifiable(f"needs a make_model() in {self.path.name} that returns a torch.nn.Module")
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.data = tensor.data.type(dtype)
        for module in model.modules():
            if re.search("Dropout", type(module).__name__) and hasattr(module, "p"):
                module.p = 0.0  # type: ignore[assignment]
        return model


class Watched(nn.Module):
    """The adapter's model, with a note of the token ids that it is given."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.seen: list[torch.Tensor] = []
        self.extras: dict[str, object] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        given = [*args, *kwargs.values()]
        given += [value for each in args if isinstance(each, dict) for value in each.values()]
        self.seen += [v for v in given if isinstance(v, torch.Tensor) and not v.is_floating_point()][:1]
        return self.inner(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


def adapter_for(site: str, named: str | None) -> Adapter | None:
    """The adapter that was named, or the one beside the site's file."""
    path = Path(named) if named is not None else Path(site).with_name(NAME)
    if named is None and (not path.is_file() or path == Path(site)):
        return None
    spec = importlib.util.spec_from_file_location("ga_lint_verify", path)
    if spec is None or spec.loader is None:
        raise NotVerifiable(f"needs an adapter that is a Python file: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True  # nothing may be written here
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise NotVerifiable(f"needs an adapter that can be imported: {path.name}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    found = {name: getattr(module, name, None) for name in ("make_model", "make_batch")}
    if not any(found.values()):
        raise NotVerifiable(f"needs make_model() or make_batch(rows, targets) in {path.name}")
    return Adapter(path, **found)
