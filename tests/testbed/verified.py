"""What does the numeric check say about these sites, one verdict after the other?"""

from __future__ import annotations

from collections.abc import Iterable

from ga_lint.verify import Settings, Site, Verdict, Verifier


def verify_sites(sites: Iterable[Site], settings: Settings | None = None) -> list[Verdict]:
    """One verdict for each, in their order, from a verifier of their own."""
    todo = list(sites)
    with Verifier(settings or Settings()) as verifier:
        found = dict(verifier.verdicts(todo))
        found.update(verifier.swept(found))
    return [found[place] for place in range(len(todo))]
