"""What does the command line say and return, above all when something is wrong?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ga_lint import __version__
from ga_lint.cli.arguments import parse
from ga_lint.cli.options import COMMANDS
from ga_lint.errors import UsageError
from testbed.fixtures import ROOT
from testbed.sarif import validate
from testbed.shell import BROKEN, HIT, environment, ga_lint, write

FROZEN = """
check: --select --ignore --extend-select --min-confidence --transformers-version --exclude --extend-exclude
 --force-exclude --respect-gitignore --no-respect-gitignore --stdin-filename --jobs --no-cache --cache-dir --baseline
 --update-baseline --prune-baseline --error-stale-baseline --diff-base --add-ignore --ignore-suppressions
 --output-format --output --statistics --fail-on --exit-zero --quiet -q --verbose -v --color --config --isolated
 --show-facts --show-files --show-settings
fix: --select --ignore --extend-select --min-confidence --transformers-version --exclude --extend-exclude
 --force-exclude --respect-gitignore --no-respect-gitignore --stdin-filename --baseline --diff-base --diff
 --unsafe-fixes --verify --no-verify --verified-only --ask --exit-non-zero-on-fix --output-format --output
 --quiet -q --verbose -v --color --config --isolated
verify: --select --ignore --extend-select --transformers-version --exclude --extend-exclude --force-exclude
 --respect-gitignore --no-respect-gitignore --timeout --seed --dtype --device --ranks --fsdp --adapter --impact --field
 --accumulation-steps --batch-size --output-format --output --report --quiet -q --verbose -v --color --config --isolated
