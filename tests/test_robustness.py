"""Can anything that a user's folder holds knock ga-lint over, hang it, or make it act?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbed.fixtures import ROOT
from testbed.hostile import SHAPES, SLOW_TO_REWRITE, TOO_LONG_TO_REWRITE
from testbed.shell import HIT, Ran, environment, ga_lint, write

NOT_READ = "nested too deeply"
MANY = 900  # files: some ten seconds of rewriting, so that a busy machine too is in the middle of it
PLAIN_HIT = """\
import torch
from transformers import AutoModelForCausalLM, DataCollatorForSeq2Seq

model = AutoModelForCausalLM.from_pretrained("gpt2")
loader = torch.utils.data.DataLoader(data, collate_fn=DataCollatorForSeq2Seq(tokenizer))
{shape}
for step, batch in enumerate(loader):
    loss = model(**batch).loss / 4
    loss.backward()
    if (step + 1) % 4 == 0:
        optimizer.step()
        optimizer.zero_grad()
"""


def whole(ran: Ran) -> None:
    """It ended by itself, in one of the three ways."""
    assert ran.code in (0, 1, 2), ran.err[-500:]
    assert "Traceback" not in ran.out + ran.err
    assert "internal error" not in ran.out + ran.err
    assert " checked" in ran.err.splitlines()[-1]


class TestShapes:
    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        here = tmp_path_factory.mktemp("shapes")
        write(here, {f"{name}.py": PLAIN_HIT.format(shape=shape) for name, shape in SHAPES.items()})
        write(here, {"z.py": HIT})
        return here

    @pytest.mark.slow
    def test_check_reads_each_or_names_it_and_goes_on(self, folder: Path) -> None:
        ran = ga_lint("check", "--isolated", "--output-format", "concise", cwd=folder)
        whole(ran)
        for name in SHAPES:
            hit = f"{name}.py:" in ran.out
            assert hit or f"error: {name}.py: {NOT_READ}" in ran.err or name == "100,000 lines"
        assert "z.py:" in ran.out

    @pytest.mark.slow
    def test_fix_rewrites_each_or_says_why_not_and_goes_on(self, folder: Path) -> None:
        names = [f"{name}.py" for name in SHAPES if name not in SLOW_TO_REWRITE]
        options = "--isolated", "--no-verify", "--unsafe-fixes", "--diff"
        ran = ga_lint("fix", *options, *names, "z.py", cwd=folder)
        whole(ran)
        assert "--- a/z.py" in ran.out
        assert ran.out.count("class WithTargetShare") > 10
        assert "20,000 times and.py:8 not rewritten: it holds a chain of more than 1000 `and`s" in ran.err
        for name in TOO_LONG_TO_REWRITE:
            assert f"{name}.py:8 not rewritten: the file is too long to be rewritten: 13 lines, 140," in ran.err
        for name in names:
            assert f"--- a/{name}" in ran.out or f"{name}:" in ran.err or name == "100,000 lines.py", name


ODD_FILES = {  # by name: bytes, and what is said where it cannot be read
    "null.py": (HIT.encode() + b"\0", "binary file"),
    "utf16.py": (HIT.encode("utf-16"), "UTF-16"),
    "latin.py": (HIT.encode() + b"# \xe9\n", "is not utf-8"),
    "declared.py": (b"# -*- coding: latin-1 -*-\n" + HIT.encode() + b"# \xe9\n", None),
    "unknown.py": (b"# -*- coding: nonsense -*-\n" + HIT.encode(), "unknown encoding 'nonsense'"),
    "undefined.py": (b"# -*- coding: undefined -*-\n" + HIT.encode(), "line 1 is not undefined"),
    "punycode.py": (b"# -*- coding: punycode -*-\n" + HIT.encode(), "line 1 is not punycode"),
    "no_text.py": (b"# -*- coding: rot13 -*-\n" + HIT.encode(), "unknown encoding 'rot13'"),
    "old_mac.py": (HIT.replace("\n", "\r").encode(), None),
    "mixed.py": (HIT.replace("\n", "\r\n", 5).encode(), None),
    "esc\x1b[31m.py": (HIT.encode(), None),
    "new\nline.py": (HIT.encode(), None),
    "[red]markup.py": (HIT.encode() + b"# [red] ::error:: ##vso[task.complete]\n", None),
    "::error::.py": (HIT.encode(), None),
    "-dash.py": (HIT.encode(), None),
    " .py": (HIT.encode(), None),
    "損失.py": (HIT.encode(), None),
    "cut.ipynb": (b'{"cells": [{"cell_type": "code", "source": ["loss.backward()"', "its JSON cannot be read"),
    "list.ipynb": (b"[1]", "not a notebook"),
    "empty.ipynb": (b"", "its JSON cannot be read"),
    "deep.ipynb": (b"[" * 100_000, "its JSON cannot be read"),
    "old.ipynb": (b'{"nbformat": 3, "worksheets": []}', "not a notebook of format 4"),
}
FORMATS = "full concise grouped json json-lines github gitlab sarif junit rdjson azure pylint markdown".split()


@pytest.mark.skipif(sys.platform == "win32", reason="its file system takes none of these names")
class TestFiles:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        here = tmp_path / "here"
        write(here, {name: data for name, (data, _) in ODD_FILES.items()})
        (here / "round").symlink_to(".")
        (here / "itself.py").symlink_to("itself.py")
        (here / "nowhere.py").symlink_to("gone.py")
        os.mkfifo(here / "pipe.py")
        (here / "folder.py").mkdir()
        (here / "/".join(["deep"] * 60)).mkdir(parents=True)
        Path(os.fsdecode(bytes(here) + b"/\xff.py")).write_text(HIT)
        return here

    @pytest.mark.parametrize("name", FORMATS)
    def test_each_is_read_or_named(self, folder: Path, name: str) -> None:
        ran = ga_lint("check", "--isolated", "--output-format", name, ".", cwd=folder)
        whole(ran)
        assert ran.code == 2
        assert not set(ran.out + ran.err) & ({chr(code) for code in range(32)} - {"\n"})
        for file, (_, reason) in ODD_FILES.items():
            assert reason is None or any(file in line and reason in line for line in ran.err.splitlines()), file
        for file in ("itself.py", "nowhere.py", "pipe.py"):
            assert f"error: {file}: " in ran.err
        readable = sum(reason is None for _, reason in ODD_FILES.values()) + 1
        assert ran.err.splitlines()[-1].startswith(f"{readable} files checked, ")

    def test_no_line_of_a_file_becomes_a_command(self, folder: Path) -> None:
        for name, start in (("github", "::"), ("azure", "##vso")):
            out = ga_lint("check", "--isolated", "--output-format", name, ".", cwd=folder).out
            assert all(line.startswith(start) for line in out.splitlines())
            assert "\n::error::.py" not in out

    def test_fix_leaves_what_it_cannot_read(self, folder: Path) -> None:
        ran = ga_lint("fix", "--isolated", "--no-verify", ".", cwd=folder)
        whole(ran)
        assert "LibCST cannot write this file back byte for byte" in ran.out
        for name, (data, reason) in ODD_FILES.items():
            is_same = (folder / name).read_bytes() == data
            assert is_same == (reason is not None or name == "old_mac.py"), name

    def test_a_folder_that_may_not_be_listed(self, folder: Path) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may list every folder")
        (folder / "locked").mkdir(mode=0)
        assert "error: locked: cannot be listed" in ga_lint("check", "--isolated", ".", cwd=folder).err


@pytest.mark.parametrize("command", ["check", "check --add-ignore", "fix --no-verify --unsafe-fixes"])
def test_pythons_own_remarks_on_a_text_are_not_ours(tmp_path: Path, command: str) -> None:
    """Since Python 3.12 an invalid escape is a SyntaxWarning, which is printed."""
    old = f'PATTERN = "\\d+"\n{PLAIN_HIT.format(shape="")}'
    model = "class M(PreTrainedModel):\n    def forward(self, labels, **kwargs):\n        loss = '\\d'\n"
    cell = json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "source": old}]})
    write(
        tmp_path,
        {"old.py": old, "model.py": model, "setup.py": f"from setuptools import setup\n{old}", "a.ipynb": cell},
    )
    ran = ga_lint(*command.split(), ".", cwd=tmp_path, env={"PYTHONWARNINGS": "always"})
    whole(ran)
    assert "invalid escape" not in ran.err
    assert ran.err.endswith("4 files checked\n") or "silenced 3 findings" in ran.err


MARK = "import pathlib\npathlib.Path({path!r}).write_text('ran')\n"


@pytest.mark.parametrize(
    "command", [["check", "--min-confidence", "possible"], ["fix", "--no-verify", "--unsafe-fixes"]]
)
def test_no_code_of_the_user_is_run(tmp_path: Path, command: list[str]) -> None:
    """Neither imported nor evaluated: modules, conftest, the adapter, notebooks, and what a configuration names."""
    mark = tmp_path / "ran"
    code = MARK.format(path=str(mark))
    here = tmp_path / "here"
    names = "train helper conftest sitecustomize usercustomize ga_lint_verify setup torch libcst typer __init__".split()
    write(here, {f"{name}.py": f"{code}\nfrom helper import loss_of\nimport torch\n{HIT}" for name in names})
    write(
        here,
        {
            "train.ipynb": '{"nbformat": 4, "cells": [{"cell_type": "code", "source": '
            + f"{[code]}".replace("'", '"').replace('\\"', "'")
            + "}]}"
        },
    )
    write(
        here,
        {
            "pyproject.toml": "[project]\ndependencies = ['transformers @ file:///etc/passwd ; $(touch ran)']\n"
            '[tool.ga-lint.knowledge.losses."__import__(\'helper\').x"]\nreduction = "mean"\nlevel = "token"\n',
            "requirements.txt": "-r /dev/zero\n-r requirements.txt\n--index-url `touch ran`\ntransformers\n",
            "ds_config.json": '{"gradient_accumulation_steps": {"__reduce__": "os.system"}}',
        },
    )
    whole(ga_lint(*command, ".", cwd=here))
    assert not mark.exists()
    subprocess.run([sys.executable, "train.py"], cwd=here, capture_output=True, check=False)
    assert mark.exists()  # it would have been seen


def _is_ours(process: int) -> bool:
    """Does it still run? One that has ended may wait for somebody to ask how."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and b"ga_lint" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


