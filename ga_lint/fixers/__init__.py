"""How is the code changed? LibCST transformers, one module for each form; LibCST is imported nowhere else.

Each module's docstring lists the places (roles) and texts (options) that a rule must name for it. Spans are those of
the `ast` node. A fixer edits and never decides whether the code is wrong; it refuses (FixNotApplicable) wherever the
form it was measured on is not the form it finds.
"""

from ga_lint.fixers.edits import Rewrite
from ga_lint.fixers.registry import fixer_names, rewrite

__all__ = ["Rewrite", "fixer_names", "rewrite"]
