"""What values can reach a backward call or a return? An abstract run of the user's code, path by path.

`run` holds what a run knows. `statements` and `expressions` follow the syntax, with `paths` and `scopes`; `calls` asks
who knows what is called: the project's functions, then `library`, `losses`, `tensors` and the like, which know one kind
of callable each. `algebra` says what happens to a loss on the way, `gradients` records what happens to gradients.
"""

from ga_lint.facts.interpreter.run import Interpreter

__all__ = ["Interpreter"]
