"""What is known about other people's libraries? Rows of rules/knowledge/*.toml, each with its source."""

from ga_lint.knowledge.load import load, project_rows, with_rows
from ga_lint.knowledge.model import Knowledge, ProjectRow

__all__ = ["Knowledge", "ProjectRow", "load", "project_rows", "with_rows"]
