"""Does `ga-lint check --show-facts` print what was seen in each file, whatever that is?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ga_lint.config import Config
from ga_lint.engine.scope import Scope
from ga_lint.engine.show_facts import shown_facts
from ga_lint.project import Project
from ga_lint.report.facts import render_full, render_json
from ga_lint.source import decode
from testbed.fixtures import Fixture, all_fixtures
from testbed.notebooks import Book, CodeCell
from testbed.shell import BROKEN, ga_lint, write

LOOP = """
def train(model, loader, optimizer, accumulation_steps=8):
    for step, batch in enumerate(loader, 1):
        loss = model(**batch).loss / accumulation_steps
        loss.backward()
        if step % accumulation_steps == 0:
            optimizer.step()
            optimizer.zero_grad()
"""
FIRST = list({str(each).split("/")[0]: each for each in all_fixtures()}.values())  # one of each rule


def test_a_loop(tmp_path: Path) -> None:
    write(tmp_path, {"train.py": LOOP})
    ran = ga_lint("check", "--show-facts", cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "1 file checked\n")
    assert ran.out.startswith("train.py\n  windows:\n    idiom: modulo gate\n    stack: PyTorch\n")
    assert "    backward: 5:9 loss.backward()\n" in ran.out
    assert "            - kind: accumulation steps\n              power: -1\n" in ran.out
    assert "  none: overrides, lightning_steps," in ran.out


def test_json(tmp_path: Path) -> None:
    write(tmp_path, {"train.py": LOOP})
    (file,) = json.loads(ga_lint("check", "--show-facts", "--output-format", "json", cwd=tmp_path).out)
    (window,) = file["facts"]["windows"]
    assert file["filename"] == "train.py"
    assert (window["steps"], window["steps_value"]) == ("accumulation_steps", 8)
    assert window["losses"][0][0]["site"]["callee"] == "model's own loss"


def test_a_place_in_another_file_has_its_path(tmp_path: Path) -> None:
    helper = "import torch.nn.functional as F\n\ndef loss_of(x, y):\n    return F.cross_entropy(x, y)\n"
    own = "from helper import loss_of\n" + LOOP.replace("model(**batch).loss", "loss_of(model(batch), batch.y)")
    write(tmp_path, {"helper.py": helper, "train.py": own})
    path = tmp_path / "train.py"
    facts = shown_facts(decode(path, path.read_bytes()), Scope(Config(root=tmp_path), Project(tmp_path)))
    assert f"{(tmp_path / 'helper.py').as_posix()}:4:12" in json.dumps(facts)


def test_a_notebook_has_rows_of_its_cells(tmp_path: Path) -> None:
    write(tmp_path, {"a.ipynb": Book([CodeCell(["x = 1"]), CodeCell(LOOP.splitlines())]).written()})
    out = ga_lint("check", "--show-facts", cwd=tmp_path).out
    assert "    backward: cell 2:5:9 loss.backward()\n" in out


def test_stdin(tmp_path: Path) -> None:
    ran = ga_lint("check", "--show-facts", "-", "--stdin-filename", "a.py", cwd=tmp_path, stdin=LOOP.encode())
    assert ran.out.startswith("a.py\n  windows:\n")


def test_text_that_is_no_python_is_told_and_stops_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": BROKEN, "b.py": LOOP})
    ran = ga_lint("check", "--show-facts", cwd=tmp_path)
    assert ran.code == 2
    assert ran.err.startswith("error: a.py: line 1: ")
    assert ran.out.startswith("b.py\n")


def test_it_writes_nothing_else(tmp_path: Path) -> None:
    ran = ga_lint("check", "--show-facts", "--output-format", "sarif", cwd=tmp_path)
    assert (ran.code, ran.out) == (2, "")


@pytest.mark.parametrize("fixture", FIRST, ids=str)
def test_every_kind_of_fact_can_be_shown(fixture: Fixture) -> None:
    source = decode(fixture.path, fixture.path.read_bytes())
    facts = shown_facts(source, Scope(Config(root=fixture.project), Project(fixture.project)))
    assert json.loads(render_json([(fixture.path, facts)]))[0]["facts"] == facts
    assert render_full([(fixture.path, facts)]).startswith(str(fixture.path))


def test_what_is_nested_stands_below_its_name() -> None:
    facts = {"windows": [{"site": {"row": 3, "terms": [{"power": -1}, []]}, "empty": {}}], "overrides": []}
    wanted = """a.py
  windows:
    site:
      row: 3
      terms:
        - power: -1
"""
    told = render_full([(Path("a.py"), facts)])
    assert told.startswith(wanted), told
    assert told.endswith("  none: overrides\n")
