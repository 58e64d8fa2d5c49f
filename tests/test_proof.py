"""Is every rewrite that would harm the code stopped before it is written?"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest

from ga_lint.diagnostics import Confidence, Effect, EffectKind, Finding, FixRequest, FixTier, Severity
from ga_lint.engine.fix_file import Answer, FixOutcome, Judgement, Trial, fix_file
from ga_lint.engine.proof import prove
from ga_lint.errors import FixNotApplicable
from ga_lint.fixers import Rewrite
from ga_lint.source import Position, SourceFile, Span, decode
from testbed.rewriting import PATH, source_of

TWICE = """def train(loss, steps):
    # the first division
    loss = loss / steps  # twice
    backward(loss / steps)
    return loss
"""


def row(number: int) -> Span:
    return Span(Position(number, 1), Position(number, 200))


def finding(span: Span, code: str = "GA103", scope: str = "train", fix: FixRequest | None = None) -> Finding:
    effect = Effect(EffectKind.SCALE, "gradients are too small")
    return Finding(
        code,
        "double-division",
        Severity.ERROR,
        Confidence.CERTAIN,
        "divided twice",
        span,
        "here",
        effect,
        scope,
        fix=fix,
    )


def double_divisions(source: SourceFile, tier: FixTier = FixTier.SAFE) -> list[Finding]:
    """A rule in small: every division by the steps but one is too many."""
    spans = [
        Span(Position(number, match.start() + 1), Position(number, match.end() + 1))
        for number, line in enumerate(source.lines, 1)
        for match in re.finditer(r"loss / steps", line)
    ]
    request = [FixRequest("drop-division", tier, "drop it", (("division", span),)) for span in spans]
    return [finding(span, fix=fix) for span, fix in zip(spans, request, strict=True)][: max(0, len(spans) - 1)]


def reason(after: str, *touched: Span, before: str = TWICE, check: Callable[[SourceFile], Sequence[Finding]]) -> str:
    source = source_of(before)
    found = double_divisions(source)
    with pytest.raises(FixNotApplicable) as refused:
        prove(source, Rewrite(after, touched), found[0], found, check)
    return str(refused.value)


def clean(_: SourceFile) -> list[Finding]:
    return []


GOOD = TWICE.replace("    loss = loss / steps  # twice\n", "    # twice\n")


def test_a_good_rewrite_passes() -> None:
    source = source_of(TWICE)
    found = double_divisions(source)
    assert prove(source, Rewrite(GOOD, (row(3),)), found[0], found, double_divisions).text == GOOD


def test_what_does_not_compile() -> None:
    assert "would not compile" in reason(TWICE.replace("loss / steps  #", "loss /  #"), row(3), check=clean)
    assert "would not compile" in reason(TWICE + "    yield\n    await x\n", check=clean)


def test_a_lost_comment() -> None:
    after = GOOD.replace("    # twice\n", "")
    assert reason(after, row(3), check=clean) == "the rewrite would lose a comment: # twice"


def test_another_line_than_meant() -> None:
    after = GOOD.replace("return loss", "return  loss")
    assert reason(after, row(3), check=clean) == "the rewrite would also change line 5"
    after = GOOD.replace("backward(loss", "backward( loss")
    assert reason(after, row(3), check=clean) == "the rewrite would also change line 4"


def test_another_line_end_than_meant() -> None:
    before = TWICE.replace("\n", "\r\n")
    after = GOOD.replace("\n", "\r\n").replace("return loss\r\n", "return loss\n")
    assert reason(after, row(3), before=before, check=clean) == "the rewrite would also change line 5"


def test_another_line_end_than_meant_where_the_last_line_has_none() -> None:
    before = TWICE.rstrip("\n").replace("\n", "\r\n")
    after = GOOD.rstrip("\n").replace("\n", "\r\n").replace("steps)\r\n", "steps)\n")
    assert reason(after, row(3), before=before, check=clean) == "the rewrite would also change line 4"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
class TestLastLine:
    """A last line without an end may get one when something comes below it, and nothing else."""

    @staticmethod
    def texts(end: str, after: str) -> tuple[SourceFile, str]:
        return source_of(TWICE.rstrip("\n").replace("\n", end)), after.rstrip("\n").replace("\n", end)

    def proved(self, before: SourceFile, after: str) -> str:
        found = double_divisions(before)
        return prove(before, Rewrite(after, (row(3),)), found[0], found, clean).text

    def test_something_below_it(self, end: str) -> None:
        before, after = self.texts(end, GOOD + "\n\ndef other():\n    pass")
        assert self.proved(before, after) == after

    def test_nothing_below_it(self, end: str) -> None:
        before, after = self.texts(end, GOOD)
        assert self.proved(before, after) == after

    def test_another_one(self, end: str) -> None:
        before, after = self.texts(end, GOOD.replace("return loss", "return  loss"))
        with pytest.raises(FixNotApplicable, match="would also change line 5"):
            self.proved(before, after)
        longer = self.texts(end, GOOD.replace("return loss", "return  loss") + "\n\ndef other():\n    pass")[1]
        with pytest.raises(FixNotApplicable, match="would also change line 5"):
            self.proved(before, longer)

    def test_a_line_that_had_an_end_keeps_it(self, end: str) -> None:
        closed = source_of(TWICE.replace("\n", end))
        with pytest.raises(FixNotApplicable, match="would also change line 5"):
            self.proved(closed, self.texts(end, GOOD)[1])


def test_blank_lines_may_go() -> None:
    before = TWICE.replace("    loss = loss / steps", "\n    loss = loss / steps")
    source = source_of(before)
    found = double_divisions(source)
    assert prove(source, Rewrite(GOOD, (row(4),)), found[0], found, clean).text == GOOD


def test_a_warning_of_the_compiler_is_no_refusal_and_no_output(recwarn: pytest.WarningsRecorder) -> None:
    before = TWICE.replace("    return loss", "    return loss is 1")
    source = source_of(before)
    found = double_divisions(source)
    after = GOOD.replace("    return loss", "    return loss is 1")
    assert prove(source, Rewrite(after, (row(3),)), found[0], found, clean).text == after
    assert not recwarn


def test_an_unused_suppression_goes_with_its_comment() -> None:
    before = TWICE.replace("# twice", "# ga-lint: ignore[GA101]")
    source = source_of(before)
    unused = finding(row(3), code="GA002")
    after = before.replace("  # ga-lint: ignore[GA101]", "")
    assert prove(source, Rewrite(after, (row(3),)), unused, [unused], clean).text == after


COLLISIONS = {
    "a global that a function reads": (
        "import torch\n\ndef train(loss, steps):\n    return torch.share(loss) + share\n",
        "    share = 1\n    return torch",
    ),
    "a builtin": ("def train(loss, steps):\n    return max(loss, 1)\n", "    max = 1\n    return max"),
    "what an import would bind": ("def train(loss, steps):\n    return math.e\n", "    import math\n    return math"),
}


@pytest.mark.parametrize(("before", "new"), COLLISIONS.values(), ids=COLLISIONS)
def test_a_name_that_meant_something_else(before: str, new: str) -> None:
    before += "\n" + TWICE.replace("train", "other")
    last = new.strip().split()[-1].partition(".")[0]
    after = before.replace(f"    return {last}", new, 1)
    assert after != before
    assert "is in use already" in reason(after, before=before, check=clean)


def test_a_parameter_would_mean_something_else() -> None:
    before = "scale = 2\n\ndef other(loss):\n    return loss * scale\n\n" + TWICE
    after = before.replace("def other(loss)", "def other(loss, scale)")
    assert reason(after, row(3), before=before, check=clean) == "the name scale is in use already"


def test_an_attribute_of_a_class_is_not_what_its_methods_read() -> None:
    """They read the builtin, which a name of the module's would hide."""
    before = "class Window:\n    max = 8\n\n    def cap(self, n):\n        return max(n, 1)\n\n" + TWICE
    assert reason("max = 9\n" + before, before=before, check=clean) == "the name max is in use already"


