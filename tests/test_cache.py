"""Is what the cache says what a new look would say, whatever has changed?"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ga_lint.config import ConfigFinder, Flags, Selection
from ga_lint.diagnostics import Diagnostic, Effect, Finding, FixRequest, Step
from ga_lint.engine import cache as module
from ga_lint.engine import check_file, look
from ga_lint.engine.cache import Cache
from ga_lint.engine.discover import Target
from ga_lint.engine.look import Look, Looker
from ga_lint.engine.pack import pack, unpack
from ga_lint.engine.run import check
from ga_lint.outcome import Failed, Found, Report, Skipped
from testbed.fixtures import FIXTURES
from testbed.shell import HIT, ga_lint, write

TRAIN = """\
from losses import loss_of


def train(model, loader, optimizer):
    for step, batch in enumerate(loader):
        loss = loss_of(model, batch) / 4
        loss.backward()
        if (step + 1) % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
"""
LOSS = """\
import torch.nn.functional as F


def loss_of(model, batch):
    logits = model(batch["input_ids"]).logits
    return F.cross_entropy(logits.view(-1, 10), batch["labels"].view(-1), ignore_index=-100{more})
"""
MODEL = (
    "from torch.nn import CrossEntropyLoss\nfrom transformers import PreTrainedModel\n\n\n"
    "class NetForCausalLM(PreTrainedModel):\n    def forward(self, x, labels=None, **kwargs):\n"
    "        return CrossEntropyLoss()(self.lm_head(x).view(-1, 9), labels.view(-1))\n"
)


class Counting:
    """The files that were really looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        at = Looker.at

        def counted(looker: Looker, target: Target) -> Look:
            self.names.append(target.path.name)
            return at(looker, target)

        monkeypatch.setattr(Looker, "at", counted)

    def taken(self) -> list[str]:
        names, self.names = sorted(self.names), []
        return names


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counting:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "_RECENT", -(10**12))  # files of this very moment are kept too
    return Counting(monkeypatch)


def run(flags: Flags | None = None) -> Report:
    return check([Path()], ConfigFinder(flags), cache=Cache(Path(module.FOLDER)))


def same_as_anew(flags: Flags | None = None) -> Report:
    cached = run(flags)
    anew = check([Path()], ConfigFinder(flags))
    assert cached.outcomes == anew.outcomes
    return cached


@pytest.mark.parametrize("name", sorted(path.relative_to(FIXTURES).as_posix() for path in FIXTURES.rglob("*.py"))[::4])
def test_an_outcome_is_the_same_after_its_journey(name: str) -> None:
    [outcome] = check([FIXTURES / name], ConfigFinder(isolated=True)).outcomes
    packed = pack(outcome)
    assert packed is not None
    assert unpack(outcome.path, json.loads(json.dumps(packed))) == outcome


