"""Which findings does a baseline leave out, and which does `--diff-base`? Tried on real repositories."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from ga_lint.engine.baseline import read_baseline, write_baseline
from ga_lint.errors import UsageError
from testbed.fixtures import FIXTURES
from testbed.shell import BROKEN, HIT, Ran, ga_lint, write

FUNCTION = HIT[HIT.index("def ") :]
UNSURE = (FIXTURES / "GA108-constant-partial-window" / "ok_images.py").read_text()  # what is merely possible
TWICE = HIT.replace("            loss /= cfg.accum  # expect: GA103\n", "            loss /= cfg.accum\n" * 2)

ENTRY = dict.fromkeys(("path", "code", "scope", "message", "fingerprint"), "") | {"confidence": "certain"}


def check(folder: Path, *words: str) -> Ran:
    return ga_lint("check", "--baseline", "known.json", "--output-format", "concise", *words, cwd=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, {"pyproject.toml": "[tool.ga-lint]\n", "src/hit.py": HIT, "src/broken.py": BROKEN})
    ran = check(tmp_path, "--update-baseline")
    assert (ran.code, ran.out) == (0, "")
    assert "known.json: 2 known findings, 0 stale removed" in ran.err
    return tmp_path


class TestBaseline:
    def test_what_is_known_is_left_out(self, folder: Path) -> None:
        ran = check(folder)
        assert (ran.code, ran.out) == (0, "")
        assert "2 known findings left out by known.json" in ran.err

    def test_it_survives_edits_elsewhere_and_another_working_folder(self, folder: Path) -> None:
        write(folder, {"src/hit.py": f"import os\n\n\n{HIT}\n\nx = 1\n"})
        assert check(folder).out == ""
        ran = ga_lint("check", "--baseline", "../known.json", "hit.py", cwd=folder / "src")
        assert "1 known finding left out" in ran.err

    def test_a_new_finding_is_told(self, folder: Path) -> None:
        write(folder, {"src/hit.py": HIT + "\n\n" + FUNCTION.replace("def train", "def train_again", 1)})
        ran = check(folder)
        assert ran.code == 1
        assert ran.out.count("GA103") == 1

    def test_a_second_copy_of_a_known_fault_is_new(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": "x = 1  # ga-lint: ignore[GA101]\n"})
        check(tmp_path, "--update-baseline")
        write(tmp_path, {"a.py": "x = 1  # ga-lint: ignore[GA101]\n" * 2})
        assert check(tmp_path).out.count("GA002") == 1

    def test_stale_entries(self, folder: Path) -> None:
        write(folder, {"src/hit.py": "x = 1\n"})
        assert check(folder).code == 0
        assert "1 stale; --prune-baseline removes them" in check(folder).err
        ran = check(folder, "--error-stale-baseline")
        assert ran.code == 1
        assert "error: known.json: stale: GA103 src/hit.py train" in ran.err
        assert "1 stale removed" in check(folder, "--prune-baseline").err
        assert check(folder, "--error-stale-baseline").code == 0
        assert "GA001" in (folder / "known.json").read_text()

    def test_entries_of_deleted_files_are_stale(self, folder: Path) -> None:
        (folder / "src" / "hit.py").unlink()
        assert check(folder, "--error-stale-baseline").code == 1

    def test_only_what_was_looked_at_is_judged(self, folder: Path) -> None:
        write(folder, {"src/hit.py": "x = 1\n"})
        for words in (["src/broken.py"], ["--select", "GA001"], ["--exclude", "hit.py"]):
            assert check(folder, "--error-stale-baseline", *words).code == 0, words
        write(folder, {"src/hit.py": b"\0"})
        ran = check(folder, "--error-stale-baseline")
        assert ran.code == 2
        assert "stale:" not in ran.err

    def test_only_what_would_be_shown_is_judged(self, tmp_path: Path) -> None:
        write(tmp_path, {"a.py": UNSURE})
        check(tmp_path, "--update-baseline", "--min-confidence", "possible")
        assert '"possible"' in (tmp_path / "known.json").read_text()
        write(tmp_path, {"a.py": "x = 1\n"})
        assert check(tmp_path, "--error-stale-baseline").code == 0
        assert check(tmp_path, "--error-stale-baseline", "--min-confidence", "possible").code == 1

    def test_an_update_keeps_what_was_not_looked_at(self, folder: Path) -> None:
        write(folder, {"src/other.py": BROKEN})
        assert check(folder, "--update-baseline", "src/other.py").code == 0
        entries = json.loads((folder / "known.json").read_text())["findings"]
        assert [entry["path"] for entry in entries] == ["src/broken.py", "src/hit.py", "src/other.py"]

    def test_two_projects_of_one_repository_can_hold_the_same_file(self, tmp_path: Path) -> None:
        """Their fingerprints are equal, since each counts its paths from its own root."""
        write(tmp_path, {"a/pyproject.toml": "", "a/hit.py": HIT, "b/pyproject.toml": "", "b/clean.py": "x = 1\n"})
        check(tmp_path, "--update-baseline")
        write(tmp_path, {"b/hit.py": HIT})
        ran = check(tmp_path)
        assert [line.split(":")[0] for line in ran.out.splitlines()] == ["b/hit.py"]
        (tmp_path / "b" / "hit.py").rename(tmp_path / "a" / "hit.py")
        assert check(tmp_path, "--error-stale-baseline").code == 0

    def test_that_nothing_is_new_does_not_read_as_clean(self, folder: Path) -> None:
        ran = ga_lint("check", "--baseline", "known.json", cwd=folder)
        assert (ran.code, ran.out) == (0, "No new wrong loss normalisation found.\n")

    def test_a_failure_is_not_hidden(self, folder: Path) -> None:
        write(folder, {"src/binary.py": b"\0"})
        assert check(folder, "--update-baseline").code == 2
        assert check(folder).code == 2

    def test_fix_leaves_it_alone(self, folder: Path) -> None:
        ran = ga_lint("fix", "--no-verify", "--baseline", "known.json", cwd=folder)
        assert ran.code == 0
        assert (folder / "src" / "hit.py").read_text() == HIT
        again = FUNCTION.replace("def train", "def train_again", 1)
        write(folder, {"src/hit.py": HIT + "\n\n" + again})
        assert ga_lint("fix", "--no-verify", "--baseline", "known.json", cwd=folder).code == 0
        after = (folder / "src" / "hit.py").read_text()
        assert after.startswith(HIT)
        assert after.count("/= cfg.accum") == 1

    def test_one_without_entries_can_be_written_and_read(self, tmp_path: Path) -> None:
        write_baseline(tmp_path / "known.json", [])
        assert read_baseline(tmp_path / "known.json") == ()
        assert json.loads((tmp_path / "known.json").read_text()) == {"version": 1, "findings": []}

    def test_it_cannot_be_written(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"known\.json: cannot be written: No such file or directory"):
            write_baseline(tmp_path / "gone" / "known.json", [])

    @pytest.mark.parametrize(
        ("document", "reason"),
        [
            (["version"], "no version"),
            ({"findings": []}, "no version"),
            ({"version": 1, "findings": [7]}, "finding 1 must have path, code, scope"),
            ({"version": 1, "findings": [ENTRY, {**ENTRY, "scope": None}]}, "finding 2 has a wrong value"),
        ],
    )
    def test_a_damaged_one_says_where(self, document: object, reason: str, tmp_path: Path) -> None:
        write(tmp_path, {"known.json": json.dumps(document)})
        with pytest.raises(UsageError, match=reason):
            read_baseline(tmp_path / "known.json")

    @pytest.mark.parametrize("flag", ["--update-baseline", "--prune-baseline", "--error-stale-baseline"])
    def test_the_file_must_be_named(self, flag: str, tmp_path: Path) -> None:
        ran = ga_lint("check", flag, cwd=tmp_path)
        assert (ran.code, ran.err) == (2, f"error: {flag} needs --baseline FILE\n")


def git(folder: Path, *words: str) -> None:
    who = dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "t")
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, env={**os.environ, **who})


class TestDiffBase:
    @pytest.fixture
    def repo(self, tmp_path: Path) -> Path:
        repo = tmp_path / "repo"
        write(repo, {"src/hit.py": HIT, "src/ok.py": "x = 1\n"})
        git(repo, "init", "--quiet", "--initial-branch", "main")
        self.commit(repo)
        git(repo, "checkout", "--quiet", "-b", "topic")
        return repo

    @staticmethod
    def commit(repo: Path) -> None:
        git(repo, "add", "--all")
        git(repo, "commit", "--quiet", "--message", "x")

    @staticmethod
    def found(folder: Path, *words: str, base: str = "main") -> list[str]:
        ran = ga_lint("check", "--diff-base", base, "--output-format", "concise", *words, cwd=folder)
        assert ran.code in (0, 1), ran.err
        return [line.split(":")[0] for line in ran.out.splitlines()]

    def edit(self, repo: Path, old: str, new: str, name: str = "src/hit.py") -> None:
        path = repo / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    def test_nothing_changed(self, repo: Path) -> None:
        assert self.found(repo) == []

    def test_a_changed_line_elsewhere_in_the_file(self, repo: Path) -> None:
        write(repo, {"src/hit.py": f"import os\n{HIT}"})
        assert self.found(repo) == []

    def test_the_line_of_the_finding(self, repo: Path) -> None:
        self.edit(repo, "loss /= cfg.accum", "loss /=  cfg.accum")
        assert self.found(repo) == ["src/hit.py"]
        assert self.found(repo / "src") == ["hit.py"]  # from any folder
        self.commit(repo)
        assert self.found(repo) == ["src/hit.py"]

    def test_any_other_line_that_takes_part(self, repo: Path) -> None:
        """Without the accelerator, which divides too, the division was right."""
        self.edit(repo, "accelerator = Accelerator", "accelerator =  Accelerator")
        assert self.found(repo) == ["src/hit.py"]

    def test_a_line_that_is_gone_touches_its_neighbours(self, repo: Path) -> None:
        write(repo, {"src/hit.py": HIT.replace("            loss /=", "            print(loss)\n            loss /=")})
        self.commit(repo)
        git(repo, "branch", "--force", "main")
        write(repo, {"src/hit.py": HIT})
        assert self.found(repo) == ["src/hit.py"]

    def test_from_the_merge_base_on(self, repo: Path) -> None:
        """What main has changed meanwhile is not this branch's."""
        git(repo, "checkout", "--quiet", "main")
        self.edit(repo, "loss /= cfg.accum", "loss /=  cfg.accum")
        self.commit(repo)
        git(repo, "checkout", "--quiet", "topic")
        assert self.found(repo) == []

    def test_new_files(self, repo: Path) -> None:
        write(repo, {"src/untracked.py": BROKEN, "src/añ\tb.py": BROKEN})
        assert len(self.found(repo)) == 2
        self.commit(repo)
        assert len(self.found(repo)) == 2

    def test_renames(self, repo: Path) -> None:
        git(repo, "mv", "src/hit.py", "src/old name é.py")
        self.commit(repo)
        assert self.found(repo) == []
        self.edit(repo, "loss /= cfg.accum", "loss /=  cfg.accum", "src/old name é.py")
        assert self.found(repo) == ["src/old name é.py"]

    def test_fix_rewrites_only_those(self, repo: Path) -> None:
        again = FUNCTION.replace("def train", "def train_again", 1)
        write(repo, {"src/hit.py": HIT + "\n\n" + again})
        assert ga_lint("fix", "--no-verify", "--diff-base", "main", cwd=repo).code == 0
        after = (repo / "src" / "hit.py").read_text()
        assert after.startswith(HIT)
        assert after.count("/= cfg.accum") == 1

    def test_a_shallow_clone_says_what_to_do(self, repo: Path, tmp_path: Path) -> None:
        self.edit(repo, "loss /= cfg.accum", "loss /=  cfg.accum")
        self.commit(repo)
        git(tmp_path, "clone", "--quiet", "--depth", "1", repo.as_uri(), "clone")
        ran = ga_lint("check", "--diff-base", "origin/main", cwd=tmp_path / "clone")
        assert ran.code == 2
        assert ran.err == (
            "error: --diff-base: git knows no commit 'origin/main' here; this clone is shallow: "
            "`git fetch --unshallow`, or `fetch-depth: 0` for actions/checkout\n"
        )
        git(tmp_path / "clone", "fetch", "--quiet", "--depth", "1", "origin", "main:main")
        assert (
            "share no commit; this clone is shallow"
            in ga_lint("check", "--diff-base", "main", cwd=tmp_path / "clone").err
        )

    def test_stdin_has_no_history(self, repo: Path) -> None:
        assert "stdin has no history" in ga_lint("check", "-", "--diff-base", "main", cwd=repo).err
