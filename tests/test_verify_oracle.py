"""Are the measured numbers true? Against gradients worked out by hand, without the code that measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.verify import Run, Settings, Verdict, Verifier, sites_in

pytestmark = pytest.mark.slow
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

FIXTURES = Path(__file__).parent.parent / "fixtures" / "verify"


def verdict_of(name: str) -> Verdict:
    path = FIXTURES / f"{name}.py"
    with Verifier(Settings()) as verifier:
        return verifier.verify(sites_in(path, path.read_text())[0])


def r1(verdict: Verdict, setting: str) -> Run:
    return next(run for run in verdict.runs if run.name == "R1" and run.setting == setting)


def apart(found: torch.Tensor, expected: torch.Tensor) -> tuple[float, float]:
    error = float((found - expected).norm() / expected.norm())
    return error, float((found * expected).sum() / (expected * expected).sum())


def test_windows_hold_the_counts_that_are_promised() -> None:
    from ga_lint.verify.worker.harness import data

    shifted = [int((row.labels[1:] != -100).sum()) for row in data.rows(ragged=True)]
    assert shifted[:4] == [4, 15, 3, 9]
    totals = [sum(shifted[start : start + 4]) for start in range(0, 16, 4)]
    assert len(set(totals)) == 4  # a count left over from the last window must show
    live = [int(row.labels[0] != -100) for row in data.rows(ragged=True)]
    assert [sum(live[start : start + 4]) for start in range(0, 16, 4)] == [1, 1, 1, 1]
    assert {int((row.labels[1:] != -100).sum()) for row in data.rows(ragged=False)} == {9}


def test_loss_function_against_the_closed_form() -> None:
    """d CE / d logits = softmax - one-hot, over the count that divides it."""
    from ga_lint.verify.worker.harness import data

    table = torch.randn(32, 32, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    worst = (0.0, 1.0)
    for start in (0, 4):
        rows = data.rows(ragged=True)[start : start + 4]
        parts, counts = [], []
        for row in rows:
            gradient = torch.zeros(18, 32, dtype=torch.float64)
            for place, target in enumerate(row.labels[1:].tolist()):
                if target != -100:
                    gradient[place] = table[row.ids[place]].softmax(-1)
                    gradient[place, target] -= 1
            parts.append(gradient)
            counts.append(int((row.labels[1:] != -100).sum()))
        means = torch.stack([part / count for part, count in zip(parts, counts, strict=True)])
        worst = max(worst, apart(means, torch.stack(parts) / sum(counts)))
    found = r1(verdict_of("loss_function"), "count passed")
    assert (found.relative_error, found.scale) == pytest.approx(worst, rel=1e-9)


def test_trainer_against_plain_torch() -> None:
    from ga_lint.verify.worker.harness import data
    from ga_lint.verify.worker.harness.llamas import tiny_llama

    def gradient(row: data.Row) -> torch.Tensor:
        model = tiny_llama("causal", torch.float64, 0)
        logits = model(input_ids=row.ids[None]).logits[0, :-1].double()
        kept = row.labels[1:] != -100
        logs = logits.log_softmax(-1)[kept, row.labels[1:][kept]]
        (-logs.sum()).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        worst = (0.0, 1.0)
        for start in (0, 4):
            rows = data.rows(ragged=True)[start : start + 4]
            sums = [gradient(row) for row in rows]
            counts = [int((row.labels[1:] != -100).sum()) for row in rows]
            means = torch.stack([g / n for g, n in zip(sums, counts, strict=True)]).sum(0)
            worst = max(worst, apart(means, torch.stack(sums).sum(0) / sum(counts)))
    finally:
        torch.set_default_dtype(default)
    found = r1(verdict_of("trainer_token_loss"), "count passed")
    # Llama computes its rotary table and its norms in float32 here, in float64 there
    assert (found.relative_error, found.scale) == pytest.approx(worst, rel=1e-4)
