"""Which settings hold for a file, and what happens when a configuration is wrong?"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest

from ga_lint.config import Config, ConfigError, ConfigFinder, Flags, Selection, read_config
from ga_lint.config_schema import DESCRIPTIONS, schema
from ga_lint.diagnostics import Confidence
from ga_lint.engine.own_rules import known_rules
from ga_lint.engine.select import refuse_unknown, selected
from ga_lint.errors import UsageError
from ga_lint.knowledge.model import TABLES
from testbed.schema import SHIPPED, generated
from testbed.shell import BROKEN, ga_lint, write

ALL = {
    "pyproject.toml": """
[tool.ga-lint]
select = ["GA1"]
ignore = ["GA103"]
extend-select = ["GA201"]
exclude = ["third_party"]
extend-exclude = ["gen_*"]
min-confidence = "possible"
transformers-version = ">=4.53"
respect-gitignore = false
[tool.ga-lint.per-file-ignores]
"tests/**" = ["GA1"]
[tool.ga-lint.knowledge.losses."mylib.lm_loss"]
reduction = "mean"
level = "token"
"""
}


def read(folder: Path, text: str) -> Config | None:
    write(folder, {"pyproject.toml": text})
    return read_config(folder / "pyproject.toml", root=folder)


def test_every_key_is_read(tmp_path: Path) -> None:
    write(tmp_path, ALL)
    assert read_config(tmp_path / "pyproject.toml", root=tmp_path) == Config(
        root=tmp_path,
        source=tmp_path / "pyproject.toml",
        selections=(Selection(("GA1",), ("GA103",), ("GA201",)),),
        exclude=("third_party",),
        extend_exclude=("gen_*",),
        respect_gitignore=False,
        min_confidence=Confidence.POSSIBLE,
        transformers_version=">=4.53",
        per_file_ignores=(("tests/**", ("GA1",)),),
        knowledge={"losses": {"mylib.lm_loss": {"reduction": "mean", "level": "token"}}},
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.ga-lint]\nselct = []", "[tool.ga-lint] has no key 'selct'; did you mean 'select'?"),
        ("[tool.ga-lint]\nselect = 'GA1'", "tool.ga-lint.select must be a list of strings"),
        ("[tool.ga-lint]\nselect = [1]", "tool.ga-lint.select must be a list of strings"),
        ("[tool.ga-lint]\nrespect-gitignore = 1", "tool.ga-lint.respect-gitignore must be true or false"),
        (
            "[tool.ga-lint]\nmin-confidence = 'sure'",
            "tool.ga-lint.min-confidence must be one of possible, likely, certain",
        ),
        ("[tool.ga-lint]\ntransformers-version = 4.53", "tool.ga-lint.transformers-version must be a string"),
        (
            "[tool.ga-lint]\ntransformers-version = 'newest'",
            "tool.ga-lint.transformers-version must be a release, as 4.53.3, or a range, as '>=4.46,<4.54'",
        ),
        ("[tool.ga-lint]\nper-file-ignores = []", "tool.ga-lint.per-file-ignores must be a table"),
        ("[tool.ga-lint.knowledge]\nlosses = 1", "tool.ga-lint.knowledge.losses must be a table"),
        ("[tool]\nga-lint = 3", "tool.ga-lint must be a table"),
        ("[tool.ga-lint", "not valid TOML: Expected ']' at the end of a table declaration"),
    ],
)
def test_a_mistake_names_file_key_and_remedy(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'pyproject.toml'}: {message}")


def test_a_file_without_our_table_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "[tool.ruff]\n") is None
    assert read(tmp_path, "[not toml") is None  # nobody asked us
    assert read(tmp_path, "dependencies = ['ga-lint']\n") is None


class TestWhichFile:
    def test_the_nearest_with_a_table(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            {
                "pyproject.toml": "[tool.ga-lint]\nmin-confidence = 'certain'\n",
                "a/pyproject.toml": "[tool.ga-lint]\nmin-confidence = 'possible'\n",
                "a/b/pyproject.toml": "[tool.ruff]\n",
                "c/x.py": "",
            },
        )
        finder = ConfigFinder()
        assert finder.of_folder(tmp_path / "a" / "b").min_confidence is Confidence.POSSIBLE
        assert finder.of_folder(tmp_path / "c").min_confidence is Confidence.CERTAIN
        assert finder.of_folder(tmp_path / "c").root == tmp_path

    def test_our_own_file_wins_in_a_folder(self, tmp_path: Path) -> None:
        write(tmp_path, {"ga-lint.toml": "min-confidence = 'certain'\n", **ALL})
        assert ConfigFinder().of_folder(tmp_path).min_confidence is Confidence.CERTAIN

    def test_isolated_and_given(self, tmp_path: Path) -> None:
        write(tmp_path, {**ALL, "other.toml": "[tool.ga-lint]\nmin-confidence = 'certain'\n"})
        assert ConfigFinder(isolated=True).of_folder(tmp_path).min_confidence is Confidence.LIKELY
        given = ConfigFinder(file=tmp_path / "other.toml")
        assert given.of_folder(tmp_path).min_confidence is Confidence.CERTAIN

    def test_a_given_file_must_have_the_table(self, tmp_path: Path) -> None:
        write(tmp_path, {"pyproject.toml": ""})
        with pytest.raises(ConfigError, match=r"no \[tool.ga-lint\] table"):
            ConfigFinder(file=tmp_path / "pyproject.toml")
        with pytest.raises(ConfigError, match="cannot be read: No such file"):
            ConfigFinder(file=tmp_path / "absent.toml")

    def test_the_project_without_configuration(self, tmp_path: Path) -> None:
        write(
            tmp_path, {"site/pkg/__init__.py": "", "site/pkg/sub/__init__.py": "", "repo/.git/HEAD": "", "repo/a/x": ""}
        )
        finder = ConfigFinder(isolated=True)
        assert finder.of_folder(tmp_path / "repo" / "a").root == tmp_path / "repo"
        assert finder.of_folder(tmp_path / "site" / "pkg" / "sub").root == tmp_path / "site"

    def test_flags_win(self, tmp_path: Path) -> None:
        write(tmp_path, ALL)
        flags = Flags(
            exclude=("x",),
            extend_exclude=("y",),
            respect_gitignore=True,
            min_confidence=Confidence.CERTAIN,
            transformers_version="4.46",
        )
        config = ConfigFinder(flags).of_folder(tmp_path)
        assert config.exclude == ("x",)
        assert config.extend_exclude == ("gen_*", "y")
        assert config.respect_gitignore
        assert config.min_confidence is Confidence.CERTAIN
        assert config.transformers_version == "4.46"


class TestSelection:
    """GA103, GA101 and GA201 stand for a prefix with two rules and one apart."""

    @pytest.mark.parametrize(
        ("layers", "expected"),
        [
            ([Selection(("ALL",))], {"GA101", "GA103", "GA201"}),
            ([Selection(("GA1",))], {"GA101", "GA103"}),
            ([Selection(("mean-of-means",))], {"GA101"}),
            ([Selection(("GA",), ignore=("GA1",))], {"GA201"}),
            ([Selection(("GA101", "GA2"), ignore=("GA1",))], {"GA101", "GA201"}),  # the most specific wins
            ([Selection(("GA1",), ignore=("GA1",))], set()),  # a tie: ignore wins
            ([Selection(("GA1",), extend_select=("GA201",))], {"GA101", "GA103", "GA201"}),
            ([Selection(("GA1",)), Selection(("GA2",))], {"GA201"}),  # a later select starts anew
            ([Selection(("GA1",)), Selection(ignore=("GA101",))], {"GA103"}),
            ([Selection(("GA",), ignore=("GA101",)), Selection(("GA101",))], {"GA101"}),  # flags beat files
            ([Selection(("GA2",)), Selection(extend_select=("GA1",))], {"GA101", "GA103", "GA201"}),
        ],
    )
    def test_layers(self, layers: list[Selection], expected: set[str]) -> None:
        assert selected(known_rules(), layers) & {"GA101", "GA103", "GA201"} == expected


def test_per_file_ignores_count_from_the_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pkg/pyproject.toml": '[tool.ga-lint.per-file-ignores]\n"tests/**" = ["GA001"]\n"*_old.py" = ["ALL"]\n',
            "pkg/tests/deep/a.py": BROKEN,
            "pkg/x_old.py": BROKEN,
            "pkg/new.py": BROKEN,
        },
    )
    assert [line[:10] for line in ga_lint("check", "--output-format=concise", cwd=tmp_path).out.splitlines()] == [
        "pkg/new.py"
    ]


def test_min_confidence(tmp_path: Path) -> None:
    loop = (
        "import torch.nn.functional as F\n"
        "def train(model, loader, optimizer, accum):\n"
        "    for step, (x, y) in enumerate(loader):\n"
        "        (F.cross_entropy(model(x), y) / accum).backward()\n"
        "        if (step + 1) % accum == 0:\n"
        "            optimizer.step()\n"
        "            optimizer.zero_grad()\n"
    )
    write(tmp_path, {"a.py": loop})
    assert ga_lint("check", cwd=tmp_path).code == 0
    assert "(possible)" in ga_lint("check", "--min-confidence", "possible", cwd=tmp_path).out


def test_an_empty_selector_is_not_that_of_every_rule() -> None:
    refuse_unknown(["GA1"], known_rules())
    with pytest.raises(UsageError, match="no rule matches ''"):
        refuse_unknown(["GA1", ""], known_rules())


class TestSchema:
    def test_the_shipped_one_is_the_readers(self) -> None:
        assert SHIPPED.read_text(encoding="utf-8") == generated(), "run `python tests/testbed/schema.py`"
        jsonschema.Draft202012Validator.check_schema(json.loads(generated()))

    def test_it_takes_what_the_reader_takes(self) -> None:
        table = tomllib.loads(ALL["pyproject.toml"])["tool"]["ga-lint"]
        jsonschema.validate(table, json.loads(generated()))

    @pytest.mark.parametrize(
        "text",
        [
            "selct = []",
            "select = 'GA1'",
            "respect-gitignore = 1",
            "min-confidence = 'sure'",
            "per-file-ignores = {a = 'GA1'}",
            "knowledge = {heads = {}}",
            "knowledge = {losses = {'a.b' = {reduction = 'max'}}}",
            "knowledge = {losses = {'a.b' = {reductoin = 'sum'}}}",
            "knowledge = {losses = {b = {}}}",
            "knowledge = {losses = {'a.b' = {labels = 'x'}}}",
        ],
    )
    def test_it_refuses_what_the_reader_refuses(self, text: str, tmp_path: Path) -> None:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(tomllib.loads(text), json.loads(generated()))
        write(tmp_path, {"ga-lint.toml": text, "a.py": ""})
        ran = ga_lint("check", cwd=tmp_path)
        assert ran.code == 2
        assert ran.err.startswith("error: ga-lint.toml: ")

    def test_it_describes_every_key_and_no_other(self) -> None:
        properties = schema()["properties"]
        assert isinstance(properties, dict)
        assert {*properties, *TABLES} == set(DESCRIPTIONS)


def test_show_settings_prints_a_file_that_says_the_same(tmp_path: Path) -> None:
    write(tmp_path, {"one/pyproject.toml": ALL["pyproject.toml"], "one/a.py": ""})
    shown = ga_lint("check", "--show-settings", "one", cwd=tmp_path).out
    assert shown.startswith(f"# from {tmp_path}/one/pyproject.toml; paths count from {tmp_path}/one\n")
    write(tmp_path, {"two/ga-lint.toml": shown, "two/a.py": ""})
    again = ga_lint("check", "--show-settings", "two", cwd=tmp_path).out
    assert again.replace("two/ga-lint.toml", "one/pyproject.toml").replace("/two", "/one") == shown
    assert tomllib.loads(shown)["knowledge"]["losses"]["mylib.lm_loss"] == {"reduction": "mean", "level": "token"}


class TestProjectKnowledge:
    """A project says what its own loss is; without that it is a matrix of the project's own operations."""

    LOOP = """\
        {imported}
        def train(model, loader, optimizer, collate):
            for step, batch in enumerate(loader):
                loss = {call}(model(batch["input_ids"]), batch["labels"]) / 8
                loss.backward()
                if (step + 1) % 8 == 0:
                    optimizer.step()
                    optimizer.zero_grad()
    """
    ROW = """
        [tool.ga-lint]
        min-confidence = "possible"
        [tool.ga-lint.knowledge.losses."mylib.losses.lm_loss"]
        reduction = "{reduction}"
    """

    def codes(self, folder: Path, imported: str, call: str, reduction: str | None = None) -> list[str]:
        row = self.ROW.format(reduction=reduction) if reduction else '[tool.ga-lint]\nmin-confidence = "possible"\n'
        write(
            folder,
            {
                "pyproject.toml": dedent(row),
                "mylib/__init__.py": "from .losses import lm_loss as again\n",
                "mylib/losses.py": "import fast\n\ndef lm_loss(logits, labels):\n    return fast.fused(labels)\n",
                "train.py": dedent(self.LOOP.format(imported=imported, call=call)),
            },
        )
        ran = ga_lint("check", "--output-format", "json", cwd=folder)
        return [found["code"] for found in json.loads(ran.out)]

    @pytest.mark.parametrize(
        ("imported", "call"),
        [
            ("from mylib.losses import lm_loss", "lm_loss"),
            ("import mylib.losses", "mylib.losses.lm_loss"),
            ("from mylib import losses as ours", "ours.lm_loss"),
            ("from mylib import again", "again"),
        ],
    )
    def test_a_row_decides(self, imported: str, call: str, tmp_path: Path) -> None:
        assert self.codes(tmp_path, imported, call) == []
        assert self.codes(tmp_path, imported, call, "mean") == ["GA101"]

    def test_a_library_that_is_not_there(self, tmp_path: Path) -> None:
        write(tmp_path, {"pyproject.toml": self.ROW.format(reduction="mean").replace("mylib", "elsewhere")})
        loop = self.LOOP.format(imported="from elsewhere.losses import lm_loss", call="lm_loss")
        write(tmp_path, {"train.py": dedent(loop)})
        assert "GA101" in ga_lint("check", cwd=tmp_path).out

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("losses.'a.b'.reductoin = 'sum'", "tool.ga-lint.knowledge.losses.'a.b' has no key 'reductoin'; known are"),
            ("losses.'a.b'.reduction = 'max'", ".losses.'a.b'.reduction must be one of mean, sum, none"),
            ("losses.'a.b'.labels = true", ".losses.'a.b'.labels must be a whole number"),
            ("losses.b.labels = 1", "tool.ga-lint.knowledge.losses.'b': name it with its module, as mylib.losses.b"),
            ("losses.'a.b' = 1", "tool.ga-lint.knowledge.losses.'a.b' must be a table"),
            ("heads.x.y = 1", "tool.ga-lint.knowledge has no table 'heads'; known are losses, trainers, collators"),
        ],
    )
    def test_a_mistake_is_one_line(self, row: str, message: str, tmp_path: Path) -> None:
        write(tmp_path, {"pyproject.toml": f"[tool.ga-lint.knowledge]\n{row}\n", "a.py": "", "b.py": ""})
        ran = ga_lint("check", cwd=tmp_path)
        assert ran.code == 2
        assert ran.err.startswith("error: pyproject.toml: ")
        assert message in ran.err
        assert ran.err.count("\n") == 2  # this and the summary
