"""What do all files under one configuration share?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from ga_lint.config import Config, ConfigError, display_path
from ga_lint.engine.own_rules import known_rules
from ga_lint.engine.patterns import refuse_bad_in
from ga_lint.engine.prefilter import Prefilter
from ga_lint.engine.select import refuse_unknown, selected
from ga_lint.errors import UsageError
from ga_lint.project import Project, Trees

if TYPE_CHECKING:
    from ga_lint.knowledge import ProjectRow


class Scope(Struct, frozen=True, dict=True):
    """One configuration, the project that it speaks of, and the rules that are on in it."""

    config: Config
    project: Project

    @cached_property
    def codes(self) -> frozenset[str]:
        """The codes of the rules that are on."""
        return selected(known_rules(), self.config.selections)

    @cached_property
    def prefilter(self) -> Prefilter:
        return Prefilter([rule for rule in known_rules() if rule.code in self.codes])


class Scopes:
    """The scope of each configuration. Projects are shared, so that no file is read twice."""

    def __init__(self) -> None:
        self._scopes: dict[Config, Scope] = {}
        self._trees = Trees()
        self._projects: dict[tuple[Path, str | None, Path | None], Project] = {}

    def of(self, config: Config) -> Scope:
        """The scope; ConfigError when the configuration's file names a rule or a pattern that is none."""
        if config not in self._scopes:
            _refuse_unknown_rules(config)
            refuse_bad_in(config)
            key = (config.root, config.transformers_version, config.source if config.knowledge else None)
            if key not in self._projects:
                self._projects[key] = Project(config.root, config.transformers_version, _rows(config), self._trees)
            self._scopes[config] = Scope(config, self._projects[key])
        return self._scopes[config]


def _rows(config: Config) -> Mapping[str, ProjectRow]:
    """What the configuration says about the project's own callables."""
    if not config.knowledge or config.source is None:
        return {}
    from ga_lint.knowledge import project_rows

    try:
        return project_rows(config.knowledge)
    except UsageError as error:
        raise ConfigError(Path(display_path(config.source)), str(error)) from None


def _refuse_unknown_rules(config: Config) -> None:
    if config.source is None:
        return
    written = config.selections[0]
    selectors = [*(written.select or ()), *written.ignore, *written.extend_select]
    selectors += [selector for _, selectors in config.per_file_ignores for selector in selectors]
    try:
        refuse_unknown(selectors, known_rules())
    except UsageError as error:
        raise ConfigError(Path(display_path(config.source)), str(error)) from None