def test_a_name_of_its_own_in_each_function_collides_with_nothing() -> None:
    before = TWICE + "\n\ndef other(share):\n    return [share for share in share]\n"
    after = before.replace("    # the first", "    share = 1\n    print(share)\n    # the first")
    source = source_of(before)
    found = double_divisions(source)
    assert prove(source, Rewrite(after, ()), found[0], found, clean)


def test_a_name_is_taken_where_an_inner_function_reads_it() -> None:
    """`share` of the module is read two functions further in; bound in between it would be another."""
    before = (
        "share = 2\n\ndef outer(loss, steps):\n    def inner():\n        return share\n    return inner()\n\n" + TWICE
    )
    after = before.replace("    def inner", "    share = 1\n    def inner", 1)
    assert reason(after, before=before, check=clean) == "the name share is in use already"


def test_a_name_that_an_inner_function_binds_itself_is_free_outside() -> None:
    before = (
        "def outer(loss, steps):\n    def inner():\n        share = 3\n        return share\n    return inner()\n\n"
        + TWICE
    )
    source = source_of(before)
    found = double_divisions(source)
    after = before.replace("    def inner", "    share = 1\n    print(share)\n    def inner", 1)
    assert prove(source, Rewrite(after, ()), found[0], found, clean).text == after


def test_two_functions_of_one_name_are_two_scopes() -> None:
    """Only the second reads the global; a name that is new in the first collides with nothing."""
    twin = "def twin(loss, steps):\n    return {}\n\n"
    before = "share = 2\n\n" + twin.format("loss") + twin.format("share") + TWICE
    source = source_of(before)
    found = double_divisions(source)
    after = before.replace("    return loss", "    share = 1\n    return loss + share", 1)
    assert prove(source, Rewrite(after, (row(4),)), found[0], found, clean).text == after
    second = before.replace("    return share", "    share = 1\n    return share", 1)
    assert reason(second, before=before, check=clean) == "the name share is in use already"
    before = "share = 2\n\n" + twin.format("share") + twin.format("loss") + TWICE
    first = before.replace("    return share", "    share = 1\n    return share", 1)
    assert reason(first, before=before, check=clean) == "the name share is in use already"


