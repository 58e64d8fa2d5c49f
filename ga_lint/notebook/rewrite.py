"""How does a rewritten module get back into its notebook, and what must hold before anybody writes that?"""

from __future__ import annotations

from ga_lint.errors import FixNotApplicable, InternalError, SourceError
from ga_lint.notebook.cells import Row, changed_cells
from ga_lint.notebook.json_text import NotebookText
from ga_lint.notebook.read import MARK, NotebookSource, read_notebook, rows_of


def rewritten(source: NotebookSource, text: str) -> bytes:
    """The notebook's bytes with `text` as its module. Only the source strings of cells that change are touched."""
    marked = sum(source.lines[row - 1] != "" for cell in source.cells for row in cell.hidden)
    if source.text.count(MARK) != marked:
        raise FixNotApplicable(f"the notebook's own text holds {MARK}, which stands for magics here")
    changes = changed_cells(source, text)
    data = NotebookText(source.file).patched(changes)
    _prove(source, changes, data)
    return data


def _prove(source: NotebookSource, changes: dict[int, list[Row]], data: bytes) -> None:
    """Read again, every cell says what it should: the changed ones their new rows, all others what they said."""
    try:
        after = read_notebook(source.path, data)
    except SourceError as error:
        raise InternalError(f"the patched notebook cannot be read: {error}") from None
    if len(after.broken) > len(source.broken):
        raise FixNotApplicable(f"the rewrite would not compile: {_first_new(source, after)}")
    for old, new in zip(source.cells, after.cells, strict=True):
        shown = rows_of(old.shown)
        rows = changes.get(old.cell or 0)
        expected = shown if rows is None else [row if isinstance(row, str) else shown[row] for row in rows]
        if rows_of(new.shown) != expected or (rows is None and new.shown != old.shown):
            raise InternalError(f"the patched notebook does not say what it should in cell {old.cell}")
        if len(new.hidden) != len(old.hidden):
            raise FixNotApplicable(f"the rewrite would make a magic of a line in cell {old.cell}, or code of a magic")


def _first_new(before: NotebookSource, after: NotebookSource) -> str:
    known = {before.part_of(each.position.row).cell for each in before.broken}
    new = (each for each in after.broken if after.part_of(each.position.row).cell not in known)
    return next((each.message for each in new), "a cell is no Python any more")