rule: --output-format --all --color
server: --stdio
"""


class TestOptions:
    def test_the_list_is_frozen(self) -> None:
        listed = [
            f"{command.name}: "
            + " ".join(f for o in command.options for f in (o.flag, o.off, o.short) if f is not None)
            for command in COMMANDS
        ]
        assert listed == FROZEN.replace("\n ", " ").strip().split("\n")

    def test_options_stand_before_or_after_paths(self) -> None:
        before = parse(["check", "--select=GA1,GA2", "-q", "a.py", "b.py"])
        after = parse(["check", "a.py", "--select", "GA1", "b.py", "-q", "--select", "GA2"])
        assert before == after
        assert before.items("select") == ("GA1", "GA2")
        assert before.words == ("a.py", "b.py")

    def test_words_after_two_dashes_are_paths(self) -> None:
        assert parse(["check", "--", "--select"]).words == ("--select",)

    def test_the_opposite_switch(self) -> None:
        assert parse(["fix", "--no-verify"]).switches == {"verify": False}

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("chek", "no command 'chek'; did you mean 'check'?"),
            ("help", "no command 'help'; see `ga-lint --help`"),
            ("version", "no command 'version'; `ga-lint --version` prints it"),
            ("check --fix", "`ga-lint check` has no option '--fix'; `ga-lint fix` is a command of its own"),
            ("check --diff", "`ga-lint check` has no option '--diff'; it is one of `ga-lint fix`"),
            ("check --slect GA1", "`ga-lint check` has no option '--slect'; did you mean '--select'?"),
            ("check --select", "--select needs a value: RULES"),
            ("check --select --quiet", "--select needs a value: RULES"),
            ("check --quiet=yes", "--quiet takes no value"),
            ("check --fail-on fatal", "--fail-on: 'fatal' is not one of error, warning, info"),
        ],
    )
    def test_a_mistake_is_named(self, line: str, message: str) -> None:
        with pytest.raises(UsageError) as error:
            parse(line.split())
        assert str(error.value) == message

    def test_a_path_in_the_place_of_a_command(self, tmp_path: Path) -> None:
        write(tmp_path, {"train.py": "x = 1\n"})
        ran = ga_lint("train.py", cwd=tmp_path)
        assert (ran.code, ran.err) == (2, "error: no command 'train.py'; `ga-lint check train.py` checks that path\n")

    def test_version_and_bare_call(self, tmp_path: Path) -> None:
        assert ga_lint("--version", cwd=tmp_path).out == f"ga-lint {__version__}\n"
        ran = ga_lint(cwd=tmp_path)
        assert ran.code == 2
        assert "check" in ran.out + ran.err


class TestExitCodes:
    def test_clean(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": "x = 1\n"})
        ran = ga_lint("check", cwd=tmp_path)
        assert (ran.code, ran.out, ran.err) == (0, "No wrong loss normalisation found.\n", "1 file checked\n")

    def test_findings(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": BROKEN})
        assert ga_lint("check", cwd=tmp_path).code == 1
        assert ga_lint("check", "--exit-zero", cwd=tmp_path).code == 0

    def test_fail_on(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": "x = 1  # ga-lint: ignore[GA101]\n"})
        assert ga_lint("check", cwd=tmp_path).code == 1
        assert ga_lint("check", "--fail-on", "warning", cwd=tmp_path).code == 0

    def test_exit_zero_does_not_hide_a_failure(self, tmp_path: Path) -> None:
        assert ga_lint("check", "--exit-zero", "missing.py", cwd=tmp_path).code == 2

    def test_nothing_to_check_is_said(self, tmp_path: Path) -> None:
        ran = ga_lint("check", cwd=tmp_path)
        assert (ran.code, ran.out) == (0, "")
        assert ran.err == "no Python files found\n0 files checked\n"


class TestOneBadFileStopsNothing:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        write(
            tmp_path,
            {
                "good.py": "x = 1\n",
                "hit.py": HIT,
                "broken.py": BROKEN,
                "binary.py": b"\x7fELF\0\0",
                "latin.py": b'x = "\xe9"\n',
                "deep.py": "x = " + "-" * 5000 + "1\n",
            },
        )
        os.mkfifo(tmp_path / "pipe.py")
        (tmp_path / "link.py").symlink_to("nowhere.py")
        return tmp_path

    def test_each_is_one_line_and_the_rest_runs(self, folder: Path) -> None:
        ran = ga_lint("check", "--output-format", "concise", cwd=folder)
        assert ran.code == 2
        assert [line.split(": ")[0] for line in ran.out.splitlines()] == ["broken.py:1:7", "hit.py:18:13"]
        assert ran.err.splitlines() == [
            "error: binary.py: binary file (null bytes)",
            "error: deep.py: nested too deeply to be parsed; exclude it",
            "error: latin.py: line 1 is not utf-8; save it as UTF-8 or declare its encoding on the first line",
            "error: link.py: no such file",
            "error: pipe.py: not a regular file",
            "3 files checked, 5 skipped (5 could not be read)",
        ]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
    def test_unreadable(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": HIT, "b.py": BROKEN})
        (tmp_path / "a.py").chmod(0)
        ran = ga_lint("check", cwd=tmp_path)
        assert ran.code == 2
        assert "error: a.py: permission denied; make it readable or exclude it\n" in ran.err
        assert "b.py:1:7" in ran.out

    def test_missing_path(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": BROKEN})
        ran = ga_lint("check", "a.py", "b.py", cwd=tmp_path)
        assert ran.code == 2
        assert ran.err.splitlines()[0] == "error: b.py: no such file or folder"
        assert "a.py:1:7" in ran.out

    def test_unknown_rule(self, tmp_path: Path) -> None:
        ran = ga_lint("check", "--select", "GA9", cwd=tmp_path)
        assert ran.code == 2
        assert ran.err.startswith("error: no rule matches 'GA9'")
        assert ran.err.count("\n") == 1

    def test_broken_configuration_stops_only_its_folder(self, tmp_path: Path) -> None:
        write(tmp_path, {"a/pyproject.toml": "[tool.ga-lint\n", "a/x.py": BROKEN, "b/y.py": BROKEN})
        ran = ga_lint("check", cwd=tmp_path)
        assert ran.code == 2
        assert ran.err.startswith("error: a/pyproject.toml: not valid TOML: ")
        assert "nothing below it was checked" in ran.err
        assert ran.err.count("\n") == 2
        assert "b/y.py:1:7" in ran.out
        assert "a/x.py" not in ran.out

    def test_unknown_rule_in_the_configuration(self, tmp_path: Path) -> None:
        write(tmp_path, {"pyproject.toml": '[tool.ga-lint]\nselect = ["GA999"]\n', "a.py": BROKEN, "b.py": BROKEN})
        ran = ga_lint("check", cwd=tmp_path)
        assert ran.code == 2
        assert ran.err.count("pyproject.toml: no rule matches 'GA999'") == 1

    def test_a_fault_of_ours_names_rule_file_and_address(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": HIT, "b.py": BROKEN, "run.py": _WITH_A_CRASHING_RULE})
        ran = subprocess.run(
            [sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment()
        )
        assert ran.returncode == 2
        assert "error: a.py: internal error in GA101 [mean-of-means] (ZeroDivisionError: division by zero" in ran.stderr
        assert "please report it with this file: https://" in ran.stderr
        assert "Traceback" not in ran.stderr
        assert "GA103" in ran.stdout  # another rule's finding in the same file
        assert "b.py:1:7" in ran.stdout


_WITH_A_CRASHING_RULE = """
import sys
from ga_lint.cli.main import main
from ga_lint.rules import registry
from msgspec.structs import replace

