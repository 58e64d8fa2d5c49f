"""What is known about other people's libraries? Rows of rules/knowledge/*.toml, each with its source."""

from ga_lint.knowledge.load import load
from ga_lint.knowledge.model import Knowledge

__all__ = ["Knowledge", "load"]
