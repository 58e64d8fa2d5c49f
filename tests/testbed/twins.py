"""What does the numeric check say of a file and of its right twin?"""

from __future__ import annotations

from dataclasses import replace

from ga_lint.verify import Verdict, Verifier, sites_in
from testbed.fixtures import FIXTURES


def verdict_of(verifier: Verifier, name: str, *edits: tuple[str, str]) -> Verdict:
    """Of a site of fixtures/verify with the rewrite beside it, or with a wrong one: that text after some edits."""
    path = FIXTURES / "verify" / f"{name}.py"
    rewritten = path.with_suffix(".fixed.py").read_text(encoding="utf-8")
    for before, after in edits:
        assert rewritten.count(before) == 1, before
        rewritten = rewritten.replace(before, after)
    return verifier.verify(replace(sites_in(path, path.read_text(encoding="utf-8"))[0], rewritten=rewritten))
