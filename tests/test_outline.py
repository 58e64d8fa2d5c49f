"""A long file's other functions are cut out before LibCST reads it: is every byte and every place as without that?"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import libcst as cst
import pytest

from ga_lint.fixers import fixer_names, outline, registry
from ga_lint.fixers.edits import Edits
from ga_lint.fixers.names import names_in
from ga_lint.fixers.outline import CutBlock, CutShort, Outline, outline_of
from ga_lint.fixers.registry import LONG
from ga_lint.fixers.tree import Tree
from ga_lint.source import SourceFile
from testbed.rewriting import rewritten, source_of

fixer_names()  # registers them

TWO = '''import torch


class A:  # of two
    @property
    def first(self):
        """One,

        two.
        """
        x = "é"; y = 2;  # three
        return (
            x,
        )  # four

    # above the second
    def second(self):
        # five
        if self.first:

            return 1
        print()
        return 2
        # six


async def third(a):
    for b in a:
        yield b
    text = """
at the margin"""
    more = 1
    return


def short(): return 1
'''
AWKWARD = {
    "two": TWO,
    "CRLF": TWO.replace("\n", "\r\n"),
    "tabs": TWO.replace("    ", "\t"),
    "ends in a bracket at the margin": "def f():\n    a = 1\n    b = 2\n    c = 3\n    d = (\n1,\n)\n",
    "begins with a decorator": "def f(g):\n    @wraps(\n        g\n    )\n    def h():\n        g()\n\n    return h\n",
    "no newline at its end": "def f():\n    a = 1\n    b = 2\n    c = 3\n    d = 4\n    return d",
    "body on the line of the head": "def f(): a = [\n1,\n2,\n3,\n4,\n]\n",
    "the mark itself": f"def f():\n    a = 1\n    b = 2\n    c = 3\n    return '''\n{outline._MARK}'''\n",
}
LONG_FILES = sorted(Path(outline.__file__).parents[1].rglob("*.py"))[::23]


@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD)
def test_what_is_cut_out_is_written_as_it_was(text: str) -> None:
    source = source_of(text)
    assert source.encode(Edits(Tree(source, outline_of(text, ()))).apply().text) == source.data


@pytest.mark.parametrize("path", LONG_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_place_outside_is_where_it_was(path: Path) -> None:
    source = source_of(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(ast.parse(source.text)))
    for kept in [(), *((one.lineno,) for one in nodes if isinstance(one, ast.FunctionDef))][:3]:
        tree, whole = Tree(source, outline_of(source.text, kept)), Tree(source)
        assert Edits(tree).apply().text == source.text
        assert tree.module.default_indent == whole.module.default_indent
        found = {tree.span_of(node) for node in tree._ranges if isinstance(node, cst.FunctionDef | cst.ClassDef)}
        there = {whole.span_of(node) for node in whole._ranges if isinstance(node, cst.FunctionDef | cst.ClassDef)}
        assert found <= there
        assert {span for span in there if any(span.start.row <= row <= span.end.row for row in kept)} <= found


def cut_function(tree: Tree, name: str) -> cst.FunctionDef:
    [found] = [node for node in tree._ranges if isinstance(node, cst.FunctionDef) and node.name.value == name]
    assert isinstance(found.body, CutBlock)
    return found


LOOKS = {
    "names": lambda tree, function: names_in(function),
    "of a kind": lambda tree, function: tree.inside(tree.module, cst.Return),
    "expressions": lambda tree, function: tree.expressions_in(function),
    "a transformer": lambda tree, function: function.visit(cst.CSTTransformer()),
    "a visitor": lambda tree, function: tree.module.visit(cst.CSTVisitor()),
    "its code": lambda tree, function: tree.code(function),
    "a field": lambda tree, function: function.body.body[0],
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_who_looks_into_it_is_told(look: Callable[[Tree, cst.FunctionDef], object]) -> None:
    tree = Tree(source_of(TWO), outline_of(TWO, ()))
    with pytest.raises(CutShort):
        look(tree, cut_function(tree, "second"))


def test_functions_that_hold_a_place_are_whole() -> None:
    row = TWO[: TWO.index("# five")].count("\n") + 1
    cut = outline_of(TWO, [row])
    assert "# five" in cut.text
    assert "# three" not in cut.text
    assert sorted(cut.bodies.values()) == [
        TWO[TWO.index('"""One') : TWO.index("  # four")],
        TWO[TWO.index("for b in a") : TWO.index("\n\n\ndef short")],
    ]


def test_a_body_that_nobody_keeps_closed_is_not_cut_out() -> None:
    """What is closed are functions of the module and of its classes: in any other a fixer would read the string."""
    outer = "if a:\n    " + TWO[TWO.index("async def") : TWO.index("\n\n\ndef short")].replace("\n    ", "\n        ")
    source = source_of(outer)
    mark, body = f'{outline._MARK}3\n"""', outer[outer.index("for b") :]
    with pytest.raises(CutShort):
        Tree(source, Outline(outer.replace(body, mark), {mark: body}))


LINES = ["def other():", *(f"    x{number} = {number}" for number in range(LONG // 10)), "    return 1", ""]
LATE = "\n".join([*LINES, "def f(loss, n):", "    return loss / n", ""])


@pytest.mark.parametrize("looks", [False, True])
def test_a_fixer_that_looks_elsewhere_gets_the_whole_file(looks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    init, plan = Tree.__init__, registry._FIXERS["drop-division"]

    def counted(self: Tree, source: SourceFile, outline: Outline | None = None) -> None:
        asked.append(outline is None)
        init(self, source, outline)

    def looking(target: registry.Target, edits: Edits) -> None:
        assert not looks or "x1" in names_in(target.tree.module)
        plan(target, edits)

    monkeypatch.setattr(Tree, "__init__", counted)
    monkeypatch.setitem(registry._FIXERS, "drop-division", looking)
    assert rewritten(LATE, "drop-division", division="loss / n") == LATE.replace("loss / n", "loss")
    assert asked == [False, True][: 1 + looks]
