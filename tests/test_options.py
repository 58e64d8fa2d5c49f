"""Does every option of every command do something, and does the help show all of them on a screen?

The options are those of the command tree that typer builds: one without a case here fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main

from ga_lint.cli.help import program
from ga_lint.cli.options import COMMANDS, OPTIONS, Command, Kind, Option
from ga_lint.config import Config
from ga_lint.verify import Settings
from testbed.command_line import HIT, Shell, build_world
from testbed.fixtures import ROOT
from testbed.shell import ga_lint

pytestmark = pytest.mark.xdist_group("options")  # what is set up once stays in one process

SCREEN = 50  # rows of an ordinary window
FILES = "hit.py guessed.py trainer.py unused.py quiet.py broken.py"


@dataclass(frozen=True)
class Use:
    """One use of an option: taken away from `words`, it must make a difference, unless it says what holds anyway."""

    words: str
    shows: str  # somewhere in what is printed or written
    code: int = 1
    stdin: str = ""
    default: bool = False


RULES = {
    "--select": Use("--select GA0 " + FILES, "GA001"),
    "--ignore": Use("--ignore GA2,GA103 " + FILES, "GA002"),
    "--extend-select": Use("--extend-select GA001 " + FILES, "broken.py"),
    "--transformers-version": Use("--transformers-version 4.45 trainer.py clean.py", "", code=0),
}
WHERE = {
    "--exclude": Use("--exclude clean.py .", "build/excluded.py"),
    "--extend-exclude": Use("--extend-exclude hit.py,trainer.py .", "old.py"),
    "--force-exclude": Use("--force-exclude off/other.py hit.py", "1 excluded"),
    "--respect-gitignore": Use("--respect-gitignore .", "hit.py", default=True),
    "--no-respect-gitignore": Use("--no-respect-gitignore .", "ignored.py"),
    "--config": Use("--config other.toml hit.py broken.py", "broken.py"),
    "--isolated": Use("--isolated broken.py hit.py", "broken.py"),
}
TALK = {
    "--quiet": Use("--quiet clean.py", "1 file checked", code=0),
    "--verbose": Use("--verbose clean.py unused.py", "clean: clean.py"),
    "--color": Use("--color always hit.py", "\x1b["),
}
KNOWN = {
    "--baseline": Use("--baseline known.json old.py hit.py", "1 known finding left out by known.json"),
    "--diff-base": Use("--diff-base main old.py hit.py", "hit.py"),
}
OUTPUT = {
    "--output-format": Use("--output-format concise hit.py", "hit.py:18:13: GA103"),
    "--output": Use("--output json:r.json hit.py", '"filename": "hit.py"'),
    "--stdin-filename": Use("- --stdin-filename off/x.py", "off/x.py:18:13", stdin=HIT),
}
USES: dict[str, dict[str, Use]] = {
    "check": {
        **RULES,
        **WHERE,
        **TALK,
        **KNOWN,
        **OUTPUT,
        "--min-confidence": Use("--min-confidence possible guessed.py", "(possible)"),
        "--jobs": Use("--jobs 2 hit.py old.py", "old.py", default=True),
        "--no-cache": Use("--no-cache hit.py", "hit.py"),
        "--cache-dir": Use("--cache-dir kept hit.py", "hit.py"),
        "--show-facts": Use("--show-facts hit.py", "idiom: accumulate()", code=0),
        "--show-files": Use("--show-files .", "clean.py\n", code=0),
        "--show-settings": Use("--show-settings .", 'min-confidence = "likely"', code=0),
        "--update-baseline": Use("--update-baseline --baseline known.json hit.py", '"path": "hit.py"', code=0),
        "--prune-baseline": Use("--prune-baseline --baseline known.json old.py", "1 stale removed", code=0),
        "--error-stale-baseline": Use("--error-stale-baseline --baseline known.json old.py", "stale: GA103 gone.py"),
        "--ignore-suppressions": Use("--ignore-suppressions quiet.py", "GA103"),
        "--add-ignore": Use("--add-ignore=because hit.py", "# ga-lint: ignore[GA103] because", code=0),
        "--statistics": Use("--statistics hit.py unused.py", "1  GA103  double-division"),
        "--fail-on": Use("--fail-on warning unused.py", "GA002", code=0),
        "--exit-zero": Use("--exit-zero hit.py", "GA103", code=0),
    },
    "fix": {
        **RULES,
        "--ignore": Use("--ignore GA2,GA103 hit.py trainer.py unused.py", "GA002 unused.py: ", code=0),
        **WHERE,
        "--extend-exclude": Use("--extend-exclude trainer.py .", "GA103 old.py: ", code=0),
        "--force-exclude": Use("--force-exclude off/other.py hit.py", "1 excluded", code=0),
        **TALK,
        "--verbose": Use("--verbose clean.py hit.py", "clean: clean.py", code=0),
        "--color": Use("--color always trainer.py", "\x1b["),
        "--baseline": Use("--baseline known.json old.py hit.py", "rewrote 1 finding", code=0),
        "--diff-base": Use("--diff-base main old.py hit.py", "rewrote 1 finding", code=0),
        "--output-format": Use("--output-format concise trainer.py", "trainer.py:5:9: GA201"),
        "--output": Use("--output json:r.json trainer.py", '"filename": "trainer.py"'),
        "--stdin-filename": Use("- --stdin-filename off/x.py", "GA103 off/x.py: ", code=0, stdin=HIT),
        "--min-confidence": Use("--min-confidence possible guessed.py", "GA101"),
        "--diff": Use("--diff hit.py", "--- a/hit.py"),
        "--unsafe-fixes": Use("--unsafe-fixes --min-confidence possible guessed.py", "rewrote 1 finding", code=0),
        "--verify": Use("--verify hit.py", "rewrote 1 finding", code=0, default=True),
        "--no-verify": Use("--no-verify --verified-only hit.py", "contradict", code=2),
        "--verified-only": Use("--verified-only hit.py", "not run here"),
        "--ask": Use("--ask hit.py", "needs a terminal", code=2),  # on one: test_fix_results.py
        "--exit-non-zero-on-fix": Use("--exit-non-zero-on-fix hit.py", "rewrote 1 finding"),
    },
    "verify": {
        "--select": Use("--select GA2 hit.py trainer.py", "rewrite: False", code=0),
        "--ignore": Use("--ignore GA1 hit.py trainer.py", "rewrite: False", code=0),
        "--extend-select": Use("--extend-select GA103 --select GA2 hit.py", "rewrite: True", code=0),
        "--transformers-version": Use("--transformers-version 4.45 trainer.py", "rewrite: False", code=0),
        "--exclude": Use("--exclude clean.py .", "build/excluded.py", code=0),
        "--extend-exclude": Use("--extend-exclude trainer.py .", "old.py", code=0),
        "--force-exclude": Use("--force-exclude off/other.py hit.py", "1 excluded", code=0),
        "--respect-gitignore": Use("--respect-gitignore .", "hit.py", code=0, default=True),
        "--no-respect-gitignore": Use("--no-respect-gitignore .", "ignored.py", code=0),
        "--config": Use("--config other.toml hit.py", "rewrite: False", code=0),
        "--isolated": Use("--isolated --config other.toml", "contradict", code=2),
        "--quiet": Use("--quiet hit.py", "1 file checked", code=0),
        "--verbose": Use("--verbose hit.py", "R1 original, ragged counts", code=0),
        "--color": Use("--color always hit.py", "\x1b[", code=0),
        "--timeout": Use("--timeout 7 hit.py", "timeout=7.0", code=0),
        "--seed": Use("--seed 5 hit.py", "seed=5", code=0),
        "--dtype": Use("--dtype float32 hit.py", "rows=(('float32', 'cpu'),)", code=0),
        "--device": Use("--device cpu hit.py", "hit.py", code=0, default=True),
        "--ranks": Use("--ranks 3 hit.py", "ranks=3", code=0),
        "--fsdp": Use("--fsdp --ranks 2 hit.py", "fsdp=True", code=0),
        "--adapter": Use("--adapter clean.py hit.py", "adapter", code=0),
        "--output-format": Use("--output-format json hit.py", '"outcome"', code=0),
        "--output": Use("--output json:r.json hit.py", '"filename": "hit.py"', code=0),
        "--report": Use("--report page.html hit.py", "<!doctype html>", code=0),
        "--impact": Use("--impact counts.jsonl --field n --accumulation-steps 8 --batch-size 1 hit.py", "too small"),
        "--field": Use("--field n --impact counts.jsonl --accumulation-steps 8 --batch-size 1 hit.py", "too small"),
        "--accumulation-steps": Use(
            "--accumulation-steps 4 --impact counts.jsonl --field n --batch-size 1 hit.py", "4 times too small"
        ),
        "--batch-size": Use(
            "--batch-size 3 --impact counts.jsonl --field n --accumulation-steps 4 hit.py", "of 3 samples"
        ),
    },
    "rule": {
        "--output-format": Use("--output-format json GA101", '"code": "GA101"', code=0),
        "--all": Use("--all", "GA302  lightning-double-division", code=0),
        "--color": Use("--color always GA101", "\x1b[", code=0),
    },
    "server": {"--stdio": Use("--stdio", "", code=0, default=True)},
}


def test_every_option_has_a_use_and_every_use_an_option() -> None:
    commands = typer.main.get_command(program()).commands  # type: ignore[attr-defined]
    tree = {
        name: {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        for name, command in commands.items()
    }
    for name, flags in tree.items():
        assert {flag for flag in flags if flag.startswith("--")} == set(USES[name]), name


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    build_world(folder)
    return folder


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path / "world", monkeypatch, capsys)


@pytest.mark.parametrize(("command", "flag"), [(command, flag) for command, uses in USES.items() for flag in uses])
def test_it_makes_a_difference(command: str, flag: str, shell: Shell, template: Path) -> None:
    use = USES[command][flag]
    words = use.words.split()
    done = shell([command, *words], template, use.stdin)
    assert use.code == done.code and use.shows in done.text, done
    at = next(index for index, word in enumerate(words) if word.partition("=")[0] == flag)
    has_value = "=" not in words[at] and _option(command, flag).kind in (Kind.TEXT, Kind.LIST)
    without = shell([command, *words[:at], *words[at + 1 + has_value :]], template, use.stdin)
    assert (done == without) == use.default, without


def _option(command: str, flag: str) -> Option:
    return next(o for o in OPTIONS if command in o.commands.split() and flag in (o.flag, o.off))


CHOICES = [
    (command.name, option.flag, choice)
    for command in COMMANDS
    for option in command.options
    for choice in option.choices
]


@pytest.mark.parametrize(("command", "flag", "choice"), CHOICES)
def test_every_choice_is_taken(command: str, flag: str, choice: str, shell: Shell, template: Path) -> None:
    words = [*_FOR_CHOICES[command], *([] if command == "rule" else ["hit.py"])]
    done = shell([command, flag, choice, *words], template)
    assert done.code in (0, 1), done
    if flag == "--output-format" and command in ("check", "fix") and choice != "auto":
        written = shell([command, "--output", f"{choice}:r", *words], template)
        assert written.files["r"].decode() == done.out, "to a file it is the same"


_FOR_CHOICES = {"check": ["--no-respect-gitignore"], "fix": ["--no-verify"], "verify": [], "rule": ["GA101"]}


def test_every_format_is_another(shell: Shell, template: Path) -> None:
    for command in ("check", "rule", "verify"):
        chosen = [choice for name, flag, choice in CHOICES if (name, flag) == (command, "--output-format")]
        words = ["--color", "always", *(["GA101"] if command == "rule" else ["hit.py"])]
        outs = [shell([command, "--output-format", choice, *words], template).out for choice in chosen]
        assert len(set(outs)) == len(outs) - ("auto" in chosen), command


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_short_flags_and_the_opposite(command: Command, shell: Shell, template: Path) -> None:
    for option in command.options:
        if option.short:
            long, short = (shell([command.name, flag, "hit.py"], template) for flag in (option.flag, option.short))
            assert long == short


class TestHelp:
    @pytest.mark.parametrize("columns", [80, 120])
    @pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
    def test_it_fits_a_screen_and_holds_every_option(
        self, command: Command, columns: int, shell: Shell, template: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = shell([command.name, "--help"], template).out.splitlines()
        assert len(lines) <= SCREEN
        assert max(map(len, lines)) <= columns
        for option in command.options:
            flag = f"--[no-]{option.flag[2:]}" if option.off else option.flag
            flag = f"{option.short}, {flag}" if option.short else flag
            (row,) = [row for row, line in enumerate(lines) if f"{line} ".startswith((f"  {flag} ", f"  {flag}["))]
            assert option.help.split()[0] in lines[row]
            assert option.metavar in lines[row]
            assert option.choices or not "".join(lines[row + 1 : row + 2]).startswith("   "), "longer than its line"

    def test_the_program(self, shell: Shell, template: Path) -> None:
        done = shell(["--help"], template)
        assert all(f"  {command.name} " in done.out for command in COMMANDS)
        bare = shell([], template)
        assert (bare.code, bare.err.strip()) == (2, done.out.strip())
        assert shell(["-h"], template) == done

    def test_defaults_are_what_it_says(self) -> None:
        told = {option.flag: option.help for option in OPTIONS if "(default: " in option.help}
        assert f"(default: {Settings().timeout:.0f})" in told["--timeout"]
        assert f"(default: {Settings().seed})" in told["--seed"]
        assert Config(Path()).selections[0].select == ("GA",)


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
class TestCompletion:
    """Shells call the program with these variables; what their scripts do with the answer is typer's."""

    def complete(self, shell_name: str, line: str, folder: Path) -> str:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        others = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        return ga_lint(cwd=folder, env={"_GA_LINT_COMPLETE": f"complete_{shell_name}", **words, **others}).out

    def test_commands_rules_and_choices(self, shell_name: str, tmp_path: Path) -> None:
        for line, expected in [
            ("ga-lint che", "check"),
            ("ga-lint check --update", "--update-baseline"),
            ("ga-lint rule GA10", "GA103"),
            ("ga-lint fix --select double-d", "double-division"),
            ("ga-lint check --output-format sa", "sarif"),
        ]:
            assert expected in self.complete(shell_name, line, tmp_path), line

    def test_it_is_installed_in_the_real_shell(self, shell_name: str, tmp_path: Path) -> None:
        """From within that shell, since that is how typer knows which one it is."""
        if shutil.which(shell_name) is None:
            pytest.skip(f"{shell_name} is not installed")
        command = f"{sys.executable} -m ga_lint"
        env = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        words = [shell_name, "-c", f"{command} --show-completion > script; {command} --install-completion; true"]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
        assert f"{shell_name} completion installed in {tmp_path}" in done.stdout
        written = [path for path in tmp_path.rglob("*ga-lint*") if path.is_file()]
        assert [path.read_text().strip() for path in written] == [(tmp_path / "script").read_text().strip()]
