"""Does the library say what the command line says?"""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ga_lint
from ga_lint import Flags, Selection
from testbed import readme
from testbed.shell import BROKEN, HIT, environment, write
from testbed.shell import ga_lint as run


def test_check_paths(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": HIT, "b.py": BROKEN, "c.py": "x = 1\n"})
    report = ga_lint.check_paths([tmp_path])
    assert [d.finding.code for d in report.diagnostics] == ["GA103", "GA001"]
    assert report.exit_code == 1
    only = ga_lint.check_paths([tmp_path], Flags(Selection(select=("GA001",))), isolated=True)
    assert [d.finding.code for d in only.diagnostics] == ["GA001"]


def test_a_finding_as_text_is_a_line_of_the_concise_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = json.dumps({"cells": [{"cell_type": "code", "source": BROKEN}], "metadata": {}, "nbformat": 4})
    write(tmp_path, {"a.py": HIT, "b.ipynb": book})
    monkeypatch.chdir(tmp_path)
    lines = [str(found) for found in ga_lint.check_paths(["."]).diagnostics]
    assert lines == run("check", "--output-format", "concise", cwd=tmp_path).out.splitlines()


@pytest.mark.slow
def test_in_a_real_notebook(tmp_path: Path) -> None:
    """The README's session, cell by cell in a kernel: what a cell prints or gives back is what stands below it."""
    pytest.importorskip("ipykernel")
    text = readme.README.read_text(encoding="utf-8")
    readme.write_files(text, tmp_path)
    (session,) = readme.sessions(text)
    examples = doctest.DocTestParser().get_examples(session)
    write(tmp_path, {"run.py": _IN_A_KERNEL, "cells.json": json.dumps([example.source for example in examples])})
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=tmp_path,
        env=environment(PYDEVD_DISABLE_FILE_VALIDATION="1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [example.want for example in examples]


_IN_A_KERNEL = """
import json, nbclient, nbformat
cells = [nbformat.v4.new_code_cell(text) for text in json.load(open("cells.json"))]
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
def printed(output):
    return output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"] + "\\n"
print(json.dumps(["".join(map(printed, cell.outputs)) for cell in notebook.cells]))
"""


def test_check_source_takes_imports_from_beside_its_path(tmp_path: Path) -> None:
    assert [d.finding.code for d in ga_lint.check_source(HIT, tmp_path / "x.py")] == ["GA103"]
    with pytest.raises(ValueError, match="null bytes"):
        ga_lint.check_source("\0")


def test_fix_source(tmp_path: Path) -> None:
    text, left = ga_lint.fix_source(HIT, tmp_path / "x.py")
    assert "/= cfg.accum" not in text
    assert left == []
    assert ga_lint.fix_source(text, tmp_path / "x.py") == (text, [])


def test_other_names_are_missing() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        ga_lint.nonsense  # noqa: B018
