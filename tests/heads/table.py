"""How do the readings of many releases become one table? Runs of releases, heads grouped by run and level."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from heads.levels import level_of

Minor = tuple[int, int]
Run = tuple[Minor, Minor | None]  # from the first up to, and without, the second
Share = tuple[int, int]

HEAD = """\
# Heads of transformers whose loss ignores the count that the Trainer passes, as their forward takes `labels` and
# **kwargs, by the releases in which it does. Nobody divides by the accumulation steps then. Left out are heads that say
# `accepts_loss_kwargs = False`, whose labels are a list, or whose reduction their configuration chooses.
#
# One element of the loss is a "token" (one of several targets of a row) or a "sample". No `before`: it is still so in
# the newest release read. An automatic class has the share of the heads that it may build: [since, dropping, of].
#
# Written by tests/heads/scan.py from these releases; do not edit it by hand:
"""


@dataclass(frozen=True)
class Scan:
    """What one release says."""

    release: tuple[int, int, int]
    heads: frozenset[str]  # that drop the count
    shares: Mapping[str, Share]  # of the automatic classes: how many of how many drop it

    @property
    def minor(self) -> Minor:
        return self.release[:2]


def runs(scans: Sequence[Scan], holds: Iterable[bool]) -> list[Run]:
    """The releases in which something holds, as ranges."""
    found: list[Run] = []
    grouped = itertools.groupby(zip(scans, holds, strict=True), key=lambda pair: pair[1])
    for held, pairs in grouped:
        first = next(iter(pairs))[0].minor
        if found and found[-1][1] is None:
            found[-1] = (found[-1][0], first)
        if held:
            found.append((first, None))
    return found


def grouped_heads(scans: Sequence[Scan]) -> dict[Run, dict[str, list[str]]]:
    """For every range of releases and level the heads."""
    found: dict[Run, dict[str, list[str]]] = {}
    for name in sorted(frozenset().union(*(scan.heads for scan in scans))):
        for run in runs(scans, [name in scan.heads for scan in scans]):
            found.setdefault(run, {}).setdefault(level_of(name), []).append(name)
    return dict(sorted(found.items(), key=lambda item: (item[0][0], item[0][1] or (99, 0))))


def shares_of(scans: Sequence[Scan], name: str) -> list[tuple[Minor, Share]]:
    """The share of an automatic class where it changes."""
    found: list[tuple[Minor, Share]] = []
    for scan in scans:
        share = scan.shares.get(name, (0, 0))
        if not found or found[-1][1] != share:
            found.append((scan.minor, share))
    return found[1:] if found[0][1][0] == 0 else found


def render(scans: Sequence[Scan]) -> str:
    """The table as TOML."""
    scans = sorted(scans, key=lambda scan: scan.release)
    read = " ".join(".".join(map(str, scan.release)) for scan in scans)
    lines = [HEAD + textwrap.fill(read, 118, initial_indent="# ", subsequent_indent="# "), ""]
    for (since, before), levels in grouped_heads(scans).items():
        lines += ["[[heads]]", f'since = "{_text(since)}"']
        lines += [f'before = "{_text(before)}"'] if before else []
        for level, names in sorted(levels.items()):
            lines += [f"{level} = [", *_wrapped(f'"{name}"' for name in names), "]"]
        last = [scan for scan in scans if since <= scan.minor and (before is None or scan.minor < before)]
        lines += [f'source = "the classes\' forward in transformers {_span(last)}"', ""]
    for name in sorted(frozenset().union(*(scan.shares for scan in scans))):
        shares = shares_of(scans, name)
        if shares:
            rows = (f'["{_text(since)}", {dropping}, {of}]' for since, (dropping, of) in shares)
            lines += ["[[auto]]", f'name = "{name}"', f'level = "{level_of(name)}"', "shares = [", *_wrapped(rows), "]"]
            lines += ['source = "models/auto/modeling_auto.py, and the heads that it lists"', ""]
    return "\n".join(lines)


def _text(minor: Minor) -> str:
    return ".".join(map(str, minor))


def _span(scans: Sequence[Scan]) -> str:
    first, last = (".".join(map(str, scan.release)) for scan in (scans[0], scans[-1]))
    return first if first == last else f"{first} to {last}"


def _wrapped(items: Iterable[str]) -> list[str]:
    text = " ".join(item.replace(" ", "\0") + "," for item in items)
    return [f"    {line}".replace("\0", " ") for line in textwrap.wrap(text, 115, break_long_words=False)]
