"""Which releases does one written requirement ask for? pip's, Poetry's and conda's spellings, as one specifier."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from ga_lint.source import Span

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(.*)", re.DOTALL)
_CLAUSE = r"(?:~=|===|==|!=|<=|>=|<|>)\s*[\w.*+!-]+"
_SPECIFIER = re.compile(rf"{_CLAUSE}(?:\s*,\s*{_CLAUSE})*\s*,?")
_TAIL = re.compile(r"\s*(?:;|\s--|\s#|\\\s*$).*", re.DOTALL)  # marker, option (a hash), comment, continued line
_TAG = re.compile(
    r"(?:@v?|-)(\d+(?:\.\d+)+)(?:$|[-#@]|\.tar|\.zip)"
)  # of an address: @v4.45.2, -4.45.2-py3-none-any.whl
_ADDRESS = re.compile(r"(?:-e\s+|--editable[\s=]+)?(?:git\+|https?://)\S*?/([\w.-]+?)(?:\.git)?(?:@[^\s#]+)?(?:#\S*)?")
_PIN = re.compile(r"={2,3}\s*[^\s,*]+")
_ALTERNATIVE = "|"


class Requirement(Struct, frozen=True):
    """One place where a project says which releases of a library it runs with."""

    text: str  # as it stands there: "transformers[torch]>=4.46,<4.50"
    specifier: str  # ">=4.46,<4.50"; empty where every release will do
    path: Path
    span: Span
    locked: bool = False  # a lock file says so

    @property
    def pinned(self) -> bool:
        """Does it admit one release?"""
        return self.locked or _PIN.fullmatch(self.specifier) is not None

    @property
    def place(self) -> str:
        """As it is written in a message: "requirements.txt:3"."""
        return f"{self.path.name}:{self.span.start.row}"


def same_library(name: str, library: str) -> bool:
    """Do both name one library? Case, dashes, underscores and dots make no difference."""
    return _normal(name) == _normal(library)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def pip_specifier(text: str, library: str) -> str | None:
    """What `transformers[torch]>=4.46 ; marker` asks for; None where it is about something else, or no requirement."""
    text = _TAIL.sub("", text, count=1).strip()
    found = _ADDRESS.fullmatch(text) or _NAME.fullmatch(text)
    if found is None or not same_library(found.group(1), library):
        return None
    rest = found.group(2).strip() if found.re is _NAME else f"@{text}"
    if rest.startswith("@"):
        tag = _TAG.search(rest)
        return f"=={tag.group(1)}" if tag else ""
    if rest.startswith("(") and rest.endswith(")"):
        rest = rest[1:-1].strip()
    if not rest:
        return ""
    return rest.rstrip(", ") if _SPECIFIER.fullmatch(rest) else None


def poetry_specifier(text: str) -> str:
    """What the constraint in a Poetry or Pipfile table asks for; empty where it cannot be said as one specifier."""
    if _ALTERNATIVE in text:
        return ""
    return ",".join(filter(None, (_poetry_clause(clause.strip()) for clause in text.split(","))))


def _poetry_clause(clause: str) -> str:
    if clause in ("", "*"):
        return ""
    numbers = re.fullmatch(r"[\^~]\s*v?(\d+(?:\.\d+)*)\w*", clause)
    if numbers is None:
        return f"=={clause}" if clause[0].isdigit() else clause
    release = [int(part) for part in numbers.group(1).split(".")]
    if clause[0] == "~":
        fixed = min(2, len(release))
    else:
        fixed = next((index + 1 for index, part in enumerate(release) if part), len(release))
    upper = [*release[: fixed - 1], release[fixed - 1] + 1]
    return f">={numbers.group(1)},<{'.'.join(map(str, upper))}"


def conda_specifier(text: str, library: str) -> str | None:
    """What `conda-forge::transformers=4.45` asks for; None where it is about something else."""
    text = _TAIL.sub("", text, count=1).strip()
    channel, _, spec = text.rpartition("::")
    found = _NAME.fullmatch(spec if channel else text)
    if found is None or not same_library(found.group(1), library):
        return None
    rest = found.group(2).strip()
    if not rest or _ALTERNATIVE in rest:
        return ""
    single = re.fullmatch(r"={0,2}\s*v?(\d[\w.*]*)(?:[=\s]+\S+)?", rest)  # transformers=4.45.2=build
    if single is None:
        return rest if _SPECIFIER.fullmatch(rest) else None
    version = single.group(1)
    whole = "*" in version or version.count(".") >= 2
    return f"=={version}" if whole else f"=={version}.*"
