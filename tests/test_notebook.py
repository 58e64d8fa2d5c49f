"""Is a notebook read as one module, and does every format name the cell?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ga_lint.api import check_paths
from ga_lint.diagnostics import Diagnostic
from ga_lint.errors import SourceError
from ga_lint.notebook import read_notebook
from ga_lint.report import FORMATS, renderer
from ga_lint.source import Position, Span
from testbed.shell import ga_lint, write

DATA = ["%matplotlib inline\n", "import torch.nn.functional as F\n", "!pip install -q \\\n", "    accelerate\n"]
LOOP = """
def train(model, loader, optimizer, steps):
    for step, batch in enumerate(loader):
        logits = model(batch["input_ids"])[:, :-1]
        loss = F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100)
        (loss / steps).backward()
        if (step + 1) % steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""
CELL = 2  # markdown comes first and counts


def notebook(*cells: str | list[str], language: str = "python") -> bytes:
    """A notebook with a markdown cell, then these code cells."""
    code = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": source} for source in cells]
    return json.dumps(
        {
            "cells": [{"cell_type": "markdown", "metadata": {}, "source": "# backward( is only spoken of"}, *code],
            "metadata": {"kernelspec": {"language": language, "name": "k"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    ).encode()


def text_of(*cells: str) -> str:
    return read_notebook(Path("n.ipynb"), notebook(*cells)).text


def found(here: Path, data: bytes) -> list[Diagnostic]:
    (here / "n.ipynb").write_bytes(data)
    report = check_paths([Path("n.ipynb")])
    assert not report.failures
    return report.diagnostics


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestText:
    @pytest.mark.parametrize(
        ("cell", "expected"),
        [
            ("x = 1", "x = 1\n"),
            ("%time x = 1\ny = 2", "pass  #ipython:0\ny = 2\n"),
            ("if a:\n    !ls -l \\\n  b", "if a:\n    pass  #ipython:0\n\n"),
            ("files = !ls\nn = 1", "files = None  #ipython:0\nn = 1\n"),
            ("files = !ls \\\n  -l\nn = 1", "files = None  #ipython:0\n\nn = 1\n"),
            ("t, u = %timeit -o f()", "t, u = None  #ipython:0\n"),
            ("%%time\nx = 1", "pass  #ipython:0\nx = 1\n"),
            ("%%bash\nfor i in *; do", "\n\n"),
            ("model.fit?\n?x", "pass  #ipython:0\npass  #ipython:1\n"),
            ("text = '''\n!no shell line\n'''", "text = '''\n!no shell line\n'''\n"),
            ("    x = 1\n    y = 2", "x = 1\ny = 2\n"),
            ("n = n % 3\n!ls", "n = n % 3\npass  #ipython:0\n"),
        ],
    )
    def test_rows_stay_where_they_are(self, cell: str, expected: str) -> None:
        assert text_of(cell) == expected

    def test_a_broken_cell_is_told_and_the_others_are_checked(self, here: Path) -> None:
        first, second = found(here, notebook(DATA, "def broken(:\n    pass", LOOP))
        assert (first.finding.code, first.cell, first.finding.span.start.row) == ("GA001", 2, 1)
        assert (second.finding.code, second.cell) == ("GA101", 3)

    def test_another_language_is_not_read(self) -> None:
        assert read_notebook(Path("n.ipynb"), notebook("x <- 1", language="R")).text == ""

    @pytest.mark.parametrize("data", [b"", b"[]", b'{"worksheets": []}', b"{"])
    def test_what_is_no_notebook_says_so(self, data: bytes) -> None:
        with pytest.raises(SourceError, match="not a notebook"):
            read_notebook(Path("n.ipynb"), data)

    def test_half_a_surrogate_pair(self) -> None:
        assert "?" in read_notebook(Path("n.ipynb"), notebook("x = 1").replace(b"x = 1", b"# \\ud800")).text


class TestPlaces:
    def test_cell_and_row(self, here: Path) -> None:
        [diagnostic] = found(here, notebook(DATA, LOOP))
        assert diagnostic.cell == CELL
        assert diagnostic.finding.span == Span(Position(6, 10), Position(6, 22))
        assert diagnostic.source_line == "        (loss / steps).backward()"
        assert {step.cell for step in diagnostic.finding.trace} == {CELL}
        assert (8, "            optimizer.step()") in diagnostic.context

    def test_a_suppression_in_the_cell(self, here: Path) -> None:
        quiet = LOOP.replace(".backward()", ".backward()  # ga-lint: ignore[GA101] short answers may weigh more")
        assert not found(here, notebook(DATA, quiet))

    def test_an_import_of_the_projects_own_file(self, here: Path) -> None:
        write(here, {"house.py": DATA[1] + LOOP.replace("(loss / steps).backward()", "run_backward(loss, steps)")
                     + "def run_backward(loss, steps):\n    (loss / steps).backward()\n"})  # fmt: skip
        used = "import house\n" + LOOP.replace(
            "        (loss / steps).backward()", "        house.run_backward(loss, steps)"
        )
        [diagnostic] = found(here, notebook(DATA, used))
        assert (diagnostic.finding.code, diagnostic.cell) == ("GA101", 2)


class TestFormats:
    @pytest.fixture(autouse=True)
    def _written(self, here: Path) -> None:
        (here / "n.ipynb").write_bytes(notebook(DATA, LOOP))

    def test_every_readable_format_names_the_cell(self) -> None:
        report = check_paths([Path("n.ipynb")])
        assert renderer("concise")(report).startswith("n.ipynb:cell 2:6:10: GA101 ")
        full = renderer("full")(report)
        assert full.startswith("n.ipynb:cell 2:6:10: GA101 ")
        assert "n.ipynb:cell 2:8" in full
        for name in FORMATS:
            assert any(text in renderer(name)(report) for text in ("cell 2", '"cell": 2')), name

    def test_json(self) -> None:
        [entry] = json.loads(renderer("json")(check_paths([Path("n.ipynb")])))
        assert (entry["cell"], entry["location"]) == (2, {"column": 10, "row": 6})
        assert {related["cell"] for related in entry["related"]} == {2}

    def test_json_holds_the_edits_of_each_cell(self, here: Path) -> None:
        [entry] = json.loads(ga_lint("check", "--output-format", "json", "n.ipynb", cwd=here).out)
        assert entry["fix"]["applicability"] == "unsafe"
        imports, loop, *_ = entry["fix"]["edits"]
        assert (imports["cell"], imports["location"]["row"], imports["content"]) == (1, 2, "import itertools\n\n")
        assert loop["cell"] == CELL

    @pytest.mark.parametrize("name", ["sarif", "rdjson"])
    def test_formats_whose_rows_are_the_files_hold_none(self, here: Path, name: str) -> None:
        out = ga_lint("check", "--output-format", name, "n.ipynb", cwd=here).out
        assert "GA101" in out and "WithTargetShare" not in out


TRAINER = """
class Recipe(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss
"""
ARGUMENTS = 'args = TrainingArguments("out", gradient_accumulation_steps=8)\ntrainer = Recipe(model, args)\n'


def test_a_trainer_over_several_cells(here: Path) -> None:
    """The import, the class and the steps stand in cells of their own."""
    imports = "!pip install transformers\nfrom transformers import Trainer, TrainingArguments\n"
    [one] = found(here, notebook(imports, TRAINER, "%%time\nprint('cell magic')\n", ARGUMENTS))
    assert (one.finding.code, one.cell, one.finding.span.start.row) == ("GA202", 2, 5)
    assert one.finding.effect.message == "gradients are 8 times too large"


def test_a_trainer_of_another_library_in_a_notebook_is_silent(here: Path) -> None:
    imports = "from setfit import Trainer, TrainingArguments\n"
    assert not found(here, notebook(imports, TRAINER, ARGUMENTS))
