"""What does a name stand for? Imports, packages and base classes of a project on disk, and names that nobody binds."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.seen import facts_in, loop, losses_in, told

HELPER = """\
import torch.nn.functional as F

def ce(a, b):
    return F.cross_entropy(a, b)

class Net:
    def loss(self, a, b):
        return F.cross_entropy(a, b)
"""
PACKAGE = {"pkg/__init__.py": "", "pkg/helper.py": HELPER}
FOLDER = {"pkg/helper.py": HELPER}
FILE = {"helper.py": HELPER}
RE_EXPORTED = {"pkg/__init__.py": "from .helper import ce as other\n", "pkg/helper.py": HELPER}
OWN_MODULE = {"pkg/__init__.py": "from . import helper\n", "pkg/helper.py": HELPER}


def losses(folder: Path, files: dict[str, str], above: str, call: str) -> list[str]:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    text = loop(f'x, y = batch["logits"], batch["labels"]\nloss = {call}', above)
    return [told(term) for window in facts_in(text, folder).windows for terms in window.losses for term in terms]


@pytest.mark.parametrize(
    ("files", "above", "call"),
    [
        (FILE, "from helper import ce", "ce(x, y)"),
        (FILE, "from helper import *", "ce(x, y)"),
        (FILE, "import helper", "helper.ce(x, y)"),
        (FILE, "import helper as h", "h.ce(x, y)"),
        (FILE, "from .helper import ce", "ce(x, y)"),
        (FILE, "from . import helper", "helper.ce(x, y)"),
        (FILE, "try:\n    from helper import ce\nexcept ImportError:\n    ce = None", "ce(x, y)"),
        (FILE, "match kind:\n    case 1:\n        from helper import ce\n    case _:\n        ce = None", "ce(x, y)"),
        (FILE, "def made():\n    from helper import ce\n    return lambda a, b: ce(a, b)", "made()(x, y)"),
        (PACKAGE, "from pkg import helper", "helper.ce(x, y)"),
        (PACKAGE, "import pkg.helper", "pkg.helper.ce(x, y)"),
        (PACKAGE, "import pkg", "pkg.helper.ce(x, y)"),
        (PACKAGE, "from .pkg import helper", "helper.ce(x, y)"),
        (PACKAGE, "from .pkg.helper import ce", "ce(x, y)"),
        (FOLDER, "from pkg.helper import ce", "ce(x, y)"),
        (FOLDER, "import pkg.helper", "pkg.helper.ce(x, y)"),
        (RE_EXPORTED, "from pkg import other", "other(x, y)"),
        (RE_EXPORTED, "import pkg", "pkg.other(x, y)"),
        (OWN_MODULE, "from pkg import helper", "helper.ce(x, y)"),
        (OWN_MODULE, "import pkg", "pkg.helper.ce(x, y)"),
        (FILE, "from helper import Net\nclass Own(Net):\n    pass", "Own().loss(x, y)"),
        (FILE, "import helper\nclass Own(helper.Net):\n    pass", "Own().loss(x, y)"),
        (FILE, "from helper import Net\nclass Own(Net[int]):\n    pass", "Own().loss(x, y)"),
        (FILE, "from helper import Net\nclass Own(Own, Net):\n    pass", "Own().loss(x, y)"),
        (FILE, "from helper import Net\nclass A(B, Net):\n    pass\nclass B(A):\n    pass", "B().loss(x, y)"),
        (FILE, "import importlib\nF = importlib.import_module('torch.nn.functional')", "F.cross_entropy(x, y)"),
        ({}, "from torch.nn.functional import cross_entropy", "cross_entropy(x, y)"),
        ({}, "from torch.nn import functional", "functional.cross_entropy(x, y)"),
        ({}, "import torch.nn as tnn", "tnn.functional.cross_entropy(x, y)"),
        ({}, "import torch.nn as tnn", "tnn.CrossEntropyLoss()(x, y)"),
        ({}, "from torch.nn import *", "CrossEntropyLoss()(x, y)"),
        ({}, "if steps:\n    ce = F.cross_entropy\nelse:\n    ce = nn.CrossEntropyLoss()", "ce(x, y)"),
    ],
)
def test_a_loss_that_is_found(files: dict[str, str], above: str, call: str, tmp_path: Path) -> None:
    assert set(losses(tmp_path, files, above, call)) == {"mean unknown"}


@pytest.mark.parametrize(
    ("files", "above", "call"),
    [
        (FILE, "from helper import missing", "missing(x, y)"),
        (FILE, "import helper", "helper.missing(x, y)"),
        (PACKAGE, "from pkg import ce", "ce(x, y)"),
        (FILE, "from ..helper import ce", "ce(x, y)"),
        (FILE, "from other import ce", "ce(x, y)"),
        (FILE, "from helper import Net\nclass Own(Net):\n    loss = None", "Own().other(x, y)"),
        ({}, "from torch.nn import functional", "functional.penalty(x, y)"),
        ({}, "import importlib\nG = importlib.import_module(name='torch.nn.functional')", "G.cross_entropy(x, y)"),
        ({}, "import importlib\nG = importlib.import_module(made())", "G.cross_entropy(x, y)"),
    ],
)
def test_a_name_that_is_not(files: dict[str, str], above: str, call: str, tmp_path: Path) -> None:
    assert losses(tmp_path, files, above, call) == []


def test_a_fragment_may_leave_its_imports_out() -> None:
    text = loop('loss = F.cross_entropy(batch["logits"], batch["labels"])').replace(
        "import torch.nn.functional as F\n", ""
    )
    assert facts_in(text).windows[0].losses
    assert not facts_in(text.replace("F.cross", "G.cross")).windows[0].losses
    built = text.replace("F.cross_entropy(", "nn.CrossEntropyLoss()(").replace("import torch.nn as nn\n", "")
    assert facts_in(built).windows[0].losses


def test_the_path_that_runs_has_its_own_value_of_a_name() -> None:
    inner = "    def g():\n        return ce(a, b)\n"
    above = f"def f(a, b):\n    ce = F.cross_entropy\n{inner}    ce = F.mse_loss\n    return g()\n"
    (window,) = facts_in(loop('loss = f(batch["logits"], batch["labels"])', above)).windows
    assert [term.site.callee for terms in window.losses for term in terms] == ["torch.nn.functional.mse_loss"]


def test_heirs_of_one_class_have_each_their_own_criterion() -> None:
    heirs = "".join(
        f'class {how.title()}(Own):\n    crit = nn.CrossEntropyLoss(reduction="{how}")\n' for how in ("mean", "sum")
    )
    above = f"class Own:\n    def loss(self, a, b):\n        return self.crit(a, b)\n\n{heirs}one, two = Mean(), Sum()"
    lines = 'x, y = batch["logits"], batch["labels"]\nloss = one.loss(x, y) + two.loss(x, y)'
    assert losses_in(loop(lines, above)) == ["mean unknown + sum unknown"]