def crash(facts, project):
    yield 1 / 0

registry.all_rules()
registry._RULES["GA101"] = replace(registry._RULES["GA101"], check=crash)
registry.all_rules.cache_clear()
sys.exit(main(["check", "a.py", "b.py"]))
"""


class TestStreams:
    def test_stdin(self, tmp_path: Path) -> None:
        ran = ga_lint("check", "-", "--stdin-filename", "pkg/x.py", cwd=tmp_path, stdin=BROKEN.encode())
        assert ran.code == 1
        assert ran.out.startswith("pkg/x.py:1:7: GA001")

    def test_stdin_stands_alone(self, tmp_path: Path) -> None:
        assert "stands alone" in ga_lint("check", "-", "a.py", cwd=tmp_path).err

    def test_a_reader_that_leaves_is_no_error_of_ours(self, tmp_path: Path) -> None:
        write(tmp_path, {f"f{i}.py": BROKEN for i in range(300)})
        done = subprocess.run(
            f"{sys.executable} -m ga_lint check --output-format json | head -c 10",
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        assert len(done.stdout) == 10
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr

    def test_output_files(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": BROKEN})
        ran = ga_lint("check", "--output", "json:r.json", "--output", "concise:r.txt", "-q", cwd=tmp_path)
        assert ran.out.startswith("a.py:1:7")
        assert json.loads((tmp_path / "r.json").read_text())[0]["code"] == "GA001"
        assert (tmp_path / "r.txt").read_text().startswith("a.py:1:7: GA001")

    def test_output_to_an_impossible_place(self, tmp_path: Path) -> None:
        ran = ga_lint("check", "--output", "json:no/r.json", cwd=tmp_path)
        assert (ran.code, ran.err) == (2, "error: --output: no/r.json cannot be written: no folder no\n")

    def test_statistics(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": BROKEN, "b.py": BROKEN})
        assert ga_lint("check", "--statistics", cwd=tmp_path).out == "2  GA001  syntax-error\n"

    def test_colour_is_for_terminals(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": BROKEN})
        assert "\x1b[" not in ga_lint("check", cwd=tmp_path).out
        assert "\x1b[" in ga_lint("check", "--color", "always", cwd=tmp_path).out

    def test_verbose_and_quiet(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": "x = 1\n"})
        assert ga_lint("check", "-v", cwd=tmp_path).err == "clean: a.py\n1 file checked\n"
        quiet = ga_lint("check", "-q", cwd=tmp_path)
        assert (quiet.out, quiet.err) == ("", "1 file checked\n")

    def test_show_files(self, tmp_path: Path) -> None:
        write(tmp_path, {"b.py": "", "a/c.py": "", "build/d.py": ""})
        assert ga_lint("check", "--show-files", cwd=tmp_path).out == "a/c.py\nb.py\n"

    def test_show_settings(self, tmp_path: Path) -> None:
        write(tmp_path, {"pyproject.toml": '[tool.ga-lint]\nmin-confidence = "possible"\nexclude = ["x"]\n'})
        out = ga_lint("check", "--show-settings", "--ignore", "GA002", cwd=tmp_path).out
        assert 'min-confidence = "possible"' in out
        assert 'exclude = ["x"]' in out
        assert '"GA001"' in out
        assert '"GA002"' not in out


class TestInCi:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        write(tmp_path, {"sub/a.py": BROKEN})
        return tmp_path / "sub"

    def test_github_gets_a_fold_annotations_and_a_summary(self, folder: Path) -> None:
        summary = folder.parent / "summary.md"
        summary.write_text("before\n")
        env = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(folder.parent), "GITHUB_STEP_SUMMARY": str(summary)}
        lines = ga_lint("check", cwd=folder, env=env).out.splitlines()
        assert lines[0] == "::group::ga-lint"
        token = lines[1].removeprefix("::stop-commands::")
        assert len(token) == 32
        assert lines[2].startswith("a.py:1:7: GA001")
        assert lines[-3:-1] == [f"::{token}::", "::endgroup::"]
        assert lines[-1].startswith("::error file=sub/a.py,line=1,endLine=1,col=7")
        assert summary.read_text().startswith("before\n## ga-lint: 1 finding\n")

    def test_github_shows_ten_and_stderr_says_so(self, folder: Path) -> None:
        write(folder, {f"f{i}.py": BROKEN for i in range(12)})
        ran = ga_lint("check", cwd=folder, env={"GITHUB_ACTIONS": "true"})
        assert ran.out.count("::error ") == 10
        assert "GitHub shows 10 annotations of each level for a step; 13 findings in all" in ran.err

    def test_azure(self, folder: Path) -> None:
        env = {"TF_BUILD": "True", "BUILD_SOURCESDIRECTORY": str(folder.parent)}
        lines = ga_lint("check", "--output-format", "auto", cwd=folder, env=env).out.splitlines()
        assert lines[0].startswith("a.py:1:7")
        assert lines[-1].startswith("##vso[task.logissue type=error;sourcepath=sub/a.py;linenumber=1;")

    def test_gitlab(self, folder: Path) -> None:
        env = {"GITLAB_CI": "true", "CI_PROJECT_DIR": str(folder.parent)}
        assert "gl-code-quality-report.json" in ga_lint("check", cwd=folder, env=env).err
        ran = ga_lint("check", "--output", "gitlab:q.json", cwd=folder, env=env)
        assert "gl-code-quality" not in ran.err
        assert json.loads((folder / "q.json").read_text())[0]["location"]["path"] == "sub/a.py"

    def test_a_format_that_was_asked_for_stands_alone(self, folder: Path) -> None:
        ran = ga_lint("check", "--output-format", "json", cwd=folder, env={"GITHUB_ACTIONS": "true"})
        assert json.loads(ran.out)[0]["code"] == "GA001"


class TestEditsInReports:
    """What a report says a rewrite changes is what `fix` writes."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        write(tmp_path, {"hit.py": HIT, "twin.py": HIT})
        ga_lint("fix", "--no-verify", "twin.py", cwd=tmp_path)
        return tmp_path

    def test_json(self, folder: Path) -> None:
        (found,) = json.loads(ga_lint("check", "--output-format", "json", "hit.py", cwd=folder).out)
        lines = HIT.splitlines(keepends=True)
        for edit in reversed(found["fix"]["edits"]):
            start, end = edit["location"], edit["end_location"]
            assert start["column"] == end["column"] == 1
            lines[start["row"] - 1 : end["row"] - 1] = [edit["content"]]
        assert "".join(lines) == (folder / "twin.py").read_text()

    def test_rdjson(self, folder: Path) -> None:
        ran = ga_lint("check", "--output-format", "rdjson", "hit.py", cwd=folder)
        ((suggestion,),) = [found["suggestions"] for found in json.loads(ran.out)["diagnostics"]]
        first, last = suggestion["range"]["start"]["line"], suggestion["range"]["end"]["line"]
        lines = HIT.split("\n")
        lines[first - 1 : last] = suggestion["text"].split("\n") if suggestion["text"] else []
        assert "\n".join(lines) == (folder / "twin.py").read_text()

    def test_sarif(self, folder: Path) -> None:
        ran = ga_lint("check", "--output-format", "sarif", "hit.py", cwd=folder)
        document = json.loads(ran.out)
        validate(document)
        (result,) = document["runs"][0]["results"]
        assert result["fixes"][0]["artifactChanges"][0]["replacements"]

    def test_a_rewrite_that_cannot_be_proved_is_none(self, folder: Path) -> None:
        path = ROOT / "fixtures" / "GA202-ignored-num-items" / "handed_to_a_helper_that_ignores_it.py"
        write(folder, {"hit.py": path.read_bytes()})
        (found,) = json.loads(ga_lint("check", "--output-format", "json", "hit.py", cwd=folder).out)
        assert found["fix"] is None
        assert found["fix_refusal"]


