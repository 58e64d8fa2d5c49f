"""Which comments silence which findings, and which silence none?"""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.config import Config, ConfigFinder, Flags, Selection
from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, Severity
from ga_lint.engine.run import check
from ga_lint.engine.scope import Scope
from ga_lint.engine.settle import settle
from ga_lint.outcome import Clean, Found, Skipped, SkipReason
from ga_lint.project import Project
from ga_lint.source import Position, Span, decode
from ga_lint.syntax.parsed import parse
from testbed.shell import BROKEN, HIT, ga_lint, write

PLAIN = """\
def train():
    loss = mean(  # the finding starts here
        outputs,
    )
    return loss
"""


def finding(code: str, row: int, confidence: Confidence = Confidence.CERTAIN) -> Finding:
    return Finding(
        code=code,
        name={"GA101": "mean-of-means", "GA103": "double-division"}[code],
        severity=Severity.WARNING,
        confidence=confidence,
        message="wrong",
        span=Span(Position(row, 1), Position(row, 2)),
        label="here",
        effect=Effect(EffectKind.WEIGHTS, "weights"),
        scope="",
    )


def settled(text: str, *findings: Finding, select: tuple[str, ...] = ("GA",)) -> list[str]:
    """What is reported: `code:row`, for unused suppressions with their message."""
    source = decode(Path("x.py"), text.encode())
    scope = Scope(Config(root=Path.cwd(), selections=(Selection(select),)), Project(Path.cwd()))
    outcome = settle(source, parse(source).tree, findings, scope, ran=scope.codes)
    if isinstance(outcome, Clean):
        return []
    assert isinstance(outcome, Found)
    reported = []
    for diagnostic in outcome.diagnostics:
        found = diagnostic.finding
        more = f" {found.message}" if found.code == "GA002" else ""
        reported.append(f"{found.code}:{found.span.start.row}{more}")
    return reported


def test_nothing_is_suppressed_without_a_comment() -> None:
    assert settled(PLAIN, finding("GA101", 2)) == ["GA101:2"]


class TestPlaces:
    @pytest.mark.parametrize("row", [2, 3, 4])
    def test_any_physical_line_of_the_statement(self, row: int) -> None:
        lines = PLAIN.splitlines()
        lines[row - 1] = lines[row - 1].split("  #")[0] + "  # ga-lint: ignore[GA101] equal lengths"
        assert settled("\n".join(lines), finding("GA101", 2)) == []

    def test_alone_on_the_line_above(self) -> None:
        text = PLAIN.replace("    loss", "    # ga-lint: ignore[GA101] equal lengths\n    # more words\n\n    loss")
        assert settled(text, finding("GA101", 5)) == []

    def test_the_next_statement_alone(self) -> None:
        text = "# ga-lint: ignore[GA101]\na = 1\nb = 2\n"
        assert settled(text, finding("GA101", 2), finding("GA101", 3)) == ["GA101:3"]

    def test_a_noqa_speaks_for_its_own_line(self) -> None:
        assert "GA101:2" in settled("# noqa: GA101\na = 1\n", finding("GA101", 2))
        assert settled("b = 1\na = 1  # noqa:GA101\n", finding("GA101", 2)) == []

    def test_other_statements_are_not_meant(self) -> None:
        text = PLAIN.replace("return loss", "return loss  # ga-lint: ignore[GA101]")
        assert settled(text, finding("GA101", 2)) == ["GA101:2", "GA002:5 suppresses nothing: GA101"]

    def test_a_header_does_not_speak_for_its_body(self) -> None:
        text = "for x in y:  # ga-lint: ignore[GA101]\n    loss = x\n"
        assert settled(text, finding("GA101", 2)) == ["GA002:1 suppresses nothing: GA101", "GA101:2"]

    def test_a_finding_on_a_header_of_many_lines(self) -> None:
        text = "@wrapped\ndef f(\n    a,\n):  # ga-lint: ignore[GA101]\n    # words\n    return a\n"
        assert settled(text, finding("GA101", 2)) == []
        above = "# ga-lint: ignore[GA101]\n@wrapped\ndef f(a):\n    return a\n"
        assert settled(above, finding("GA101", 3)) == []

    def test_a_comment_below_a_header_is_the_bodys(self) -> None:
        text = "for x in y:\n    # ga-lint: ignore[GA101]\n    loss = x\n"
        assert settled(text, finding("GA101", 1)) == ["GA101:1", "GA002:2 suppresses nothing: GA101"]
        assert settled(text, finding("GA101", 3)) == []

    def test_blocks(self) -> None:
        text = "a = 1\n# ga-lint: disable[GA1]\nb = 2\n# ga-lint: enable[GA101]\nc = 3\n"
        found = [finding("GA101", row) for row in (1, 3, 5)] + [finding("GA103", 5)]
        assert settled(text, *found) == ["GA101:1", "GA101:5"]

    def test_a_block_begins_with_the_row_of_its_comment(self) -> None:
        assert settled("a = 1  # ga-lint: disable[GA101]\n", finding("GA101", 1)) == []

    def test_two_comments_can_be_in_force_at_once(self) -> None:
        text = "# ga-lint: disable[GA101]\n# ga-lint: disable[GA1]\na = 1\n"
        assert settled(text, finding("GA101", 3)) == []

    def test_an_enable_ends_no_file_ignore(self) -> None:
        text = "# ga-lint: file-ignore[GA101]\na = 1\n# ga-lint: enable[GA101]\nb = 2\n"
        assert settled(text, finding("GA101", 4)) == []

    def test_whole_file(self) -> None:
        text = "a = 1\nb = 2  # ga-lint: file-ignore[GA101]\n"
        assert settled(text, finding("GA101", 1), finding("GA103", 1)) == ["GA103:1"]

    def test_a_bare_file_ignore_takes_the_file_out(self) -> None:
        source = decode(Path("x.py"), b"# ga-lint: file-ignore generated\na = 1\n")
        scope = Scope(Config(root=Path.cwd()), Project(Path.cwd()))
        assert settle(source, parse(source).tree, [], scope, ran=scope.codes) == Skipped(
            Path("x.py"), SkipReason.GENERATED
        )


