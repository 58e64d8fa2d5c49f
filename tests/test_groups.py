"""Do tests that share a costly set-up run in one process? What a group says has to reach the one who deals them out."""

from __future__ import annotations

import os

import pytest


@pytest.mark.xdist_group("told")
@pytest.mark.parametrize("name", ["plain", "with [brackets] and an @"])
def test_the_group_is_told(name: str, request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("all tests run in one process")
    assert request.node.nodeid.endswith("]@told")
