"""Does a notebook that is rewritten differ in the lines concerned, and in no other byte?"""

from __future__ import annotations

import ast
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ga_lint.api import check_source, fix_source
from ga_lint.config import Config
from ga_lint.engine.fix import Policy, fix_bytes
from ga_lint.engine.scope import Scope
from ga_lint.engine.write import write_back
from ga_lint.errors import FixNotApplicable, InternalError, SourceError
from ga_lint.notebook import NotebookSource, json_text, read_notebook
from ga_lint.outcome import Clean, FileOutcome
from ga_lint.project import Project
from testbed.expectations import without_markers
from testbed.fixtures import Fixture, all_fixtures
from testbed.notebooks import Book, CodeCell, Line, Style, sources, text_of
from testbed.shell import ga_lint, write

NOTEBOOK = Path("n.ipynb")
IMPORTS = ["import torch", "from transformers import AutoModelForCausalLM, DataCollatorForSeq2Seq"]
MODEL = [
    "model = AutoModelForCausalLM.from_pretrained('gpt2')",
    "loader = DataLoader(data, collate_fn=DataCollatorForSeq2Seq(tokenizer))",
]
LOOP = [
    "for step, batch in enumerate(loader, 1):",
    "    loss = model(**batch).loss / 8",
    "    loss.backward()",
    "    if step % 8 == 0:",
    "        optimizer.step()",
    "        optimizer.zero_grad()",
]
HELPER = "class WithTargetShare:"
ODD = Line(r"# caf\u00e9 beside é, \ud83d\ude00 beside 😀, a \u0062ackslash \\n \"quoted\"")
ODD_IN_ASCII = Line(r"# caf\u00E9, \uD83D\uDE00, a \u0062ackslash \\n \"quoted\"")


def fixed(data: bytes) -> tuple[FileOutcome, bytes]:
    """What is left of a notebook, and its bytes after `ga-lint fix --unsafe-fixes --no-verify`."""
    scope = Scope(Config(root=Path()), Project(Path()))
    outcome, rewriting = fix_bytes(NOTEBOOK, data, scope, Policy(unsafe=True, write=False))
    return outcome, data if rewriting is None else rewriting.after.on_disk


def book(*cells: Sequence[str | Line] | CodeCell, style: Style | None = None) -> Book:
    return Book([each if isinstance(each, CodeCell) else CodeCell(each) for each in cells], style or Style())


def lines_after(*cells: Sequence[str | Line] | CodeCell) -> list[list[str]]:
    """The lines of each cell after the fix; nothing is left, and every other byte is what it was."""
    before = book(*cells)
    outcome, after = fixed(before.written())
    assert isinstance(outcome, Clean), outcome
    texts = [text.split("\n") for text in sources(after)]
    assert after == before.with_texts(texts).written()
    assert fixed(after)[1] == after
    return texts


