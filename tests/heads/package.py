"""What is in an unpacked transformers package? Its classes by file, their bases, and the automatic mappings.

Nothing is imported: one interpreter can read any release.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, eq=False)
class Class:
    """A class, and the file that holds it."""

    module: str  # with dots, below transformers: models.bert.modeling_bert
    node: ast.ClassDef

    @property
    def name(self) -> str:
        return self.node.name

    @functools.cached_property
    def methods(self) -> dict[str, ast.FunctionDef]:
        return {each.name: each for each in self.node.body if isinstance(each, ast.FunctionDef)}

    @functools.cached_property
    def constants(self) -> dict[str, object]:
        """What the body assigns literally."""
        found: dict[str, object] = {}
        for each in self.node.body:
            match each:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value))
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value))
                ):
                    found[name] = value
        return found


class Package:
    """One unpacked release: `folder` holds `transformers/`."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "transformers"
        self._trees: dict[str, ast.Module] = {}
        self._classes: dict[str, dict[str, Class]] = {}
        self._imported: dict[str, dict[str, tuple[str, str]]] = {}

    @functools.cached_property
    def release(self) -> tuple[int, int, int]:
        for node in self.tree("__init__").body:
            match node:
                case ast.Assign(targets=[ast.Name(id="__version__")], value=ast.Constant(value=str() as text)):
                    major, minor, patch = (int(part) for part in text.split(".")[:3])
                    return major, minor, patch
        raise ValueError(f"{self.root} states no version")

    def path(self, module: str) -> Path:
        return self.root.joinpath(*module.split(".")).with_suffix(".py")

    def tree(self, module: str) -> ast.Module:
        """The parsed module; one without statements where there is no such file."""
        if module not in self._trees:
            path = self.path(module)
            self._trees[module] = ast.parse(path.read_bytes() if path.is_file() else b"")
        return self._trees[module]

    def modeling_modules(self) -> list[str]:
        """The files of models, as far as they speak of labels."""
        paths = sorted(path for path in self.root.glob("models/**/modeling_*.py") if b"labels" in path.read_bytes())
        names = [".".join(path.relative_to(self.root).with_suffix("").parts) for path in paths]
        return [name for name in names if not name.rpartition(".")[2].startswith(("modeling_tf_", "modeling_flax_"))]

    def classes(self, module: str) -> dict[str, Class]:
        """The classes that the module defines."""
        if module not in self._classes:
            nodes = [node for node in self.tree(module).body if isinstance(node, ast.ClassDef)]
            self._classes[module] = {node.name: Class(module, node) for node in nodes}
        return self._classes[module]

    def _imports(self, module: str) -> dict[str, tuple[str, str]]:
        """For every name imported from the package the module and the name there."""
        if module not in self._imported:
            found: dict[str, tuple[str, str]] = {}
            for node in self.tree(module).body:
                if isinstance(node, ast.ImportFrom) and node.level:
                    base = module.split(".")[: -node.level]
                    target = ".".join([*base, *(node.module or "").split(".")]).strip(".")
                    found |= {alias.asname or alias.name: (target, alias.name) for alias in node.names}
            self._imported[module] = found
        return self._imported[module]

    def find(self, module: str, name: str) -> Class | None:
        """The class that `name` means in that module."""
        own = self.classes(module).get(name)
        if own is None and name in self._imports(module):
            target, name = self._imports(module)[name]
            return self.classes(target).get(name)
        return own

    def ancestry(self, cls: Class) -> Iterator[Class]:
        """The class and its bases, nearest first, as far as they are in the package."""
        todo, seen = [cls], set[tuple[str, str]]()
        while todo:
            one = todo.pop(0)
            if (one.module, one.name) in seen:
                continue
            seen.add((one.module, one.name))
            yield one
            bases = [self.find(one.module, name) for base in one.node.bases if (name := _last(base))]
            todo = [base for base in bases if base is not None] + todo

    @functools.cached_property
    def loss_functions(self) -> LossFunctions:
        return LossFunctions(self)

    def auto_mappings(self) -> dict[str, list[str]]:
        """For every automatic class the concrete classes that it may build."""
        tree = self.tree("models.auto.modeling_auto")
        names: dict[str, list[str]] = {}
        mappings: dict[str, str] = {}
        autos: dict[str, list[str]] = {}
        for node in tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(args=[only])) if _is_names(name):
                    names[name] = sorted(_texts(only, names))
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(args=[_, ast.Name(id=source)])):
                    mappings[name] = source
                case ast.ClassDef(name=name, body=body):
                    for each in body:
                        match each:
                            case ast.Assign(targets=[ast.Name(id="_model_mapping")], value=ast.Name(id=mapping)):
                                autos[name] = names.get(mappings.get(mapping, ""), [])
        return autos


class LossFunctions:
    """What `self.loss_function` is for a class, and whether that function divides by a count it is handed."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self.mapping: dict[str, str] = {}
        for node in package.tree(LOSSES).body:
            match node:
                case ast.Assign(targets=[ast.Name(id="LOSS_MAPPING")], value=ast.Dict(keys=keys, values=values)):
                    pairs = zip(keys, values, strict=True)
                    self.mapping = {k.value: ast.unparse(v) for k, v in pairs if isinstance(k, ast.Constant)}

    def of(self, loss_type: str) -> str:
        """As PreTrainedModel chooses: the whole name, else the first key in it, else the causal one."""
        if loss_type in self.mapping:
            return self.mapping[loss_type]
        found = re.findall("|".join(self.mapping), loss_type)
        return self.mapping[found[0]] if found else self.mapping["ForCausalLM"]

    def uses_count(self, name: str) -> bool:
        function = self._function(name)
        return function is not None and any(
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "fixed_cross_entropy"
            and ("num_items_in_batch" in ast.unparse(node) or any(k.arg is None for k in node.keywords))
            for node in ast.walk(function)
        )

    def _function(self, name: str) -> ast.FunctionDef | None:
        for node in self.package.tree(LOSSES).body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return node
        return None  # of a file of its own: none of those divides by the count


LOSSES = "loss.loss_utils"


def _is_names(name: str) -> bool:
    return name.endswith("_MAPPING_NAMES")


def _texts(node: ast.expr, known: dict[str, list[str]]) -> set[str]:
    """The class names on the right of the pairs; a mapping may be made of another one."""
    found: set[str] = set()
    for each in ast.walk(node):
        match each:
            case ast.Tuple(elts=[ast.Constant(value=str()), value]):
                found |= {c.value for c in ast.walk(value) if isinstance(c, ast.Constant) and isinstance(c.value, str)}
            case ast.Name(id=name) if name in known:
                found |= set(known[name])
    return found


def _last(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return _last(value)
    return ""