def test_a_file_that_says_that_it_is_generated_stays_skipped(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("# ga-lint: file-ignore\n" + HIT)
    (outcome,) = check([path], ConfigFinder(isolated=True)).outcomes
    assert isinstance(outcome, Skipped)
    assert unpack(path, json.loads(json.dumps(pack(outcome)))) == outcome


def test_a_failure_comes_back_as_it_was_and_what_is_no_outcome_does_not() -> None:
    path = Path("train.py")
    for internal in (False, True):
        failed = Failed(path, "what went wrong", internal)
        assert unpack(path, json.loads(json.dumps(pack(failed)))) == failed
    for wrong in (["lost"], ["failed", "why"], ["failed", "why", 1], []):
        with pytest.raises(ValueError, match="not an outcome"):
            unpack(path, wrong)


def test_only_the_files_that_were_used_last_are_kept(looked: Counting, tmp_path: Path) -> None:
    folder = tmp_path / module.FOLDER
    folder.mkdir()
    write(tmp_path, {"a.py": HIT})
    for number in range(20):
        (folder / f"{number}.json").write_text("{}")
        os.utime(folder / f"{number}.json", (number, number))
    run()
    left = {path.name for path in folder.glob("*.json")}
    assert len(left) == 16
    assert {f"{number}.json" for number in range(5, 20)} < left


def test_nothing_new_is_left_behind_on_the_journey() -> None:
    """A field that is added must be added to `pack` too; the last of a diagnostic are a notebook's, or come later."""
    fields = {kind: " ".join(kind.__struct_fields__) for kind in (Finding, FixRequest, Effect)}
    assert fields == {
        Finding: "code name severity confidence message span label effect scope trace fix fix_refusal",
        FixRequest: "fixer tier summary targets options also otherwise",
        Effect: "kind message factor value on_ranks mean_of_means",
    }
    assert Step.__struct_fields__ == ("message", "path", "span", "cell")
    names = "path finding fingerprint noqa_row source_line context cell edits verified text in_module"
    assert Diagnostic.__struct_fields__ == tuple(names.split())


def test_nothing_is_looked_at_twice(looked: Counting, tmp_path: Path) -> None:
    write(tmp_path, {"hit.py": HIT, "clean.py": "x = 1\n", "model.py": MODEL})
    first = run()
    assert looked.taken() == ["clean.py", "hit.py", "model.py"]
    assert len(first.diagnostics) == 2
    assert run().outcomes == first.outcomes
    assert looked.taken() == []


def test_a_touched_file_is_known_by_its_content(looked: Counting, tmp_path: Path) -> None:
    write(tmp_path, {"train.py": TRAIN, "losses.py": LOSS.format(more="")})
    run()
    for name in ("train.py", "losses.py"):
        (tmp_path / name).touch()
    looked.taken()
    assert len(run().diagnostics) == 1
    assert "train.py" not in looked.taken()


def test_a_change_anywhere_is_seen(looked: Counting, tmp_path: Path) -> None:
    write(tmp_path, {"train.py": TRAIN, "losses.py": LOSS.format(more="")})
    assert len(same_as_anew().diagnostics) == 1
    write(tmp_path, {"losses.py": LOSS.format(more=', reduction="sum"')})
    assert [d.finding.code for d in same_as_anew().diagnostics] != ["GA101"]
    (tmp_path / "losses.py").unlink()
    same_as_anew()
    write(tmp_path, {"src/losses.py": LOSS.format(more="")})  # where nothing was before
    assert len(same_as_anew().diagnostics) == 1
    write(tmp_path, {"losses/__init__.py": "from .inner import *\n", "losses/inner.py": LOSS.format(more="")})
    assert len(same_as_anew().diagnostics) == 1
    write(tmp_path, {"losses/inner.py": LOSS.format(more=', reduction="none"')})
    same_as_anew()


def test_what_the_project_requires_is_part_of_it(looked: Counting, tmp_path: Path) -> None:
    write(tmp_path, {"model.py": MODEL, "requirements.txt": "transformers==4.57.0\n"})
    before = same_as_anew()
    write(tmp_path, {"requirements.txt": "transformers==4.40.0\n"})
    assert same_as_anew().diagnostics != before.diagnostics
    (tmp_path / "requirements.txt").unlink()
    write(tmp_path, {"uv.lock": '[[package]]\nname = "transformers"\nversion = "4.40.0"\n'})
    same_as_anew()


def test_another_configuration_has_entries_of_its_own(looked: Counting, tmp_path: Path) -> None:
    write(tmp_path, {"hit.py": HIT})
    assert len(run().diagnostics) == 1
    none = Flags(selection=Selection(ignore=("GA103",)))
    assert not same_as_anew(none).diagnostics
    assert len(same_as_anew().diagnostics) == 1
    write(tmp_path, {"ga-lint.toml": 'ignore = ["GA103"]\n'})
    assert not same_as_anew().diagnostics


def test_another_version_starts_anew(looked: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"hit.py": HIT})
    run()
    monkeypatch.setattr(module, "__version__", "999")
    looked.taken()
    run()
    assert looked.taken() == ["hit.py"]