class TestWords:
    @pytest.mark.parametrize(
        "comment",
        [
            "# ga-lint: ignore[GA101]",
            "#ga-lint:ignore[ GA103 , GA101 ] both",
            "# ga-lint: ignore[mean-of-means]",
            "# ga-lint: ignore[GA1]",
            "# ga-lint: ignore",
            "# type: ignore # ga-lint: ignore[GA101]",
            "# noqa",
            "# NoQA: E501,GA101",
            "# noqa:GA101 E501",
            "# noqa: ga101",
            "# words # noqa: GA101 because",
        ],
    )
    def test_spellings(self, comment: str) -> None:
        assert "GA101:1" not in settled(f"a = 1  {comment}\n", finding("GA101", 1))

    @pytest.mark.parametrize(
        "text",
        [
            "a = '# ga-lint: ignore[GA101]'",
            'a = """\n# noqa\n"""',
            "a = 1  # write ga-lint: ignore[GA101] to silence it",
            "a = 1  # noqa: E501",
            "a = 1  # noqable",
            "a = 1  # noqa : words",
        ],
    )
    def test_what_is_no_suppression(self, text: str) -> None:
        assert settled(text, finding("GA101", 1)) == ["GA101:1"]


class TestUnused:
    @pytest.mark.parametrize(
        ("comment", "message"),
        [
            ("# ga-lint: ignore[GA101]", "suppresses nothing: GA101"),
            ("# ga-lint: ignore[GA101, GA103]", "suppresses nothing: GA101, GA103"),
            ("# ga-lint: ignore", "suppresses nothing"),
            ("# ga-lint: disable[GA1]", "suppresses nothing: GA1"),
            ("# ga-lint: file-ignore[GA1]", "suppresses nothing: GA1"),
            ("# noqa: GA101", "suppresses nothing: GA101"),
            ("# ga-lint: ignore[GA999]", "no rule is called GA999"),
            ("# ga-lint: ignore[GA998, GA999]", "no rule is called GA998, GA999"),
            ("# ga-lint: ignroe[GA101]", "'ignroe' is no directive; did you mean 'ignore'?"),
            ("# ga-lint: noqa", "'noqa' is no directive; known are ignore, disable, enable, file-ignore"),
        ],
    )
    def test_told(self, comment: str, message: str) -> None:
        assert settled(f"a = 1  {comment}\n") == [f"GA002:1 {message}"]

    def test_one_of_two_codes(self) -> None:
        text = "a = 1  # ga-lint: ignore[GA101, GA103]\n"
        assert settled(text, finding("GA101", 1)) == ["GA002:1 suppresses nothing: GA103"]

    def test_a_bare_comment_that_silences_something(self) -> None:
        assert settled("a = 1  # ga-lint: ignore\n", finding("GA101", 1)) == []

    def test_what_tells_of_unused_comments_can_be_silenced_itself(self) -> None:
        assert settled("a = 1  # ga-lint: ignore[GA002]\n") == []

    def test_only_for_rules_that_ran(self) -> None:
        assert settled("a = 1  # ga-lint: ignore[GA103]\n", select=("GA101", "GA002")) == []
        assert settled("a = 1  # ga-lint: ignore\n", select=("GA101", "GA002")) == []

    def test_only_if_it_is_on(self) -> None:
        assert settled("a = 1  # ga-lint: ignore[GA101]\n", select=("GA1",)) == []

    def test_a_bare_noqa_is_somebody_elses(self) -> None:
        assert settled("import a  # noqa\nb = 1  # ga-lint: enable[GA101]\n") == []

    def test_a_finding_below_the_confidence_counts(self) -> None:
        assert settled("a = 1  # ga-lint: ignore[GA101]\n", finding("GA101", 1, Confidence.POSSIBLE)) == []


