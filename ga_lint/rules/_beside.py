"""Which other backwards and divisions add to the gradients of a window, and are to be rewritten in the same edit?

`if use_amp: scaler.scale(loss / steps).backward()`, `else: (loss / steps).backward()`: a window of which only some
micro-batches were weighed would be worse than before.
"""

from __future__ import annotations

from ga_lint.facts.model import Place
from ga_lint.rules._loops import Loss, in_loop
from ga_lint.rules._requests import Targets

_UNLIKE = "on another path of the window the loss is not divided as it is here"


def others_of(loss: Loss) -> Targets:
    """The places of the others that no place of this loss covers: what divides them, or their backward."""
    own = {factor.place for factor in loss.by_user}
    found: Targets = []
    for other in loss.beside:
        if other.by_user and other.by_user[-1].place not in own:
            found.append(("division", other.by_user[-1].place.span))
            own.add(other.by_user[-1].place)
    backwards = dict.fromkeys(other.window.backward for other in loss.beside)
    return [*found, *(("backward", one.span) for one in backwards if one != loss.window.backward)]


def unlike_in_number(loss: Loss) -> str | None:
    """Is another backward's loss divided where this one is not, or the other way around?

    On some of its paths it may be: `if steps > 1:` stands before both.
    """
    numbers: dict[Place, set[int]] = {}
    for other in loss.beside:
        if other.window.backward != loss.window.backward:
            numbers.setdefault(other.window.backward, set()).add(len(other.by_user))
    return None if all(len(loss.by_user) in each for each in numbers.values()) else _UNLIKE


def wholes_of(loss: Loss) -> Targets:
    """Where the sums over parts of a micro-batch become one mean, over its own count."""
    sites = (one.term.site for one in (loss, *loss.beside))
    return [("whole", site.reduced.span) for site in sites if site.is_of_chunks and in_loop(site.reduced, loss.window)]
