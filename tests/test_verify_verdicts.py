"""Does the numeric check reach the right verdict, on real Trainers, loops and loss functions?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ga_lint.verify import Outcome, Run, Settings, Site, Verdict, Verifier, sites_in

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("verifier")]
pytest.importorskip("torch")
pytest.importorskip("transformers")

FIXTURES = Path(__file__).parent.parent / "fixtures" / "verify"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.py") if not path.stem.endswith(".fixed"))


def text(name: str) -> str:
    return (FIXTURES / f"{name}.py").read_text()


def site(name: str, *, rewritten: str | None = None, original: str | None = None) -> Site:
    found = sites_in(FIXTURES / f"{name}.py", text(name) if original is None else original)
    assert len(found) == 1, found
    return replace(found[0], rewritten=rewritten)


def changed(source: str, *edits: tuple[str, str]) -> str:
    for before, after in edits:
        assert source.count(before) == 1, before
        source = source.replace(before, after)
    return source


def run_of(verdict: Verdict, name: str, setting: str | None = None) -> Run:
    return next(r for r in verdict.runs if r.name == name and setting in (None, r.setting))


@pytest.mark.parametrize("name", NAMES)
def test_right_rewrite_is_confirmed(verifier: Verifier, name: str) -> None:
    verdict = verifier.verify(site(name, rewritten=text(f"{name}.fixed")))
    assert verdict.outcome is Outcome.CONFIRMED, verdict.reason
    assert run_of(verdict, "R1").relative_error > 0.3
    assert run_of(verdict, "R2").relative_error < 1e-12
    assert run_of(verdict, "R3").relative_error < 1e-12
    if name not in ("loop_plain", "loop_own_loss", "loop_literal_steps"):  # a single process's
        assert run_of(verdict, "R4").relative_error < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_rewritten_code_is_correct(verifier: Verifier, name: str) -> None:
    verdict = verifier.verify(site(name, original=text(f"{name}.fixed")))
    assert verdict.outcome is Outcome.CORRECT, verdict.reason


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith(("trainer", "loss"))])
def test_trainer_override_is_steps_times_too_large(verifier: Verifier, name: str) -> None:
    verdict = verifier.verify(site(name))
    assert verdict.outcome is Outcome.MISSING_DIVISION
    control = run_of(verdict, "R0", "count passed")
    assert control.scale == pytest.approx(4, rel=1e-6)
    assert control.relative_error == pytest.approx(3, rel=1e-6)


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("loop")])
def test_loop_has_wrong_weights_only_when_counts_differ(verifier: Verifier, name: str) -> None:
    verdict = verifier.verify(site(name))
    assert verdict.outcome is Outcome.WRONG
    assert run_of(verdict, "R0", "").relative_error < 1e-12
    assert run_of(verdict, "R1", "").relative_error > 0.3


def test_short_last_window_is_compared(verifier: Verifier) -> None:
    verdict = verifier.verify(site("loop_plain", rewritten=text("loop_plain.fixed")))
    assert run_of(verdict, "R0", "short last window").scale == pytest.approx(0.5)
    assert run_of(verdict, "R2", "short last window").relative_error < 1e-12


TRAINER = "trainer_token_loss"


def test_rewrite_that_fails_is_refuted_with_its_error(verifier: Verifier) -> None:
    rewritten = changed(text(f"{TRAINER}.fixed"), ("num_items_in_batch.to(loss.device)", "num_items_in_batch.too()"))
    verdict = verifier.verify(site(TRAINER, rewritten=rewritten))
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.reason is not None and "AttributeError" in verdict.reason and "too" in verdict.reason


def test_counts_equal(verifier: Verifier) -> None:
    verdict = verifier.verify(replace(site("loop_plain"), ragged=False))
    assert verdict.outcome is Outcome.CORRECT
    assert [run.name for run in verdict.runs if not run.setting] == ["R0"]


BLOCKS = """
import numpy as np
import torch

block_size, gradient_accumulation_steps, max_iters = 64, 8, 100

def get_batch(split):
    data = np.memmap(f"{split}.bin", dtype=np.uint16)
    ix = torch.randint(len(data) - block_size, (4,))
    x = torch.stack([torch.from_numpy(data[i : i + block_size].astype(np.int64)) for i in ix])
    return x, torch.stack([torch.from_numpy(data[i + 1 : i + 1 + block_size].astype(np.int64)) for i in ix])

