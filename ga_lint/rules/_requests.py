"""What does a rule say of a rewrite? A request with its targets and options, or the reason why there is none."""

from __future__ import annotations

from msgspec.structs import replace

from ga_lint.diagnostics import FixRequest
from ga_lint.project import Project
from ga_lint.source import Span

# Why there is none, for the rules of loops, of overrides and of loss functions alike.
SCALED = "the loss is scaled by something whose meaning is not known"
SHAPED = "the loss goes through a function that makes no multiple of it, so the shares of its parts would not add up"
GATHERED = (
    "the losses of several parts are gathered: with a count each is its part's share already, and a mean over the "
    "parts would divide once more"
)
# Labels that the loss ignores can stand inside its mask as well, where only the user knows.
MASKED = "a mask is multiplied into the loss, and whether all that it keeps are targets is not known"
WEIGHED = "the elements of the loss are multiplied by something, and whether all that it keeps are targets is not known"
ADDED = "a helper adds something to the loss, which needs a weight of its own"

Targets = list[tuple[str, Span]]
Options = list[tuple[str, str]]
Fix = tuple[FixRequest | None, str | None]  # the request, or the reason why there is none


def for_release(request: FixRequest, project: Project) -> FixRequest:
    """Before 4.55 the Trainer does not say how long the running window is."""
    if project.knows_window_length is not False:
        return request
    return replace(request, options=(*request.options, ("steps", "args.gradient_accumulation_steps")))
