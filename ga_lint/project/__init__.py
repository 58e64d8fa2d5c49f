"""What does the rest of the repository say? Read lazily, each file once, never imported."""

from ga_lint.project.index import Project
from ga_lint.project.trees import Trees

__all__ = ["Project", "Trees"]