class TestEnds:
    """However the run ends, it is said in a line, and Python does not complain."""

    @staticmethod
    def _shell(line: str, cwd: Path) -> Ran:
        program = f"'{sys.executable}' -m ga_lint"
        done = subprocess.run(
            ["bash", "-c", line.replace("ga-lint", program)],
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},  # no home folder, no terminal
            timeout=60,
        )
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    @pytest.fixture
    def here(self, tmp_path: Path) -> Path:
        write(tmp_path, {"hit.py": HIT})
        return tmp_path

    @pytest.mark.parametrize("command", ["check", "check --color always", "check --output-format json", "rule GA101"])
    def test_a_full_disk_behind_stdout(self, here: Path, command: str) -> None:
        ran = self._shell(f"ga-lint {command} > /dev/full", here)
        assert (ran.code, ran.err) == (2, "error: the output cannot be written: No space left on device\n")

    def test_closed_streams(self, here: Path) -> None:
        assert self._shell("ga-lint check >&-", here).code == 1
        assert self._shell("ga-lint check 2>&-", here).out.startswith("hit.py:")
        assert self._shell("ga-lint check >&- 2>&-", here).code == 1

    def test_a_narrow_terminal_without_colours_in_the_c_locale(self, here: Path) -> None:
        write(here, {"損.py": HIT})
        ran = self._shell("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 COLUMNS=40 NO_COLOR=1 ga-lint check", here)
        assert ran.code == 1
        assert ran.out.isascii()

    @pytest.mark.skipif(sys.platform != "linux", reason="it is asked which processes there are")
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_no_process_is_left_behind(self, tmp_path: Path, number: signal.Signals) -> None:
        write(tmp_path, {f"f{index}.py": HIT for index in range(400)} | {"filler.py": "#" * 1_000_000})
        started = subprocess.Popen(
            [sys.executable, "-m", "ga_lint", "check", "--no-cache", "--jobs", "2", "."],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment(),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
        while not (found := children.read_text().split()):
            time.sleep(0.01)
        started.send_signal(number)
        _, err = started.communicate(timeout=60)
        assert started.returncode in (130, -number)
        assert b"Traceback" not in err
        until = time.monotonic() + 20
        while any(_is_ours(int(child)) for child in found) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(_is_ours(int(child)) for child in found)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_in_the_middle(self, tmp_path: Path, number: signal.Signals) -> None:
        write(tmp_path, {f"f{index}.py": HIT for index in range(MANY)})
        started = subprocess.Popen(
            [sys.executable, "-m", "ga_lint", "fix", "--no-verify", "."],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a shell's background jobs ignore it
        )
        while (tmp_path / "f0.py").read_text() == HIT:
            time.sleep(0.01)
        started.send_signal(number)
        _, err = started.communicate(timeout=60)
        assert started.returncode in (130, -number)
        assert "Traceback" not in err
        texts = {path.read_text() for path in tmp_path.iterdir()}
        assert len(texts) == 2  # old and new, nothing between, and no file of ours beside them
        assert len(list(tmp_path.iterdir())) == MANY