NO_CACHES = ["", "{", "[]", "null", '{"files": {"hit.py": [1]}, "places": {}}', '{"files": 3}', "\x80\x04cos\nsystem\n"]


@pytest.mark.parametrize("sealed", [False, True], ids=["damaged", "well-formed"])
@pytest.mark.parametrize("text", NO_CACHES)
def test_a_broken_cache_is_none(text: str, sealed: bool, looked: Counting, tmp_path: Path) -> None:
    write(tmp_path, {"hit.py": HIT})
    first = run()
    (kept,) = (tmp_path / module.FOLDER).glob("*.json")
    seal = f"{module._digest(text.encode())}\n" if sealed else ""
    kept.write_bytes((seal + text).encode())
    assert run().outcomes == first.outcomes
    looked.taken()
    assert run().outcomes == first.outcomes
    assert looked.taken() == []


def test_a_wrong_entry_is_no_code(looked: Counting, tmp_path: Path) -> None:
    """A cache that came with a repository may say what it likes; it is data, and odd data is left out."""
    write(tmp_path, {"hit.py": HIT})
    first = run()
    (kept,) = (tmp_path / module.FOLDER).glob("*.json")
    document = module._unsealed(kept.read_bytes())
    document["files"]["hit.py"][4] = ["found", [["__import__('os')", 2, 3]]]
    kept.write_bytes(module._sealed(document))
    assert run().outcomes == first.outcomes


def test_a_cache_of_which_a_bit_has_changed_is_none(looked: Counting, tmp_path: Path) -> None:
    write(tmp_path, {"hit.py": HIT})
    run()
    (kept,) = (tmp_path / module.FOLDER).glob("*.json")
    kept.write_bytes(kept.read_bytes().replace(b"divides again", b"divides agaim", 1))
    looked.taken()
    assert run().diagnostics[0].finding.message.endswith("divides again")
    assert looked.taken() == ["hit.py"]


def test_two_runs_at_once(looked: Counting, tmp_path: Path) -> None:
    write(tmp_path, {"hit.py": HIT, "model.py": MODEL})
    one, two = Cache(Path(module.FOLDER)), Cache(Path(module.FOLDER))
    first = check([Path("hit.py")], ConfigFinder(), cache=one)
    second = check([Path("model.py")], ConfigFinder(), cache=two)
    assert [len(each.diagnostics) for each in (first, second)] == [1, 1]
    assert len(same_as_anew().diagnostics) == 2
    assert not list((tmp_path / module.FOLDER).glob("*.[0-9]*"))


def test_what_is_just_being_written_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    counting = Counting(monkeypatch)
    write(tmp_path, {"hit.py": HIT})
    run(), run()
    assert counting.taken() == ["hit.py", "hit.py"]


def test_the_folder_is_git_ignored_and_can_be_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"hit.py": HIT})
    assert ga_lint("check", "--no-cache", cwd=tmp_path).code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["hit.py"]
    assert ga_lint("check", "--cache-dir", "elsewhere/here", cwd=tmp_path).code == 1
    assert (tmp_path / "elsewhere" / "here" / ".gitignore").read_text().endswith("*\n")
    assert ga_lint("check", "--cache-dir", "hit.py", cwd=tmp_path).code == 1  # no folder: a run without one
    assert ga_lint("check", "--cache-dir", "x", "--no-cache", cwd=tmp_path).code == 2


def test_a_failure_is_never_kept(looked: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"hit.py": HIT})
    with monkeypatch.context() as patched:
        patched.setattr(check_file, "check_bytes", lambda path, *_, **__: look.failed_in_worker(path).outcome)
        assert run().exit_code == 2
    assert isinstance(run().outcomes[0], Found)
