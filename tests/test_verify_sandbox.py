"""Can code under examination write, execute, connect or outlive its limit? Ways out, and a control without locks."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ga_lint.verify import Settings, sites_in
from testbed.escapes import ESCAPES, MACHINE, NUMBERS, RAW, Escape, hostile_file, snapshot
from testbed.fixtures import ROOT
from testbed.shell import ga_lint
from testbed.verified import verify_sites

pytestmark = pytest.mark.xdist_group("verify_sandbox")  # what is set up once stays in one process

linux = pytest.mark.skipif(
    sys.platform != "linux" or MACHINE not in ("x86_64", "aarch64"), reason="system calls are filtered on Linux"
)
SECRET = "swordfish-20261126"
NAMES = [escape.name for escape in ESCAPES]


@pytest.fixture(scope="module")
def stranger() -> Iterator[None]:
    """Another process of this user, with a secret in its environment."""
    process = subprocess.Popen(["sleep", "300"], env={"SECRET": SECRET})
    yield
    process.kill()
    process.wait()


def canary(folder: Path) -> Path:
    """A folder with something to destroy."""
    found = folder / "canary"
    (found / "tree").mkdir(parents=True)
    for name in ("kept", "one", "two", "three", "four", "five"):
        (found / f"{name}.txt").write_text("content")
    return found


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory, stranger: None) -> dict[str, str]:
    """What `ga-lint verify` says about each function of the hostile file, having changed nothing."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("hostile")
    home, temporary = folder / "home", folder / "tmp"
    home.mkdir()
    temporary.mkdir()
    target = canary(folder)
    (folder / "hostile.py").write_text(hostile_file(target, home, SECRET, signal=9))
    before = snapshot(target, home, temporary)
    own = {"HOME": str(home), "TMPDIR": str(temporary), "SECRET": SECRET}
    ran = ga_lint("verify", "--timeout", "3", "--output-format", "json", "hostile.py", cwd=folder, env=own)
    assert ran.code == 0, ran.err
    time.sleep(0.5)  # for what might have been left running
    after = snapshot(target, home, temporary)
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} <= {str(temporary)}
    return {
        site["scope"]: f"{site['outcome']} {site['reason']} {'; '.join(site['assumptions'])}"
        for site in json.loads(ran.out)
    }


@linux
@pytest.mark.slow
@pytest.mark.parametrize("escape", ESCAPES, ids=NAMES)
def test_no_way_out(escape: Escape, verdicts: dict[str, str]) -> None:
    assert re.search(escape.stopped, verdicts[escape.name]), verdicts[escape.name]


@linux
@pytest.mark.slow
def test_the_rest_of_a_hostile_file_is_still_examined(verdicts: dict[str, str]) -> None:
    assert verdicts.keys() == {*NAMES, "token_mean"}
    assert verdicts["token_mean"].startswith("correct")


_UNLOCKED = """
from ga_lint.verify.worker.sandbox import confine, network
confine.LAYERS = ()
network.leave_network = lambda: False
from ga_lint.verify.worker.__main__ import main
main("torch")
"""


