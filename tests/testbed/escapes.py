"""Ways out of the sandbox: system calls made by number, and a user's file whose loss functions each try one way."""

from __future__ import annotations

import hashlib
import os
import platform
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MACHINE = platform.machine()
# name, x86-64, aarch64: numbers of calls that no profile names, from the kernel's headers.
_NUMBERS = """
bpf 321 280
clone 56 220
clone3 435 435
execve 59 221
execveat 322 281
fchmodat 268 53
fchownat 260 54
fcntl 72 25
ftruncate 77 46
io_uring_setup 425 425
ioctl 16 29
kill 62 129
linkat 265 37
memfd_create 319 279
mkdirat 258 34
mknodat 259 33
mount 165 40
open_by_handle_at 304 265
openat 257 56
openat2 437 437
perf_event_open 298 241
pidfd_open 434 434
prctl 157 167
prlimit64 302 261
process_vm_writev 311 271
ptrace 101 117
renameat2 316 276
rt_sigqueueinfo 129 138
setns 308 268
setpriority 141 140
setxattr 188 5
shmget 29 194
socket 41 198
symlinkat 266 36
tgkill 234 131
tkill 200 130
truncate 76 45
unlinkat 263 35
unshare 272 97
userfaultfd 323 282
utimensat 280 88
"""
NUMBERS = {
    name: int(x86 if MACHINE == "x86_64" else arm) for name, x86, arm in map(str.split, _NUMBERS.strip().split("\n"))
}
# The calls, with arguments of which the kernel itself would say something else than EPERM or ENOSYS, if it were asked,
# and which do no harm where they get through.
RAW = """
here, there, new = CANARY + b"/kept.txt", CANARY + b"/moved.txt", CANARY + b"/new"
OTHER, CWD, WRITE = os.getppid(), -100, 0o101
limits = ctypes.create_string_buffer(os.sys.modules["struct"].pack("QQ", 64, 64))
CALLS = {
    "openat": (CWD, CANARY + b"/raw", WRITE, 0o644),
    "openat2": (CWD, here, 0, 0),
    "truncate": (here, 1),
    "ftruncate": (999, 0),
    "fchmodat": (CWD, here, 0o777),
    "fchownat": (CWD, here, 12345, 12345, 0),
    "utimensat": (CWD, here, 0, 0),
    "setxattr": (here, b"user.x", b"1", 1, 0),
    "linkat": (CWD, here, CWD, CANARY + b"/linked", 0),
    "symlinkat": (here, CWD, CANARY + b"/pointer"),
    "mkdirat": (CWD, new, 0o755),
    "mknodat": (CWD, CANARY + b"/pipe", 0o10644, 0),
    "renameat2": (CWD, here, CWD, there, 0),
    "unlinkat": (CWD, there, 0),
    "open_by_handle_at": (999, 0, 0),
    "memfd_create": (b"x", 0),
    "execve": (0, 0, 0),
    "execveat": (999, 0, 0, 0, 0),
    "clone": (17, 0, 0, 0, 0),
    "clone3": (0, 0),
    "kill": (OTHER, SIGNAL),
    "tkill": (OTHER, SIGNAL),
    "tgkill": (OTHER, OTHER, SIGNAL),
    "rt_sigqueueinfo": (OTHER, SIGNAL, 0),
    "pidfd_open": (OTHER, 0),
    "ptrace": (3, OTHER, 0, 0),
    "process_vm_writev": (os.getpid(), 0, 0, 0, 0, 0),
    "prlimit64": (0, 7, limits, 0),
    "setpriority": (0, 0, 1),
    "prctl": (1, 0, 0, 0, 0),
    "fcntl": (0, 8, OTHER),
    "ioctl": (0, 0x5412, 0),
    "socket": (2, 1, 0),
    "shmget": (0x1234567, 0, 0),
    "unshare": (0,),
    "setns": (999, 0),
    "mount": (0, 0, 0, 0, 0),
    "bpf": (0, 0, 0),
    "perf_event_open": (0, 0, 0, 0, 0),
    "userfaultfd": (0x7FFF,),
    "io_uring_setup": (0, 0),
}

def called(name):
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in CALLS[name]]
    ctypes.set_errno(0)
    found = libc.syscall(ctypes.c_long(NUMBERS[name]), *words)
    if name == "clone" and found == 0:
        os._exit(0)
    return ctypes.get_errno() if found < 0 else 0

def got_through():
    return [name for name in CALLS if called(name) not in (1, 38)]  # EPERM, ENOSYS
"""


