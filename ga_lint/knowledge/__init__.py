"""What is known about other people's libraries? Rows of rules/knowledge/*.toml, each with its source."""

from ga_lint.knowledge.load import dropped_counts, head_drops_count, load, project_rows, with_rows
from ga_lint.knowledge.model import DroppedCounts, HeadRange, Knowledge, ProjectRow

__all__ = [
    "DroppedCounts",
    "HeadRange",
    "Knowledge",
    "ProjectRow",
    "dropped_counts",
    "head_drops_count",
    "load",
    "project_rows",
    "with_rows",
]
