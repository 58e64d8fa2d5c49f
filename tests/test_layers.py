"""Who imports whom, and what does a run of `check` never import?"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ga_lint.facts import window_signs
from testbed.fixtures import ROOT
from testbed.shell import HIT, write

PACKAGE = ROOT / "ga_lint"
# Types that everybody speaks in.
BASE = {"compared", "errors", "source", "grammar", "diagnostics", "outcome", "resources", "notebook"}
MAY_IMPORT = {
    "compared": set(),
    "errors": set(),
    "trail": set(),
    "source": {"errors"},
    "grammar": {"source"},
    "notebook": {"errors", "source", "grammar"},
    "diagnostics": {"compared", "source"},
    "outcome": {"diagnostics"},
    "resources": {"errors"},
    "config": {"diagnostics", "errors"},
    "config_schema": {"config", "knowledge"},
    "syntax": {"source", "errors", "grammar"},
    "knowledge": {"errors", "resources"},
    "project": {"source", "errors", "syntax", "knowledge", "trail"},
    "facts": {"compared", "source", "diagnostics", "errors", "syntax", "project", "knowledge", "trail"},
    "rules": {"source", "diagnostics", "facts.model", "project", "knowledge"},
    "fixers": {"source", "diagnostics", "errors", "grammar", "syntax", "facts.model"},
    "engine": BASE | {"config", "syntax", "knowledge", "project", "facts", "rules", "fixers", "trail"},
    "report": {
        "outcome",
        "diagnostics",
        "source",
        "resources",
        "verify.model",
        "verify.sweep",
        "verify.impact",
        "verify.runs",
        "verify.thresholds",
    },
    "machine": set(),
    "verify": {"machine"},
    "cli": BASE | {"config", "engine", "machine", "report", "rules.registry", "verify", "lsp"},
    "lsp": BASE | {"config", "engine"},
    "api": {"config", "diagnostics", "outcome", "engine"},
    "codemod": {"config", "engine"},
    "flake8": BASE | {"config", "engine"},
    "__main__": {"cli"},
    "__init__": {"api"},
}
ONLY_IN = {
    "libcst": ("fixers", "codemod"),
    "torch": ("verify.worker",),
    "transformers": ("verify.worker",),
    "accelerate": ("verify.worker",),
    "typer": ("cli.help",),
    "rich": ("cli.console",),
    "pathspec": ("engine.patterns",),
    "pygls": ("lsp",),
    "lsprotocol": ("lsp",),
}


LONGEST_FILE, LONGEST_FUNCTION = 250, 40  # lines; what would be longer has a seam


@functools.cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Every module of the package with its tree, by the name that layers are told by."""
    return tuple(_modules())


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__") if "." in name else name, ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    """Every module that a file imports anywhere, `a.b` for `from a.b import c`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "ga_lint")


@pytest.mark.parametrize(("name", "tree"), [pytest.param(*each, id=each[0]) for each in modules()])
def test_layers(name: str, tree: ast.Module) -> None:
    layer = name.split(".", maxsplit=1)[0]
    for imported in imports(tree):
        top, _, inner = imported.partition(".")
        if top == "ga_lint" and inner and not inner.startswith("__"):
            own = inner.split(".")[0] == layer
            allowed = any(inner == other or inner.startswith(f"{other}.") for other in MAY_IMPORT[layer])
            assert own or allowed, f"{name} imports {inner}"
        if top in ONLY_IN:
            assert name.startswith(ONLY_IN[top]), f"{name} imports {top}"


# Packages inside a layer that know nothing of their neighbours: within the layer, this is all that they import.
WITHIN = {
    "facts.values": ("facts.values", "facts.model"),
    "facts.interpreter": ("facts.interpreter", "facts.values", "facts.model"),
    "verify.worker.sandbox": ("verify.worker.sandbox", "verify.worker.exceptions", "verify.job"),
    "verify.worker.reading": ("verify.worker.reading", "verify.worker.exceptions", "verify.job"),
}


@pytest.mark.parametrize("package", WITHIN)
def test_inner_layers(package: str) -> None:
    layer = package.split(".", maxsplit=1)[0]
    seen = 0
    for name, tree in modules():
        if name.startswith(f"{package}."):
            seen += 1
            typing = {i for node in tree.body if isinstance(node, ast.If) for i in imports(ast.Module([node], []))}
            for imported in imports(tree):
                inner = imported.removeprefix("ga_lint.")
                if inner.startswith(f"{layer}.") and imported not in typing:
                    assert any(inner == one or inner.startswith(f"{one}.") for one in WITHIN[package]), (name, inner)
    assert seen


def test_the_worker_shares_nothing_but_its_job() -> None:
    for name, tree in modules():
        if name.startswith("verify.worker"):
            foreign = {i for i in imports(tree) if i.startswith("ga_lint.") and not i.startswith("ga_lint.verify.")}
            assert not foreign, name


def test_what_the_worker_cannot_share_is_the_same() -> None:
    """A rewrite that is refused where a file speaks of ranks is judged by the same signs."""
    distribution = pytest.importorskip("ga_lint.verify.worker.reading.distribution")
    for name in ("SPEAKS_OF_RANKS", "AVERAGED_BY_HAND"):
        here, there = getattr(window_signs, name), getattr(distribution, name)
        assert here.pattern.decode() == there.pattern
        assert here.flags & re.IGNORECASE == there.flags & re.IGNORECASE


_CHECK = """
import sys
from ga_lint.cli.main import main
code = main(["check", *WORDS])
loaded = [name for name in ("libcst", "torch", "transformers", "accelerate", "typer", "pydantic", "rich", "argparse",
                            "pathspec", "tomllib", "difflib", "multiprocessing") if name in sys.modules]
sys.exit(f"loaded: {loaded}" if loaded != EXPECTED else 0 if code == 1 else "nothing found")
"""


@pytest.mark.parametrize("words", [["clean.py"], ["hit.py", "--output-format", "concise"]], ids=["clean", "concise"])
def test_check_imports_nothing_heavy(tmp_path: Path, words: list[str]) -> None:
    """The knowledge tables are TOML; nothing else is on the way, but where a rewrite is spoken of."""
    text = _CHECK.replace("EXPECTED", "['tomllib']").replace("WORDS", repr(words))
    text = text.replace("code == 1", f"code == {int(words[0] == 'hit.py')}")
    write(tmp_path, {"hit.py": HIT, "clean.py": HIT.replace(".backward(", ".sum("), "run.py": text})
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_importing_the_package_imports_nothing() -> None:
    code = "import sys, ga_lint; print([name for name in sys.modules if name.startswith('ga_lint.')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_is_read_at_one_go_is_short() -> None:
    for name, tree in modules():
        ends = [node.end_lineno or 0 for node in tree.body]
        assert max(ends, default=0) <= LONGEST_FILE, name
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, f"{name}: {node.name}"