@dataclass(frozen=True)
class Escape:
    """One way out, as the body of a loss function, and what the verdict then says."""

    name: str
    body: str
    stopped: str  # matches the outcome and the reason under all layers
    free: str | None = None  # without any: what shows that it got through; None where that would not be safe to see


_PYTHON = [
    Escape("connect", "socket.create_connection(('127.0.0.1', 9), 1)", "needs socket.", "ConnectionRefused"),
    Escape("connect_unix", "socket.socket(socket.AF_UNIX).bind(CANARY + b'/s'); told()", "needs socket.", "told"),
    Escape("resolve", "socket.getaddrinfo('example.org', 80); told()", "needs socket.getaddrinfo"),
    Escape("execv", "os.execv('/bin/true', ['true'])", "needs os.exec", "without an answer"),
    Escape("run", "told(subprocess.run(['true']).returncode)", "needs subprocess.Popen", "told 0"),
    Escape("system", "told(os.system('true'))", "needs os.system", "told 0"),
    Escape("spawn", "os.posix_spawn('/bin/true', ['true'], {}); told()", "needs os.posix_spawn", "told"),
    Escape("fork", "os.fork() or os._exit(0); told()", "needs os.fork", "told"),
    Escape("write", "io.open(CANARY + b'/w', 'w'); told()", "needs to write .*/w'", "told"),
    Escape("create", "os.close(os.open(CANARY + b'/c', os.O_CREAT)); told()", "needs to write", "told"),
    Escape("remove", "os.remove(CANARY + b'/one.txt'); told()", "needs os.remove", "told"),
    Escape("rename", "os.rename(CANARY + b'/two.txt', CANARY + b'/2'); told()", "needs os.rename", "told"),
    Escape("truncate", "os.truncate(CANARY + b'/three.txt', 1); told()", "needs os.truncate", "told"),
    Escape("chmod", "os.chmod(CANARY + b'/three.txt', 0o777); told()", "needs os.chmod", "told"),
    Escape("symlink", "os.symlink('/', CANARY + b'/root'); told()", "needs os.symlink", "told"),
    Escape("mkdir", "os.mkdir(CANARY + b'/folder'); told()", "needs to make the folder", "told"),
    Escape("setxattr", "os.setxattr(CANARY + b'/three.txt', 'user.a', b'1'); told()", "needs os.setxattr"),
    Escape("kill_parent", "os.kill(os.getppid(), SIGNAL); told()", "needs os.kill", "told"),
    Escape("kill_group", "os.killpg(0, SIGNAL); told()", "needs os.kill", "told"),
    Escape("rmtree", "shutil.rmtree(CANARY + b'/tree'); told()", "needs shutil.rmtree", "told"),
    Escape("home", "io.open(HOME + '/.bashrc', 'a').write('evil'); told()", "needs to write .*bashrc"),
]
_COMPILED = [
    Escape("torch_save", "torch.serialization.save({}, TEXT + '/t.pt'); told()", "open file failed", "told"),
    Escape("file_writer", "torch._C.PyTorchFileWriter(TEXT + '/f.pt'); told()", "open file failed", "told"),
    Escape(
        "jit_save",
        "torch.jit.trace(torch.nn.ReLU(), labels.double()).save(TEXT + '/j.pt'); told()",
        "RuntimeError",
        "told",
    ),
    Escape("tofile", "numpy.arange(3).tofile(TEXT + '/n.bin'); told()", "needs to write|Unsupported"),
    Escape(
        "profiler",
        """
        with torch.autograd.profiler.profile() as profile:
            labels.sum()
        profile.export_chrome_trace(TEXT + '/trace.json')
        told(os.path.exists(TEXT + '/trace.json'))
        """,
        "told False|Error|needs",
    ),
    Escape("memory_map", "told(numpy.memmap(TEXT + '/three.txt', mode='r+')[:1])", "needs to write", "told"),
]
_RAW = [
    Escape("raw_calls", "told(got_through())", r"told \[\] ", "told .*openat.*truncate"),
    Escape("raw_open", "told(libc.open(CANARY + b'/ro', 0o101, 0o644))", "told -1 ", r"told \d"),
    Escape("raw_write_memory", "told(libc.open(b'/proc/%d/mem' % os.getppid(), 1))", "told -1 ", r"told (\d|-1)"),
    Escape("raw_unlink", "told(libc.unlink(CANARY + b'/four.txt'))", "told -1 ", "told 0"),
    Escape("raw_system", "told(libc.system(b'true'))", r"told (-1|[1-9]\d*) ", "told 0"),
    Escape(
        "fork_bomb",
        """
        forks = 0
        for _ in range(5):
            child = libc.fork()
            if child == 0:
                os._exit(0)
            forks += child > 0
        told(forks)
        """,
        "told 0 ",
        "told 5",
    ),
    Escape(  # and so does this
        "signal_by_pipe",
        """
        reader, writer = os.pipe()
        found = libc.fcntl(reader, 8, os.getppid()), libc.fcntl(reader, 10, SIGNAL)
        told(*found, libc.fcntl(reader, 4, 0o20000))
        os.write(writer, b"x")
        """,
        "told -1 -1 ",
    ),
    Escape(  # without a filter this ends the worker
        "limit_of_the_parent",
        "told(libc.prlimit(os.getppid(), 0, ctypes.create_string_buffer(b'\\0' * 16), 0) if SIGNAL else 0)",
        "told -1 ",
    ),
    Escape(
        "hook_taken_away",
        """
        sys.modules["ga_lint.verify.worker.sandbox.audit"]._REFUSED = ()
        os.remove(CANARY + b"/five.txt")
        told()
        """,
        "PermissionError",
        "told",
    ),
]
_ENDLESS = [
    Escape("loop", "while True: pass", "still running after"),
    Escape(
        "sleep",
        """
        while True:
            try: time.sleep(60)
            except BaseException: pass
        """,
        "still running after",
    ),
    Escape("stop", "os.sys.modules['signal'].raise_signal(19)", "still running after"),
    Escape(
        "machine_code",
        """
        libc.sigfillset(everything := ctypes.create_string_buffer(128))
        libc.pthread_sigmask(0, everything)
        execute(LOOP)
        """,
        "still running after",
    ),
    Escape("memory", "b'x' * (1 << 33)", "MemoryError"),
    Escape("memory_of_torch", "torch.empty(1 << 33)", "memory"),
    Escape("threads", "[threading.Thread(target=time.sleep, args=(99,)).start() for _ in range(10**4)]", "thread"),
    Escape("exit", "os._exit(7)", "without an answer .exit status 7"),
    Escape("abort", "os.abort()", "killed by signal 6"),
]
_QUIET = [
    Escape(
        "swallows",
        """
        for _ in range(10):
            try: io.open(CANARY + b"/swallowed", "w")
            except BaseException: pass
            try: io.open(CANARY + b"/swallowed", "w")
            except: pass
        """,
        "^correct .*refused: needs to write .*swallowed",
    ),
    Escape("own_environment", "told('SECRET' in str(os.environ))", "told False"),
    Escape(
        "environment_of_others",
        """
        seen = 0
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                try: seen += SECRET in io.open(f"/proc/{name}/environ", "rb").read()
                except OSError: pass
        told(seen)
        """,
        "told 0 ",
        "told [1-9]",
    ),
    Escape(
        "descriptors",
        """
        found = []
        for number in range(64):
            try: found.append(os.readlink(f"/proc/self/fd/{number}").split(":")[0])
            except OSError: pass
        told(found, os.read(0, 99))
        """,
        r"told \['/dev/null', '/dev/null', '/dev/null', 'pipe'\] b''",
    ),
    Escape(
        "thread_left",
        """
        def later():
            time.sleep(0.2)
            libc.open(CANARY + b"/later", 0o101, 0o644)
        threading.Thread(target=later).start()
        """,
        "^correct",
    ),
    Escape("at_exit", "atexit.register(lambda: io.open(CANARY + b'/late', 'w'))", "^correct"),
]
_FORGED = '{"measurements": [{"name": "R0", "setting": ""}], "assumptions": ["forged"], "equal": "forged"}'
_MISTYPED = _FORGED.replace('""', "3")
_ANSWERS = [
    # A hostile file can falsify its own verdict: what is promised is about files, programs, networks and time.
    Escape("forged", f"answered({_FORGED!r})", "^correct forged forged"),
    Escape("answer_without_control", f"answered({_FORGED!r}.replace('R0', 'R9'))", "an answer to something else"),
    Escape("answer_of_wrong_type", f"answered({_MISTYPED!r})", "without an answer"),
    Escape("nested_answer", "answered('[' * 10**5)", "without an answer"),
    Escape("endless_answer", "answered('x' * 10**7)", "without an answer"),
]
_FOREIGN = [  # x86 alone has other ABIs
    Escape("x32", "told(libc.syscall(ctypes.c_long((1 << 30) + 39)))", "killed by signal 31"),
    Escape("int_80", "execute(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3'); told()", "killed by signal (31|11)"),
]
ESCAPES = [*_PYTHON, *_COMPILED, *_RAW, *_ENDLESS, *_QUIET, *_ANSWERS, *(_FOREIGN if MACHINE == "x86_64" else [])]