def test_a_finding_that_stays() -> None:
    assert reason(GOOD, row(3), check=lambda _: [finding(row(4))]) == "GA103 would still be reported"


def test_a_new_finding() -> None:
    fresh = [finding(row(4), code="GA202", scope="train")]
    assert reason(GOOD, row(3), check=lambda _: fresh) == "the rewrite would bring GA202 in train"
    assert "in the module" in reason(GOOD, row(3), check=lambda _: [finding(row(4), code="GA202", scope="")])


def test_a_text_that_the_encoding_cannot_hold() -> None:
    source = decode(PATH, b"# -*- coding: ascii -*-\n" + TWICE.encode())
    found = double_divisions(source)
    with pytest.raises(FixNotApplicable, match="cannot be written in ascii"):
        prove(source, Rewrite(source.text + "# \u2211\n", ()), found[0], found, clean)


def test_a_coding_line_that_would_not_count_any_more() -> None:
    source = decode(PATH, b"# coding: latin-1\n" + TWICE.encode() + b"# \xe9\n")
    found = double_divisions(source)
    with pytest.raises(FixNotApplicable, match="cannot be written in latin-1"):
        prove(source, Rewrite(f"import os\nimport re\n{source.text}", ()), found[0], found, clean)


class TestOrder:
    """Nothing is used above the line that binds it, by what runs at once."""

    TOP = "for batch in loader:\n    loss / steps\n    loss / steps\nimport os\n"

    def reason(self, after: str) -> str:
        source = source_of(self.TOP)
        found = double_divisions(source)
        with pytest.raises(FixNotApplicable) as refused:
            prove(source, Rewrite(after, (row(1), row(2))), found[0], found, clean)
        return str(refused.value)

    def test_a_definition_below_its_use(self) -> None:
        after = "for batch in Wrapped(loader):\n    loss / steps\nimport os\nclass Wrapped:\n    pass\n"
        assert self.reason(after) == "Wrapped would be used above the line that binds it"

    def test_an_import_below_the_function_that_needs_it(self) -> None:
        """Whoever calls it between the two fails."""
        after = "def f():\n    math.e\nfor batch in f():\n    loss / steps\nimport math\nimport os\n"
        assert self.reason(after) == "math would be used above the line that binds it"

    def test_an_import_of_the_users_below_its_new_use(self) -> None:
        after = "for batch in os.scandir(loader):\n    loss / steps\nimport os\n"
        assert self.reason(after) == "os would be used above the line that binds it"

    def test_a_use_that_was_there_is_the_users(self) -> None:
        source = source_of("os.sep\n" + self.TOP)
        found = double_divisions(source)
        after = source.text.replace("    loss / steps\n", "", 1)
        assert prove(source, Rewrite(after, (row(3), row(4))), found[0], found, clean).text == after


