"""Which files does a run look at?"""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.config import ConfigFinder, Flags
from ga_lint.engine.discover import Target, discover
from ga_lint.outcome import Failed, Skipped, SkipReason
from testbed.shell import write


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*paths: str, flags: Flags | None = None, force_exclude: bool = False) -> list[str]:
    items = discover([Path(path) for path in paths or (".",)], ConfigFinder(flags), force_exclude=force_exclude)
    return [item.path.as_posix() for item in items if isinstance(item, Target)]


def test_recursive_sorted_python_only(here: Path) -> None:
    write(here, {"b.py": "", "a/z.py": "", "a/a.py": "", "a/stub.pyi": "", "a/n.ipynb": "", "a/t.txt": "", "a.py": ""})
    assert found() == ["a.py", "a/a.py", "a/n.ipynb", "a/z.py", "b.py"]


def test_each_file_once_under_its_shortest_name(here: Path) -> None:
    write(here, {"a/x.py": ""})
    assert found("a", "a/x.py", "./a/../a/x.py", str(here / "a")) == ["a/x.py"]
    for order in (["a", "a/x.py"], ["a/x.py", "a"]):
        (target,) = discover([Path(path) for path in order], ConfigFinder())
        assert isinstance(target, Target)
        assert target.named


def test_default_excludes(here: Path) -> None:
    write(
        here,
        {f"{name}/x.py": "" for name in (".venv", "build", "node_modules", "__pycache__", "a/site-packages", "src")},
    )
    assert found() == ["src/x.py"]


def test_an_excluded_folder_that_is_named_is_walked(here: Path) -> None:
    write(here, {".venv/lib/site-packages/pkg/x.py": "", ".venv/lib/site-packages/pkg/build/y.py": ""})
    assert found(".venv/lib/site-packages/pkg") == [".venv/lib/site-packages/pkg/x.py"]
    assert found(".venv/lib/site-packages/pkg", force_exclude=True) == []


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("gen_*", ["a/x.py", "b/sub/y.py"]),
        ("b/sub", ["a/gen_1.py", "a/x.py"]),
        ("sub/", ["a/gen_1.py", "a/x.py"]),
        ("/a/*.py", ["b/sub/y.py"]),
        ("**/y.py", ["a/gen_1.py", "a/x.py"]),
    ],
)
def test_patterns(here: Path, pattern: str, left: list[str]) -> None:
    write(here, {"a/gen_1.py": "", "a/x.py": "", "b/sub/y.py": "", ".git/HEAD": ""})
    assert found(flags=Flags(extend_exclude=(pattern,))) == left
    assert found(*["a/gen_1.py", "a/x.py", "b/sub/y.py"], flags=Flags(extend_exclude=(pattern,))) == [
        "a/gen_1.py",
        "a/x.py",
        "b/sub/y.py",
    ]
    forced = found(*["a/gen_1.py", "a/x.py", "b/sub/y.py"], flags=Flags(extend_exclude=(pattern,)), force_exclude=True)
    assert forced == left


class TestGitignore:
    def test_nested_files_and_negation(self, here: Path) -> None:
        write(
            here,
            {
                ".git/info/exclude": "local.py\n",
                ".gitignore": "# comment\n\n*.gen.py\n/only_here.py\nlogs/\n",
                "a/.gitignore": "!keep.gen.py\nmine.py\n",
                **dict.fromkeys(("x.gen.py", "only_here.py", "a/only_here.py", "a/keep.gen.py", "a/no.gen.py"), ""),
                **dict.fromkeys(("mine.py", "a/mine.py", "logs/l.py", "a/b/logs/l.py", "a/local.py"), ""),
            },
        )
        assert found() == ["a/keep.gen.py", "a/only_here.py", "mine.py"]
        assert found("a") == ["a/keep.gen.py", "a/only_here.py"]

    def test_off(self, here: Path) -> None:
        write(here, {".git/HEAD": "", ".gitignore": "x.py\n", "x.py": ""})
        assert found() == []
        assert found(flags=Flags(respect_gitignore=False)) == ["x.py"]

    def test_a_named_path_is_looked_at(self, here: Path) -> None:
        write(here, {".git/HEAD": "", ".gitignore": "/vendor\n*.tmp.py\n", "vendor/lib/x.py": "", "y.tmp.py": ""})
        assert found("vendor/lib", "y.tmp.py") == ["vendor/lib/x.py", "y.tmp.py"]

    def test_files_above_the_repository_do_not_count(self, here: Path) -> None:
        write(here, {".gitignore": "x.py\n", "repo/.git/HEAD": "", "repo/x.py": ""})
        assert found("repo") == ["repo/x.py"]


class TestAwkwardPlaces:
    def test_links(self, here: Path) -> None:
        write(here, {"a/x.py": ""})
        (here / "a" / "loop").symlink_to(here / "a")
        (here / "a" / "y.py").symlink_to("x.py")
        (here / "a" / ".#x.py").symlink_to("editor@host")
        (here / "linked").symlink_to("a")
        assert found("a") == ["a/x.py", "a/y.py"]
        assert found("linked") == ["linked/x.py", "linked/y.py"]

    def test_a_folder_called_like_a_file(self, here: Path) -> None:
        write(here, {"x.py/y.py": ""})
        assert found() == found("x.py") == ["x.py/y.py"]

    def test_what_cannot_be_looked_at_says_why(self, here: Path) -> None:
        write(here, {"a.pyi": ""})
        assert discover([Path("a.pyi"), Path("no")], ConfigFinder()) == [
            Skipped(Path("a.pyi"), SkipReason.STUB),
            Failed(Path("no"), "no such file or folder"),
        ]

    def test_force_exclude_is_told(self, here: Path) -> None:
        write(here, {"build/x.py": ""})
        assert discover([Path("build/x.py")], ConfigFinder(), force_exclude=True) == [
            Skipped(Path("build/x.py"), SkipReason.EXCLUDED)
        ]

    def test_a_script_without_a_suffix_is_python_when_named(self, here: Path) -> None:
        write(here, {"train": ""})
        assert found() == []
        assert found("train") == ["train"]


def test_a_wrong_configuration_further_down_leaves_out_what_is_below_it(here: Path) -> None:
    write(here, {"a/ga-lint.toml": "select = 3\n", "a/b/x.py": "", "c.py": ""})
    (failed,) = [item for item in discover([Path()], ConfigFinder()) if isinstance(item, Failed)]
    assert "ga-lint.toml" in failed.path.as_posix()
    assert found() == ["c.py"]


@pytest.mark.parametrize("above", [".git", "pyproject.toml", ""])
def test_each_folder_has_the_settings_that_it_has_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, above: str
) -> None:
    """Below a folder most settings are taken over unasked; not where a project or a package begins."""
    inside = ["__init__.py", "deep/__init__.py", "deep/setup.py", "loose/deep/__init__.py", "own/__init__.py"]
    inside += ["own/ga-lint.toml", "own/deep/__init__.py", "sub/__init__.py", "sub/.git", "sub/deep/__init__.py"]
    for name in [f"package/{one}" for one in inside] + ([above] if above else []):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        (path.parent / "train.py").write_text("")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = discover([tmp_path / "tree"], ConfigFinder())
    targets = [item for item in found if isinstance(item, Target)]
    assert len(targets) >= 15
    for target in targets:
        assert target.config == ConfigFinder().of_folder(Path(target.path).parent), target.path
