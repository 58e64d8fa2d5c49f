"""Does the guide for those who write a rule lead to a rule that passes?"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.fixtures import ROOT

pytestmark = pytest.mark.xdist_group("contributing")  # what is set up once stays in one process

GUIDE = (ROOT / "rules" / "CONTRIBUTING.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^(?P<fence>`{3,4})\w+ file=(?P<name>\S+)\n(?P<text>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
FILES = {block["name"]: block["text"] for block in _BLOCK.finditer(GUIDE)}
COMMANDS = [line.split() for line in re.findall(r"^\$ python (.*)$", GUIDE, re.MULTILINE)]
COPIED = ("ga_lint", "rules", "tests", "fixtures", "README.md", "pyproject.toml")


@pytest.fixture(scope="module")
def without_the_rule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository that has never heard of GA215."""
    copy = tmp_path_factory.mktemp("guide") / "ga-lint"
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "GA215*"))
        else:
            shutil.copyfile(ROOT / name, copy / name)
    (copy / "ga_lint" / "rules" / "replaced_after_count.py").unlink()
    return copy


def run(folder: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(folder), "PATH": "", "PYTHONHASHSEED": "0"}
    command = [sys.executable, *words, *(["-m", "not slow", "-p", "no:cacheprovider"] if "pytest" in words else [])]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_guide_names_the_three_places_and_what_to_run() -> None:
    assert sorted(name.partition("/")[0] for name in FILES) == ["fixtures", "fixtures", "ga_lint", "rules"]
    assert [words[:1] for words in COMMANDS] == [["tests/testbed/said.py"], ["-m"], ["tests/testbed/readme.py"]]


@pytest.mark.slow
def test_what_the_guide_writes_passes_and_can_fail(without_the_rule: Path) -> None:
    for name, text in FILES.items():
        path = without_the_rule / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    said, tests, _readme = COMMANDS
    assert run(without_the_rule, said).returncode == 0
    assert (without_the_rule / "tests" / "data" / "said" / "GA215-replaced-after-count.txt").exists()
    passed = run(without_the_rule, tests)
    assert passed.returncode == 0, passed.stdout
    module = without_the_rule / "ga_lint" / "rules" / "replaced_after_count.py"
    module.write_text(module.read_text().replace("and handed_on and", "and not handed_on and"))
    failed = run(without_the_rule, tests)
    assert failed.returncode == 1
    assert "GA215 expected, not reported" in failed.stdout