class TestFile:
    """One finding after another."""

    MANY = TWICE + TWICE.replace("train", "again").replace("twice", "once more")

    @staticmethod
    def fix(text: str, tier: FixTier = FixTier.SAFE, **options: object) -> FixOutcome:
        check = lambda source: double_divisions(source, tier)  # noqa: E731
        return fix_file(source_of(text), check, **options)  # type: ignore[arg-type]

    def test_each_on_the_result_of_the_last(self) -> None:
        outcome = self.fix(self.MANY)
        assert len(outcome.applied) == 3
        assert outcome.after.text.count("/ steps") == 1
        assert not outcome.refused

    def test_a_second_run_changes_nothing(self) -> None:
        once = self.fix(self.MANY)
        assert once.changed
        assert not self.fix(once.after.text).changed

    def test_what_cannot_be_rewritten_stays_with_its_reason_and_the_others_go_on(self) -> None:
        text = self.MANY.replace("    loss = loss / steps  # twice", "    a = 1; loss = loss / steps  # twice")
        outcome = self.fix(text)
        assert [refused.finding.span.start.row for refused in outcome.refused] == [3]
        assert "more than one statement" in outcome.refused[0].reason
        assert len(outcome.applied) == 2

    def test_a_finding_without_a_rewrite_says_why(self) -> None:
        outcome = fix_file(source_of(TWICE), lambda source: [finding(row(3))])
        assert [refused.reason for refused in outcome.refused] == ["there is no rewrite for it"]

    def test_unsafe_needs_the_flag_and_shows_what_it_would_be(self) -> None:
        left = self.fix(TWICE, FixTier.UNSAFE)
        assert not left.changed
        assert "--unsafe-fixes" in left.refused[0].reason
        proposed = left.refused[0].proposed
        assert proposed is not None
        assert proposed.source.text == self.fix(TWICE, FixTier.UNSAFE, unsafe=True).after.text

    def test_a_display_only_rewrite_is_never_written(self) -> None:
        outcome = self.fix(TWICE, FixTier.DISPLAY, unsafe=True, confirm=lambda _: Answer(Judgement.CONFIRMED))
        assert not outcome.changed
        assert outcome.refused[0].proposed is not None

    def test_a_confirmed_rewrite_is_written_without_the_flag(self) -> None:
        outcome = self.fix(TWICE, FixTier.UNSAFE, confirm=lambda _: Answer(Judgement.CONFIRMED))
        assert outcome.changed
        assert outcome.applied[0].verified == "confirmed"

    @pytest.mark.parametrize("tier", [FixTier.SAFE, FixTier.UNSAFE])
    def test_a_refuted_rewrite_is_never_written(self, tier: FixTier) -> None:
        asked: list[Trial] = []

        def refute(trial: Trial) -> Answer:
            asked.append(trial)
            return Answer(Judgement.REFUTED, "R2 is off by 0.5")

        outcome = self.fix(TWICE, tier, unsafe=True, confirm=refute)
        assert not outcome.changed
        assert "R2 is off by 0.5" in outcome.refused[0].reason
        assert asked[0].before.text == TWICE
        assert asked[0].after.text == GOOD

    def test_verified_only_leaves_what_is_not_confirmed(self) -> None:
        unknown = Answer(Judgement.UNKNOWN, "needs a model")
        outcome = self.fix(TWICE, verified_only=True, unsafe=True, confirm=lambda _: unknown)
        assert not outcome.changed
        assert "needs a model" in outcome.refused[0].reason
        assert self.fix(TWICE, verified_only=True, confirm=lambda _: Answer(Judgement.CONFIRMED)).changed

    def test_a_rule_that_never_has_enough_does_not_run_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each rewrite removes one of very many divisions; the run stops at its bound."""
        text = "def train(loss, steps):\n" + "    loss = loss / steps\n" * 9
        monkeypatch.setattr("ga_lint.engine.fix_file.MAX_REWRITES", 5)
        outcome = self.fix(text)
        assert len(outcome.applied) == 5


def test_a_name_that_means_nothing_is_refused() -> None:
    """It would compile, and fail when it runs."""
    assert "count would mean nothing" in reason(
        GOOD.replace("loss / steps", "loss / count"), row(3), row(4), check=clean
    )
    top = "print(count)\n"
    assert "count would mean nothing" in reason(top + GOOD, row(1), row(3), check=clean)
    known = TWICE.replace("def train", "count = 2\n\n\ndef train")
    source, found = source_of(known), double_divisions(source_of(known))
    after = GOOD.replace("def train", "count = 2\n\n\ndef train").replace("loss / steps", "loss / count")
    assert prove(source, Rewrite(after, (row(6), row(7))), found[0], found, clean).text == after


KNOWN = {
    "a global that a function declares": "def init():\n    global count\n    count = 2\n\n\n",
    "an import": "import math as count\n\n\n",
    "a function": "def count():\n    pass\n\n\n",
    "an exception's name": "try:\n    pass\nexcept ValueError as count:\n    pass\n\n\n",
    "a class": "class count:\n    pass\n\n\n",
}


@pytest.mark.parametrize("above", KNOWN.values(), ids=KNOWN)
def test_a_name_that_the_module_binds_in_some_way_is_known(above: str) -> None:
    source = source_of(above + TWICE)
    found = double_divisions(source)
    rows = tuple(finding.span for finding in found), row(source.text.count("\n") - 1)
    after = above + GOOD.replace("loss / steps", "loss / count")
    assert prove(source, Rewrite(after, (*rows[0], rows[1])), found[0], found, clean).text == after


def test_what_another_function_binds_is_unknown_here() -> None:
    above = "def other():\n    count = 2\n    return count\n\n\n"
    after = above + GOOD.replace("loss / steps", "loss / count")
    assert reason(after, row(8), row(9), before=above + TWICE, check=clean) == "the name count would mean nothing there"


def test_the_name_of_the_file_is_known() -> None:
    source = source_of(TWICE)
    found = double_divisions(source)
    after = GOOD.replace("loss / steps", "loss / len(__file__)")
    assert prove(source, Rewrite(after, (row(3), row(4))), found[0], found, clean).text == after
