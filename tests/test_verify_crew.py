"""What is lost when a worker dies, hangs or is interrupted? Its children only sleep here: no torch, little time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ga_lint.cli import console
from ga_lint.cli.main import main
from ga_lint.verify import Outcome, Settings, Site, SiteKind, Verifier, process, sites_in
from testbed.fixtures import ROOT
from testbed.shell import write
from testbed.verified import verify_sites

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the warm worker forks")

# A site's scope says what its child does.
LIGHT = """
import os, time
from ga_lint.verify.job import Answer, Measurement
from ga_lint.verify.sweep import Point, Sweep
from ga_lint.verify.worker import __main__ as worker, children

def examined(job):
    if job.scope.startswith("wait"):
        time.sleep(float(job.scope.removeprefix("wait")))
    elif job.scope == "kill":
        os.kill(os.getppid(), 9)
    if job.sweep:
        return Answer(sweep=Sweep(steps=(Point(1, 0.0, None), Point(2, 0.5, None))))
    return Answer((Measurement("R0", ""), Measurement("R1", "")), (str(os.getpid()), str(os.getppid())))

children.examined = worker.examined = examined
worker._preload = lambda kind: None
worker.main("light", once=ONCE)
"""


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "command", lambda _: started("False"))
    monkeypatch.setattr("ga_lint.verify.verifier.available", lambda *_: None)


def started(once: str) -> list[str]:
    return [sys.executable, "-P", "-c", LIGHT.replace("ONCE", once)]


def site(scope: str) -> Site:
    return Site(Path("/nowhere/loss.py"), SiteKind.LOSS_FUNCTION, scope, 1, "")


def verified(*scopes: str, **settings: float) -> tuple[dict[str, Outcome], float]:
    """The outcome for each scope, and how long they took once the worker was there."""
    chosen = Settings(**{"timeout": 30.0, "workers": 8, **settings})  # type: ignore[arg-type]
    with Verifier(chosen) as verifier:
        assert verifier.verify(site("quick")).outcome is Outcome.CORRECT
        start = time.monotonic()
        found = {verdict.site.scope: verdict.outcome for _, verdict in verifier.verdicts([*map(site, scopes)])}
    return found, time.monotonic() - start


def is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text() if sys.platform == "linux" else True


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


class TestWidth:
    def test_sites_run_at_the_same_time(self) -> None:
        found, seconds = verified(*(f"wait1.{n}" for n in range(5)))
        assert set(found.values()) == {Outcome.CORRECT}
        assert seconds < 4

    def test_no_more_than_asked_for(self) -> None:
        _, seconds = verified("wait0.41", "wait0.42", "wait0.43", workers=1)
        assert seconds > 1.2

    def test_a_slow_one_holds_up_nobody(self) -> None:
        with Verifier(Settings(workers=2)) as verifier:
            order = [v.site.scope for _, v in verifier.verdicts([site("wait2"), site("quick"), site("wait0.1")])]
        assert order == ["quick", "wait0.1", "wait2"]


def test_what_nobody_waits_for_any_more_disturbs_nobody() -> None:
    with Verifier(Settings(workers=2)) as verifier:
        for _, verdict in verifier.verdicts([site("quick"), site("wait0.5"), site("wait60")]):
            assert verdict.site.scope == "quick"
            break
        places = {place: verdict.site.scope for place, verdict in verifier.verdicts([site("wait0.6"), site("wait0.7")])}
    assert places == {0: "wait0.6", 1: "wait0.7"}


def test_a_worker_that_lacks_something_is_started_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = LIGHT.replace(
        "worker._preload = lambda kind: None", "worker._preload = lambda kind: __import__('nothing')"
    )
    monkeypatch.setattr(process, "command", lambda _: [sys.executable, "-P", "-c", lacking.replace("ONCE", "False")])
    with Verifier(Settings()) as verifier:
        reasons = [verifier.verify(site("quick")).reason for _ in range(3)]
        assert verifier.crew._posts["torch"].worker.starts == 1
    assert set(reasons) == {"No module named 'nothing'; install it with: pip install 'ga-lint[verify]'"}


class TestDeath:
    def test_of_the_worker_costs_the_site_that_it_died_of(self) -> None:
        found, _ = verified("wait0.5", "kill", "wait0.6", "wait0.7", "quick")
        assert found.pop("kill") is Outcome.NOT_RUN
        assert set(found.values()) == {Outcome.CORRECT}

    def test_of_a_worker_that_was_idle_costs_nothing(self) -> None:
        with Verifier(Settings()) as verifier:
            first = verifier.verify(site("quick"))
            os.kill(int(first.assumptions[1]), signal.SIGKILL)
            assert until(lambda: not verifier.crew._posts["torch"].worker.is_running)
            assert verifier.verify(site("quick")).outcome is Outcome.CORRECT

    @pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends children with their parent")
    def test_of_the_worker_ends_its_children(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Verifier(Settings()) as verifier:
            worker = int(verifier.verify(site("quick")).assumptions[1])
            threading.Thread(target=list, args=(verifier.verdicts([site("wait60")]),), daemon=True).start()
            assert until(lambda: len(children(worker)) == 1)
            (child,) = children(worker)
            time.sleep(0.3)  # until it has come to the code under examination
            os.kill(worker, signal.SIGKILL)
            assert until(lambda: not is_alive(child))

    def test_of_the_parent_ends_everything(self, tmp_path: Path) -> None:
        script = (
            "from ga_lint.verify import *; from ga_lint.verify import process, verifier; from pathlib import Path\n"
            f"process.command = lambda _: {started('False')!r}\n"
            "verifier.available = lambda *_: None\n"
            "site = lambda scope: Site(Path('/x.py'), SiteKind.LOSS_FUNCTION, scope, 1, '')\n"
            "verifier = Verifier(Settings())\n"
            "print(verifier.verify(site('quick')).assumptions[1], flush=True)\n"
            "verifier.verify(site('wait60'))\n"
        )
        parent = subprocess.Popen(
            [sys.executable, "-P", "-c", script],
            env={"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        parent.stdout.close()
        assert until(lambda: not is_alive(worker))
        assert until(lambda: list(tmp_path.iterdir()) == [])

    def test_of_every_worker_at_its_start_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "command", lambda _: [sys.executable, "-c", "pass"])
        with Verifier(Settings()) as verifier:
            found = [verdict for _, verdict in verifier.verdicts([site("quick"), site("wait1")])]
        assert {(v.outcome, v.reason) for v in found} == {(Outcome.NOT_RUN, "the torch worker could not start")}


def children(parent: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def test_the_limit_ends_one_site(monkeypatch: pytest.MonkeyPatch) -> None:
    with Verifier(Settings(timeout=1)) as verifier:
        found = [verdict for _, verdict in verifier.verdicts([site("wait60"), site("quick")])]
    assert [v.outcome for v in found] == [Outcome.CORRECT, Outcome.NOT_VERIFIABLE]
    assert found[1].reason == "still running after 1 s: stopped"


def test_a_worker_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ga_lint.verify.crew.GRACE_SECONDS", 0.5)
    with Verifier(Settings(timeout=1)) as verifier:
        worker = int(verifier.verify(site("quick")).assumptions[1])
        os.kill(worker, signal.SIGSTOP)
        assert verifier.verify(site("quick")).outcome is Outcome.NOT_RUN
        assert not is_alive(worker)


def test_where_nothing_can_be_forked_each_site_has_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "FORKS", False)
    monkeypatch.setattr(process, "command", lambda _: started("True"))
    with Verifier(Settings(timeout=1)) as verifier:
        found = [verdict for _, verdict in verifier.verdicts([site("quick"), site("wait0.1")])]
    assert [v.outcome for v in found] == [Outcome.CORRECT] * 2
    assert len({v.assumptions[0] for v in found}) == 2


@pytest.mark.parametrize("sweep", [True, False])
def test_pictures_are_measured_where_they_are_asked_for(sweep: bool) -> None:
    found = list(verify_sites([site("wait0.2"), site("kill"), site("quick")], Settings(sweep=sweep)))
    assert [verdict.site.scope for verdict in found] == ["wait0.2", "kill", "quick"]
    assert [verdict.sweep is not None for verdict in found] == [sweep, False, sweep]


LOSSES = """
def quick(logits, labels, num_items_in_batch=None): ...
def wait60(logits, labels, num_items_in_batch=None): ...
def wait61(logits, labels, num_items_in_batch=None): ...
"""


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        monkeypatch.setattr("ga_lint.cli.verify.available", lambda *_: None)
        monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
        monkeypatch.setattr("tempfile.tempdir", None)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "tmp").mkdir()
        write(tmp_path, {"losses.py": LOSSES})
        assert len(sites_in(tmp_path / "losses.py", LOSSES)) == 3
        yield tmp_path
        assert list((tmp_path / "tmp").iterdir()) == []

    def test_ctrl_c_prints_what_is_known(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupted(_: object, done: int, total: int) -> None:
            if done == 1:
                raise KeyboardInterrupt

        monkeypatch.setattr(console.ProgressBar, "__call__", interrupted)
        start = time.monotonic()
        assert main(["verify", "losses.py"]) == 130
        assert time.monotonic() - start < 20
        out, err = capsys.readouterr()
        assert re.findall(r"^(correct|not run) .* losses\.py:(\d)", out, re.MULTILINE) == [
            ("correct", "2"),
            ("not run", "3"),
            ("not run", "4"),
        ]
        assert "3 sites: 1 correct, 2 not run" in out
        assert err == "1 file checked\ninterrupted\n"

    def test_ctrl_c_among_the_pictures_costs_no_verdict(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupted(bar: console.ProgressBar, done: int, _: int) -> None:
            if done == 1 and "pictures" in bar._label:
                raise KeyboardInterrupt

        monkeypatch.setattr(console.ProgressBar, "__call__", interrupted)
        write(folder, {"losses.py": LOSSES.replace("wait6", "quick")})
        assert main(["verify", "losses.py", "--report", "page.html"]) == 130
        out, err = capsys.readouterr()
        assert "3 sites: 3 correct" in out
        assert err == "report: page.html\n1 file checked\ninterrupted\n"
        assert (folder / "page.html").read_text().count("<figcaption>") == 1  # of the site that was measured by then

    def test_a_site_that_was_not_run_is_no_clean_end(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(process, "command", lambda _: [sys.executable, "-c", "pass"])
        assert main(["verify", "losses.py"]) == 2
        assert "the torch worker could not start" in capsys.readouterr().out

    @pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
    def test_a_limit_is_a_number_of_seconds(self, seconds: str, folder: Path) -> None:
        assert main(["verify", "losses.py", f"--timeout={seconds}"]) == 2
