"""Does the law hold for the Trainer of real releases? Only where GA_LINT_RELEASES names some, or says `all`.

`GA_LINT_RELEASES=all pytest tests/releases` takes minutes and downloads each release into a folder that it removes.
"""

from __future__ import annotations

import os

import pytest

from releases.__main__ import RELEASES, release_named
from releases.compare import compare
from releases.overlays import NotInstalled

ASKED = os.environ.get("GA_LINT_RELEASES", "")
pytestmark = [
    pytest.mark.releases,
    pytest.mark.slow,
    pytest.mark.skipif(ASKED in ("", "deepspeed"), reason="GA_LINT_RELEASES names no release"),
]


@pytest.mark.parametrize("name", RELEASES if ASKED in ("", "all", "deepspeed") else ASKED.replace(",", " ").split())
def test_the_law_holds(name: str) -> None:
    try:
        cells = compare(release_named(name))
    except NotInstalled as error:
        pytest.fail(f"not measured: {error}")
    assert cells
    wrong = [cell for cell in cells if not cell.agrees]
    assert [f"{cell.run.ranks} ranks, {cell.scenario}: {cell.measured}, law: {cell.said}" for cell in wrong] == []
