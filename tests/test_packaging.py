"""Does what a user installs hold what they need, and nothing heavy?"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from ga_lint import __version__
from testbed.fixtures import ROOT
from testbed.shell import BROKEN, HIT, write

pytestmark = pytest.mark.xdist_group("packaging")  # what is set up once stays in one process

META = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@functools.cache
def registry() -> str | None:
    """Why nothing can be installed here, if that is so."""
    asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "hatchling", "--dest"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*asked, folder], capture_output=True, check=False)
    return None if done.returncode == 0 else "pip cannot reach a package registry"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that holds ga-lint without extras."""
    if reason := registry():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    pip = [str(folder / "env" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("ga_lint-*.whl")
    subprocess.run([*pip, "install", str(wheel)], check=True)
    return folder / "env" / "bin"


_LICENCES = re.compile(r"\b(MIT|BSD|ISC|Apache|PSF|Python Software Foundation|MPL|Mozilla)\b")  # all may be depended on


def test_the_licences_of_what_is_installed_allow_it() -> None:
    """Of every dependency, and of theirs: none of them reaches into the code of who depends on it."""
    licences = dict(_licences(META["dependencies"], set()))
    assert {"libcst", "pyyaml", "markdown-it-py"} <= licences.keys()
    assert not {name: text for name, text in licences.items() if not _LICENCES.search(text) or "GPL" in text}


def _licences(requirements: Iterable[str], seen: set[str]) -> Iterator[tuple[str, str]]:
    for requirement in map(Requirement, requirements):
        if requirement.name.lower() in seen or (requirement.marker and not requirement.marker.evaluate()):
            continue
        seen.add(requirement.name.lower())
        distribution = metadata.distribution(requirement.name)
        fields = distribution.metadata
        said = [fields.get("License-Expression"), fields.get("License"), *fields.get_all("Classifier", [])]
        yield requirement.name.lower(), " ".join(text for text in said if text and not text.startswith("Programming"))
        yield from _licences(distribution.requires or (), seen)


def test_the_light_install_needs_nothing_heavy() -> None:
    names = {requirement.split(">")[0] for requirement in META["dependencies"]}
    assert names == {"libcst", "msgspec", "packaging", "pathspec", "rich", "typer"}


@pytest.mark.slow
class TestInstalled:
    def test_the_wheel_holds_pages_and_tables(self, installed: Path) -> None:
        (wheel,) = installed.parents[1].glob("*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        for path in (ROOT / "rules").rglob("*.*"):
            assert f"ga_lint/_rules/{path.relative_to(ROOT / 'rules').as_posix()}" in names
        assert "ga_lint/py.typed" in names
        assert any(name.endswith("licenses/LICENSE") for name in names)
        assert not [name for name in names if name.startswith(("tests/", "fixtures/"))]

    def test_check_fix_and_rule_work(self, installed: Path, tmp_path: Path) -> None:
        write(tmp_path, {"hit.py": HIT})
        command = str(installed / "ga-lint")
        check = subprocess.run(
            [command, "check", "--output-format=json"], cwd=tmp_path, capture_output=True, check=False
        )
        assert (check.returncode, json.loads(check.stdout)[0]["code"]) == (1, "GA103")
        fix = subprocess.run([command, "fix"], cwd=tmp_path, capture_output=True, check=False)
        assert fix.returncode == 0, fix.stderr
        rule = subprocess.run([command, "rule", "GA103"], cwd=tmp_path, capture_output=True, check=True)
        assert rule.stdout == (ROOT / "rules" / "GA103-double-division.md").read_bytes()
        help_ = subprocess.run([command, "--help"], cwd=tmp_path, capture_output=True, check=True)
        assert b"verify" in help_.stdout

    def test_pypi_shows_a_readme_whose_links_lead_somewhere(self, installed: Path) -> None:
        (wheel,) = installed.parents[1].glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
            shown = archive.read(name).decode()
        relative = re.findall(r'(?:\]\(|(?:src|srcset)=")(?!https://|#)[^)"]*', shown)
        assert "raw.githubusercontent.com" in shown and not relative

    def test_what_the_release_tries_before_it_publishes(self, installed: Path, tmp_path: Path) -> None:
        steps = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]["try"]["steps"]
        (script,) = (step["run"] for step in steps if "run" in step)
        tried = script.replace("pip install $FILE\n", "")
        assert tried != script
        env = {"PATH": f"{installed}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-ec", tried], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"ga-lint {__version__}" in done.stdout and "GA103" in done.stdout

    def test_verify_says_in_one_line_what_to_install(self, installed: Path, tmp_path: Path) -> None:
        done = subprocess.run([str(installed / "ga-lint"), "verify"], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1
        assert b"pip install 'ga-lint[verify]'" in done.stderr


@pytest.mark.slow
def test_pre_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pre-commit installs the hooks from this repository and runs both on another."""
    pytest.importorskip("pre_commit")
    if reason := registry():
        pytest.skip(reason)
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "cache"))
    write(tmp_path, {"work/hit.py": HIT, "work/broken.py": BROKEN, "work/build/x.py": BROKEN})
    work = tmp_path / "work"
    for words in ("init --quiet", "add --force ."):
        subprocess.run(["git", *words.split()], cwd=work, check=True)
    files = ["hit.py", "broken.py", "build/x.py"]
    words = [sys.executable, "-m", "pre_commit", "try-repo", str(ROOT), "--color", "never", "--files", *files]
    done = subprocess.run(words, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    _, *told = re.split(r"^(?=ga-lint (?:check|fix)\.)", done.stdout, flags=re.MULTILINE)
    assert len(told) == 2, done.stdout
    for each in told:
        assert "Failed" in each.splitlines()[0]
        assert "broken.py:1:7: GA001" in each
        assert "1 skipped (1 excluded)" in each
    assert ["files were modified by this hook" in each for each in told] == [False, True]
    assert (work / "hit.py").read_text() != HIT
