"""Do real ranks find what emulated ones find, and do rows in other types say what they are?"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from ga_lint.cli import numeric_settings
from ga_lint.cli.arguments import parse
from ga_lint.errors import UsageError
from ga_lint.outcome import Report
from ga_lint.report.numeric import renderer
from ga_lint.report.numeric.model import NumericReport, SiteReport
from ga_lint.verify import Outcome, Settings, Verifier
from testbed.twins import verdict_of

pytestmark = pytest.mark.xdist_group("verify_processes")  # what is set up once stays in one process

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def together() -> Iterator[Verifier]:
    if sys.platform == "win32":
        pytest.skip("processes are forked")
    with Verifier(Settings(timeout=60, ranks=2, rows=(("float32", "cpu"), ("bfloat16", "cpu")))) as warm:
        yield warm


WRONG = {
    "loop_ddp": (("            dist.all_reduce(count)\n", ""), ("(world_size / count)", "(1 / count)")),
    "loop_accelerate": ((" * accelerator.num_processes", ""),),
    "loop_engine": (("        dist.all_reduce(total)\n", ""),),
    "loop_fabric": (('"mean"', '"sum"'),),
    "trainer_token_loss": (("* self.accelerator.num_processes", "* 1"),),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_real_ranks_measure_what_emulated_ones_do(together: Verifier, name: str) -> None:
    verdict = verdict_of(together, name, *WRONG[name])
    assert verdict.outcome is Outcome.REFUTED
    wrapper = "" if name == "loop_engine" else ", DDP"
    emulated = next(run for run in verdict.runs if run.name == "R4" and not run.row)
    real = next(run for run in verdict.runs if run.setting == f"2 processes{wrapper}" and run.name == "R4")
    assert real.relative_error == pytest.approx(emulated.relative_error, rel=1e-9)
    assert real.scale == pytest.approx(emulated.scale, rel=1e-9) and real.parameter == emulated.parameter


@pytest.mark.slow
def test_rows_inform_and_decide_nothing(together: Verifier) -> None:
    verdict = verdict_of(together, "loop_ddp")
    assert verdict.outcome is Outcome.CONFIRMED
    noise = {run.row: run.relative_error for run in verdict.runs if run.name == "R2"}
    assert noise[""] < 1e-12 < noise["float32"] < 1e-5 < noise["bfloat16"] < 2e-2
    assert {run.row: run.allowed for run in verdict.runs if run.name == "R2"}["float32"] == 1e-5
    text = renderer("full")(NumericReport([SiteReport(verdict)], Report([]), width=200))
    assert "R4 with 2 processes, DDP: " in text and "\n  float32: R0 " in text and "\n  bfloat16: R0 " in text


@pytest.mark.slow
def test_a_model_can_be_sharded() -> None:
    with Verifier(Settings(timeout=60, ranks=2, fsdp=True)) as verifier:
        right = verdict_of(verifier, "loop_ddp")
        wrong = verdict_of(verifier, "loop_ddp", ("(world_size / count)", "(1 / count)"))
        trainer = verdict_of(verifier, "trainer_outputs_loss")
    assert (right.outcome, wrong.outcome, trainer.outcome) == (Outcome.CONFIRMED, Outcome.REFUTED, Outcome.CONFIRMED)
    for verdict in (right, wrong, trainer):
        assert any(run.setting == "2 processes, FSDP" for run in verdict.runs)


@pytest.mark.slow
def test_ranks_that_do_not_meet_are_stopped() -> None:
    guarded = "            if dist.get_rank() == 0:\n                dist.all_reduce(count)\n"
    with Verifier(Settings(timeout=8, ranks=2)) as verifier:
        verdict = verdict_of(verifier, "loop_ddp", ("            dist.all_reduce(count)\n", guarded))
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.reason is not None and "wait for each other: rank 0 in all_reduce" in verdict.reason


def settings(line: str) -> Settings:
    return numeric_settings.settings_of(parse(["verify", *line.split()]))


def test_rows_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings("") == Settings()
    assert settings("--dtype float32,bfloat16 --dtype float64").rows == (("float32", "cpu"), ("bfloat16", "cpu"))
    assert settings("--ranks 3 --fsdp --seed 7") == Settings(ranks=3, fsdp=True, seed=7)
    monkeypatch.setattr(numeric_settings, "cuda_devices", lambda: 2)
    found = settings("--device cuda:1 --dtype float32 --ranks 2")
    assert found.rows == (("float32", "cpu"), ("float64", "cuda:1"), ("float32", "cuda:1"))
    assert (found.ranks_device, found.sees_devices, found.parts) == ("cuda", True, 5)
    assert settings("--device auto").rows == (("float64", "cuda"),)
    monkeypatch.setattr(numeric_settings, "cuda_devices", lambda: 0)
    assert settings("--device auto") == Settings()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--device cuda", "--device cuda: torch finds no CUDA device here"),
        ("--device gpu", "--device: 'gpu' is not one of auto, cpu, cuda"),
        ("--ranks 1", "--ranks takes a number of processes from 2 to 16, not '1'"),
        ("--ranks two", "--ranks takes a number of processes from 2 to 16, not 'two'"),
        ("--fsdp", "give --ranks too"),
        ("--dtype int8", "--dtype: 'int8' is not one of float64, float32"),
        ("--seed x", "--seed takes a whole number"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(line: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numeric_settings, "cuda_devices", lambda: 0)
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        settings(line)


def test_devices_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numeric_settings, "cuda_devices", lambda: 1)
    with pytest.raises(UsageError, match="finds no more than 1, from cuda:0"):
        settings("--device cuda:1")
    with pytest.raises(UsageError, match="takes a device each, and torch finds 1"):
        settings("--device cuda --ranks 2")


def test_everything_is_made_on_the_device() -> None:
    """No GPU is needed to see where tensors would be: `meta` has shapes without numbers."""
    import torch

    from ga_lint.verify.worker.harness.neutral import Steady

    with Steady(torch.float32, "meta"):
        made = [
            torch.zeros(2),
            torch.tensor([1.0]),
            torch.arange(3),
            torch.ones(2, device="cpu"),
            torch.randn(2, generator=torch.Generator().manual_seed(0)),
            torch.zeros_like(torch.ones(1)),
            torch.ones(1).to("cpu"),
            torch.ones(1).cpu(),
        ]
    assert {each.device.type for each in made} == {"meta"}
