"""Is what a run holds in memory bounded, whatever number of projects it goes through?"""

from __future__ import annotations

import gc
from pathlib import Path

from ga_lint.config import Config, ConfigFinder
from ga_lint.engine.discover import Target
from ga_lint.engine.look import Looker
from ga_lint.engine.run import check, collector_paused
from ga_lint.engine.scope import Scopes
from ga_lint.project import trees
from ga_lint.syntax.bindings import ImportedName
from ga_lint.syntax.parsed import ParsedFile
from testbed.fixtures import FIXTURES
from testbed.shell import write

PROJECTS = 3
MODULES = trees.MAX_FILES - 2


def test_the_projects_of_a_run_share_the_trees_they_keep(tmp_path: Path) -> None:
    scopes = Scopes()
    for number in range(PROJECTS):
        root = tmp_path / f"project_{number}"
        write(root, {f"module_{index}.py": f"x = {index}\n" for index in range(MODULES)})
        project = scopes.of(Config(root=root)).project
        for index in range(MODULES):
            assert project.imported(root / "train.py", ImportedName(f"module_{index}", 0, None)) is not None
    assert len(scopes._trees._files) == trees.MAX_FILES


def test_the_files_that_are_used_stay(tmp_path: Path) -> None:
    names = [f"module_{index}.py" for index in range(trees.MAX_FILES + 1)]
    write(tmp_path, dict.fromkeys(names, "x = 1\n"))
    store = trees.Trees()
    first = store.read(tmp_path / names[0], tmp_path / names[0])
    for name in names[1:]:
        store.read(tmp_path / name, tmp_path / name)
        assert store.read(tmp_path / names[0], tmp_path / names[0]) is first
    assert store.read(tmp_path / names[1], tmp_path / names[1]) is not None
    assert len(store._files) == trees.MAX_FILES


def test_what_is_no_python_is_known_as_such(tmp_path: Path) -> None:
    write(tmp_path, {"broken.py": "def f(:\n"})
    store = trees.Trees()
    assert store.read(tmp_path / "broken.py", tmp_path / "broken.py") is None
    write(tmp_path, {"broken.py": "x = 1\n"})
    assert store.read(tmp_path / "broken.py", tmp_path / "broken.py") is None  # each file is read once in a run


def test_no_tree_stays_behind_its_file() -> None:
    """Nobody looks for circles during a run, so none may hold a tree, whichever rule was asked."""
    shown = [path for folder in sorted(FIXTURES.iterdir()) for path in sorted(folder.rglob("*.py"))[::4]]
    gc.collect()
    before = sum(type(one) is ParsedFile for one in gc.get_objects())
    with collector_paused():
        check(shown, ConfigFinder(isolated=True))
        alive = sum(type(one) is ParsedFile for one in gc.get_objects()) - before
    assert alive <= trees.MAX_FILES


def test_a_file_that_was_looked_at_is_held_as_an_outline_at_most(tmp_path: Path) -> None:
    loop = "def train(model, loader):\n    for batch in loader:\n        model(batch).loss.backward()\n"
    write(tmp_path, {"first.py": loop, "second.py": f"from first import train\n\n\n{loop}\ntrain(model, loader)\n"})
    looker = Looker(parses_all=True)
    for name in ("first.py", "second.py"):
        looker.at(Target(tmp_path / name, Config(root=tmp_path), named=False))
    held = looker.scopes._trees._files
    assert set(held) == {(tmp_path / "first.py").resolve()}
    assert "body" not in vars(held[(tmp_path / "first.py").resolve()].tree.body[0])