class TestWhereNewLinesGo:
    def test_the_import_to_the_imports_and_the_class_to_the_cell_that_needs_it(self) -> None:
        imports, model, loop = lines_after(IMPORTS, MODEL, LOOP)
        assert imports == ["import itertools", "", *IMPORTS]
        assert model == MODEL
        assert loop[0] == HELPER
        assert loop[-6] == "for step, (batch, share) in enumerate(WithTargetShare(loader, 8), 1):"
        assert loop[-9:-6] == ["                yield window.pop(0), stepped * count / total", "", ""]

    def test_an_import_behind_another_at_the_end_of_its_cell(self) -> None:
        imports, *_, loop = lines_after(["import abc"], MODEL, LOOP)
        assert imports == ["import abc", "import itertools"]
        assert loop[0] == HELPER

    def test_both_behind_imports_in_the_same_cell(self) -> None:
        (cell,) = lines_after([*IMPORTS, *MODEL, *LOOP])
        assert cell[:2] == ["import itertools", ""]
        assert cell.index(HELPER) == cell.index(IMPORTS[-1]) + 3
        assert cell.index(MODEL[0]) > cell.index(HELPER)

    def test_without_any_import_the_cell_that_needs_it(self) -> None:
        _, loop = lines_after(MODEL, ["%matplotlib inline", *LOOP])
        assert loop[0] == "%matplotlib inline"
        assert loop.index("import itertools") < loop.index(HELPER)

    def test_an_import_below_is_no_place(self) -> None:
        """The class needs it when the loop runs."""
        _, loop, last = lines_after(MODEL, LOOP, ["import abc", "import os"])
        assert loop[0] == "import itertools"
        assert last == ["import abc", "import os"]

    @pytest.mark.parametrize("magic", ["%%time", "%%capture out"])
    def test_never_under_a_cell_magic(self, magic: str) -> None:
        imports, model, other, loop = lines_after(IMPORTS, MODEL, ["%%bash", "ls"], [magic, *LOOP])
        assert imports[0] == "import itertools"
        assert model[: len(MODEL) + 3] == [*MODEL, "", "", HELPER]
        assert other == ["%%bash", "ls"]
        assert loop[:2] == [magic, "for step, (batch, share) in enumerate(WithTargetShare(loader, 8), 1):"]

    def test_imports_under_a_cell_magic_get_none_beside_them(self) -> None:
        first, _, loop = lines_after(["%%time", "import abc"], MODEL, LOOP)
        assert first == ["%%time", "import abc"]
        assert loop[0] == "import itertools"

    def test_an_import_above_a_cell_magic(self) -> None:
        model, shell, loop = lines_after(MODEL, ["!ls"], ["%%time", *LOOP])
        assert model[0] == "import itertools"
        assert shell[:4] == ["!ls", "", "", HELPER]
        assert loop[0] == "%%time"

    def test_an_import_below_in_the_same_cell_is_no_place(self) -> None:
        (cell,) = lines_after([*IMPORTS, *MODEL, *LOOP, "import abc", "abc.ABC"])
        assert cell.index(HELPER) < cell.index(MODEL[0]) < cell.index("import abc") == len(cell) - 2

    def test_no_cell_takes_it(self) -> None:
        data = book(["%%time", *IMPORTS, *MODEL], ["%%time", *LOOP]).written()
        outcome, after = fixed(data)
        assert after == data
        assert "cell magic" in str(outcome)

    def test_magics_stand_where_they_stood(self) -> None:
        shell = ["!pip install -q \\", "    torch", "", "files = !ls \\", "  -l"]
        first, model, loop, last = lines_after(
            [*shell, *IMPORTS], MODEL, [LOOP[0], "    !date \\", "  -u", "    %timeit f()", *LOOP[1:]], ["%%bash", "a"]
        )
        assert first == [*shell, "import itertools", "", *IMPORTS]
        assert model == MODEL
        at = loop.index("    !date \\")
        assert loop[at : at + 3] == ["    !date \\", "  -u", "    %timeit f()"]
        assert loop[at + 3].startswith("    loss = model(**batch).loss * share")
        assert last == ["%%bash", "a"]

    def test_blank_rows_around_a_cell_stay(self) -> None:
        _, _, loop = lines_after([*IMPORTS, *MODEL, "", "  "], ["", "%%bash", "", ""], ["", " ", *LOOP, "", "\t"])
        assert loop[:3] == ["", " ", HELPER]
        assert loop[-2:] == ["", "\t"]

    def test_a_cell_that_is_indented_as_a_whole(self) -> None:
        indented = [f"  {line}" for line in LOOP]
        _, _, loop = lines_after(IMPORTS, MODEL, indented)
        assert loop[0] == f"  {HELPER}"
        assert loop[-6] == "  for step, (batch, share) in enumerate(WithTargetShare(loader, 8), 1):"
        assert all(line.startswith("  ") for line in loop if line)

    def test_a_broken_cell_is_told_and_the_others_are_rewritten(self) -> None:
        before = book(IMPORTS, ["def broken(:"], MODEL, LOOP)
        outcome, after = fixed(before.written())
        assert after == before.with_texts([text.split("\n") for text in sources(after)]).written()
        assert HELPER in sources(after)[3]
        assert "GA001" in str(outcome) and "GA101" not in str(outcome)

    def test_a_future_import_in_a_later_cell(self) -> None:
        lines_after(IMPORTS, MODEL, ["from __future__ import annotations"], LOOP)


