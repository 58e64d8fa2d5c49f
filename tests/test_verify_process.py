"""What happens when user code hangs, dies, eats memory or looks for secrets?"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ga_lint.verify import Outcome, Settings, Site, Verifier, available, sites_in
from ga_lint.verify.model import SiteKind
from testbed.verified import verify_sites

pytestmark = pytest.mark.xdist_group("verify_process")  # what is set up once stays in one process

LOSS = """
import torch
import torch.nn.functional as F

def loss(outputs, labels, num_items_in_batch=None):
    {statement}
    logits = outputs.logits[:, :-1].flatten(0, 1)
    total = F.cross_entropy(logits, labels[:, 1:].flatten(), reduction="sum")
    return total / (num_items_in_batch or (labels[:, 1:] != -100).sum())
"""

REAL_OS = "os = torch.serialization.os"  # `import os` gives a stand-in; a hostile file knows its way round that


def site(statement: str) -> Site:
    return sites_in(Path("/nowhere/loss.py"), LOSS.format(statement=statement))[0]


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    pytest.importorskip("torch")
    with Verifier(Settings(timeout=3)) as warm:
        assert warm.verify(site("pass")).outcome is Outcome.CORRECT  # the worker works
        yield warm


def reason(verifier: Verifier, statement: str) -> str:
    verdict = verifier.verify(site(statement))
    assert verdict.outcome is Outcome.NOT_VERIFIABLE
    assert verdict.reason is not None
    assert verifier.verify(site("pass")).outcome is Outcome.CORRECT  # and the next site still runs
    return verdict.reason


@pytest.mark.slow
def test_endless_loop_meets_the_limit(verifier: Verifier) -> None:
    start = time.monotonic()
    assert reason(verifier, "while True: pass") == "still running after 3 s: stopped"
    assert time.monotonic() - start < 6


@pytest.mark.slow
def test_sleep_that_swallows_everything_meets_the_limit(verifier: Verifier) -> None:
    statement = "import time\n    while True:\n        try: time.sleep(60)\n        except BaseException: pass"
    assert "still running" in reason(verifier, statement)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "ending"), [("os._exit(7)", "exit status 7"), ("os.abort()", "killed by signal 6")]
)
def test_child_that_ends_itself_is_reported(verifier: Verifier, statement: str, ending: str) -> None:
    assert ending in reason(verifier, f"{REAL_OS}; {statement}")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the memory limit is Linux's")
def test_memory_has_a_limit(verifier: Verifier) -> None:
    assert "memory" in reason(verifier, "torch.empty(10**9)")


@pytest.mark.slow
def test_nothing_can_be_written_started_or_connected(verifier: Verifier, tmp_path: Path) -> None:
    assert "os.system" in reason(verifier, f"{REAL_OS}; os.system('true')")
    writes = f"{REAL_OS}; os.open({str(tmp_path / 'x')!r}, os.O_CREAT | os.O_WRONLY)"
    assert "write" in reason(verifier, writes)
    assert list(tmp_path.iterdir()) == []
    connects = f"{REAL_OS}; os.sys.modules['socket'].create_connection(('127.0.0.1', 9))"
    assert "socket" in reason(verifier, connects)


@pytest.mark.slow
def test_secrets_stay_with_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("HF_TOKEN", "secret-token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-key")
    checks = f"{REAL_OS}; assert os.environ['HF_HUB_OFFLINE'] == '1'; assert 'secret' not in str(os.environ)"
    (verdict,) = verify_sites([site(checks)])
    assert verdict.outcome is Outcome.CORRECT, verdict.reason


def end_worker(verifier: Verifier) -> None:
    (post,) = verifier.crew._posts.values()
    process = post.worker._process
    assert process is not None
    process.kill()
    process.wait()


@pytest.mark.slow
def test_worker_that_dies_is_started_again() -> None:
    pytest.importorskip("torch")
    with Verifier(Settings()) as verifier:
        assert verifier.verify(site("pass")).outcome is Outcome.CORRECT
        end_worker(verifier)
        assert verifier.verify(site("pass")).outcome is Outcome.CORRECT


@pytest.mark.slow
def test_verdicts_come_in_order_from_several_workers() -> None:
    pytest.importorskip("torch")
    sites = [site("pass"), site("undefined_thing.backward()"), site("pass")]
    found = list(verify_sites(sites, Settings(workers=2)))
    assert [verdict.site for verdict in found] == sites
    assert [verdict.outcome for verdict in found] == [Outcome.CORRECT, Outcome.NOT_VERIFIABLE, Outcome.CORRECT]
    assert found[1].reason == "needs `undefined_thing` (loss.py:6)"


def test_missing_torch_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    assert available(SiteKind.LOOP) == "the numeric check needs torch; install it with: pip install 'ga-lint[verify]'"
    (verdict,) = verify_sites([site("pass")])
    assert (verdict.outcome, verdict.reason) == (Outcome.NOT_VERIFIABLE, available(SiteKind.LOOP))


def test_the_parent_imports_no_torch() -> None:
    code = "import sys, ga_lint.verify as v; v.available(); print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