X, Y = get_batch("train")
for it in range(max_iters):
    for micro_step in range(gradient_accumulation_steps):
        logits, loss = model(X, Y)
        loss = loss / gradient_accumulation_steps
        X, Y = get_batch("train")
        loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
"""


def test_blocks_of_one_size_are_correct(verifier: Verifier) -> None:
    verdict = verifier.verify(site("blocks", original=BLOCKS))
    assert verdict.outcome is Outcome.CORRECT
    assert verdict.reason == "get_batch() stacks blocks of one size"


def test_blocks_without_a_division_miss_it(verifier: Verifier) -> None:
    source = changed(BLOCKS, ("        loss = loss / gradient_accumulation_steps\n", ""))
    verdict = verifier.verify(site("blocks", original=source))
    assert verdict.outcome is Outcome.MISSING_DIVISION


def test_scale_alone_can_be_asked_for(verifier: Verifier) -> None:
    header = "class TokenLossTrainer(Trainer):\n"
    rewritten = changed(text(TRAINER), (header, f"{header}    loss_is_scaled_for_ga = False\n\n"))
    scale_only = replace(site(TRAINER, rewritten=rewritten), ragged=False)
    assert verifier.verify(scale_only).outcome is Outcome.CONFIRMED
    unchanged = replace(site(TRAINER, rewritten=text(TRAINER)), ragged=False)
    assert verifier.verify(unchanged).outcome is Outcome.REFUTED


def test_per_sequence_mean_is_correct(verifier: Verifier) -> None:
    source = changed(
        text("loss_function"),
        (
            "    return F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)",
            (
                "    targets = labels[:, 1:]\n"
                '    losses = F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-100, reduction="none")\n'
                "    per_sequence = losses.sum(1) / (targets != -100).sum(1)\n"
                "    count = len(labels) if num_items_in_batch is None else 4\n"
                "    return per_sequence.sum() / count"
            ),
        ),
    )
    assert verifier.verify(site("loss_function", original=source)).outcome is Outcome.CORRECT


PER_EXAMPLE_LOOP = """
from transformers import AutoModelForSequenceClassification

def train(model, loader, optimizer, accumulation_steps):
    for step, batch in enumerate(loader):
        loss = model(**batch).loss / accumulation_steps
        loss.backward()
        if (step + 1) % accumulation_steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""


def test_per_example_head_is_not_a_token_loss(verifier: Verifier) -> None:
    assert verifier.verify(site("per_example", original=PER_EXAMPLE_LOOP)).outcome is Outcome.CORRECT
    tokens = PER_EXAMPLE_LOOP.replace("SequenceClassification", "TokenClassification")
    assert verifier.verify(site("per_example", original=tokens)).outcome is Outcome.WRONG


def test_unnamed_head_is_inconclusive(verifier: Verifier) -> None:
    source = changed(PER_EXAMPLE_LOOP, ("from transformers import AutoModelForSequenceClassification\n", ""))
    verdict = verifier.verify(site("unnamed", original=source))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason is not None and "names no head" in verdict.reason


def test_override_without_the_count_is_wrong(verifier: Verifier) -> None:
    source = changed(text("trainer_outputs_loss"), (", num_items_in_batch=None", ""))
    verdict = verifier.verify(site("trainer_outputs_loss", original=source))
    assert verdict.outcome is Outcome.WRONG
    assert verdict.reason is not None and "TypeError" in verdict.reason
    repaired = replace(site("trainer_outputs_loss", original=source), rewritten=text("trainer_outputs_loss.fixed"))
    assert verifier.verify(repaired).outcome is Outcome.CONFIRMED


def test_file_that_opts_its_model_out_gets_no_count(verifier: Verifier) -> None:
    source = changed(text(TRAINER), ("    print(torch.__version__)\n", "    model.accepts_loss_kwargs = False\n"))
    verdict = verifier.verify(site(TRAINER, original=source))
    assert verdict.outcome is Outcome.WRONG  # only the weights: the Trainer divides by the steps
    assert run_of(verdict, "R0", "count passed").relative_error < 1e-12


def test_trainer_with_another_objective_is_not_replaced(verifier: Verifier) -> None:
    source = changed(
        text("trainer_unforwarded"),
        ("(Trainer)", "(DPOTrainer)"),
        ("ForCausalLM, Trainer", "ForCausalLM\nfrom trl import DPOTrainer"),
    )
    verdict = verifier.verify(site("trainer_unforwarded", original=source))
    assert verdict.outcome is Outcome.NOT_VERIFIABLE
    assert verdict.reason is not None and verdict.reason.startswith("needs DPOTrainer")


