"""What is multiplied into the elements of a loss before they are put together: a mask, weights, or something else?"""

from __future__ import annotations

import re

from msgspec.structs import replace

from ga_lint.facts.interpreter.remade import targets_of
from ga_lint.facts.model import Level, Place
from ga_lint.facts.values import Choice, Const, Count, Elements, Product, Symbol, Tensor, TensorKind, Unknown, Value

# Of tokens: the weights of a layer are its attribute `weight`.
_WEIGHTS_NAME = re.compile(r"(?<![.\w])(\w+_)?weights?\b|\.(\w+_)?weights\b|\W['\"](\w+_)?weights?['\"]", re.IGNORECASE)
_POLICY = re.compile(r"advantage|(^|_|\.)adv\b|reward|ratio\b", re.IGNORECASE)


def masked(elements: Elements, mask: Value, text: str, place: Place, *, picked: bool = False) -> Elements:
    """Elements times a mask: those outside do not count, and are not there any more where it picked the others."""
    if elements.site.level is Level.SAMPLE:
        return elements
    evidence = place.as_step(f"positions outside `{text}` do not count")
    inherited = mask.ragged if isinstance(mask, Tensor) else ()
    level = Level.TOKEN if elements.site.level is Level.UNKNOWN else elements.site.level
    site = replace(
        elements.site,
        policy=elements.site.policy or bool(_POLICY.search(text)),
        masked=True,
        level=level,
        shifted=elements.site.shifted or (isinstance(mask, Tensor) and mask.shifted) or None,
        ragged=(*elements.site.ragged, *inherited, evidence),
        mask_from=mask.origin if isinstance(mask, Tensor) else "",
        targets=targets_of(mask) if picked else None,
        live=targets_of(mask) if not elements.site.masked else None,
    )
    return replace(elements, site=site)


def weighed(elements: Elements, by: Value, text: str) -> Elements:
    """Elements times something that is no mask; advantages and ratios make them a policy's objective."""
    if _POLICY.search(text):
        return elements if elements.site.policy else replace(elements, site=replace(elements.site, policy=True))
    if elements.site.weighed or isinstance(by, Const | Count | Product):
        return elements
    return replace(elements, site=replace(elements.site, weighed=True))


def is_mask(value: Value, text: str) -> bool:
    """Is this what a loss is multiplied with so that some positions do not count?"""
    match value:
        case Choice(values=values):  # the targets of one batch or another
            return all(is_mask(one, text) for one in values)
        case Tensor():
            return value.kind is TensorKind.MASK
    return isinstance(value, Unknown | Symbol) and "mask" in text.lower()


def are_weights(value: Value, text: str) -> bool:
    """Are these the weights of tokens or rows, by their name? A mean by them divides by their sum."""
    plain = isinstance(value, Unknown | Symbol) or (isinstance(value, Tensor) and value.kind is TensorKind.OTHER)
    return plain and _WEIGHTS_NAME.search(text) is not None
