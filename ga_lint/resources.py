"""Where are the rules' pages and tables, in an installed wheel or in a checkout?"""

from __future__ import annotations

import functools
from pathlib import Path

from ga_lint.errors import InternalError

HOME_URL = "https://github.com/ga-lint/ga-lint"
ISSUES_URL = f"{HOME_URL}/issues"
RULES_URL = f"{HOME_URL}/blob/main/rules"


@functools.cache
def rules_folder() -> Path:
    """The folder that holds the rule pages and `knowledge/`: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "_rules", package.parent / "rules"):
        if (folder / "knowledge").is_dir():
            return folder
    raise InternalError(f"the rule pages are missing from the installation at {package}; reinstall ga-lint")


def page_path(code: str, name: str) -> Path:
    """The page of one rule."""
    return rules_folder() / f"{code}-{name}.md"


def page_url(code: str, name: str) -> str:
    """The address of one rule's page."""
    return f"{RULES_URL}/{code}-{name}.md"
