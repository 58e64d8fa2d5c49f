"""Which rows of a rewritten module belong to which cell?

The rows that hold something are aligned; those that are new join the cell of their neighbours. Where two cells meet,
blank rows stay what they were, and a new row opens the lower cell unless it can only end the upper one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from ga_lint.errors import FixNotApplicable
from ga_lint.notebook.read import MARK, Cell, NotebookSource, rows_of

Row = int | str  # the index of a row of the cell that stays as it is, or the text of a new one
_IMPORT = re.compile(r"(?:import|from)\s")


def changed_cells(source: NotebookSource, text: str) -> dict[int, list[Row]]:
    """The rows of every cell that changes, by its number."""
    changes = {}
    for cell, placed in zip(source.cells, _Alignment(source, text).placed(), strict=True):
        rows = list(_rows_of_cell(cell, placed))
        if rows != list(range(len(cell.rows))):
            changes[cell.cell or 0] = rows
    return changes


class _Placed(Struct):
    """A row of the new module that holds something: its text, the blank rows above it, and the row that it was."""

    text: str
    above: list[str]
    old: int | None = None  # index in its cell


class _Alignment(Struct):
    """The rows of the old module and of the new one that hold something, side by side."""

    source: NotebookSource
    text: str
    _cell_by_row: dict[int, int] = field(default_factory=dict)

    def placed(self) -> list[list[_Placed]]:
        """The new rows of each cell."""
        cells = self.source.cells
        self._cell_by_row = {row: index for index, cell in enumerate(cells) for row in cell.rows}
        old = [(row, line) for row, line in enumerate(self.source.lines, 1) if line.strip()]
        new = list(_with_blanks(rows_of(self.text)))
        found: list[list[_Placed]] = [[] for _ in cells]
        gone: list[tuple[str, int]] = []
        come: list[tuple[str, int]] = []
        matcher = difflib.SequenceMatcher(a=[line for _, line in old], b=[each.text for each in new], autojunk=False)
        for tag, first, last, start, end in matcher.get_opcodes():
            if tag == "equal":
                for (row, _), each in zip(old[first:last], new[start:end], strict=True):
                    each.old = row - cells[self._cell_by_row[row]].rows.start
                    found[self._cell_by_row[row]].append(each)
                continue
            gone += [(line.strip(), self._cell_by_row[row]) for row, line in old[first:last]]
            owners = self._owners(old, first, last, new[start:end])
            for index, each in zip(owners, new[start:end], strict=True):
                found[index].append(each)
                come.append((each.text.strip(), index))
        _refuse_moves(gone, come)
        return found

    def _owners(self, old: Sequence[tuple[int, str]], first: int, last: int, new: Sequence[_Placed]) -> Sequence[int]:
        """The cell of each of these new rows, which take the place of the old ones from `first` up to `last`."""
        there = [self._cell_by_row[row] for row, _ in old[first:last]]
        if not there:
            return self._owners_between(old, first, new)
        if len(set(there)) == 1 or not new:
            return [there[0]] * len(new)
        if len(there) != len(new):
            raise FixNotApplicable(f"the rewrite would span two cells (line {old[first][0]})")
        return there

    def _owners_between(self, old: Sequence[tuple[int, str]], at: int, new: Sequence[_Placed]) -> list[int]:
        """Rows that are new between two others: the two stand in one cell, or one cell ends here and another begins."""
        above = self._cell_by_row[old[at - 1][0]] if at > 0 else None
        below = self._cell_by_row[old[at][0]] if at < len(old) else None
        if above == below and above is not None:
            return [above] * len(new)
        cells, count = self.source.cells, 0
        if above is not None:
            indented = new[0].text[:1].isspace()
            if indented or below is None or not cells[below].is_open:
                count = len(new)
            elif cells[above].is_open and _IMPORT.match(old[at - 1][1]):
                count = next((i for i, each in enumerate(new) if not _IMPORT.match(each.text)), len(new))
            if count and not indented and not cells[above].is_open:
                raise FixNotApplicable(f"cell {cells[above].cell} starts with a cell magic and takes no new lines")
        if count < len(new) and (below is None or not cells[below].is_open):
            raise FixNotApplicable("no cell takes the new lines")
        return [above or 0] * count + [below or 0] * (len(new) - count)


def _with_blanks(rows: Sequence[str]) -> Iterator[_Placed]:
    blank: list[str] = []
    for row in rows:
        if row.strip():
            yield _Placed(row, blank)
            blank = []
        else:
            blank.append(row)


def _refuse_moves(gone: Sequence[tuple[str, int]], come: Sequence[tuple[str, int]]) -> None:
    """No line goes to another cell, and what stands for a magic neither comes nor goes."""
    if any(MARK in line for line, _ in (*gone, *come)):
        raise FixNotApplicable("the rewrite would change a magic or a shell line")
    for line, index in gone:
        if any(line == other and index != there for other, there in come):
            raise FixNotApplicable(f"the rewrite would move a line to another cell: {line}")


def _rows_of_cell(cell: Cell, placed: Sequence[_Placed]) -> Iterator[Row]:
    """The cell's new rows: its own blank rows around them, and those that a magic goes on in, stay."""
    rows = rows_of(cell.code)
    filled = [index for index, row in enumerate(rows) if row.strip()]
    if not filled:
        yield from range(len(rows))
        return
    yield from range(filled[0])
    done = going_on = 0  # the old rows that are behind us, and how many of them a magic went on in just now
    for number, each in enumerate(placed):
        for blank in each.above[going_on:] if number > 0 else ():
            is_old = done < len(rows) and rows[done] == blank
            yield done if is_old else blank
            done += is_old
        going_on = 0
        if each.old is None:
            yield cell.margin + each.text
            continue
        yield each.old
        done = each.old + 1
        while done < len(rows) and not rows[done] and done + cell.rows.start in cell.hidden:
            yield done
            done, going_on = done + 1, going_on + 1
    yield from range(max(filled[-1] + 1, done), len(rows))
