"""Does the site build without a warning, and does every link in it lead somewhere?"""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ga_lint.engine.own_rules import known_rules
from ga_lint.resources import HOME_URL
from testbed.fixtures import ROOT

pytestmark = pytest.mark.xdist_group("docs")  # what is set up once stays in one process

pytest.importorskip("mkdocs")
pytest.importorskip("material")


SOURCES = f"{HOME_URL}/blob/main/"


class Links(HTMLParser):
    """What a page links to, and the places in it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.append(value)
            if name in ("id", "name") and value:
                self.anchors.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = ["build", "--strict", "--quiet", "--config-file", str(ROOT / ".docs" / "mkdocs.yml"), "--site-dir"]
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *words, str(folder)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_every_rule_has_its_page_on_it(site: Path) -> None:
    for rule in known_rules():
        text = (site / f"{rule.code}-{rule.name}" / "index.html").read_text(encoding="utf-8")
        assert f"{rule.code} {rule.name}</h1>" in text.replace('<a class="headerlink"', "</h1>")


def test_every_link_leads_somewhere(site: Path) -> None:
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("index.html")}
    assert len(pages) == len(known_rules()) + 3  # the README, how to write a rule, and the changes
    count = 0
    for path, page in pages.items():
        for target in page.targets:
            link, _, anchor = target.partition("#")
            if link.startswith(("https:", "data:")):
                assert not link.startswith(SOURCES) or (ROOT / link.removeprefix(SOURCES)).exists(), target
                continue
            count += 1
            found = (path.parent / link).resolve() if link else path
            found = found / "index.html" if found.is_dir() else found
            assert found.exists(), f"{path}: {target}"
            assert not anchor or anchor in pages[found].anchors, f"{path}: {target}"
    assert count > 1000


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    loaded = [line for line in text.split("<") if line.startswith(("script src=", 'link rel="stylesheet"', "img "))]
    assert loaded
    assert not [line for line in loaded if "://" in line]