_HEAD = """
import time
import numpy
import torch
import torch.nn.functional as F

os = torch.serialization.os  # `import os` gives a stand-in; a hostile file knows its way round that
sys = os.sys
imported = sys.modules["importlib"].import_module
atexit, ctypes, io, mmap = imported("atexit"), imported("ctypes"), imported("io"), imported("mmap")
shutil, socket, subprocess = imported("shutil"), imported("socket"), imported("subprocess")
threading = imported("threading")
libc = ctypes.CDLL(None, use_errno=True)
"""
_TAIL = """
class Told(Exception):
    pass

def told(*values):
    raise Told(" ".join(["told", *map(str, values)]))

def answered(text):
    for number in range(3, 64):
        try: os.write(number, text.encode())
        except OSError: pass
    os._exit(0)

def execute(code):
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(code)
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()

def token_mean(logits, labels, num_items_in_batch):
    total = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    return total / (num_items_in_batch or (labels[:, 1:] != -100).sum())
"""


def hostile_file(canary: Path, home: Path, secret: str, signal: int) -> str:
    """The user's file; each function is a correct loss but for what it does first."""
    values = {
        "CANARY": os.fsencode(canary),
        "TEXT": str(canary),
        "HOME": str(home),
        "SECRET": secret.encode(),
        "SIGNAL": signal,
        "NUMBERS": NUMBERS,
        "LOOP": b"\xeb\xfe" if MACHINE == "x86_64" else b"\x00\x00\x00\x14",
    }
    head = _HEAD + "".join(f"{name} = {value!r}\n" for name, value in values.items())
    return head + RAW + _TAIL + "".join(_function(escape) for escape in ESCAPES)


def _function(escape: Escape) -> str:
    body = textwrap.indent(textwrap.dedent(escape.body).strip(), "    ")
    head = f"\ndef {escape.name}(logits, labels, num_items_in_batch=None):\n"
    return f"{head}{body}\n    return token_mean(logits, labels, num_items_in_batch)\n"


def snapshot(*folders: Path) -> dict[str, str]:
    """Everything about every file below, but when it was last read."""
    return {str(path): _state(path) for folder in folders for path in (folder, *_below(folder))}


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))


def _state(path: Path) -> str:
    status = path.lstat()
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    attributes = os.listxattr(path, follow_symlinks=False)
    return f"{status.st_mode:o} {status.st_uid} {status.st_gid} {status.st_mtime_ns} {content} {attributes}"
