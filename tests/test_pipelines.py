"""Does what we ship for other people's pipelines work? The README's snippets and the Action's script, executed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from testbed.fixtures import ROOT
from testbed.sarif import validate
from testbed.shell import BROKEN, HIT, ga_lint, write

README = (ROOT / "README.md").read_text(encoding="utf-8")
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
INPUTS = {name: value["default"] for name, value in ACTION["inputs"].items()}


def snippet(name: str) -> str:
    """The code block behind `<!-- name -->`."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None, name
    return found.group(1)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which `ga-lint` is this checkout and pipx writes down what it is asked for."""
    programs = {
        "ga-lint": f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m ga_lint "$@"\n',
        "pipx": f'#!/bin/sh\necho "$@" >> "{tmp_path}/pipx.log"\n',
    }
    for name, text in programs.items():
        write(tmp_path / "bin", {name: text})
        (tmp_path / "bin" / name).chmod(0o755)
    return f"{tmp_path}/bin:{os.environ['PATH']}"


def schema_accepts(kind: str, text: str, folder: Path) -> None:
    """check-jsonschema ships the schemas that editors use for these files."""
    write(folder, {"checked.yml": text})
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{kind}", "checked.yml"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class TestAction:
    def run(self, step: str, folder: Path, path: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        """One step's script, with the environment that the runner would give it."""
        (found,) = [each for each in ACTION["runs"]["steps"] if each["id"] == step]
        values = {**INPUTS, **{name.replace("_", "-"): value for name, value in inputs.items()}}
        given = {
            key: values[re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", text)[1]] for key, text in found["env"].items()
        }
        runner = {
            "PATH": path,
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(folder),
            "GITHUB_ACTION_PATH": "/the/action",
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
            "RUNNER_TEMP": str(folder),
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]],
            cwd=folder,
            env={**runner, **given},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_it_holds_to_the_schema(self, tmp_path: Path) -> None:
        schema_accepts("github-actions", (ROOT / "action.yml").read_text(), tmp_path)

    def test_no_input_is_pasted_into_a_script(self) -> None:
        assert not [step["id"] for step in ACTION["runs"]["steps"] if "${{" in step["run"]]

    @pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
    def test_its_scripts_pass_shellcheck(self) -> None:
        for step in ACTION["runs"]["steps"]:
            words = ["shellcheck", "--shell=bash", "-"]
            done = subprocess.run(words, input=step["run"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout

    def test_on_a_repository_with_findings(self, tmp_path: Path, path: str) -> None:
        write(tmp_path, {"src/hit.py": HIT, "src/broken.py": BROKEN, "other.py": BROKEN})
        ran = self.run("check", tmp_path, path, src="src", sarif_file="ga.sarif")
        assert ran.returncode == 1, ran.stderr
        assert "::error file=src/broken.py,line=1" in ran.stdout
        assert (tmp_path / "output").read_text() == "findings=2\nexit-code=1\nsarif-file=ga.sarif\n"
        assert "[GA103 double-division]" in (tmp_path / "summary.md").read_text()
        document = json.loads((tmp_path / "ga.sarif").read_text())
        validate(document)
        assert len(document["runs"][0]["results"]) == 2

    def test_options(self, tmp_path: Path, path: str) -> None:
        write(tmp_path, {"src/hit.py": HIT, "src/broken.py": BROKEN})
        ran = self.run("check", tmp_path, path, args="--select GA103", fail_on="never", summary="false")
        assert ran.returncode == 0
        assert "findings=1\nexit-code=0\n" in (tmp_path / "output").read_text()
        assert not (tmp_path / "summary.md").exists()
        assert self.run("check", tmp_path, path, fail_on="error", args="--ignore GA001").returncode == 1
        assert self.run("check", tmp_path, path, args="--nonsense").returncode == 2
        assert self.run("check", tmp_path, path, src="missing", fail_on="never").returncode == 2

    def test_what_is_installed(self, tmp_path: Path, path: str) -> None:
        write(tmp_path, {"requirements.txt": "torch==2.9\nga-lint[verify]==1.2.3 ; python_version > '3'\n"})
        assert self.run("install", tmp_path, path).returncode == 0
        assert self.run("install", tmp_path, path, version="0.9").returncode == 0
        assert self.run("install", tmp_path, path, version_file="requirements.txt").returncode == 0
        installed = [line.split()[-1] for line in (tmp_path / "pipx.log").read_text().splitlines()]
        assert installed == ["/the/action", "ga-lint==0.9", "ga-lint==1.2.3"]
        write(tmp_path, {"requirements.txt": "torch==2.9\n"})
        ran = self.run("install", tmp_path, path, version_file="requirements.txt")
        assert (ran.returncode, ran.stdout) == (
            2,
            "::error title=ga-lint::requirements.txt pins no ga-lint==VERSION\n",
        )


# What reviewdog's proto/rdf/reviewdog.proto says, and nothing more: a field that it does not know is a mistake of ours.
_PLACE = {"properties": {key: {"type": "integer"} for key in ("line", "column")}, "additionalProperties": False}
_RANGE = {"properties": dict.fromkeys(("start", "end"), _PLACE), "required": ["start"], "additionalProperties": False}
_TEXT = {"type": "string"}
_SEVERITY = {"enum": ["ERROR", "WARNING", "INFO"]}
_RDFORMAT = {
    "properties": {
        "source": {"properties": {"name": _TEXT, "url": _TEXT}, "additionalProperties": False},
        "severity": _SEVERITY,
        "diagnostics": {
            "type": "array",
            "items": {
                "properties": {
                    "message": _TEXT,
                    "location": {"properties": {"path": _TEXT, "range": _RANGE}, "additionalProperties": False},
                    "severity": _SEVERITY,
                    "code": {"properties": {"value": _TEXT, "url": _TEXT}, "additionalProperties": False},
                    "suggestions": {
                        "type": "array",
                        "items": {"properties": {"range": _RANGE, "text": _TEXT}, "additionalProperties": False},
                    },
                },
                "required": ["message", "location"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["diagnostics"],
    "additionalProperties": False,
}


class TestSnippets:
    def test_github(self, tmp_path: Path) -> None:
        schema_accepts("github-workflows", snippet("github"), tmp_path)
        (ours,) = [s for s in yaml.safe_load(snippet("github"))["jobs"]["ga-lint"]["steps"] if "ga-lint" in s["uses"]]
        assert ours["with"].keys() <= INPUTS.keys()

    @pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").iterdir()), ids=lambda path: path.stem)
    def test_our_own_workflows(self, path: Path, tmp_path: Path) -> None:
        schema_accepts("github-workflows", path.read_text(), tmp_path)

    def test_gitlab(self, tmp_path: Path, path: str) -> None:
        schema_accepts("gitlab-ci", snippet("gitlab"), tmp_path)
        job = yaml.safe_load(snippet("gitlab"))["ga-lint"]
        assert job["script"][0] == "pip install ga-lint"
        write(tmp_path, {"src/broken.py": BROKEN})
        env = {"PATH": path, "GITLAB_CI": "true", "CI_PROJECT_DIR": str(tmp_path)}
        done = subprocess.run(["sh", "-ec", "\n".join(job["script"][1:])], cwd=tmp_path, env=env, check=False)
        assert done.returncode == 1
        report = json.loads((tmp_path / job["artifacts"]["reports"]["codequality"]).read_text())
        assert [issue["location"]["path"] for issue in report] == ["src/broken.py"]

    def test_reviewdog(self, tmp_path: Path) -> None:
        ours, _, theirs = snippet("reviewdog").partition(" | ")
        assert theirs.startswith("reviewdog -f=rdjson ")
        write(tmp_path, {"hit.py": HIT})
        ran = ga_lint(*shlex.split(ours)[1:], cwd=tmp_path)
        document = json.loads(ran.out)
        assert [found["code"]["value"] for found in document["diagnostics"]] == ["GA103"]
        jsonschema.validate(document, _RDFORMAT)

    def test_baseline(self, tmp_path: Path) -> None:
        write(tmp_path, {"hit.py": HIT})
        for line in snippet("baseline").splitlines():
            assert ga_lint(*shlex.split(line)[1:], cwd=tmp_path).code == 0, line

    def test_pre_commit(self) -> None:
        words = [sys.executable, "-m", "pre_commit", "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml")]
        subprocess.run(words, check=True)
        hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
        (repo,) = yaml.safe_load(snippet("pre-commit"))["repos"]
        assert {hook["id"] for hook in repo["hooks"]} <= {hook["id"] for hook in hooks} == {"ga-lint", "ga-lint-fix"}
        for hook in hooks:
            assert hook["types_or"] == ["python", "jupyter"]
            assert "--force-exclude" in hook["entry"]
