"""What did the project and the command line ask for? One frozen Config for each folder that has a say."""

from __future__ import annotations

from ga_lint.config.files import ConfigFinder, config_from, display_path, project_root, read_config
from ga_lint.config.model import CONFIDENCES, Config, Flags, Selection
from ga_lint.config.table import RELEASES_WANTED, ConfigError, Table, names_releases, nearest

__all__ = [
    "CONFIDENCES",
    "RELEASES_WANTED",
    "Config",
    "ConfigError",
    "ConfigFinder",
    "Flags",
    "Selection",
    "Table",
    "config_from",
    "display_path",
    "names_releases",
    "nearest",
    "project_root",
    "read_config",
]
