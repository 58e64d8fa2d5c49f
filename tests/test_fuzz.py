"""Do the laws hold for inputs that nobody thought of? The same few here; `tests/fuzz/fuzz.py` tries new ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import laws
from fuzz.fuzz import trial
from fuzz.inputs import Input, make
from fuzz.laws import Laws
from ga_lint.engine.fix_file import FixOutcome
from ga_lint.facts import extract
from ga_lint.source import decode
from testbed.shell import HIT

SEED, COUNT = 8, 120
TRAIN = Path("train.py")


@pytest.mark.slow
def test_every_law_holds(tmp_path: Path) -> None:
    held = Laws(tmp_path)
    for number in range(COUNT):
        one = make(SEED, number, ())
        assert not trial(one, held), f"python tests/fuzz/fuzz.py --seed {SEED} --from {number} --keep broken"
    assert held.read > COUNT / 2
    assert held.rewritten > 3  # they are not mostly rubbish


def test_the_same_number_makes_the_same_input() -> None:
    assert make(SEED, 3, ()) == make(SEED, 3, ())
    assert make(SEED, 3, ()) != make(SEED, 4, ())


def test_an_exception_breaks_a_law(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr(extract, "extract", broken)
    assert "internal error" in trial(Input("train.py", HIT.encode(), ""), Laws(tmp_path))[0]


@pytest.mark.parametrize(
    ("before", "after", "law"),
    [
        (b"x = 1\n", b"x = (\n", "no Python any more"),
        (b"# coding: latin-1\nx = '\xe9'\n", b"# coding: utf-8\nx = '\xe9'\n", "no Python any more"),
        (b"x = 1\r\n", b"x = 1\r\ny = 1\n", "line ends"),
        (b"\xef\xbb\xbfx = 1\n", b"x = 1\n", "byte-order mark"),
        (b"x = 1\ny = 1\n", b"y = 1\n", "line 1 has changed"),
    ],
)
def test_a_wrong_rewrite_breaks_a_law(before: bytes, after: bytes, law: str) -> None:
    broken = list(laws.still_whole(TRAIN, before, after))
    if not broken:
        broken = list(laws.only_there(FixOutcome(decode(TRAIN, before), decode(TRAIN, after), (), ())))
    assert law in " ".join(broken)


def test_a_notebook_keeps_all_but_its_code() -> None:
    book = b'{"cells": [{"cell_type": "code", "source": "x", "outputs": [%s]}]}'
    assert list(laws.still_whole(Path("a.ipynb"), book % b"1", book % b"2"))
    assert not list(laws.still_whole(Path("a.ipynb"), book % b"1", (book % b"1").replace(b"x", b"y")))
