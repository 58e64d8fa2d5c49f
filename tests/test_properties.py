"""What holds for every file, whatever is in it?"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ga_lint.config import Config
from ga_lint.engine.check_file import check_bytes
from ga_lint.engine.scope import Scope
from ga_lint.outcome import Failed, FileOutcome
from ga_lint.project import Project
from ga_lint.source import UTF8_BOM
from testbed.expectations import read_expectations
from testbed.fixtures import FIXED, FIXTURES, Fixture, all_fixtures, check, diagnostics, rows
from testbed.mutation import mutants

EVERY = all_fixtures()
WITH_CODE = [fixture for fixture in EVERY if fixture.path.stat().st_size]
NOWHERE = Path("generated.py")
_LOOP = """
for step, batch in enumerate(loader):
    loss = loss_of(model, batch) / 4
    loss.backward()
    if (step + 1) % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
"""
CIRCLES = [  # each is followed for facts about its loss, and each leads back to itself
    "class A(A.base):\n    def compute_loss(self, model, inputs):\n        return model(**inputs).loss\n",
    "class A(B):\n    def compute_loss(self, model, inputs):\n        return 1\n\n\nclass B(A):\n    pass\n",
    "def loss_of(model, batch):\n    return loss_of(model, batch)\n" + _LOOP,
    "def a(m, b):\n    return loss_of(m, b)\n\n\ndef loss_of(m, b):\n    return a(m, b)\n" + _LOOP,
    "loss_of = lambda model, batch: loss_of(model, batch).loss\n" + _LOOP,
    "model = model.module\nloader = loader.dataset\n\n\ndef loss_of(m, b):\n    return m(b).loss\n" + _LOOP,
    "from other import loss_of, model\n" + _LOOP,
    "from train import loss_of\n" + _LOOP,
    "from other import Base\n\n\nclass T(Base):\n    def compute_loss(self, model, inputs):\n        return 1\n",
    "class T:\n    def step(self, b):\n        loss = self.step(b)\n        loss.backward()\n        return loss\n",
]
SLOW_TO_MAKE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def survives(outcome: FileOutcome) -> None:
    """Only an internal error is a failure."""
    assert not (isinstance(outcome, Failed) and outcome.internal), outcome


@settings(max_examples=250)
@given(st.sampled_from(WITH_CODE), st.integers(0, 2**32), st.integers(1, 6))
def test_mutated_training_code_never_breaks_the_check(fixture: Fixture, seed: int, count: int) -> None:
    survives(check(fixture.path, fixture.project, mutants(fixture.path.read_text(), seed, count).encode()))


@functools.cache
def generated_modules() -> st.SearchStrategy[str]:
    """Made once: it takes seconds to build the grammar."""
    hypothesmith = pytest.importorskip("hypothesmith", reason="it generates the modules")
    return cast("st.SearchStrategy[str]", hypothesmith.from_grammar(auto_target=False))


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=SLOW_TO_MAKE)
@given(data=st.data())
def test_generated_modules_never_break_the_check(data: st.DataObject) -> None:
    survives(check(NOWHERE, NOWHERE, data.draw(generated_modules()).encode()))


@given(st.text().map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary())
@example(b"loss.backward(")
@example(b"\x00.backward(")
@example("# coding: latin-1\nloss.backward()  # \xe9".encode("latin-1"))
@example("def compute_loss(self, \f):\n\t...\u2028".encode())
def test_any_bytes_are_checked_or_refused_with_a_reason(data: bytes) -> None:
    survives(check_bytes(NOWHERE, data, Scope(Config(root=NOWHERE), Project(NOWHERE)), whole=True))


@pytest.mark.parametrize("text", CIRCLES)
def test_code_that_refers_to_itself_is_followed_only_so_far(text: str, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("from train import loss_of, Base\nfrom train import model\n")
    path = tmp_path / "train.py"
    path.write_text(text)
    outcome = check(path, tmp_path)
    assert not isinstance(outcome, Failed), outcome.error


@pytest.mark.parametrize(("number", "fixture"), [*enumerate(EVERY[::3])], ids=str)
def test_how_it_is_read_changes_nothing(number: int, fixture: Fixture) -> None:
    """Line ends of old Macs, or those of Windows behind a byte-order mark: what is expected is found.

    Of each third fixture, for a file is read before anybody looks at what it holds.
    """
    data = fixture.path.read_bytes()
    variant = UTF8_BOM + data.replace(b"\n", b"\r\n") if number % 2 else data.replace(b"\n", b"\r")
    found = rows(diagnostics(check(fixture.path, fixture.project, variant)))
    assert not read_expectations(fixture.path).complaints(found)


def test_fixtures_compile() -> None:
    for path in FIXTURES.rglob("*.py"):
        compile(path.read_bytes(), str(path), "exec")
    assert any(path.name.endswith(FIXED) for path in FIXTURES.rglob("*.py"))
