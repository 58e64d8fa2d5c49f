"""ga-lint finds, rewrites and proves losses that gradient accumulation gets wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ga_lint.api import Flags, Selection, check_paths, check_source, fix_source

__all__ = ["Flags", "Selection", "check_paths", "check_source", "fix_source"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """The library, imported when they are asked for: the command line needs none of them."""
    if name in __all__:
        from ga_lint import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