class TestOwnText:
    def source(self, *cells: Sequence[str]) -> NotebookSource:
        return read_notebook(NOTEBOOK, book(*cells).written())

    def refusal(self, source: NotebookSource, text: str) -> str:
        with pytest.raises(FixNotApplicable) as refused:
            source.rewritten(text)
        return str(refused.value)

    def test_a_line_that_would_move_to_another_cell(self) -> None:
        source = self.source(["a = 1", "b = 2"], ["c = 3"])
        assert "move a line" in self.refusal(source, "a = 1\nc = 3\nb = 2\n")

    def test_a_change_over_two_cells(self) -> None:
        source = self.source(["a = 1", "b = 2"], ["c = 3", "d = 4"])
        assert "span two cells" in self.refusal(source, "a = 1\nx = 9\nd = 4\n")
        assert source.rewritten("a = 1\nx = 8\ny = 9\nd = 4\n").parts[1].shown == "y = 9\nd = 4"

    def test_an_indented_line_ends_the_cell_above(self) -> None:
        source = self.source(["%%time", "if a:", "    b = 2"], ["c = 3"])
        after = source.rewritten(source.text.replace("b = 2\n", "b = 2\n    d = 4\n"))
        assert [part.shown for part in after.parts] == ["%%time\nif a:\n    b = 2\n    d = 4", "c = 3"]

    def test_between_two_cell_magics_there_is_no_place(self) -> None:
        source = self.source(["%%time", "a = 1"], ["%%time", "b = 2"])
        between = source.text.replace("a = 1\n", "a = 1\nc = 3\n")
        assert "takes no new lines" in self.refusal(source, between)
        assert "no cell takes" in self.refusal(source, f"c = 3\n{source.text}")

    def test_a_blank_row_stays_below_what_is_new(self) -> None:
        source = self.source(["a = 1", "", "b = 2"])
        assert source.rewritten("a = 1\nc = 3\n\nb = 2\n").parts[0].shown == "a = 1\nc = 3\n\nb = 2"

    def test_lines_that_go_from_two_cells(self) -> None:
        source = self.source(["a = 1", "b = 2"], ["c = 3", "d = 4"])
        assert [part.shown for part in source.rewritten("a = 1\nd = 4\n").parts] == ["a = 1", "d = 4"]

    def test_a_magic_that_would_change(self) -> None:
        source = self.source(["!ls", "a = 1"])
        assert "magic" in self.refusal(source, "if b:\n    pass  #ipython:0\na = 1\n")
        assert "magic" in self.refusal(source, "a = 1\n")

    def test_a_mark_that_the_user_wrote(self) -> None:
        source = self.source(["!ls", "pass  #ipython:0"], ["a = 1"])
        assert "#ipython:" in self.refusal(source, source.text.replace("a = 1", "a = 2"))

    def test_a_mark_that_would_get_into_the_file(self) -> None:
        source = self.source(["!ls", "a = 1"])
        assert "magic" in self.refusal(source, "pass  #ipython:0\na = 1\npass  #ipython:0\n")

    def test_a_cell_that_would_not_parse(self) -> None:
        source = self.source(["a = 1"], ["b = 2"])
        assert "would not compile" in self.refusal(source, "a = (1\nb = 2)\n")

    def test_a_name_that_only_a_magic_holds(self) -> None:
        cells = (IMPORTS, MODEL, LOOP, ["!echo {WithTargetShare}"])
        outcome, _ = fixed(book(*cells).written())
        assert "WithTargetShare is in use already" in str(outcome)

    def test_half_a_surrogate_pair(self) -> None:
        data = book(["a = 1", Line(r"# \ud83d")]).written()
        source = read_notebook(NOTEBOOK, data)
        assert "surrogate" in self.refusal(source, source.text.replace("a = 1", "a = 2"))

    def test_utf_16(self) -> None:
        data = book(["a = 1"]).written().decode().encode("utf-16")
        assert "UTF-8" in self.refusal(read_notebook(NOTEBOOK, data), "a = 2\n")

    def test_reasons_name_the_line_of_the_cell(self) -> None:
        cells = ([*IMPORTS, "accelerator = None"], MODEL, [*LOOP[:2], "    next(iter(loader))", *LOOP[2:]])
        _, after = fixed(book(*cells).written())
        assert after == book(*cells).written()
        outcome, _ = fixed(book(*cells).written())
        assert "(line 3 of cell 3)" in str(outcome)


