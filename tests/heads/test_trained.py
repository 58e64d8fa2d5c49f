"""Does the Trainer do to each head what the table says? One step with real heads, tiny and random, in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from ga_lint.knowledge import head_drops_count  # noqa: E402
from heads.lab import ROWS, TOLERANCE, Kind, Wanted, trained  # noqa: E402
from heads.tiny import BERT, DROPPERS, EXACT, WEIGHTS, Head  # noqa: E402

RELEASE = tuple(int(part) for part in transformers.__version__.split(".")[:2])
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("loaded_trainer"),
    pytest.mark.xdist_group("trainer"),
    pytest.mark.filterwarnings("ignore"),
]


def by_name(heads: tuple[Head, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("head", heads, ids=lambda head: head.name)


@by_name(DROPPERS)
def test_a_head_of_the_table_sums_its_rows_and_the_opt_out_cures_it(head: Head, tmp_path: Path) -> None:
    model, even, uneven = head.build(), head.rows(ragged=False), head.rows(ragged=True)
    wanted = Wanted.of(model, even)
    found = trained(model, even, tmp_path)
    assert wanted.fitting(found) == [Kind.STEPS]
    assert wanted.scale(found) == pytest.approx(ROWS, rel=TOLERANCE)
    if head.labels != "sample":
        wanted = Wanted.of(model, uneven)
        assert wanted.fitting(trained(model, uneven, tmp_path)) == [Kind.STEPS]
    model.accepts_loss_kwargs = False  # what the Trainer asks when it is built
    cured = wanted.fitting(trained(model, uneven, tmp_path))
    assert cured == ([Kind.EXACT, Kind.WEIGHTS] if head.labels == "sample" else [Kind.WEIGHTS])
    row = head_drops_count(head.name, RELEASE)
    assert row is not None and row.level == ("sample" if head.labels == "sample" else "token")


@by_name(EXACT)
def test_a_head_that_uses_the_count_is_not_in_the_table(head: Head, tmp_path: Path) -> None:
    model, rows = head.build(), head.rows(ragged=True)
    fitting = Wanted.of(model, rows).fitting(trained(model, rows, tmp_path))
    assert fitting == ([Kind.EXACT, Kind.WEIGHTS] if head.labels == "sample" else [Kind.EXACT])
    assert head_drops_count(head.name, RELEASE) is None


@by_name(WEIGHTS)
def test_a_head_that_opts_out_is_not_in_the_table(head: Head, tmp_path: Path) -> None:
    model, rows = head.build(), head.rows(ragged=True)
    assert Wanted.of(model, rows).fitting(trained(model, rows, tmp_path)) == [Kind.WEIGHTS]
    assert head_drops_count(head.name, RELEASE) is None


def test_keywords_make_the_difference(tmp_path: Path) -> None:
    """The same head, behind a signature without **kwargs, is handed no count, and the Trainer divides."""

    class Named(transformers.BertForTokenClassification):  # type: ignore[misc]
        def forward(self, input_ids, attention_mask=None, labels=None):  # type: ignore[no-untyped-def]
            return super().forward(input_ids, attention_mask=attention_mask, labels=labels)

    head = Head("BertForTokenClassification", BERT)
    model, rows = head.build(), head.rows(ragged=True)
    model.__class__ = Named
    assert Wanted.of(model, rows).fitting(trained(model, rows, tmp_path)) == [Kind.WEIGHTS]