def test_assumptions_name_stand_ins(verifier: Verifier) -> None:
    verdict = verifier.verify(site("trainer_outputs_loss"))
    assert any("wandb" in line for line in verdict.assumptions)


def test_missing_loss_is_named_with_its_line(verifier: Verifier) -> None:
    source = changed(
        text("loop_own_loss"),
        ("import torch.nn.functional as F\n", "from somewhere import secret_loss\n"),
        ("token_loss(logits, labels)\n            (loss", "secret_loss(logits, labels)\n            (loss"),
    )
    verdict = verifier.verify(site("loop_own_loss", original=source))
    assert verdict.outcome is Outcome.NOT_VERIFIABLE
    assert verdict.reason == "needs `somewhere.secret_loss(...)` (loop_own_loss.py:20)"


def test_bookkeeping_that_fails_is_left_out_and_said_so(verifier: Verifier) -> None:
    loop = "            (loss / self.accum_steps).backward()\n"
    counting = "            counts['raw'] += labels.numel() + input_ids.missing()\n"
    source = changed(text("loop_own_loss"), (loop, loop + counting))
    verdict = verifier.verify(site("loop_own_loss", original=source))
    assert verdict.outcome is Outcome.WRONG
    assert any(line.startswith("line 21 left out") for line in verdict.assumptions)


def test_what_reaches_the_gradient_is_never_left_out(verifier: Verifier) -> None:
    loss = "            loss = token_loss(logits, labels)\n"
    source = changed(text("loop_own_loss"), (loss, loss + "            loss = loss * labels.missing()\n"))
    verdict = verifier.verify(site("loop_own_loss", original=source))
    assert verdict.outcome is Outcome.NOT_VERIFIABLE
    assert verdict.reason is not None and "missing" in verdict.reason


def test_helper_of_another_file_is_followed(verifier: Verifier, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    package = tmp_path / "package"
    package.mkdir()
    (package / "losses.py").write_text(text("loop_own_loss").split("class Runner")[0])
    source = "from .losses import token_loss\n\n\nclass Runner" + text("loop_own_loss").split("class Runner")[1]
    found = sites_in(package / "run.py", source)
    assert verifier.verify(found[0]).outcome is Outcome.WRONG


def test_float32_agrees_within_its_own_tolerance(verifier: Verifier) -> None:
    with Verifier(Settings(dtype="float32")) as single:
        verdict = single.verify(site("loop_own_loss", rewritten=text("loop_own_loss.fixed")))
    assert verdict.outcome is Outcome.CONFIRMED
    assert 1e-12 < run_of(verdict, "R2").relative_error < run_of(verdict, "R2").allowed == 1e-5


def test_numbers_repeat_exactly_in_any_order_and_under_another_hash_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    sites = [site(name, rewritten=text(f"{name}.fixed")) for name in (TRAINER, "loop_plain", TRAINER)]
    seen = []
    for seed, order in (("1", sites), ("2", sites[::-1])):
        monkeypatch.setattr("ga_lint.verify.process._SET", {**_settings(), "PYTHONHASHSEED": seed})
        with Verifier(Settings(timeout=60, workers=len(seen) + 1)) as fresh:
            seen.append({verdict.site: verdict for _, verdict in fresh.verdicts(order)})
            assert {verdict.site: verdict for _, verdict in fresh.verdicts(order[:2])} == seen[-1]
    assert seen[0] == seen[1]
    assert {verdict.outcome for verdict in seen[0].values()} == {Outcome.CONFIRMED}


def _settings() -> dict[str, str]:
    from ga_lint.verify import process

    return process._SET


@pytest.mark.parametrize(("scale", "outcome"), [("world_size / num_tokens", "CORRECT"), ("1 / num_tokens", "WRONG")])
def test_a_count_that_the_loop_keeps_is_no_limit(verifier: Verifier, scale: str, outcome: str) -> None:
    """`num_tokens` reads like a limit of training; on two ranks a start of 10^9 on each would halve the gradient."""
    path = FIXTURES.parent / "GA101-mean-of-means" / "scaled_in_another_loop.py"
    source = changed(path.read_text(), ("world_size / num_tokens", scale))
    first, _ = sites_in(path, source)
    verdict = verifier.verify(first)
    assert verdict.outcome is Outcome[outcome], verdict.reason
    assert run_of(verdict, "R1").relative_error < 1e-12
    assert run_of(verdict, "R4").scale == pytest.approx(1 if outcome == "CORRECT" else 0.5)