def test_the_row_where_a_suppression_would_go_and_the_fingerprint() -> None:
    def diagnose(text: str, row: int) -> tuple[int, str]:
        source = decode(Path("x.py"), text.encode())
        scope = Scope(Config(root=Path.cwd()), Project(Path.cwd()))
        outcome = settle(source, parse(source).tree, [finding("GA101", row)], scope, ran=scope.codes)
        assert isinstance(outcome, Found)
        return outcome.diagnostics[0].noqa_row, outcome.diagnostics[0].fingerprint

    row, fingerprint = diagnose(PLAIN, 2)
    moved_row, moved = diagnose("import os\n\n" + PLAIN.replace("(  # the finding starts here\n        ", "("), 4)
    assert (row, moved_row) == (4, 5)
    assert moved == fingerprint  # neither place nor layout nor comments matter
    assert diagnose(PLAIN.replace("outputs", "inputs"), 2)[1] != fingerprint


def test_equal_statements_have_fingerprints_of_their_own() -> None:
    source = decode(Path("x.py"), b"a = 1\na = 1\n")
    scope = Scope(Config(root=Path.cwd()), Project(Path.cwd()))
    outcome = settle(source, parse(source).tree, [finding("GA101", 1), finding("GA101", 2)], scope, ran=scope.codes)
    assert isinstance(outcome, Found)
    assert len({diagnostic.fingerprint for diagnostic in outcome.diagnostics}) == 2


def fixed(text: str, tmp_path: Path) -> str:
    """The text after `ga-lint fix`, which must have nothing left to say about it."""
    (tmp_path / "a.py").write_bytes(text.encode())
    ran = ga_lint("fix", "a.py", cwd=tmp_path)
    assert ran.code == 0, ran.err
    return (tmp_path / "a.py").read_bytes().decode()


