"""How far are two gradients apart, and where?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ga_lint.verify.job import Measurement

Gradient = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Pair:
    """The same windows twice: cut into micro-batches, and each as one batch. `short` is a short last window's place.

    Several ranks each have gradients of their own, which should be the same.
    """

    accumulated: Sequence[Sequence[Gradient]]  # of each rank, of each window
    whole: Sequence[Gradient]
    short: int | None = None

    @property
    def full(self) -> list[int]:
        return [n for n in range(len(self.whole)) if n != self.short]


def snapshot(model: torch.nn.Module) -> Gradient:
    """The gradient of every parameter now; parameters without one count as zero, sharded ones are put together."""
    found = {}
    for name, parameter in model.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        whole = gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient
        found[name] = whole.detach().clone()
    return found


def compare_pair(name: str, setting: str, pair: Pair, windows: Sequence[int]) -> Measurement:
    """The worst of these windows, on the worst rank."""
    found = [
        compare(name, setting, [rank[n] for n in windows], [pair.whole[n] for n in windows])
        for rank in pair.accumulated
    ]
    return max(found, key=lambda each: each.relative_error if each.relative_error == each.relative_error else math.inf)


def compare(name: str, setting: str, found: Sequence[Gradient], expected: Sequence[Gradient]) -> Measurement:
    """The worst window: relative L2 error over all parameters, least-squares scale, and the parameter furthest off."""
    worst = Measurement(name, setting, relative_error=-1.0)
    for x, y in zip(found, expected, strict=True):
        norm = _norm(y)
        distance = {key: float((x[key] - y[key]).double().norm()) for key in y}
        error = _relative(sum(d * d for d in distance.values()) ** 0.5, norm)
        if not error <= worst.relative_error:
            product = sum(float((x[key].double() * y[key].double()).sum()) for key in y)
            parameter = max(distance, key=lambda key: distance[key])
            worst = Measurement(name, setting, error, _relative(product, norm * norm), parameter)
    return worst


def relative_distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """|found - expected| / |expected|."""
    return _relative(float((found - expected).double().norm()), float(expected.double().norm()))


def is_zero(gradients: Sequence[Gradient]) -> bool:
    return all(_norm(gradient) == 0 for gradient in gradients)


def is_finite(gradient: Gradient) -> bool:
    return all(bool(torch.isfinite(g).all()) for g in gradient.values())


def _norm(gradient: Gradient) -> float:
    return float(sum(float(g.double().pow(2).sum()) for g in gradient.values()) ** 0.5)


def _relative(value: float, norm: float) -> float:
    if norm == 0:
        return 0.0 if value == 0 else float("inf")
    return value / norm