class TestRule:
    def test_a_page_by_code_and_by_name(self, tmp_path: Path) -> None:
        by_code = ga_lint("rule", "GA101", cwd=tmp_path)
        assert by_code.code == 0
        assert by_code.out.startswith("# ")
        assert by_code == ga_lint("rule", "mean-of-means", cwd=tmp_path)

    def test_all(self, tmp_path: Path) -> None:
        codes = [line.split()[0] for line in ga_lint("rule", "--all", cwd=tmp_path).out.splitlines()]
        assert codes == sorted(codes)
        assert {"GA001", "GA002", "GA101"} <= set(codes)

    def test_every_rule_has_a_page(self, tmp_path: Path) -> None:
        records = json.loads(ga_lint("rule", "--all", "--output-format", "json", cwd=tmp_path).out)
        assert all(record["explanation"].startswith(f"# {record['code']} {record['name']}\n") for record in records)

    def test_unknown(self, tmp_path: Path) -> None:
        ran = ga_lint("rule", "mean-of-mean", cwd=tmp_path)
        assert (ran.code, ran.err) == (2, "error: no rule matches 'mean-of-mean'; did you mean 'mean-of-means'?\n")


def test_a_release_that_is_none(tmp_path: Path) -> None:
    ran = ga_lint("check", "--transformers-version", "newest", cwd=tmp_path)
    assert ran.code == 2
    assert ran.err.startswith("error: --transformers-version must be a release, as 4.53.3, or a range")


