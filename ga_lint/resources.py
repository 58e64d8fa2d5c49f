"""Where are the pages and the knowledge rows: in a checkout, or inside the installed wheel?"""

from __future__ import annotations

import functools
from pathlib import Path

from ga_lint.errors import InternalError


@functools.cache
def rules_folder() -> Path:
    """The folder that holds the rule pages and `knowledge/`."""
    package = Path(__file__).resolve().parent
    for folder in (package / "_rules", package.parent / "rules"):
        if (folder / "knowledge").is_dir():
            return folder
    raise InternalError(f"the rule pages are missing from the installation at {package}")
