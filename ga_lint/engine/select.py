"""Which rules run? Selectors, layer over layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ga_lint.config import Selection, nearest
from ga_lint.errors import UsageError
from ga_lint.rules.registry import Rule

_NAME = 1_000  # a rule's name is as exact as can be


def covers(selector: str, rule: Rule) -> bool:
    """Whether `GA`, `GA1`, `GA101`, `mean-of-means` or `ALL` means this rule."""
    return selector == "ALL" or rule.code.startswith(selector) or rule.name == selector


def selected(rules: Sequence[Rule], layers: Iterable[Selection]) -> frozenset[str]:
    """The codes that are on after every layer; the most specific selector wins, and `ignore` wins a tie."""
    chosen: set[str] = set()
    for layer in layers:
        if layer.select is not None:
            chosen.clear()
        for rule in rules:
            wanted = _specificity((*(layer.select or ()), *layer.extend_select), rule)
            unwanted = _specificity(layer.ignore, rule)
            if wanted > unwanted:
                chosen.add(rule.code)
            elif unwanted >= 0:
                chosen.discard(rule.code)
    return frozenset(chosen)


def refuse_unknown(selectors: Iterable[str], rules: Sequence[Rule]) -> None:
    """UsageError for the first selector that means no rule."""
    for selector in selectors:
        if not selector or not any(covers(selector, rule) for rule in rules):
            raise no_such_rule(selector, rules)


def no_such_rule(word: str, rules: Sequence[Rule]) -> UsageError:
    """The error that names the nearest rule."""
    is_code = word[:2].upper() == "GA"
    known = [rule.code for rule in rules if len(rule.code) == len(word)] if is_code else [rule.name for rule in rules]
    close = nearest(word.upper() if is_code else word.lower(), known)
    hint = close if close.startswith("; did") else "; `ga-lint rule --all` lists them"
    return UsageError(f"no rule matches {word!r}{hint}")


def _specificity(selectors: Iterable[str], rule: Rule) -> int:
    """How exactly the most exact of these selectors means the rule; -1 when none does."""
    return max((_exactness(selector) for selector in selectors if covers(selector, rule)), default=-1)


def _exactness(selector: str) -> int:
    if selector == "ALL":
        return 0
    return len(selector) if selector.startswith("GA") else _NAME