class TestProof:
    """What would only go wrong by a fault of ours is caught before anybody writes it."""

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ('["a = 2"], "id": "x"', "differs outside of the changed cells"),
            ('"a = 2"', "differs outside of the changed cells"),
            ('["a = 3"]', "does not say what it should in cell 1"),
        ],
    )
    def test_a_patch_that_went_wrong(self, value: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(json_text._Source, "with_rows", lambda *_: value)
        source = read_notebook(NOTEBOOK, book(["a = 1"]).written())
        with pytest.raises(InternalError, match=reason):
            source.rewritten("a = 2\n")

    def test_a_line_that_would_become_a_magic(self) -> None:
        source = read_notebook(NOTEBOOK, book(["!ls", "a = (1)"]).written())
        with pytest.raises(FixNotApplicable, match="make a magic of a line"):
            source.rewritten(source.text.replace("(1)", "'''\n!x\n'''"))


class TestSources:
    """The strings as they stand in the file."""

    def rewritten(self, source: str, before: str, after: str) -> str:
        data = f'{{"cells": [{{"cell_type": "code", "source": {source}}}]}}'.encode()
        read = read_notebook(NOTEBOOK, data)
        assert before in read.text
        text = read.rewritten(read.text.replace(before, after)).on_disk.decode()
        return text.removeprefix('{"cells": [{"cell_type": "code", "source": ').removesuffix("}]}")

    @pytest.mark.parametrize(
        ("source", "before", "after", "expected"),
        [
            (r'"a\nb"', "a\n", "x\n", r'"x\nb"'),
            (r'"a\nb"', "b\n", "b\nc\n", r'"a\nb\nc"'),
            (r'"a\nb"', "b\n", "", r'"a"'),
            (r'"a\nb\n"', "b\n", "", r'"a\n"'),
            (r'"a\nb\n"', "b\n", "b\nc\n", r'"a\nb\nc\n"'),
            (r'"a\r\nb"', "b\n", "b\nc\n", r'"a\r\nb\r\nc"'),
            (r'"a\u000ab"', "b\n", "b\nc\n", r'"a\u000ab\u000ac"'),
            (r'["a\n",  "b"]', "b\n", "b\nc\n", r'["a\n",  "b\n",  "c"]'),
            (r'["a\n" , "b\n","c"]', "b\n", "", r'["a\n" , "c"]'),
            (r'["a"]', "a\n", "a\nb\n", r'["a\n", "b"]'),
            (r'[ "a" ]', "a\n", "a\nb\n", r'[ "a\n", "b" ]'),
            (r'["a\nb\n", "c"]', "b\n", "b\nx\n", r'["a\nb\n", "x\n", "c"]'),
            (r'["a\nb"]', "b\n", "b\nc\n", r'["a\nb\nc"]'),
            (r'["a", "a = 1\n", "b"]', "aa = 1\n", "aa = 2\n", r'["aa = 2\n", "b"]'),
            (r'["a\n", "b", ""]', "a\n", "x\n", r'["x\n", "b", ""]'),
            (r'["a\n", "b\n", ""]', "a\n", "x\n", r'["x\n", "b\n", ""]'),
            (r'["a"]', "a\n", "", "[]"),
            (r'"a"', "a\n", "", '""'),
            (r'"a\n\"\\n\""', "a\n", "x\n", r'"x\n\"\\n\""'),
            (r'"a\n# \u00E9"', "a\n", "'éü'\n", r'"' + r"'\u00E9\u00fc'" + r'\n# \u00E9"'),
            (r'"a\n# é"', "a\n", "'éü'\n", '"' + "'éü'" + r'\n# é"'),
            (r'"a\n# \u003cb>"', "a\n", "1 < 2\n", r'"1 \u003c 2\n# \u003cb>"'),
        ],
    )
    def test_only_the_line_changes(self, source: str, before: str, after: str, expected: str) -> None:
        assert self.rewritten(source, before, after) == expected

    @pytest.mark.parametrize(("elsewhere", "expected"), [(r"\u00e9", r"\u00fc"), ("é", "ü"), ("e", "ü")])
    def test_the_file_says_how_wide_characters_are_written(self, elsewhere: str, expected: str) -> None:
        text = '{"cells": [{"cell_type": "code", "source": "a"}], "metadata": {"x": "?"}}'.replace("?", elsewhere)
        read = read_notebook(NOTEBOOK, text.encode())
        assert read.rewritten("'ü'\n").on_disk.decode() == text.replace('"a"', f"\"'{expected}'\"")

    def test_of_equal_keys_the_last_counts(self) -> None:
        text = '{"cells": 1, "cells": [{"source": "x", "cell_type": "code", "source": "a"}]}'
        read = read_notebook(NOTEBOOK, text.encode())
        assert read.rewritten("b\n").on_disk.decode() == text.replace('"a"', '"b"')

    def test_a_source_that_is_no_text(self) -> None:
        read = read_notebook(NOTEBOOK, b'{"cells": [{"cell_type": "code", "source": [1]}]}')
        with pytest.raises(FixNotApplicable, match="no text"):
            read.rewritten("2\n")


STYLES = st.builds(
    Style,
    indent=st.sampled_from([None, "", " ", "  ", "    ", "\t"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    is_ascii=st.booleans(),
    escapes_slashes=st.booleans(),
    is_spaced=st.booleans(),
    has_bom=st.booleans(),
    final_newline=st.booleans(),
    metadata_first=st.booleans(),
    row_end=st.sampled_from([r"\n", r"\r\n", r"\u000A"]),
)
FILLERS: list[list[str | Line]] = [
    ["%%bash", "for i in *; do", "done"],
    ["# a note", "'naïve 损'"],
    ["!pip install \\", "  torch", "", "x = 1"],
    ["def broken(:"],
    ["  y = 1", "  z = y"],
    [""],
]
FORM = st.fixed_dictionaries({"as_list": st.booleans(), "ends": st.booleans(), "source_first": st.booleans()})


@st.composite
def books(draw: st.DrawFn) -> Book:
    """Notebooks of one training run, with any other cells between its own and an odd line in one of these."""
    style = draw(STYLES)
    cells: list[Sequence[str | Line]] = []
    for own in (IMPORTS, MODEL, LOOP):
        cells += draw(st.lists(st.sampled_from(FILLERS), max_size=2))
        cells.append([odd_in(style), *own] if draw(st.booleans()) else own)
    return Book([CodeCell(lines, **draw(FORM)) for lines in cells], style)


def odd_in(style: Style) -> Line:
    """A program that escapes all of it never leaves a character as it is."""
    return ODD_IN_ASCII if style.is_ascii else ODD


@settings(max_examples=60, deadline=None)
@given(books())
def test_whatever_program_wrote_it(book: Book) -> None:
    """The same rewrite as in the plainest notebook, spelt as this one is spelt; every other byte is as it was."""
    plain = Book([CodeCell([text_of(line) for line in cell.lines]) for cell in book.cells])
    _, rewritten = fixed(plain.written())
    expected = book.with_texts([text.split("\n") for text in sources(rewritten)])
    outcome, after = fixed(book.written())
    assert expected != book
    assert after == expected.written()
    assert "GA101" not in str(outcome)
    assert fixed(after)[1] == after


@st.composite
def changes(draw: st.DrawFn) -> tuple[Book, int, list[str | Line]]:
    """A notebook, a cell of it, and what its lines become: some are replaced, some go, some are new."""
    style, numbers = draw(STYLES), iter(range(1000))
    cells: list[list[str | Line]] = []
    for _ in range(draw(st.integers(1, 4))):
        cells += draw(st.lists(st.sampled_from(FILLERS), max_size=2))
        cells.append([f"name_{next(numbers)} = 'é/'" for _ in range(draw(st.integers(3, 7)))])
        cells[-1][1:1] = draw(
            st.lists(st.sampled_from([odd_in(style), "", " ", "!ls", "%time f()"]), max_size=3, unique=True)
        )
    index = draw(st.sampled_from([i for i, lines in enumerate(cells) if str(lines[0]).startswith("name_")]))
    new: list[str | Line] = []
    for line in cells[index]:
        is_code = str(line).startswith("name_")
        verb = draw(st.sampled_from(["keep", "keep", "replace", "drop", "add above"])) if is_code else "keep"
        inner = line not in (cells[index][0], cells[index][-1])  # which cell a line between two joins, others test
        if verb == "replace" or (verb == "add above" and inner):
            new.append(f"other_{next(numbers)} = 'é/ü\\\\'")
        if verb in ("keep", "add above") or (verb == "drop" and not inner):
            new.append(line)
    return Book([CodeCell(lines, **draw(FORM)) for lines in cells], style), index, new


@settings(max_examples=150, deadline=None)
@given(changes())
def test_any_change_inside_a_cell(change: tuple[Book, int, list[str | Line]]) -> None:
    before, index, new = change
    source = read_notebook(NOTEBOOK, before.written())
    cell = source.cells[index]
    known = dict(zip(map(text_of, before.cells[index].lines), cell.code.split("\n"), strict=False))
    code = [known.get(text_of(line), text_of(line)) for line in new]
    text = "".join(part.code if part is not cell else "".join(f"{row}\n" for row in code) for part in source.cells)
    texts: list[Sequence[str | Line]] = [each.lines for each in before.cells]
    texts[index] = new
    cells = [replace(each, lines=lines) for each, lines in zip(before.cells, texts, strict=True)]
    assert source.rewritten(text).on_disk == replace(before, cells=cells).written()


@pytest.mark.slow
@pytest.mark.parametrize("magic", [[], ["%%time"], ["%matplotlib inline"]])
def test_the_cells_run_one_after_another_are_right(magic: list[str]) -> None:
    """After every step, a short last window included; what stood there before is far off."""
    pytest.importorskip("torch", reason="the cells are run")
    pytest.importorskip("transformers", reason="a cell imports it")
    from testbed.accumulation import STEPS, Recorder, TinyModel, micro_batches, oracle, windows_of, worst

    gate = f"    if step % {STEPS} == 0 or step == len(loader):"
    loop = [LOOP[0], f"    loss = model(**batch).loss / {STEPS}", LOOP[2], gate, *LOOP[4:]]
    before = book(["!pip install torch", "", *IMPORTS], MODEL, [*magic, *loop]).written()
    batches = micro_batches()

    def error(data: bytes) -> float:
        model = TinyModel()
        recorder = Recorder(model)
        ours = {
            "AutoModelForCausalLM": SimpleNamespace(from_pretrained=lambda _: model),
            "DataLoader": lambda *_, **__: batches,
        }
        space = {"optimizer": recorder.optimizer, "data": None, "tokenizer": None}
        for cell in read_notebook(NOTEBOOK, data).cells:
            space.update(ours)  # the user's import has brought the real one
            exec(cell.code, space)
        return worst(recorder.seen, oracle(windows_of(batches)))

    assert error(fixed(before)[1]) < 1e-10
    assert error(before) > 1e-2


REWRITTEN = [  # but for what another module is to import: it imports no notebook
    fixture for fixture in all_fixtures() if fixture.fixed.exists() and "in_another_file" not in str(fixture)
]


def cells_of(text: str) -> list[list[str]]:
    """Every statement of the module in a cell of its own, with the comments and the blank rows above it."""
    lines = text.split("\n")[:-1]
    ends = [statement.end_lineno or 0 for statement in ast.parse(text).body]
    starts = [0, *ends[:-1]]
    return [lines[start:end] for start, end in zip(starts, [*ends[:-1], len(lines)], strict=True)]


def fixed_cells(fixture: Fixture, cells: Sequence[Sequence[str]]) -> list[str]:
    scope = Scope(Config(root=fixture.project), Project(fixture.project))
    before = book(*cells)
    path = fixture.path.with_suffix(".ipynb")
    _, rewriting = fix_bytes(path, before.written(), scope, Policy(unsafe=True, write=False))
    after = before.written() if rewriting is None else rewriting.after.on_disk
    texts = [text.split("\n") for text in sources(after)]
    assert after == before.with_texts(texts).written()
    return [line for text in texts for line in text]


@pytest.mark.parametrize("fixture", REWRITTEN[::4], ids=str)
def test_a_fixture_as_one_cell(fixture: Fixture) -> None:
    """One cell is a module: what is special about a fixture is so in a file too."""
    text, wanted = (without_markers(path.read_text(encoding="utf-8")) for path in (fixture.path, fixture.fixed))
    assert "\n".join(fixed_cells(fixture, [text.split("\n")[:-1]])).rstrip() == wanted.rstrip()


@pytest.mark.parametrize("fixture", REWRITTEN, ids=str)
def test_every_fixture_cut_into_cells(fixture: Fixture) -> None:
    """The same lines, though a definition may go to another place."""
    text, wanted = (without_markers(path.read_text(encoding="utf-8")) for path in (fixture.path, fixture.fixed))
    lines = fixed_cells(fixture, cells_of(text))
    assert sorted(filter(None, lines)) == sorted(filter(None, wanted.split("\n")))
    compile("\n".join(lines), "cells", "exec")


class TestCommands:
    @pytest.fixture
    def here(self, tmp_path: Path) -> Path:
        write(tmp_path, {"n.ipynb": book(IMPORTS, MODEL, LOOP).written()})
        return tmp_path

    def test_fix_writes_it_with_its_mode(self, here: Path) -> None:
        path = here / "n.ipynb"
        path.chmod(0o640)
        before = path.read_bytes()
        run = ga_lint("fix", "--unsafe-fixes", "--no-verify", "n.ipynb", cwd=here)
        assert (run.code, path.stat().st_mode & 0o777) == (0, 0o640)
        assert "rewrote 1 finding in 1 file; 0 left" in run.err
        assert path.read_bytes() == fixed(before)[1]
        assert os.listdir(here) == ["n.ipynb"]

    @pytest.mark.parametrize("style", [Style(), Style(indent=None), Style(newline="\r\n", final_newline=False)])
    def test_the_diff_applies(self, here: Path, style: Style) -> None:
        data = book(IMPORTS, MODEL, LOOP, style=style).written()
        write(here, {"n.ipynb": data})
        run = ga_lint("fix", "--unsafe-fixes", "--no-verify", "--diff", "n.ipynb", cwd=here)
        assert run.code == 1
        assert (here / "n.ipynb").read_bytes() == data
        patched = ga_lint("fix", "--unsafe-fixes", "--no-verify", "--diff", "n.ipynb", cwd=here).out
        subprocess.run(["git", "init", "-q"], cwd=here, check=True)
        command = ["git", "-c", "core.autocrlf=false", "apply", "--whitespace=nowarn", "-"]
        subprocess.run(command, cwd=here, check=True, input=patched.encode())
        assert (here / "n.ipynb").read_bytes() == fixed(data)[1]

    def test_a_pipe(self, here: Path) -> None:
        data = (here / "n.ipynb").read_bytes()
        words = ("fix", "--unsafe-fixes", "--no-verify", "--stdin-filename", "n.ipynb", "-")
        run = ga_lint(*words, cwd=here, stdin=data)
        assert run.out.encode() == fixed(data)[1]

    def test_what_is_left_names_the_cell(self, here: Path) -> None:
        run = ga_lint("fix", "--no-verify", "--diff", "n.ipynb", cwd=here)
        assert "GA101 n.ipynb:cell 3:2 not rewritten: it changes the gradient by intent" in run.err
        [entry] = json.loads(ga_lint("fix", "--no-verify", "--output-format", "json", "n.ipynb", cwd=here).out)
        assert {edit["cell"] for edit in entry["fix"]["edits"]} == {1, 3}

    def test_comments_are_added_and_taken_away(self, here: Path) -> None:
        before = (here / "n.ipynb").read_bytes()
        run = ga_lint("check", "--add-ignore=known", "n.ipynb", cwd=here)
        assert "silenced 1 finding in 1 file" in run.err
        silenced = (here / "n.ipynb").read_bytes()
        assert sources(silenced)[2].split("\n")[1] == f"{LOOP[1]}  # ga-lint: ignore[GA101] known"
        assert ga_lint("check", "n.ipynb", cwd=here).code == 0
        idle = silenced.replace(b"/ 8  #", b"#").replace(b" % 8", b"")
        write(here, {"n.ipynb": idle})
        assert "GA002" in ga_lint("check", "--select", "ALL", "n.ipynb", cwd=here).out
        ga_lint("fix", "--no-verify", "n.ipynb", cwd=here)
        assert b"ga-lint" not in (here / "n.ipynb").read_bytes()
        assert (here / "n.ipynb").read_bytes() != before

    def test_a_cell_of_one_idle_comment(self, here: Path) -> None:
        cells = (["# ga-lint: disable[GA101]"], ["x = 1"])
        write(here, {"n.ipynb": book(*cells).written()})
        ga_lint("fix", "--no-verify", "n.ipynb", cwd=here)
        assert sources((here / "n.ipynb").read_bytes()) == ["", "x = 1"]

    def test_a_notebook_that_changed_meanwhile_is_left(self, here: Path) -> None:
        path = here / "n.ipynb"
        before = read_notebook(path, path.read_bytes())
        after = before.rewritten(before.text.replace("/ 8", "/ 4"))
        path.write_bytes(before.on_disk.replace(b'"id": "a-b"', b'"id": "c-d"'))
        changed = path.read_bytes()
        with pytest.raises(SourceError, match="changed on disk"):
            write_back(before, after)
        assert path.read_bytes() == changed

    def test_an_empty_file_is_no_notebook(self, here: Path) -> None:
        write(here, {"n.ipynb": b""})
        run = ga_lint("fix", "n.ipynb", cwd=here)
        assert run.code == 2 and "not a notebook: its JSON cannot be read" in run.err

    @pytest.mark.slow
    def test_verify_runs_the_loop_of_a_cell(self, here: Path) -> None:
        pytest.importorskip("torch", reason="the check runs it")
        loop = [line.replace("8", "accumulation_steps") for line in LOOP]
        write(here, {"n.ipynb": book(IMPORTS, [*MODEL, "accumulation_steps = 8"], loop).written()})
        run = ga_lint("verify", "n.ipynb", cwd=here)
        assert run.code == 1
        (site,) = [line.split() for line in run.out.splitlines() if line.startswith("confirmed")]
        assert site[-1] == "n.ipynb:cell 3:3" or site[-2:] == ["n.ipynb:cell", "3:3"]
        before = (here / "n.ipynb").read_bytes()
        assert ga_lint("fix", "n.ipynb", cwd=here).code == 0  # what numbers confirm needs no --unsafe-fixes
        assert (here / "n.ipynb").read_bytes() == fixed(before)[1]


def test_from_python() -> None:
    text = book(IMPORTS, MODEL, LOOP).written().decode()
    after, left = fix_source(text, "n.ipynb", unsafe=True)
    assert not left
    assert after.encode() == fixed(text.encode())[1]
    assert not check_source(after, "n.ipynb")
