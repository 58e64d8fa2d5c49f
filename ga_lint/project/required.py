"""Which releases of transformers must the code of this folder work with? What the rules ask about them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ga_lint.trail import note

if TYPE_CHECKING:
    from ga_lint.knowledge.releases import EngineRow, LightningRow, ReleaseRow
    from ga_lint.project.releases import Pins, RequirementsByFolder
    from ga_lint.project.requirement import Requirement


class Required:
    """What a project requires of other libraries."""

    def __init__(self, root: Path, transformers_version: str | None) -> None:
        self.root = root
        self.transformers_version = transformers_version
        self._folder = root
        self._views: dict[Path, Self] = {}
        self._by_folder: RequirementsByFolder = {}
        self._pins: Pins | None = None

    def beside(self, path: Path) -> Self:
        """The same project, as the code in that file's folder sees it: with the requirements that hold there."""
        folder = path.resolve().parent
        if folder == self._folder:
            return self
        if folder not in self._views:
            view = copy.copy(self)
            view._folder = folder
            view._pins = None
            self._views[folder] = view
        return self._views[folder]

    @property
    def pins(self) -> Pins:
        """What this project requires of other libraries; read when first asked, since most files never are."""
        if self._pins is None:
            from ga_lint.project.releases import Pins  # `packaging` costs start-up that most runs need not pay

            self._pins = Pins(self._folder, self.root, self.transformers_version, self._by_folder)
        note(self._pins.places)
        return self._pins

    def requirement(self, library: str) -> Requirement | None:
        """The most binding place where the project says which releases of `library` it runs with."""
        return next(iter(self.pins.requirements(library)), None)

    @property
    def releases(self) -> tuple[ReleaseRow, ...]:
        """What the releases of transformers do that the project admits, oldest first; all of them if it names none."""
        from ga_lint.knowledge.releases import load_releases

        return self.pins.rows or load_releases().rows

    @property
    def release(self) -> ReleaseRow:
        """The newest of them."""
        return self.releases[-1]

    @property
    def engine(self) -> EngineRow | None:
        """The DeepSpeed that the project pins, where that is one that does what it is told not to."""
        from ga_lint.knowledge.releases import load_releases

        requirement = self.requirement("deepspeed")
        if requirement is None or not requirement.pinned:
            return None
        return load_releases().engine(requirement.specifier)

    @property
    def lightning_passes_index(self) -> bool:
        """May its Lightning be one that tells optimizer hooks which optimizer it is?"""
        return any(row.optimizer_index for row in self._lightning())

    @property
    def lightning_has_hook(self) -> bool:
        """May its Lightning be one that calls `on_before_optimizer_step`?"""
        rows = self._lightning()
        return not rows or any(row.step_hook for row in rows)

    def _lightning(self) -> list[LightningRow]:
        """What the releases of Lightning do that the project admits; empty where it names none."""
        from ga_lint.knowledge.releases import load_releases
        from ga_lint.project.releases import admitted

        releases = load_releases()
        versions = tuple(version for row in releases.lightning for version in (row.first, row.last) if version)
        required = [self.requirement(name) for name in ("lightning", "pytorch-lightning")]
        specifiers = [one.specifier for one in required if one is not None and one.specifier]
        return [releases.lightning_row(version) for each in specifiers for version in admitted(each, versions)]

    @property
    def trainer_passes_count(self) -> bool | None:
        """Does the project's transformers pass `num_items_in_batch`? None where its release is not known."""
        return self._some(lambda row: row.passes_count.value != "no")

    @property
    def averages_tokens(self) -> bool | None:
        """Does it count over all ranks by default? None where its release is not known."""
        return self._some(lambda row: row.averages_tokens is True)

    @property
    def knows_window_length(self) -> bool | None:
        """Does its Trainer say how many micro-batches the running window has? None where its release is not known."""
        return self._some(lambda row: row.window_length)

    def _some(self, question: Callable[[ReleaseRow], bool]) -> bool | None:
        """Is it so in one of the releases that the project admits?"""
        rows = self.pins.rows
        return any(map(question, rows)) if rows else None
