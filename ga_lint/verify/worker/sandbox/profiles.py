"""What may each kind of process ask of the kernel? A row for each; what a row does not name is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OWN_PROCESS = -1  # stands for the number of the process that the filter is made for


@dataclass(frozen=True, slots=True)
class OneOf:
    """The argument's low word is one of these."""

    argument: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Without:
    """The argument has none of these bits."""

    argument: int
    bits: int


@dataclass(frozen=True, slots=True)
class With:
    """The argument has one of these bits."""

    argument: int
    bits: int


@dataclass(frozen=True, slots=True)
class Null:
    """The argument is a null pointer."""

    argument: int


Check = OneOf | Without | With | Null


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of process. No profile may write a file, start a program or signal another process."""

    name: str
    calls: frozenset[str]
    checked: Mapping[str, Check]  # allowed if their arguments pass
    memory: int | None = 3 << 30  # bytes beyond what the worker holds already; a check needs less than 100 MB
    tcp: bool = False


_COMPUTES = """
    brk exit exit_group futex get_mempolicy get_robust_list getcpu madvise mbind membarrier mincore mlock mmap mprotect
    mremap munlock munmap restart_syscall rseq sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getparam sched_getscheduler sched_yield set_robust_list set_tid_address arch_prctl
"""
_READS = """
    access chdir close close_range dup dup2 dup3 faccessat faccessat2 fadvise64 fstat fstatfs getcwd getdents getdents64
    lseek lstat newfstatat pread64 preadv preadv2 read readahead readlink readlinkat readv stat statfs statx
"""
_KNOWS_ITSELF = """
    capget clock_getres clock_gettime getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority
    getrandom getresgid getresuid getrlimit getrusage getsid gettid gettimeofday getuid sysinfo time times umask uname
"""
_WAITS = """
    alarm clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 getitimer nanosleep pause
    pipe pipe2 poll ppoll pselect6 rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait
    select setitimer sigaltstack wait4
"""
_ANSWERS = "write writev"  # into the pipe, the only descriptor that is left

_WRITES = 0o3 | 0o100 | 0o1000  # the access mode is not O_RDONLY; O_CREAT, O_TRUNC
_CLONE_THREAD = 0x10000
_DUPLICATE, _DESCRIPTOR_FLAGS, _FILE_FLAGS, _DUPLICATE_CLOSING = (0,), (1, 2), (3, 4), (1030,)
_NAMES, _NAMES_MEMORY = (15, 16), (0x53564D41,)
_TERMINAL, _CLOSES_ON_EXEC, _PENDING = (0x5401, 0x5413, 0x802C542A), (0x5450, 0x5451), (0x541B, 0x5421)

STRICT = Profile(
    "strict",
    frozenset((_COMPUTES + _READS + _KNOWS_ITSELF + _WAITS + _ANSWERS).split()),
    {
        "clone": With(0, _CLONE_THREAD),  # autograd and OpenMP have threads; clone3 hides its flags from a filter
        "fcntl": OneOf(1, _DUPLICATE + _DESCRIPTOR_FLAGS + _FILE_FLAGS + _DUPLICATE_CLOSING),  # F_SETOWN sends signals
        "ioctl": OneOf(1, _TERMINAL + _CLOSES_ON_EXEC + _PENDING),  # TIOCSTI types into a terminal
        "open": Without(1, _WRITES),
        "openat": Without(2, _WRITES),
        "prctl": OneOf(0, _NAMES + _NAMES_MEMORY),
        "prlimit64": Null(2),  # reading; a new limit could be set for another process
        "sched_setaffinity": OneOf(0, (0, OWN_PROCESS)),
        "tgkill": OneOf(0, (OWN_PROCESS,)),  # abort() and pthread_kill() of its own threads
    },
)

_NETWORK = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmsg sendmsg sendto setsockopt
    shutdown socketpair
"""
_INET, _INET6, _NETLINK = 2, 10, 16  # gloo lists the interfaces over netlink; changing them takes a capability

# Real ranks speak TCP with each other. A filter cannot see addresses: that these are local is up to the network
# namespace. Unix sockets stay closed, a container's control socket is one.
RANKS = Profile(
    "ranks",
    STRICT.calls | frozenset(_NETWORK.split()),
    {**STRICT.checked, "socket": OneOf(0, (_INET, _INET6, _NETLINK))},
    tcp=True,
)

# CUDA talks to the devices that it has opened by ioctl, and reserves address space without end. It opens them, and the
# names of its threads, for writing: before the layers close (worker/devices.py).
DEVICE = Profile(
    "device",
    STRICT.calls | {"ioctl"},
    {name: check for name, check in STRICT.checked.items() if name != "ioctl"},
    memory=None,
)

# nccl: both of the above, once its communicator is there. Tried with one device; two were never at hand.
RANKS_ON_DEVICES = Profile(
    "ranks on devices",
    RANKS.calls | DEVICE.calls,
    {**DEVICE.checked, "socket": RANKS.checked["socket"]},
    memory=DEVICE.memory,
    tcp=True,
)
