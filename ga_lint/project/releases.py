"""Which releases of a library does the project run with?"""

from __future__ import annotations

import re

_CLAUSE = re.compile(r"(==|~=|<=|>=|<|>|!=)?\s*v?(\d+(?:\.\d+)*)")


def admits(requirement: str | None, release: tuple[int, ...]) -> bool | None:
    """Can a version that fits `requirement` ("4.45.2", ">=4.40,<4.46") be at least `release`? None if unknown."""
    if not requirement:
        return None
    for operator, text in _CLAUSE.findall(requirement):
        version = tuple(int(part) for part in text.split("."))
        if operator in ("", "==", "<=", "~=") and version < release:
            return False
        if operator == "<" and version <= release:
            return False
    return True