@linux
@pytest.mark.slow
def test_without_locks_the_same_code_gets_through(
    tmp_path: Path, stranger: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: what stops the code above is the sandbox, not a mistake in the code."""
    pytest.importorskip("torch")
    monkeypatch.setattr("ga_lint.verify.process.command", lambda _: [sys.executable, "-P", "-c", _UNLOCKED])
    target = canary(tmp_path)
    text = hostile_file(target, tmp_path, SECRET, signal=0)
    wanted = {escape.name: escape.free for escape in ESCAPES if escape.free is not None}
    sites = [site for site in sites_in(tmp_path / "hostile.py", text) if site.scope in wanted]
    found = {verdict.site.scope: verdict for verdict in verify_sites(sites, Settings(timeout=60))}
    kept = {name: found[name].reason for name, free in wanted.items() if not re.search(free, str(found[name].reason))}
    assert kept == {}
    assert all("accidents only" in str(each.assumptions) for each in found.values() if each.assumptions)
    assert not (target / "one.txt").exists()


_ALONE = """
import ctypes, json, os, sys
from ga_lint.verify.worker.sandbox import confine
from ga_lint.verify.worker.sandbox.profiles import STRICT
CANARY, SIGNAL, NUMBERS = os.fsencode(sys.argv[1]), 0, json.loads(sys.argv[2])
confine.LAYERS = tuple(confine.Layer[name] for name in sys.argv[3:])
libc = ctypes.CDLL(None, use_errno=True)
held = confine.confine(10)
"""


def through(folder: Path, *layers: str) -> tuple[set[str], set[str]]:
    """Which layers of these hold, and which raw calls get through them, from a process without torch."""
    script = _ALONE + RAW + "\nprint(json.dumps([[layer.name for layer in held], got_through()]))"
    words = [sys.executable, "-P", "-c", script, str(canary(folder)), json.dumps(NUMBERS), *layers]
    done = subprocess.run(
        words,
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
        timeout=60,
    )
    held, found = json.loads(done.stdout)
    return set(held), set(found)


FILES = {"openat", "truncate", "linkat", "symlinkat", "mkdirat", "mknodat", "renameat2", "unlinkat"}
ATTRIBUTES = {"fchmodat", "utimensat"}
OTHERS = {"kill", "tkill", "tgkill", "execve", "clone", "clone3", "ptrace", "process_vm_writev", "socket", "fcntl"}


@linux
class TestLayers:
    def test_none(self, tmp_path: Path) -> None:
        held, found = through(tmp_path)
        assert held == set()
        assert found >= FILES | ATTRIBUTES | OTHERS

    def test_limits_and_audit_hook_stop_no_raw_call(self, tmp_path: Path) -> None:
        _, found = through(tmp_path, "LIMITS", "AUDIT")
        assert found >= (FILES - {"truncate"}) | ATTRIBUTES | OTHERS

    def test_filter_alone_stops_all(self, tmp_path: Path) -> None:
        held, found = through(tmp_path, "SECCOMP")
        assert (held, found) == ({"SECCOMP"}, set())

    def test_landlock_alone_keeps_files_and_processes(self, tmp_path: Path) -> None:
        held, found = through(tmp_path, "LANDLOCK")
        if not held:
            pytest.skip("this kernel has no Landlock")
        for name in ("kept.txt", "one.txt"):
            assert (tmp_path / "canary" / name).read_text() == "content"
        assert not (tmp_path / "canary" / "raw").exists()
        assert found >= ATTRIBUTES | {"socket", "clone"}  # what the filter is for


_ELSEWHERE = """
import os, sys
sys.modules["fcntl"] = sys.modules["resource"] = None
sys.platform = {platform!r}
del os.fork
from ga_lint.verify.worker import __main__, children
from ga_lint.verify.worker.sandbox import confine, network
assert not network.leave_network()
print(sorted(layer.name for layer in confine.confine(10)))
os.mkdir("x")
"""


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_have_the_hook_and_import_nothing_of_linux(platform: str, tmp_path: Path) -> None:
    words = [sys.executable, "-P", "-c", _ELSEWHERE.format(platform=platform)]
    done = subprocess.run(
        words, env={"PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "['AUDIT', 'LIMITS']\n", done.stderr
    assert "NotVerifiable: needs to make the folder" in done.stderr
    assert not (tmp_path / "x").exists()


def test_what_was_never_imported_before_is_imported_without_a_trace(tmp_path: Path) -> None:
    """Not every environment is compiled: libraries import parts of theirs for the first time in a confined process."""
    (tmp_path / "fresh.py").write_text("found = 7\n", encoding="utf-8")
    script = "from ga_lint.verify.worker.sandbox import confine; confine.confine(10); import fresh; print(fresh.found)"
    own = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], env=own, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, [path.name for path in tmp_path.iterdir()]) == ("7\n", ["fresh.py"]), done.stderr


_TWO_RANKS = """
import ctypes, os, sys
import torch
import torch.distributed as distributed
from ga_lint.verify.worker.sandbox import confine, network, profiles

confine.LAYERS = tuple(layer for layer in confine.LAYERS if layer is not confine.Layer.AUDIT)
assert network.leave_network()
libc = ctypes.CDLL(None, use_errno=True)
address = os.sys.modules["struct"].pack("=H2s4s8x", 2, int(sys.argv[1]).to_bytes(2, "big"), bytes([127, 0, 0, 1]))
for rank in range(2):
    if os.fork() == 0:
        confine.confine(60, profiles.RANKS)
        distributed.init_process_group("gloo", rank=rank, world_size=2, init_method="tcp://127.0.0.1:29511")
        total = torch.ones(1) + rank
        distributed.all_reduce(total)
        outside = libc.connect(libc.socket(2, 1, 0), address, 16)
        try: written = bool(open(sys.argv[2], "w"))
        except OSError: written = False
        os.write(1, f"{total.item():g} {outside} {written} {libc.fork()}\\n".encode())
        os._exit(0)
for _ in range(2):
    os.wait()
"""


@linux
@pytest.mark.slow
def test_real_ranks_speak_with_each_other_alone(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()  # from here it can be reached
        words = [sys.executable, "-P", "-c", _TWO_RANKS, str(port), str(tmp_path / "written")]
        own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        done = subprocess.run(words, env=own, capture_output=True, text=True, check=False, timeout=120)
    if "AssertionError" in done.stderr:
        pytest.skip("no network namespace can be made here")
    assert done.stdout == "3 -1 False -1\n" * 2, done.stderr