class TestFix:
    def test_written_and_told(self, tmp_path: Path) -> None:
        write(tmp_path, {"hit.py": HIT})
        ran = ga_lint("fix", "--no-verify", cwd=tmp_path)
        assert (ran.code, ran.out) == (0, "No wrong loss normalisation found.\n")
        assert ran.err.splitlines()[-2:] == ["rewrote 1 finding in 1 file; 0 left", "1 file checked"]
        assert "/= cfg.accum" not in (tmp_path / "hit.py").read_text()

    def test_exit_non_zero_on_fix(self, tmp_path: Path) -> None:
        write(tmp_path, {"hit.py": HIT})
        assert ga_lint("fix", "--no-verify", "--exit-non-zero-on-fix", cwd=tmp_path).code == 1
        assert ga_lint("fix", "--no-verify", "--exit-non-zero-on-fix", cwd=tmp_path).code == 0

    def test_diff_prints_a_patch_and_lists_what_is_left(self, tmp_path: Path) -> None:
        write(tmp_path, {"hit.py": HIT, "broken.py": BROKEN})
        ran = ga_lint("fix", "--diff", "--no-verify", cwd=tmp_path)
        assert ran.code == 1
        assert ran.out.startswith("--- a/hit.py\n+++ b/hit.py\n")
        assert "GA001 broken.py:1 not rewritten: " in ran.err
        assert "would rewrite 1 finding in 1 file; 1 left" in ran.err
        assert (tmp_path / "hit.py").read_text() == HIT
        applied = subprocess.run(["patch", "-p1"], input=ran.out, text=True, cwd=tmp_path, capture_output=True)
        assert applied.returncode == 0
        assert "/= cfg.accum" not in (tmp_path / "hit.py").read_text()

    def test_stdin_to_stdout(self, tmp_path: Path) -> None:
        ran = ga_lint("fix", "-", "--no-verify", cwd=tmp_path, stdin=HIT.encode())
        assert ran.code == 0
        assert "/= cfg.accum" not in ran.out
        assert "accelerator.backward(loss)" in ran.out

    def test_stdin_that_cannot_be_read_gives_nothing_back(self, tmp_path: Path) -> None:
        ran = ga_lint("fix", "-", "--no-verify", cwd=tmp_path, stdin=b"\0")
        assert (ran.code, ran.out) == (2, "")

    def test_contradictions(self, tmp_path: Path) -> None:
        assert ga_lint("fix", "--diff", "--output-format", "json", cwd=tmp_path).code == 2
        assert ga_lint("fix", "--verified-only", "--no-verify", cwd=tmp_path).code == 2


