"""Can this file hold a finding at all? Asked of its bytes, before anything is parsed."""

from __future__ import annotations

from collections.abc import Sequence

from ga_lint.rules.registry import Rule


class Prefilter:
    """The rules that a file can break, by the words that it contains.

    `in` on bytes, needle by needle: over a large tree that takes a third of the time of one big regular expression.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._needles = sorted({needle for rule in rules for needle in rule.needles})

    def possible(self, data: bytes) -> tuple[Rule, ...]:
        """The rules whose words are there, in their order."""
        present = {needle for needle in self._needles if needle in data}
        if not present:
            return ()
        return tuple(rule for rule in self._rules if not present.isdisjoint(rule.needles))
