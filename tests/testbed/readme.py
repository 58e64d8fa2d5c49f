"""What does the README claim, and what is true? Rewrites its generated parts: `python tests/testbed/readme.py`."""

from __future__ import annotations

import importlib.util
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
_TABLE = re.compile(r"(<!-- (rules|options|benchmarks) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_PYTHON = re.compile(r"<!-- python -->\n```python\n(.*?)```", re.DOTALL)
_MODULES = {"ga-lint": "ga_lint", "flake8": "flake8"}  # what an output's command may start with
_COMMAND = re.compile(r"<!-- command: (?P<name>[\w ]+) -->\n```sh\n(?P<text>[^\n]*)\n```")


def commands(text: str) -> dict[str, str]:
    """The set-up commands by their names."""
    return {match["name"]: match["text"] for match in _COMMAND.finditer(text)}


def sessions(text: str) -> list[str]:
    """The interactive sessions of Python, in which the files lie in the working folder."""
    return _PYTHON.findall(text)


def write_files(text: str, folder: Path) -> None:
    """The files that outputs and sessions speak of."""
    for name, content in _FILE.findall(text):
        (folder / name).write_text(content, encoding="utf-8")


def regenerated(text: str) -> str:
    """The README with every output and table as it is today."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(text, Path(folder))
        text = _OUTPUT.sub(lambda found: f"{found[1]}{found[2]}\n{_run(found[2], folder, found[3])}{found[4]}", text)
    tables = {"rules": _rule_table, "options": _option_table, "benchmarks": _benchmark_table}
    return _TABLE.sub(lambda found: found[1] + tables[found[2]]() + found[4], text)


def without_noise(text: str) -> str:
    """Errors at the level of float64's rounding differ from machine to machine."""
    return re.sub(r"\d(\.\d+)?e-1[4-7]", "rounding", text)


def _run(command: str, folder: str, before: str) -> str:
    """What a command prints; what stood there `before` where its program is not installed."""
    program, *arguments = shlex.split(command)
    module = _MODULES[program]
    if importlib.util.find_spec(module) is None:
        return before
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    environment.pop("GITHUB_ACTIONS", None)
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def _rule_table() -> str:
    from ga_lint.rules.registry import all_rules

    lines = ["| code | name | what it finds |", "|---|---|---|"]
    for rule in all_rules():
        page = f"rules/{rule.code}-{rule.name}.md"
        lines.append(f"| [{rule.code}]({page}) | {rule.name} | {rule.summary} |")
    return "\n".join(lines) + "\n"


def _option_table() -> str:
    from ga_lint.cli.options import COMMANDS, OPTIONS, Kind, Panel

    lines = ["| option | of | |", "|---|---|---|"]
    order = list(Panel)
    for option in sorted(OPTIONS, key=lambda option: order.index(option.panel)):
        flags = f"`{option.flag}`, `{option.off}`" if option.off else f"`{option.flag}`"
        flags = f"`{option.short}`, {flags}" if option.short else flags
        value = option.metavar if option.kind is Kind.OPTIONAL else f" {option.metavar}".rstrip()
        names = [command.name for command in COMMANDS if command.name in option.commands.split()]
        lines.append(f"| {flags}{value} | {', '.join(names)} | {option.help} |")
    return "\n".join(lines) + "\n"


def _benchmark_table() -> str:
    from testbed.record import table

    return table()


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    README.write_text(regenerated(README.read_text(encoding="utf-8")), encoding="utf-8")
