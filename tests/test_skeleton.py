"""Is a tree whose bodies are parsed one by one the tree that `ast` makes?"""

from __future__ import annotations

import ast
import itertools
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ga_lint.config import Config
from ga_lint.engine.check_file import check_source
from ga_lint.engine.run import SMALL
from ga_lint.engine.scope import Scope
from ga_lint.errors import SourceError
from ga_lint.outcome import Found
from ga_lint.project import Project
from ga_lint.source import decode
from ga_lint.syntax.parsed import ParseFailure, parse
from ga_lint.syntax.skeleton import BrokenSkeleton, complete, skeleton_of
from testbed.fixtures import FIXTURES, ROOT
from testbed.mutation import mutants
from testbed.shell import ga_lint, write

OWN = [*sorted((ROOT / "ga_lint").rglob("*.py")), *sorted(FIXTURES.rglob("*.py"))]
STRING = 'def f():\n    """Text:\nclass A:\n    x\n"""\n    return 1\n\n\ndef g():\n    return 2\n'
LAYOUTS = {
    "text at the margin in a string": STRING,
    "a string that holds code": 'CODE = """\ndef f():\n    return 1\n"""\n\n\ndef g():\n    return CODE\n',
    "a bracket at the margin": "def f():\n    return [\n1,\n2]\n\n\ndef g(): return f()\n",
    "a line that goes on at the margin": "def f():\n    x = 1 + \\\n2\n    return x\n\n\ny = 2\n",
    "a line that goes on behind the body": "def f():\n    return 1 + \\\n2\ny = 3\n",
    "comments at the margin": "def f():\n    x = 1\n# here\n    return x\n\n\nclass A:\n    pass\n# end\n",
    "bodies on the line": "def f(): return 1\nclass A: pass\nclass B(A): x = 1; y = 2\n",
    "a colon in the header": "def f(a: dict = {1: 2}, b='):', *, c: 'x:y' = 3) -> 'a:b':  # why:\n    return a\n",
    "a header on many lines": "class A(\n    B,  # base:\n    metaclass=C,\n):\n    x: int = 8\n\n    def f(\n"
    "        self,\n        x=lambda: 1,\n    ) -> int:\n        return x\n",
    "decorators": "@a(\n    1,\n)\nclass A:\n    @b\n    # why\n    @c\n    async def f(self):\n        await x\n",
    "definitions under tests": "if a:\n    def f():\n        return 1\nelse:\n    class A:\n        def g(self):\n"
    "            return 2\ntry:\n    pass\nexcept E:\n    def h(): pass\n",
    "code in a class's docstring": 'class A:\n    """For example:\n\n    def f(self):\n        pass\n    """\n\n'
    "    def g(self):\n        def inner():\n            return 1\n        return inner\n",
    "other letters": "class Ä:\n    def ö(self, ü='ß'): return 'é'\n    def f(self):\n        return 'ñ' + x\n",
    "a comment before the first statement": "class A:\n  # two\n    def f(self):\n        pass\n    x = 1\n",
    "one blank": "class A:\n def f(self):\n  return 1\n def g(self):\n  return 2\n",
    "tabs": "class A:\n\tdef f(self):\n\t\treturn 1\n",
    "no end": "def f():\n    return 1",
    "other quotes": "def f():\n    x = '''\nclass A:\n'''\n    return '\"\"\"'\n\n\ndef g():\n    return '''a'''\n",
}


def dump(tree: ast.AST) -> str:
    return ast.dump(tree, include_attributes=True)


