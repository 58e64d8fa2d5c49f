"""Are the pictures of the README there, small, and do they show what the program prints today?"""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from testbed import pictures, readme

SHOWN = re.findall(r"\.github/pictures/[\w.-]+", readme.README.read_text(encoding="utf-8"))


def test_the_readme_shows_what_is_there() -> None:
    assert SHOWN
    for name in SHOWN:
        path = readme.ROOT / name
        assert 0 < path.stat().st_size <= pictures.MOST, name


@pytest.mark.parametrize("path", sorted(pictures.FOLDER.glob("*.svg")), ids=lambda path: path.name)
def test_a_drawing_loads_nothing(path: Path) -> None:
    links = re.findall(r"https?://[^\s\"']+", path.read_text(encoding="utf-8"))
    assert set(links) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}


@pytest.mark.slow
def test_the_terminal_is_that_of_today(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pictures.lay(tmp_path)
    today = pictures.terminal("verify", pictures.printed(pictures.TERMINALS["verify"], tmp_path))
    kept = (pictures.FOLDER / "verify.svg").read_text(encoding="utf-8")
    assert _texts(kept) == _texts(today), "run `python tests/testbed/pictures.py`"


def _texts(svg: str) -> list[str]:
    """What can be read, without the noise of an error that is none, which differs between machines."""
    texts = (html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    return [readme.without_noise(text.replace("\xa0", " ")) for text in texts]
