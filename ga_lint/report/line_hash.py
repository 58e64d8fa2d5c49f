"""By which hash does GitHub recognise a line after others have moved it? The one of `upload-sarif`, bit for bit."""

from __future__ import annotations

from collections import Counter

_BLOCK = 100  # characters from the start of the line on, white space left out
_BASE = 37
_MASK = (1 << 64) - 1
_DROP = pow(_BASE, _BLOCK, 1 << 64)  # the weight of the character that leaves the block
_END = 65535


def line_hashes(text: str) -> list[str]:
    """`primaryLocationLineHash` of each line: the hash of what begins there, and how often that was seen before."""
    units, starts = _units(text)
    prefix = [0]
    for unit in units:
        prefix.append((prefix[-1] * _BASE + unit) & _MASK)
    seen: Counter[str] = Counter()
    hashes = []
    for start in starts:
        value = f"{(prefix[start + _BLOCK] - prefix[start] * _DROP) & _MASK:x}"
        seen[value] += 1
        hashes.append(f"{value}:{seen[value]}")
    return hashes


def _units(text: str) -> tuple[list[int], list[int]]:
    """UTF-16 code units without spaces, tabs and kinds of line ends, padded; and where in them each line starts."""
    normal = text.replace("\r\n", "\n").replace("\r", "\n").replace(" ", "").replace("\t", "")
    raw = normal.encode("utf-16-le", "surrogatepass")
    units = [int.from_bytes(raw[at : at + 2], "little") for at in range(0, len(raw), 2)]
    starts = [0, *(at + 1 for at, unit in enumerate(units) if unit == ord("\n"))]
    return [*units, _END, *[0] * _BLOCK], starts