_WITHOUT_TORCH = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in {"torch", "accelerate"} else real(name, *rest)
from ga_lint.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def _without_torch(folder: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    write(folder, {"run.py": _WITHOUT_TORCH})
    program = [sys.executable, "run.py", *words]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False, env=environment())


@pytest.mark.parametrize(("words", "told"), [([], True), (["--no-verify"], False), (["--unsafe-fixes"], False)])
def test_without_torch_it_is_told_what_would_write_an_unsafe_rewrite(
    words: list[str], told: bool, tmp_path: Path
) -> None:
    write(tmp_path, {"trainer.py": (ROOT / "fixtures/GA202-ignored-num-items/functional_mean.py").read_text()})
    done = _without_torch(tmp_path, ["fix", "--diff", "trainer.py", *words])
    assert ("rewrites that the numeric check confirms need no --unsafe-fixes" in done.stderr) is told


@pytest.mark.parametrize("words", [["verify"], ["fix", "--verify"], ["fix", "--verified-only"]])
def test_without_torch_one_line_says_what_to_install(words: list[str], tmp_path: Path) -> None:
    done = _without_torch(tmp_path, words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'ga-lint[verify]'" in done.stderr


@pytest.mark.parametrize(("traced", "late"), [(False, b""), (True, b"left late\n")], ids=["alone", "traced"])
def test_the_process_is_left_at_once_with_all_its_output(tmp_path: Path, traced: bool, late: bytes) -> None:
    """Unless somebody traces it, who may have to write down what he saw."""
    write(tmp_path, {"hit.py": HIT})
    program = (
        "import atexit, sys\n"
        "from ga_lint.cli.main import start\n"
        "atexit.register(print, 'left late')\n"
        f"sys.settrace((lambda *_: None) if {traced} else None)\n"
        "sys.argv = ['ga-lint', 'check', '--isolated', '--no-cache', '--output-format', 'concise', 'hit.py']\n"
        "start()\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 1
    assert ran.stdout.startswith(b"hit.py:")
    assert ran.stdout.endswith(late or b"\n")
    assert (b"left late" in ran.stdout) is traced
