"""What does the README claim, and what is true? Rewrites its generated parts: `python tests/testbed/readme.py`."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
_OUTPUT = re.compile(r"(<!-- output -->\n```console\n\$ )([^\n]*)\n(.*?)(```)", re.DOTALL)
_RULES = re.compile(r"(<!-- rules -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_COMMAND = re.compile(r"<!-- command: (?P<name>[\w ]+) -->\n```sh\n(?P<text>[^\n]*)\n```")


def commands(text: str) -> dict[str, str]:
    """The set-up commands by their names."""
    return {match["name"]: match["text"] for match in _COMMAND.finditer(text)}


def regenerated(text: str) -> str:
    """The README with every output and table as it is today."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in _FILE.findall(text):
            Path(folder, name).write_text(content, encoding="utf-8")
        text = _OUTPUT.sub(lambda found: f"{found[1]}{found[2]}\n{_run(found[2], folder)}{found[4]}", text)
    return _RULES.sub(lambda found: found[1] + _rule_table() + found[3], text)


def without_noise(text: str) -> str:
    """Errors at the level of float64's rounding differ from machine to machine."""
    return re.sub(r"\d(\.\d+)?e-1[4-7]", "rounding", text)


def _run(command: str, folder: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "ga-lint"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    environment.pop("GITHUB_ACTIONS", None)
    done = subprocess.run(
        [sys.executable, "-m", "ga_lint", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def _rule_table() -> str:
    from ga_lint.rules.registry import all_rules

    lines = ["| code | name | what it finds |", "|---|---|---|"]
    for rule in all_rules():
        page = f"rules/{rule.code}-{rule.name}.md"
        lines.append(f"| [{rule.code}]({page}) | {rule.name} | {rule.summary} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    README.write_text(regenerated(README.read_text(encoding="utf-8")), encoding="utf-8")
