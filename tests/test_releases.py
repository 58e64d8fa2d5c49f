"""Which releases does a project run with, who says so, and what do those releases do?"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from ga_lint.errors import UsageError
from ga_lint.knowledge.releases import load_releases, read_releases, release_of
from ga_lint.project import Project
from ga_lint.project.releases import requirements_of
from ga_lint.resources import rules_folder
from testbed.shell import write

RELEASES = load_releases()
UV_LOCK = """version = 1
requires-python = ">=3.10"

[[package]]
name = "transformers-stream-generator"
version = "0.0.5"
dependencies = [
    { name = "transformers" },
]

[[package]]
name = "transformers"
version = "4.47.1"
source = { registry = "https://pypi.org/simple" }
sdist = { url = "https://files.example/transformers-4.47.1.tar.gz", hash = "sha256:8d29", size = 8693668 }
"""
POETRY_LOCK = """[[package]]
name = "transformers"
version = "4.45.2"
description = "State-of-the-art Machine Learning"
optional = false
python-versions = ">=3.8.0"

[package.extras]
torch = ["accelerate (>=0.26.0)", "torch"]

[metadata]
content-hash = "0"
"""
PIPFILE_LOCK = """{
    "_meta": {"hash": {"sha256": "0"}, "sources": []},
    "default": {
        "tokenizers": {"hashes": ["sha256:1"], "version": "==0.20.1"},
        "transformers": {
            "hashes": ["sha256:2"],
            "markers": "python_full_version >= '3.8.0'",
            "version": "==4.45.2"
        }
    },
    "develop": {}
}
"""


def said(root: Path, library: str = "transformers") -> list[tuple[str, str]]:
    """Place and specifier of every requirement, most binding first."""
    return [(found.place, found.specifier) for found in requirements_of(root, library)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "requirements.txt",
            "transformers-stream-generator==0.0.4\nsentence_transformers>=2.2\nadapter-transformers\n",
        ),
        ("requirements.txt", "# transformers==4.30.2\n--find-links transformers==4.30\n"),
        ("requirements.txt", "torch>=2.0  # as transformers==4.30 wants it\n"),
        ("requirements.txt", "git+https://github.com/huggingface/transformers-bloom-inference@v0.1\n"),
        ("notes.txt", "transformers==4.30.2\n"),
        ("uv.lock", UV_LOCK.replace('name = "transformers"\n', 'name = "transformers-neuronx"\n')),
        ("poetry.lock", POETRY_LOCK.replace('name = "transformers"', 'name = "spacy-transformers"')),
        (
            "setup.py",
            '"""Needs transformers>=4.30 and torch."""\nsetup(name="transformers", keywords="transformers")\n',
        ),
        ("setup.py", 'setup(install_requires=["transformers>=4.30"'),
        ("setup.cfg", "[metadata]\nname = transformers\n[options]\ndescription = transformers>=4.30\n"),
        ("pyproject.toml", '[project]\nname = "transformers"\nkeywords = ["transformers>=4.30"]\n'),
        ("pyproject.toml", '[project]\ndependencies = ["transformers>=4.30"\n'),
        (
            "environment.yml",
            "name: transformers\ndependencies:\n  # - transformers=4.30\n  - sentence-transformers=2.2\n",
        ),
        ("Pipfile.lock", '{"default": {"transformers": {"git": "https://github.com/huggingface/transformers"}}}'),
    ],
)
def test_nothing_is_said(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, {name: text})
    assert said(tmp_path) == []
    assert Project(tmp_path).trainer_passes_count is None
    assert Project(tmp_path).releases == RELEASES.rows


@pytest.mark.parametrize(
    ("name", "text", "place", "specifier"),
    [
        ("uv.lock", UV_LOCK, "uv.lock:12", "==4.47.1"),
        ("poetry.lock", POETRY_LOCK, "poetry.lock:2", "==4.45.2"),
        ("pdm.lock", POETRY_LOCK, "pdm.lock:2", "==4.45.2"),
        ("pylock.toml", POETRY_LOCK.replace("[[package]]", "[[packages]]"), "pylock.toml:2", "==4.45.2"),
        ("Pipfile.lock", PIPFILE_LOCK, "Pipfile.lock:5", "==4.45.2"),
        ("requirements.txt", "torch\r\nTransformers[torch] == 4.45.2 ; python_version >= '3.9'\r\n", "2", "== 4.45.2"),
        ("requirements.txt", "transformers==4.45.2 \\\n    --hash=sha256:c1b6\n", "1", "==4.45.2"),
        ("requirements.txt", "transformers >=4.40, <4.46  # not the next\n", "1", ">=4.40, <4.46"),
        ("requirements.txt", "transformers (>=4.40)\n", "1", ">=4.40"),
        ("requirements.txt", "transformers\n", "1", ""),
        (
            "requirements.txt",
            "transformers @ git+https://github.com/huggingface/transformers@v4.44.2\n",
            "1",
            "==4.44.2",
        ),
        ("requirements.txt", "git+https://github.com/huggingface/transformers.git@v4.44.2#egg=x\n", "1", "==4.44.2"),
        ("requirements.txt", "-e git+https://github.com/huggingface/transformers.git\n", "1", ""),
        ("requirements.txt", "transformers @ git+https://github.com/huggingface/transformers\n", "1", ""),
        ("requirements-train.txt", "transformers~=4.45.0\n", "1", "~=4.45.0"),
        ("requirements/base.txt", "transformers!=4.47.0,>=4.46\n", "1", "!=4.47.0,>=4.46"),
        ("constraints.txt", "transformers===4.45.2\n", "1", "===4.45.2"),
        ("setup.cfg", "[options]\ninstall_requires =\n    torch\n    transformers>=4.40\n", "4", ">=4.40"),
        ("setup.cfg", "[options]\ninstall_requires = transformers==4.45.2\n", "2", "==4.45.2"),
        ("setup.cfg", "[options.extras_require]\ntrain =\n  transformers<4.46\n", "3", "<4.46"),
        (
            "setup.py",
            'EXTRAS = {"hf": ["transformers>=4.40,<4.46"]}\nsetup(extras_require=EXTRAS)\n',
            "1",
            ">=4.40,<4.46",
        ),
        ("pyproject.toml", '[project]\ndependencies = [\n  "transformers[torch]>=4.40",\n]\n', "3", ">=4.40"),
        ("pyproject.toml", "[project.optional-dependencies]\nhf = ['transformers==4.45.2']\n", "2", "==4.45.2"),
        ("pyproject.toml", '[dependency-groups]\nall = [{include-group = "x"}, "transformers<5"]\n', "2", "<5"),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\npython = "^3.10"\ntransformers = "^4.40.1"\n',
            "3",
            ">=4.40.1,<5",
        ),
        ("pyproject.toml", '[tool.poetry.group.dev.dependencies]\ntransformers = "~4.40"\n', "2", ">=4.40,<4.41"),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\ntransformers = {version = "4.45.2", extras = ["x"]}\n',
            "2",
            "==4.45.2",
        ),
        ("pyproject.toml", '[tool.poetry.dependencies]\ntransformers = "*"\n', "2", ""),
        ("Pipfile", '[packages]\ntransformers = "==4.45.2"\n', "2", "==4.45.2"),
        ("environment.yml", "dependencies:\n  - python=3.10\n  - conda-forge::transformers=4.45\n", "3", "==4.45.*"),
        ("environment.yml", "dependencies:\n  - transformers=4.45.2=pyhd8ed1ab_0\n", "2", "==4.45.2"),
        ("environment.yaml", "dependencies:\n  - pip:\n      - transformers[torch]==4.45.2\n", "3", "==4.45.2"),
        ("environment.yml", 'dependencies:\n  - "transformers >=4.40,<4.46"  # old\n', "2", ">=4.40,<4.46"),
    ],
)
def test_one_file(tmp_path: Path, name: str, text: str, place: str, specifier: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(text.encode())
    row = place.rpartition(":")[2]
    assert said(tmp_path) == [(f"{Path(name).name}:{row}", specifier)]
    assert SpecifierSet(specifier) is not None


def test_where_it_stands(tmp_path: Path) -> None:
    """The span covers what is written there, so that a message can point at it."""
    write(
        tmp_path, {"pyproject.toml": '[project]\ndependencies = ["torch", "transformers>=4.40; os_name != \'nt\'"]\n'}
    )
    (found,) = requirements_of(tmp_path, "transformers")
    start, end = found.span.start, found.span.end
    line = (tmp_path / "pyproject.toml").read_text().splitlines()[start.row - 1]
    assert line[start.column - 1 : end.column - 1] == found.text == "transformers>=4.40"
    assert not found.pinned and not found.locked


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "requirements.txt").write_bytes("# für Übungen\ntransformers==4.45.2\n".encode(encoding))
    (tmp_path / "constraints.txt").write_bytes("transformers==4.45.2\n".encode(encoding))
    assert said(tmp_path) == [("requirements.txt:2", "==4.45.2"), ("constraints.txt:1", "==4.45.2")]


def test_a_lock_goes_before_a_pin_and_a_pin_before_a_range(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pyproject.toml": '[project]\ndependencies = ["transformers"]\n',
            "requirements.txt": "transformers>=4.40\n",
            "requirements-ci.txt": "transformers==4.44.2\n",
            "uv.lock": UV_LOCK,
        },
    )
    assert [specifier for _, specifier in said(tmp_path)] == ["==4.47.1", "==4.44.2", ">=4.40", ""]
    assert requirements_of(tmp_path, "transformers")[0].locked


def test_of_two_environments_the_newer_one_is_meant(tmp_path: Path) -> None:
    lines = "transformers==4.30.2 ; python_version < '3.8'\ntransformers==4.46.3 ; python_version >= '3.8'\n"
    write(tmp_path, {"requirements.txt": lines})
    assert said(tmp_path)[0] == ("requirements.txt:2", "==4.46.3")


def test_included_files(tmp_path: Path) -> None:
    """They may include each other, and the one that is named is also found by its own name."""
    write(
        tmp_path,
        {
            "requirements.txt": "-r reqs/base.txt\n-c missing.txt\ntorch\ntorch-r reqs/other.txt\n",
            "reqs/base.txt": "-r ../requirements.txt\n-cpins.txt\ntransformers>=4.40\n",
            "reqs/pins.txt": "transformers==4.45.2\n",
            "reqs/other.txt": "transformers==4.30.2\n",
        },
    )
    assert said(tmp_path) == [("pins.txt:1", "==4.45.2"), ("base.txt:3", ">=4.40")]


@pytest.mark.parametrize("data", [b"\0\xff\xfe", b"[[[", b"{", b"transformers" * 9, b"- -r -r\n-r requirements.txt\n"])
def test_broken_files(tmp_path: Path, data: bytes) -> None:
    names = (
        "uv.lock poetry.lock Pipfile.lock requirements.txt setup.cfg setup.py pyproject.toml Pipfile environment.yml"
    )
    for name in names.split():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "constraints.txt").mkdir()
    assert requirements_of(tmp_path, "transformers") == ()


def test_other_libraries(tmp_path: Path) -> None:
    write(tmp_path, {"requirements.txt": "Deep_Speed==0.1\ndeepspeed==0.18.3\npytorch_lightning>=2\n"})
    assert said(tmp_path, "deepspeed") == [("requirements.txt:2", "==0.18.3")]
    assert said(tmp_path, "pytorch-lightning") == [("requirements.txt:3", ">=2")]


class TestFolders:
    def test_the_nearest_that_says_something(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            {
                ".git/HEAD": "",
                "requirements.txt": "transformers==4.57.6\n",
                "examples/old/requirements.txt": "transformers==4.40.2\n",
                "examples/old/src/train.py": "",
                "examples/new/requirements.txt": "torch\n",
                "examples/new/train.py": "",
            },
        )
        project = Project(tmp_path)
        assert project.trainer_passes_count is True
        old, new = (tmp_path / "examples" / name for name in ("old/src/train.py", "new/train.py"))
        assert project.beside(old).trainer_passes_count is False
        assert project.beside(new).trainer_passes_count is True
        assert project.release.first == "4.57.0"
        assert project.beside(old).beside(new).release == project.release

    @pytest.mark.parametrize(("locked", "place"), [("4.47.1", "uv.lock:12"), ("4.57.6", "pyproject.toml:2")])
    def test_a_workspace_has_one_lock(self, tmp_path: Path, locked: str, place: str) -> None:
        """It is the members' own where their range admits what is locked; the configuration's root is no bound."""
        write(
            tmp_path,
            {
                ".git/HEAD": "",
                "uv.lock": UV_LOCK.replace("4.47.1", locked),
                "packages/train/pyproject.toml": '[project]\ndependencies = ["transformers>=4.46,<4.50"]\n',
            },
        )
        requirement = Project(tmp_path / "packages" / "train").requirement("transformers")
        assert requirement is not None and requirement.place == place

    def test_a_folder_is_read_once(self, tmp_path: Path) -> None:
        write(tmp_path, {".git/HEAD": "", "uv.lock": UV_LOCK, "a/b.py": "", "c/d.py": ""})
        project = Project(tmp_path)
        first = project.beside(tmp_path / "a" / "b.py").requirement("transformers")
        (tmp_path / "uv.lock").unlink()
        assert project.beside(tmp_path / "c" / "d.py").requirement("transformers") is first

    def test_outside_the_repository_nothing_is_read(self, tmp_path: Path) -> None:
        write(tmp_path, {"requirements.txt": "transformers==4.40.2\n", "mine/.git/HEAD": "", "mine/a.py": ""})
        assert Project(tmp_path / "mine").requirement("transformers") is None

    def test_without_a_repository_the_root_is_the_bound(self, tmp_path: Path) -> None:
        write(tmp_path, {"requirements.txt": "transformers==4.40.2\n", "mine/a.py": ""})
        assert Project(tmp_path / "mine").requirement("transformers") is None


class TestRelease:
    def spans(self, tmp_path: Path, requirement: str, configured: str | None = None) -> list[str]:
        write(tmp_path, {"requirements.txt": f"transformers{requirement}\n"})
        return [row.span for row in Project(tmp_path, configured).releases]

    @pytest.mark.parametrize(
        ("requirement", "spans"),
        [
            ("==4.57.6", ["4.57.0-5.1.0"]),
            ("==4.57.0", ["4.57.0-5.1.0"]),
            (">=4.46,<4.47", ["4.46.0-4.46.1", "4.46.2-4.46.3"]),
            (">=4.46.2,<4.47", ["4.46.2-4.46.3"]),
            (">4.46.3,<4.47", []),
            ("~=4.47.0", ["4.47.0", "4.47.1"]),
            (">=4.47,!=4.47.0,<4.48", ["4.47.1"]),
            (">=5.19", ["5.19.0 and newer"]),
            (">=9.1", ["5.19.0 and newer"]),
            ("==9.1", ["5.19.0 and newer"]),
            ("==5.0.0rc1", ["4.57.0-5.1.0"]),
            ("==3.5.1", ["4.0.0-4.29.2"]),
            ("==5.5.*", ["5.2.0-5.5.3", "5.5.4-5.10.0"]),
        ],
    )
    def test_rows_that_a_requirement_admits(self, tmp_path: Path, requirement: str, spans: list[str]) -> None:
        assert self.spans(tmp_path, requirement) == (spans or [row.span for row in RELEASES.rows])

    def test_what_the_user_says_goes_first(self, tmp_path: Path) -> None:
        assert self.spans(tmp_path, "==4.57.6", "4.45.2") == ["4.30.0-4.45.2"]
        assert self.spans(tmp_path, "==4.57.6", ">=4.54,<4.56") == ["4.54.0-4.54.1", "4.55.0-4.56.2"]

    @pytest.mark.parametrize(
        ("requirement", "passes", "averages", "window"),
        [
            ("<4.46", False, False, False),
            ("==4.45.2", False, False, False),
            (">=4.40", True, True, True),
            ("==4.46.0", True, False, False),
            ("==4.53.3", True, False, False),
            ("==4.54.0", True, True, False),
            ("==4.55.0", True, True, True),
            ("", None, None, None),
            ("==not.a.version", None, None, None),
        ],
    )
    def test_the_three_questions_of_the_rules(
        self, tmp_path: Path, requirement: str, passes: bool | None, averages: bool | None, window: bool | None
    ) -> None:
        write(tmp_path, {"requirements.txt": f"transformers{requirement}\n"})
        project = Project(tmp_path)
        answers = (project.trainer_passes_count, project.averages_tokens, project.knows_window_length)
        assert answers == (passes, averages, window)


class TestTable:
    def test_the_rows_follow_each_other(self) -> None:
        assert RELEASES.rows[0].first == "4.0.0" and RELEASES.newest.last is None
        for row, following in pairwise(RELEASES.rows):
            assert row.last is not None
            known = [version for version in RELEASES.known if release_of(version) > release_of(row.last)]
            assert known[0] == following.first

    def test_every_known_release_has_its_row(self) -> None:
        for version in RELEASES.known:
            row = RELEASES.row(version)
            assert release_of(row.first) <= release_of(version)
            assert row.last is None or release_of(version) <= release_of(row.last)

    def test_a_fault_says_whom_it_hits_and_what_to_require(self) -> None:
        for row in RELEASES.rows:
            assert (row.fault is None) == (row.faulty_for is None) == (row.fixed_in is None)
            if row.fixed_in:
                required = SpecifierSet(row.fixed_in)
                assert not any(RELEASES.row(version).fault for version in required.filter(RELEASES.known))
        faulty = [row.span for row in RELEASES.rows if row.fault]
        assert faulty == (
            "4.0.0-4.29.2 4.30.0-4.45.2 4.46.0-4.46.1 4.46.2-4.46.3 4.47.0 4.47.1 4.48.0 5.2.0-5.5.3".split()
        )

    def test_every_row_names_its_source(self) -> None:
        assert all(row.source for row in [*RELEASES.rows, *RELEASES.engines])

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ('passes_count = "inverted"', 'passes_count = "sometimes"', "release 4.47.0: passes_count must be one of"),
            ("window_length = true", "window_size = true", "release 4.55.0: unknown key 'window_size'"),
            ('first = "4.49.0"', 'first = "4.46.1"', "do not go from the oldest release to the newest"),
            ("[known]", "[unknown]", "not a table of releases"),
        ],
    )
    def test_a_wrong_row_is_named(self, tmp_path: Path, old: str, new: str, message: str) -> None:
        text = (rules_folder() / "knowledge" / "releases.toml").read_text(encoding="utf-8")
        assert old in text
        write(tmp_path, {"releases.toml": text.replace(old, new)})
        with pytest.raises(UsageError, match=message):
            read_releases(tmp_path / "releases.toml")
