"""Is every page true: is its bad code found, is its good code silent, and are its numbers what one gets?"""

from __future__ import annotations

import ast
import functools
import math
from pathlib import Path

import pytest

from ga_lint.rules.registry import Rule, all_rules
from testbed.fixtures import ROOT, Fixture, check, diagnostics, fix
from testbed.pages import HEADINGS, Block, Page, Printed, read_page
from testbed.usages import computed, measured

PAGES = [read_page(path) for path in sorted((ROOT / "rules").glob("GA[1-9]*.md"))]  # GA0: no numbers
BLOCKS = [pytest.param(page, block, id=f"{page}-{block.role}-{block.row}") for page in PAGES for block in page.blocks]
FAR = 1e-2  # a fault that moves the gradient less than this is none that a page should show
EXACT = 1e-6  # 10x the float32 logits that transformers' heads compute their loss from
PRINTED = 0.01  # a page rounds to three digits


@pytest.mark.parametrize("rule", all_rules(), ids=str)
def test_every_rule_has_a_page(rule: Rule) -> None:
    page = read_page(ROOT / "rules" / f"{rule.code}-{rule.name}.md")
    assert (page.code, page.name) == (rule.code, rule.name)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_form(page: Page) -> None:
    assert page.path.name == f"{page.code}-{page.name}.md"
    assert page.headings == HEADINGS
    assert all(page.section(heading) for heading in HEADINGS)
    assert "](https://" in page.section("References")
    assert {block.role for block in page.blocks} == {"bad", "good"}
    assert [block.role for block in page.blocks] == [row.role for row in page.numbers]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_between_pages_lead_somewhere(page: Page) -> None:
    others = {word.strip("()") for word in page.text.replace("](", " (").split() if word.strip("().,").endswith(".md")}
    missing = [link for link in others if not (page.path.parent / link.strip("().,:")).exists()]
    assert not missing


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_bad_code_is_found_and_good_code_is_silent(page: Page, block: Block, tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(block.code)
    (tmp_path / "requirements.txt").write_text(block.requirement)
    found = diagnostics(check(path, tmp_path))
    assert [d.finding.code for d in found] == ([page.code] if block.role == "bad" else [])


@pytest.mark.slow
@pytest.mark.usefixtures("loaded_trainer")
@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_numbers(page: Page) -> None:
    """Bad code is far from the full-batch gradient, as far as the page says; good code equals it."""
    pytest.importorskip("torch", reason="the numbers need torch, transformers and accelerate")
    pytest.importorskip("transformers", reason="the numbers need torch, transformers and accelerate")
    pytest.importorskip("accelerate", reason="the numbers need torch, transformers and accelerate")
    _need_what_is_imported(page)
    if any(block.requirement for block in page.blocks):
        pytest.skip("its numbers are those of other releases: see test_numbers_of_other_releases")
    for block, printed, (scale, error, raised) in zip(page.blocks, page.numbers, _measured(page), strict=True):
        where = f"{page.path.name}:{block.row}"
        if block.role == "good":
            assert raised is None and error < EXACT, f"{where}: error {error:.2g}, {raised}"
        else:
            assert raised is not None or error > FAR, f"{where}: error {error:.2g}"
        measured = f"measured {scale:.3g} {error:.3g} {raised}"
        assert _as_printed(printed, scale, error, raised), f"{where}: {printed}, {measured}"


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.requirement for b in page.blocks)], ids=str)
def test_numbers_of_other_releases(page: Page) -> None:
    """They were measured by tests/releases, or are computed by the law that agrees with every measured one."""
    assert not any("error" in one.scale for one in page.numbers)
    for block, printed in zip(page.blocks, page.numbers, strict=True):
        version = block.requirement.rpartition("==")[2]
        scale = measured(block.measured, version) if block.measured else computed(block.computed, block.requirement)
        where = f"{page.path.name}:{block.row}"
        assert _agrees(printed.scale, scale), f"{where}: {scale}"
        assert printed.error == "" and (scale == 1) == (block.role == "good"), where


@pytest.mark.slow
@pytest.mark.usefixtures("loaded_trainer")
@pytest.mark.xdist_group("ranks")
@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_rewrite_of_bad_code_is_right(page: Page, tmp_path: Path) -> None:
    """What `fix` makes of a page's bad code equals the full batch too."""
    pytest.importorskip("torch", reason="the numbers need torch, transformers and accelerate")
    from testbed.numeric import measure

    bad = [block for block in page.blocks if block.role == "bad"]
    if "fix: none" in page.text.partition("## What it does")[0]:
        pytest.skip("the page says that there is no rewrite")
    _need_what_is_imported(page)
    rewritten = []
    for block in bad:
        path = tmp_path / "example.py"
        path.write_text(block.code)
        rewritten.append(fix(Fixture(path, tmp_path)))
        assert rewritten[-1] != block.code, f"{page.path.name}:{block.row} is not rewritten"
    results = measure(rewritten, ragged=bad[0].ragged, ranks=bad[0].ranks, rows=bad[0].rows)
    for result, text in zip(results, rewritten, strict=True):
        assert result.raised is None and result.error < EXACT, f"{result}\n{text}"


def _need_what_is_imported(page: Page) -> None:
    """Skip where a library that the page's code imports is not installed."""
    for block in page.blocks:
        for statement in ast.walk(ast.parse(block.code)):
            names = [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else []
            for name in names:
                pytest.importorskip(name.partition(".")[0], reason=f"the page's code imports {name}")


@functools.cache
def _measured(page: Page) -> list[tuple[float, float, str | None]]:
    from testbed.numeric import measure

    [(ragged, ranks, rows)] = {(block.ragged, block.ranks, block.rows) for block in page.blocks}
    results = measure([block.code for block in page.blocks], ragged=ragged, ranks=ranks, rows=rows)
    return [(m.scale, m.error, m.raised) for m in results]


def _as_printed(printed: Printed, scale: float, error: float, raised: str | None) -> bool:
    if raised is not None:
        return printed == Printed(printed.role, raised, "")
    return _agrees(printed.scale, scale) and _agrees(printed.error, error)


def _agrees(text: str, value: float) -> bool:
    if text.startswith("<"):
        return value < float(text.removeprefix("<"))
    return math.isclose(float(text), value, rel_tol=PRINTED)


@pytest.mark.slow
@pytest.mark.usefixtures("loaded_trainer")
@pytest.mark.xdist_group("ranks")
class TestOracle:
    """The measure itself: broken must be far off, and truth must be truth."""

    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        pytest.importorskip("torch", reason="the oracle is plain torch")

    def test_equal_counts_hide_the_fault(self) -> None:
        """The reason for ragged data: on equal counts the mean of means is exact."""
        from testbed.numeric import measure

        page = next(page for page in PAGES if page.code == "GA101")
        bad = [block.code for block in page.blocks if block.role == "bad"]
        assert measure(bad, ragged=False)[0].error < EXACT
        assert measure(bad, ragged=True)[0].error > FAR

    def test_one_row_tells_a_shifted_count_from_an_unshifted_one(self) -> None:
        from testbed.numeric import measure

        page = next(page for page in PAGES if page.code == "GA101")
        good = next(block.code for block in page.blocks if block.role == "good")
        unshifted = good.replace('(batch["labels"][:, 1:] != -100).sum() for', '(batch["labels"] != -100).sum() for')
        assert unshifted != good
        assert measure([unshifted])[0].error > FAR