def same_tree(text: str) -> bool:
    """Whether there is a skeleton; its tree must be the whole one, part by part and completed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = ast.parse(text)
        found = skeleton_of(text, Path("a.py"))
        if found is None:
            return False
        try:
            assert dump(found[1]) == dump(whole)
            ends = [node.end_lineno for node in ast.walk(found[1]) if isinstance(node, ast.stmt)]
        except BrokenSkeleton:
            return False
    complete(found[1])
    assert ends == [node.end_lineno for node in ast.walk(whole) if isinstance(node, ast.stmt)]
    assert {type(node).__module__ for node in ast.walk(found[1])} <= {"ast", "_ast"}
    return True


def test_our_own_files() -> None:
    lazy = [same_tree(path.read_text()) for path in OWN[::5]]
    assert sum(lazy) > 0.8 * len(lazy)


@pytest.mark.parametrize("name", LAYOUTS)
def test_odd_layouts(name: str) -> None:
    text = LAYOUTS[name]
    same_tree(text)
    same_tree(f"x = 1\n\n\n{text}")
    same_tree("class Outer:\n" + "".join(f"    {line}\n" if line else "\n" for line in text.splitlines()))


def test_what_is_cut_wrongly_is_parsed_whole() -> None:
    assert skeleton_of(LAYOUTS["a string that holds code"], Path("a.py")) is None
    assert skeleton_of(LAYOUTS["a line that goes on behind the body"], Path("a.py")) is None
    assert skeleton_of(LAYOUTS["tabs"], Path("a.py")) is None


@settings(max_examples=50)
@given(st.sampled_from(OWN), st.integers(0, 2**32), st.integers(1, 6))
def test_mutated_files_have_the_same_tree_or_none(path: Path, seed: int, count: int) -> None:
    text = mutants(path.read_text(), seed, count)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError):
        return
    same_tree(text)


def test_qualified_names_are_the_same() -> None:
    for path in OWN[::9]:
        source = decode(path, path.read_bytes())
        lazy, whole = parse(source, lazily=True), parse(source)
        pairs = zip(ast.walk(lazy.tree), ast.walk(whole.tree), strict=True)
        definitions = [(one, two) for one, two in pairs if isinstance(two, ast.FunctionDef | ast.ClassDef)]
        assert [lazy.name_of(one) for one, _ in definitions] == [whole.name_of(two) for _, two in definitions]
        assert dict(lazy.numbers) == dict(whole.numbers)


def test_a_body_that_does_not_compile_is_told_if_it_is_looked_at(tmp_path: Path) -> None:
    """Of a large tree; whoever names the file, or has a small tree, has all of it parsed."""
    model = (
        "class NetForCausalLM(PreTrainedModel):\n    def forward(self, labels=None, **kwargs):\n{body}\n"
        "\n\ndef other():\n    return ({rest}\n"
    )
    fine = "        return CrossEntropyLoss()(self.lm_head(labels), labels)"
    files = {
        "fine.py": model.format(body=fine, rest=")"),
        "broken.py": model.format(body=f"{fine}\n        return (", rest=")"),
        "elsewhere.py": model.format(body=fine, rest=""),
        "big.py": "#" * SMALL,
    }
    write(tmp_path, {name: f"from torch.nn import CrossEntropyLoss\n\n\n{text}" for name, text in files.items()})
    ran = ga_lint("check", "--no-cache", "--output-format", "concise", cwd=tmp_path)
    assert _named(ran.out, "GA001") == ["broken.py"]
    assert _named(ran.out, "GA207") == ["elsewhere.py", "fine.py"]
    (tmp_path / "big.py").write_text("")
    for paths in ([], sorted(files)):
        ran = ga_lint("check", "--no-cache", "--output-format", "concise", *paths, cwd=tmp_path)
        assert _named(ran.out, "GA001") == ["broken.py", "elsewhere.py"]
        assert _named(ran.out, "GA207") == ["fine.py"]


def _named(out: str, code: str) -> list[str]:
    return [line.split(":")[0] for line in out.splitlines() if code in line]


def test_an_imported_file_that_is_cut_wrongly_is_read_whole(tmp_path: Path) -> None:
    head = (
        "class Base:\n    def loss_of(self, logits, labels):\n"
        "        text = f'''\n    {labels}\n    '''\n        return (\n"
    )
    write(
        tmp_path,
        {
            "base.py": f"import torch.nn.functional as F\n\n\n{head}    F.cross_entropy(logits, labels))\n",
            "model.py": "from base import Base\nfrom transformers import PreTrainedModel\n\n\n"
            "class NetForCausalLM(PreTrainedModel, Base):\n    def forward(self, x, labels=None, **kwargs):\n"
            "        loss = self.loss_of(self.head(x), labels=labels)\n        return loss\n",
        },
    )
    path = tmp_path / "model.py"
    project = Project(tmp_path)
    source = decode(path, path.read_bytes())
    outcome = check_source(source, Scope(Config(root=tmp_path), project))
    assert isinstance(outcome, Found)


@pytest.mark.parametrize("text", ["def f(:\n", "class A:\n    def f(self):\n        return (\n", "x = '\n"])
def test_what_is_no_python_stays_so(text: str) -> None:
    source = decode(Path("a.py"), text.encode())
    with pytest.raises((ParseFailure, SourceError)):
        parse(source)
    try:
        parsed = parse(source, lazily=True)
    except ParseFailure:
        return
    with pytest.raises(BrokenSkeleton):
        list(itertools.islice(ast.walk(parsed.tree), 1_000))
