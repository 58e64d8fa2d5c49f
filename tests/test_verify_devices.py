"""Do CUDA devices measure what the CPU does, under the same layers of the sandbox? Needs a device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ga_lint.verify import Outcome, Settings, Verifier
from testbed.fixtures import FIXTURES
from testbed.twins import verdict_of

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
ROWS = (("float64", "cuda"), ("float32", "cuda:0"), ("bfloat16", "cuda"))
SITES = sorted(path for path in (FIXTURES / "verify").glob("*.py") if not path.name.endswith(".fixed.py"))


@pytest.fixture(scope="module")
def on_cuda() -> Iterator[Verifier]:
    with Verifier(Settings(timeout=120, rows=ROWS)) as warm:
        yield warm


@pytest.mark.parametrize("name", [path.stem for path in SITES])
def test_a_device_measures_what_the_cpu_does(on_cuda: Verifier, name: str) -> None:
    verdict = verdict_of(on_cuda, name)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason
    assert not [each for each in verdict.assumptions if "could not be run" in each or "no filter" in each]
    on_cpu = {(run.name, run.setting): run.relative_error for run in verdict.runs if not run.row}
    assert any(name == "R1" and error > 1e-2 for (name, _), error in on_cpu.items())
    for row, exact in {"float64 on cuda": 1e-12, "float32 on cuda:0": 1e-5, "bfloat16 on cuda": 5e-2}.items():
        there = {(run.name, run.setting): run.relative_error for run in verdict.runs if run.row == row}
        assert there.keys() == on_cpu.keys() or row.startswith("bfloat16")  # too noisy there for ranks to say more
        for run, error in there.items():
            assert error < exact if on_cpu[run] < 1e-12 else error > 1e-2, (row, run, on_cpu[run], error)


def test_a_wrong_rewrite_is_wrong_there_too(on_cuda: Verifier) -> None:
    verdict = verdict_of(
        on_cuda, "loop_plain", ("yield batch, count / max(sum(counts), 1)", "yield batch, 1 / self.steps")
    )
    assert verdict.outcome is Outcome.REFUTED
    on_cpu, there = (
        max(run.relative_error for run in verdict.runs if (run.name, run.row) == ("R2", row))
        for row in ("", "float64 on cuda")
    )
    assert there == pytest.approx(on_cpu, rel=1e-6)


@pytest.mark.parametrize("name", ["loop_ddp", "trainer_token_loss"])
@pytest.mark.parametrize("fsdp", [False, True])
@pytest.mark.parametrize("ranks", range(1, 1 + min(2, torch.cuda.device_count())))
def test_ranks_speak_nccl(ranks: int, fsdp: bool, name: str) -> None:
    with Verifier(Settings(timeout=120, ranks=ranks, ranks_device="cuda", fsdp=fsdp)) as verifier:
        verdict = verdict_of(verifier, name)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason
    [real] = [run for run in verdict.runs if run.name == "R4" and run.setting.startswith(f"{ranks} processes")]
    assert real.relative_error < 1e-12
