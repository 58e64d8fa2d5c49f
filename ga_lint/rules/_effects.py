"""What does a fault of the Trainer family do, in the project's release and with the numbers that stand in the code?"""

from __future__ import annotations

from msgspec.structs import replace

from ga_lint.diagnostics import Effect, EffectKind
from ga_lint.facts.model import FileFacts
from ga_lint.knowledge.releases import load_releases
from ga_lint.knowledge.trainer_law import Outcome, Usage, outcome
from ga_lint.project import Project

MEAN_OF_MEANS = Effect(
    EffectKind.WEIGHTS, "tokens of short micro-batches weigh more than tokens of long ones", mean_of_means=True
)
OF_RANKS = Effect(EffectKind.WEIGHTS, "targets of ranks with few targets weigh more than others", on_ranks=True)
_STEPS = "as there are accumulation steps"


def effect_of(usage: Usage, facts: FileFacts, project: Project) -> Effect:
    """The effect on one process, or on several ranks where `usage` speaks of them."""
    result = outcome(usage, project.release)
    effect = _effect(result, steps_of(facts))
    if result != outcome(usage, load_releases().newest):
        return replace(effect, message=f"{effect.message} (transformers {project.release.span})")
    return effect


def steps_of(facts: FileFacts) -> float | None:
    """The accumulation steps, where all training arguments of the file name the same number, and more than 1."""
    values = {one.steps.value if one.steps else 1.0 for one in facts.arguments}
    only = values.pop() if len(values) == 1 else None
    return only if only is not None and only > 1 else None


def too_large(steps: float | None, *, by_ranks: bool = False) -> str:
    """ "8 times too large, 16 times on 2 ranks", in words where the steps are not literal."""
    if steps is None:
        return f"as many times too large {_STEPS}" + (", and once more for each rank" if by_ranks else "")
    return f"{steps:g} times too large" + (f", {2 * steps:g} times on 2 ranks" if by_ranks else "")


def too_small(steps: float | None) -> str:
    """ "8 times too small", in words where the steps are not literal."""
    return f"as many times too small {_STEPS}" if steps is None else f"{steps:g} times too small"


def by_steps(power: int, facts: FileFacts, what: str = "gradients are") -> Effect:
    """A factor of the accumulation steps that no release changes."""
    steps = steps_of(facts)
    times = steps and steps ** abs(power)
    message = too_large(times) if power > 0 else too_small(times)
    if steps is None and abs(power) > 1:
        message += ", squared"
    factor = "GAS" if abs(power) == 1 else f"GAS^{abs(power)}"
    return Effect(EffectKind.SCALE, f"{what} {message}", factor if power > 0 else f"1/{factor}", steps and steps**power)


def _effect(result: Outcome, steps: float | None) -> Effect:
    if result.raises:
        return Effect(EffectKind.TYPE_ERROR, "training stops with a TypeError at the first step")
    factor = _factor(result)
    value = steps**result.steps if steps and result.steps and not result.ranks else None
    if result.steps > 0:
        message = "gradients are " + too_large(steps, by_ranks=result.ranks > 0)
    elif result.steps < 0:
        message = f"gradients are {too_small(steps)}"
    elif result.ranks:
        message = "on N ranks gradients are N times too " + ("large" if result.ranks > 0 else "small")
    elif result.mean_of_means or result.rank_local:
        effect = MEAN_OF_MEANS if result.mean_of_means else OF_RANKS
        return replace(effect, message=effect.message + _evaluation(result))
    else:
        return Effect(EffectKind.SCALE, "gradients come out right, by what this release happens to divide")
    by_ranks = bool(result.ranks or result.eval_ranks)
    return Effect(EffectKind.SCALE, message + _evaluation(result), factor, value, by_ranks, result.mean_of_means)


def _evaluation(result: Outcome) -> str:
    """What becomes of the loss that evaluation reports."""
    if result.eval_raises:
        return "; evaluation stops with a TypeError"
    if not result.eval_ranks:
        return ""
    if result.eval_ranks == result.ranks and not result.steps:
        return ", and so is the eval loss"
    return f"; on N ranks the eval loss is N times too {'large' if result.eval_ranks > 0 else 'small'}"


def _factor(result: Outcome) -> str | None:
    """ "GAS*N", "1/GAS"."""
    above = [name for name, power in (("GAS", result.steps), ("N", result.ranks)) if power > 0]
    below = [name for name, power in (("GAS", result.steps), ("N", result.ranks)) if power < 0]
    if not above and not below:
        return None
    return ("*".join(above) or "1") + "".join(f"/{name}" for name in below)