class TestRemovingWhatSuppressesNothing:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("x = 1  # ga-lint: ignore[GA101] equal lengths  \ny = 2\n", "x = 1\ny = 2\n"),
            ("x = 1  # ga-lint: ignore[GA101]", "x = 1"),
            ("x = 1\r\n    # ga-lint: ignore[GA101]\r\ny = 2\r\n", "x = 1\r\ny = 2\r\n"),
            ("x = 1  # type: ignore # ga-lint: ignore[GA101]\n", "x = 1  # type: ignore\n"),
            ("x = 1  # ga-lint: ignore[GA101] why # type: ignore\n", "x = 1  # type: ignore\n"),
            ("x = 1  # noqa: GA101, E501 words\n", "x = 1  # noqa: E501 words\n"),
            ("x = 1  # noqa: GA101\n", "x = 1\n"),
            ("# ga-lint: disable[GA1]\nx = 1\n", "x = 1\n"),
            ("x = '# ga-lint: ignore[GA101]'  # ga-lint: ignore\n", "x = '# ga-lint: ignore[GA101]'\n"),
            ("def f():\n    # ga-lint: ignore[GA101]\n    pass\n", "def f():\n    pass\n"),
        ],
    )
    def test_it_goes_and_nothing_else(self, before: str, after: str, tmp_path: Path) -> None:
        assert fixed(before, tmp_path) == after

    def test_what_is_used_stays(self, tmp_path: Path) -> None:
        used = HIT.replace("# expect: GA103", "# ga-lint: ignore[GA103, GA201] why")
        assert fixed(used, tmp_path) == used.replace("GA103, GA201", "GA103")

    @pytest.mark.parametrize("comment", ["# ga-lint: ignore[GA999]", "# ga-lint: ignroe[GA101]"])
    def test_a_slip_of_the_pen_is_not_taken_away(self, comment: str, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": f"x = 1  {comment}\n"})
        ran = ga_lint("fix", "a.py", cwd=tmp_path)
        assert ran.code == 1
        assert "correct the word by hand" in ran.out
        assert (tmp_path / "a.py").read_text() == f"x = 1  {comment}\n"


class TestAddIgnore:
    def test_everything_is_silenced_and_no_code_changes(self, tmp_path: Path) -> None:
        write(tmp_path, {"hit.py": HIT.replace("\n", "\r\n"), "broken.py": BROKEN})
        ran = ga_lint("check", "--add-ignore= equal  lengths", "hit.py", cwd=tmp_path)
        assert ran.code == 0
        assert "silenced 1 finding in 1 file" in ran.err
        line = "            loss /= cfg.accum  # expect: GA103  # ga-lint: ignore[GA103] equal lengths\r\n"
        assert line.encode() in (tmp_path / "hit.py").read_bytes()
        assert ga_lint("check", "hit.py", cwd=tmp_path).code == 0
        again = (tmp_path / "hit.py").read_bytes()
        assert ga_lint("check", "--add-ignore", "hit.py", cwd=tmp_path).code == 0
        assert (tmp_path / "hit.py").read_bytes() == again
        assert ga_lint("check", "--add-ignore", cwd=tmp_path).code == 1  # nothing silences text that is no Python

    def test_a_directive_that_is_there_takes_the_code_in(self, tmp_path: Path) -> None:
        write(tmp_path, {"hit.py": HIT.replace("# expect: GA103", "# ga-lint: ignore[GA101] why")})
        ga_lint("check", "--add-ignore", "--select", "GA103", cwd=tmp_path)
        assert "loss /= cfg.accum  # ga-lint: ignore[GA101, GA103] why\n" in (tmp_path / "hit.py").read_text()

    def test_a_statement_of_many_lines(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            {"hit.py": HIT.replace("loss /= cfg.accum", "loss /= (\n                cfg.accum\n            )")},
        )
        assert ga_lint("check", "--add-ignore", cwd=tmp_path).code == 0
        assert "            )  # expect: GA103  # ga-lint: ignore[GA103]\n" in (tmp_path / "hit.py").read_text()

    def test_not_on_stdin(self, tmp_path: Path) -> None:
        assert ga_lint("check", "--add-ignore", "-", cwd=tmp_path).code == 2


def test_looking_behind_suppressions(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.py": HIT.replace("# expect: GA103", "# noqa: GA103"),
            "b.py": f"# ga-lint: file-ignore\n{HIT}",
            "c.py": "x = 1  # ga-lint: ignore[GA101]\n",
        },
    )
    words = ["check", "--output-format", "concise"]
    assert [line[:4] for line in ga_lint(*words, cwd=tmp_path).out.splitlines()] == ["c.py"]
    behind = ga_lint(*words, "--ignore-suppressions", cwd=tmp_path).out
    assert [line[:4] for line in behind.splitlines()] == ["a.py", "b.py"]


def test_comments_hold_for_whoever_asks_for_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text(HIT.replace("# expect: GA103", "# ga-lint: ignore[GA103]"))
    assert not check([path], ConfigFinder()).diagnostics
    assert check([path], ConfigFinder(Flags(ignore_suppressions=True))).diagnostics
