"""Can this file hold a finding at all? Asked of its bytes, before anything is parsed."""

from __future__ import annotations

from collections.abc import Sequence

from ga_lint.facts.model import FORWARD_WORDS, may_hold_forward
from ga_lint.rules.registry import Rule

# Parts of several words: a file without the part is searched for none of them.
_STEMS = (b"loss", b"training_step", b"accumulat")
_FORWARDS = frozenset(FORWARD_WORDS)


class Prefilter:
    """The rules that a file can break, by the words that it contains.

    `in` on bytes, needle by needle: over a large tree that takes a third of the time of one big regular expression.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._needles = sorted({needle for rule in rules for needle in rule.needles})
        of_stems = [(stem, [needle for needle in self._needles if stem in needle]) for stem in _STEMS]
        taken = {needle for _, needles in of_stems for needle in needles}
        alone = [(needle, [needle]) for needle in self._needles if needle not in taken]
        self._groups = [(stem, needles) for stem, needles in (*of_stems, *alone) if needles]

    def possible(self, data: bytes) -> tuple[Rule, ...]:
        """The rules whose words are there, in their order."""
        present: set[bytes] = set()
        for stem, needles in self._groups:
            if stem in data:
                present.update(needle for needle in needles if needle in data)
        if present <= _FORWARDS and not may_hold_forward(data):
            return ()
        return tuple(rule for rule in self._rules if not present.isdisjoint(rule.needles))
