"""Which releases of a library does the project run with, and who says so?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, cached_property, partial
from pathlib import Path

from msgspec import Struct, field
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from ga_lint.knowledge.releases import ReleaseRow, load_releases, release_of
from ga_lint.project.requirement import Requirement
from ga_lint.project.requirement_files import requirements_in
from ga_lint.trail import recording, remembered


def requirements_of(root: Path, library: str) -> tuple[Requirement, ...]:
    """What the files of `root` say, most binding first: a lock, a pin, a range, the bare name."""
    return tuple(sorted(requirements_in(root, library), key=_loose))


# What the files of a folder say about a library, and the places that this was read from.
RequirementsByFolder = dict[tuple[Path, str], tuple[tuple[Requirement, ...], frozenset[str]]]


def requirements_near(
    folder: Path, root: Path, library: str, by_folder: RequirementsByFolder | None = None
) -> tuple[Requirement, ...]:
    """The same for code in `folder`: of the nearest folder above it that says something, in the same repository.

    A lock or pin further up goes first where the nearest range admits it: a workspace has one lock for all its members.
    `by_folder`: what is known already; a lock can be megabytes, and every folder of a repository asks for it.
    """
    by_folder = {} if by_folder is None else by_folder
    found: tuple[Requirement, ...] = ()
    for place in _folders(folder, root):
        here = remembered(by_folder, (place, library), partial(requirements_of, place, library))
        if not found:
            found = here
        elif here and _narrows(here[0], found[0]):
            return (*here, *found)
        if found and found[0].pinned:
            break
    return found


def _loose(requirement: Requirement) -> tuple[int, list[int]]:
    """Sorts by how much is left open; of two pins for two environments the newer one is meant."""
    if not requirement.pinned:
        return (2 if requirement.specifier else 3), []
    version = _version(requirement.specifier.lstrip("= "))
    return (0 if requirement.locked else 1), [-part for part in version.release] if version else []


def _narrows(other: Requirement, nearest: Requirement) -> bool:
    if not nearest.specifier:
        return bool(other.specifier)
    version = other.specifier.lstrip("= ")
    return other.pinned and version in admitted(nearest.specifier, (version,))


def _folders(folder: Path, root: Path) -> Iterator[Path]:
    """From `folder` up to the repository that holds `root`, up to `root` if there is none."""
    top = next((place for place in (root, *root.parents) if (place / ".git").exists()), root)
    for place in (folder, *folder.parents) if folder.is_relative_to(root) else (root, *root.parents):
        yield place
        if place == top:
            return


@cache  # asked for every folder, where a project has one answer
def admitted(specifier: str, versions: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `versions`, and of the specifier's own, that it admits; none where it cannot be read."""
    text = specifier.strip()
    try:
        specifiers = SpecifierSet(f"=={text}" if text[:1].isdigit() else text)
    except InvalidSpecifier:
        return ()
    written = [clause.version.removesuffix(".*") for clause in specifiers]
    candidates = dict.fromkeys([*versions, *(version for version in written if _version(version))])
    return tuple(specifiers.filter(candidates, prereleases=True))


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


class Pins(Struct, frozen=True, dict=True):
    """What holds for the code of one folder."""

    folder: Path
    root: Path
    configured: str | None  # the version or range that the user named
    by_folder: RequirementsByFolder  # shared by all folders of a project
    places: set[str] = field(default_factory=set)  # what was read for all this

    def requirements(self, library: str) -> tuple[Requirement, ...]:
        """Most binding first."""
        with recording() as places:
            found = requirements_near(self.folder, self.root, library, self.by_folder)
        self.places.update(places)
        return found

    @cached_property
    def specifier(self) -> str | None:
        """The releases of transformers to judge against: as configured, else as required; None where nobody says."""
        required = self.requirements("transformers")
        return self.configured or (required[0].specifier if required else None) or None

    @cached_property
    def rows(self) -> tuple[ReleaseRow, ...]:
        """What those releases do, oldest first; empty where it is not known which they are."""
        releases = load_releases()
        rows = {releases.row(version).first for version in self.versions}
        return tuple(row for row in releases.rows if row.first in rows)

    @cached_property
    def versions(self) -> tuple[str, ...]:
        """Those releases; empty where it is not known which they are."""
        return admitted(self.specifier, load_releases().known) if self.specifier else ()

    @property
    def newest(self) -> tuple[int, ...] | None:
        """The newest of them."""
        return max(map(release_of, self.versions), default=None)
