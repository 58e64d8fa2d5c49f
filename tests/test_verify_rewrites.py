"""Does the check that `ga-lint fix` runs refuse every wrong rewrite, and let its right twin through?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ga_lint.cli.confirm import Confirmer
from ga_lint.config import Config
from ga_lint.engine.fix import Policy, fix_bytes
from ga_lint.engine.scope import Scope
from ga_lint.project import Project
from ga_lint.report.verdicts import numbers
from ga_lint.verify import Outcome, Verdict, Verifier, sites_in
from testbed.fixtures import FIXTURES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("verifier")]
pytest.importorskip("torch")
pytest.importorskip("transformers")

DATA = Path(__file__).parent / "data" / "rewrites"
Edit = tuple[str, str]

HEADER = "class TokenLossTrainer(Trainer):\n"
DIVIDED = "            loss = loss / num_items_in_batch\n"
TRAINER_RANKS = "                loss = loss * self.accelerator.num_processes\n"
# the mistake: (what is rewritten, where the right rewrite goes wrong, the run that must find it)
MISTAKES: dict[str, tuple[str, tuple[Edit, ...], str]] = {
    "unshifted count": ("loop_own_loss", (("(labels[:, 1:] != IGNORE_INDEX)", "(labels != IGNORE_INDEX)"),), "R3"),
    "last count only": ("loop_own_loss", (("count += (labels", "count = (labels"),), "R2"),
    "counter not reset": ("loop_own_loss", (("                count = 0\n", "                pass\n"),), "R3"),
    "still divided by the steps": ("loop_own_loss", (("div_(count)", "div_(count * self.accum_steps)"),), "R2"),
    "zero_grad lost": ("loop_own_loss", (("                self.optimizer.zero_grad()\n", ""),), "R3"),
    "count of every position": (
        "loop_own_loss",
        (("(labels[:, 1:] != IGNORE_INDEX).sum().item()", "labels[:, 1:].numel()"),),
        "R2",
    ),
    "division dropped": ("loop_own_loss", (("parameter.grad.div_(count)", "pass"),), "R3"),
    "count of the attention mask": (
        "loop_plain",
        (('(batch["labels"][:, 1:] != -100).sum()', 'batch["attention_mask"][:, 1:].sum()'),),
        "R2",
    ),
    "the short last window forgotten": ("loop_plain", (("        yield from self.shares(window)\n\n", "\n"),), "R2"),
    "the share of a full window in a short one": (
        "loop_plain",
        (("count / max(sum(counts), 1)", "count / max(sum(counts), 1) * len(counts) / self.steps"),),
        "R2",
    ),
    "count of one rank": ("loop_ddp", (("            dist.all_reduce(count)\n", ""),), "R4"),
    "count and factor of one rank": (
        "loop_ddp",
        (("            dist.all_reduce(count)\n", ""), ("(world_size / count)", "(1 / count)")),
        "R4",
    ),
    "rank factor missing": ("loop_ddp", (("(world_size / count)", "(1 / count)"),), "R4"),
    "not averaged at the boundary": (
        "loop_ddp",
        (("nullcontext() if is_last else ", "nullcontext() if step < 0 else "),),
        "R4",
    ),
    "second term times the ranks": ("ddp_sum", (("1 / len(counts)", "len(totals) / len(counts)"),), "R4"),
    "second term by its share of the targets": ("ddp_sum", (("* equal_share", "* share"),), "R2"),
    "steps missing under accelerate": ("loop_accelerate", (("* count * steps *", "* count *"),), "R2"),
    "rank factor missing under accelerate": ("loop_accelerate", ((" * accelerator.num_processes", ""),), "R4"),
    "count of one rank under accelerate": (
        "loop_accelerate",
        (("accelerator.reduce(sum(counts))", "sum(counts)"),),
        "R4",
    ),
    "a step at the end of the loader": ("accelerate_shares", ((" and not window", ""),), "R2"),
    "steps missing under an engine": ("loop_engine", (("loss * steps * engine", "loss * engine"),), "R2"),
    "rank factor missing under an engine": ("loop_engine", ((" * engine.world_size", ""),), "R4"),
    "count of one rank under an engine": ("loop_engine", (("        dist.all_reduce(total)\n", ""),), "R4"),
    "the sum of the ranks under Fabric": ("loop_fabric", (('"mean"', '"sum"'),), "R4"),
    "count of one rank under Fabric": (
        "loop_fabric",
        (('fabric.all_reduce(count.double(), reduce_op="mean")', "count"),),
        "R4",
    ),
    "count of one micro-batch": (
        "trainer_token_loss",
        ((DIVIDED, "            loss = loss / (targets != -100).sum()\n"),),
        "R2",
    ),
    "attention mask": (
        "trainer_token_loss",
        ((DIVIDED, '            loss = loss / inputs["attention_mask"].sum()\n'),),
        "R2",
    ),
    "sum without a division": ("trainer_token_loss", ((DIVIDED, ""),), "R3"),
    "another count": ("trainer_token_loss", ((DIVIDED, "            loss = loss / (num_items_in_batch + 1)\n"),), "R3"),
    "count not guarded": (
        "trainer_token_loss",
        (("        if num_items_in_batch is not None:\n", "        if True:\n"),),
        "R2",
    ),
    "only half an opt-out": ("trainer_token_loss", ((HEADER, HEADER + "    loss_is_scaled_for_ga = False\n\n"),), "R2"),
    "divided by the steps too": (
        "trainer_token_loss",
        ((DIVIDED, "            loss = loss / num_items_in_batch / self.args.gradient_accumulation_steps\n"),),
        "R2",
    ),
    "rank factor missing in a trainer": ("trainer_token_loss", ((TRAINER_RANKS, "                pass\n"),), "R4"),
    "rank factor twice": (
        "trainer_outputs_loss",
        (("loss.item()})\n", "loss.item()})\n        loss = loss * self.accelerator.num_processes\n"),),
        "R4",
    ),
    "KL term left as a mean": (
        "trainer_distilled",
        (('            reduction="sum",\n', '            reduction="batchmean",\n'),),
        "R2",
    ),
    "class weights over a count of targets": (
        "trainer_weighted",
        (("weight[labels[labels != -100]].sum()", "labels.ne(-100).sum()"),),
        "R3",
    ),
    "rank factor in a loss function": (
        "loss_function",
        (("return loss / num_items_in_batch", "return loss / num_items_in_batch * 2"),),
        "R3",
    ),
}
FROM_ORIGINAL = {"only half an opt-out"}  # all others spoil the right rewrite
PAIRS = sorted({name for name, _, _ in MISTAKES.values()} - {"trainer_weighted"})


def texts(name: str) -> tuple[Path, str, str]:
    folder = DATA if (DATA / f"{name}.py").exists() else FIXTURES / "verify"
    path = folder / f"{name}.py"
    return path, path.read_text(encoding="utf-8"), (folder / f"{name}.fixed.py").read_text(encoding="utf-8")


def verdict_of(
    verifier: Verifier,
    name: str,
    edits: tuple[Edit, ...] = (),
    *,
    ragged: bool | None = None,
    spoils_original: bool = False,
) -> Verdict:
    path, original, right = texts(name)
    rewritten = original if spoils_original else right
    for before, after in edits:
        assert rewritten.count(before) == 1, before
        rewritten = rewritten.replace(before, after)
    site = replace(sites_in(path, original)[0], rewritten=rewritten, ragged=ragged)
    return verifier.verify(site)


@pytest.mark.parametrize("name", [name for name in PAIRS if (DATA / f"{name}.py").exists()])
def test_the_right_twin_is_confirmed(verifier: Verifier, name: str) -> None:
    """Those in fixtures/verify are confirmed in test_verify_verdicts.py."""
    verdict = verdict_of(verifier, name)
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_rewrite_is_refuted(verifier: Verifier, mistake: str) -> None:
    name, edits, run = MISTAKES[mistake]
    verdict = verdict_of(verifier, name, edits, spoils_original=mistake in FROM_ORIGINAL)
    assert verdict.outcome is Outcome.REFUTED, verdict
    assert verdict.reason is not None and verdict.reason.startswith(run), verdict.reason


def test_class_weights_leave_the_control_without_a_say(verifier: Verifier) -> None:
    """Equal counts do not make equal weights: whatever the rewrite, the original depends on how the batch is cut."""
    verdict = verdict_of(verifier, "trainer_weighted")
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason is not None and "control run failed" in verdict.reason


@pytest.mark.parametrize("name", [name for name in PAIRS if name.startswith(("loop", "accelerate"))])
def test_equal_counts_find_nothing(verifier: Verifier, name: str) -> None:
    """In full windows; a short last one that is divided as if it were full is wrong with equal counts too."""
    verdict = verdict_of(verifier, name, ragged=False)
    steps_on_short = any((run.name, run.setting) == ("R0", "short last window") for run in verdict.runs)
    assert verdict.outcome is (Outcome.CONFIRMED if steps_on_short else Outcome.CORRECT), verdict.reason
    assert {run.relative_error < 1e-12 for run in verdict.runs if not run.setting} == {True}


@pytest.mark.parametrize("mistake", ["count and factor of one rank", "unshifted count"])
def test_equal_counts_hide_a_wrong_count(verifier: Verifier, mistake: str) -> None:
    """That the data are ragged is what finds it."""
    name, edits, _ = MISTAKES[mistake]
    verdict = verdict_of(verifier, name, edits, ragged=False)
    assert verdict.outcome is Outcome.CORRECT, verdict.reason


OF_RANKS = {  # the fault -> what its original does on two ranks, times the right gradient
    "GA105-missing-world-factor/accelerate_window_by_hand.py": None,
    "GA204-missing-rank-factor/sum_over_count.py": 0.5,
    "GA204-missing-rank-factor/helper_divides.py": 0.5,
    "GA205-misplaced-rank-factor/compute_loss_func.py": 2.0,
}


@pytest.mark.parametrize("name", OF_RANKS)
def test_fix_has_numbers_for_faults_of_the_ranks(verifier: Verifier, name: str) -> None:
    """One process finds both texts right, so only R4 can confirm what `fix` writes."""
    path = FIXTURES / name
    confirm = Confirmer()
    confirm._verifier = verifier  # which is warm
    policy = Policy(unsafe=True, verified_only=True, confirm=confirm, write=False)
    _, rewriting = fix_bytes(path, path.read_bytes(), Scope(Config(root=Path()), Project(path.parent)), policy)
    assert rewriting is not None
    (verdict,) = confirm.verdicts.values()
    assert verdict.outcome is Outcome.CONFIRMED
    assert "R4 " in numbers(verdict)
    scale = OF_RANKS[name]
    if scale is not None:
        before = next(run for run in verdict.runs if (run.name, run.setting) == ("R4", "original"))
        assert before.scale == pytest.approx(scale) and "R4 of the original" in numbers(verdict)


def test_a_count_of_one_rank_is_wrong_without_a_rewrite_too(verifier: Verifier) -> None:
    path = FIXTURES / "GA104-rank-local-count" / "gradients_divided_on_each_rank.py"
    verdict = verifier.verify(sites_in(path, path.read_text(encoding="utf-8"))[0])
    assert verdict.outcome is Outcome.WRONG
    assert verdict.reason is not None and verdict.reason.startswith("right in one process, but not on 2 ranks")


def test_a_wrapper_that_adds_gradients_up_owes_no_factor(verifier: Verifier) -> None:
    path = FIXTURES / "GA105-missing-world-factor" / "ok_fsdp_that_sums.py"
    verdict = verifier.verify(sites_in(path, path.read_text(encoding="utf-8"))[0])
    assert verdict.outcome is Outcome.CORRECT
    assert next(run for run in verdict.runs if run.name == "R4").relative_error < 1e-12
