"""Which number has a system call? One table for the two architectures whose calls are filtered."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a process on one kind of machine names its system calls."""

    audit: int  # AUDIT_ARCH_*: what the kernel says a call was made as
    numbers: Mapping[str, int]
    foreign: int | None = None  # numbers from here on belong to another ABI of the same machine


def architecture() -> Architecture | None:
    """This machine's, or None where no filter can be written for it."""
    if sys.platform != "linux" or sys.byteorder != "little":
        return None
    return ARCHITECTURES.get(platform.machine())


# name, x86-64, aarch64; "-" where the machine has no such call. From the kernel's unistd_64.h and asm-generic/unistd.h;
# numbers never change once they are given out. The tests compare the table with the headers where those are installed.
_TABLE = """
accept 43 202
accept4 288 242
access 21 -
alarm 37 -
arch_prctl 158 -
bind 49 200
brk 12 214
capget 125 90
chdir 80 49
clock_getres 229 114
clock_gettime 228 113
clock_nanosleep 230 115
clone 56 220
close 3 57
close_range 436 436
connect 42 203
dup 32 23
dup2 33 -
dup3 292 24
epoll_create 213 -
epoll_create1 291 20
epoll_ctl 233 21
epoll_pwait 281 22
epoll_wait 232 -
eventfd2 290 19
exit 60 93
exit_group 231 94
faccessat 269 48
faccessat2 439 439
fadvise64 221 223
fcntl 72 25
fstat 5 80
fstatfs 138 44
futex 202 98
get_mempolicy 239 236
get_robust_list 274 100
getcpu 309 168
getcwd 79 17
getdents 78 -
getdents64 217 61
getegid 108 177
geteuid 107 175
getgid 104 176
getgroups 115 158
getitimer 36 102
getpeername 52 205
getpgid 121 155
getpgrp 111 -
getpid 39 172
getppid 110 173
getpriority 140 141
getrandom 318 278
getresgid 120 150
getresuid 118 148
getrlimit 97 163
getrusage 98 165
getsid 124 156
getsockname 51 204
getsockopt 55 209
gettid 186 178
gettimeofday 96 169
getuid 102 174
ioctl 16 29
listen 50 201
lseek 8 62
lstat 6 -
madvise 28 233
mbind 237 235
membarrier 324 283
mincore 27 232
mlock 149 228
mmap 9 222
mprotect 10 226
mremap 25 216
munlock 150 229
munmap 11 215
nanosleep 35 101
newfstatat 262 79
open 2 -
openat 257 56
pause 34 -
pipe 22 -
pipe2 293 59
poll 7 -
ppoll 271 73
prctl 157 167
pread64 17 67
preadv 295 69
preadv2 327 286
prlimit64 302 261
pselect6 270 72
read 0 63
readahead 187 213
readlink 89 -
readlinkat 267 78
readv 19 65
recvfrom 45 207
recvmsg 47 212
restart_syscall 219 128
rseq 334 293
rt_sigaction 13 134
rt_sigpending 127 136
rt_sigprocmask 14 135
rt_sigreturn 15 139
rt_sigsuspend 130 133
rt_sigtimedwait 128 137
sched_get_priority_max 146 125
sched_get_priority_min 147 126
sched_getaffinity 204 123
sched_getparam 143 121
sched_getscheduler 145 120
sched_setaffinity 203 122
sched_yield 24 124
select 23 -
sendmsg 46 211
sendto 44 206
set_robust_list 273 99
set_tid_address 218 96
setitimer 38 103
setsockopt 54 208
shutdown 48 210
sigaltstack 131 132
socket 41 198
socketpair 53 199
stat 4 -
statfs 137 43
statx 332 291
sysinfo 99 179
tgkill 234 131
time 201 -
times 100 153
umask 95 166
uname 63 160
wait4 61 260
write 1 64
writev 20 66
"""
_ROWS = [line.split() for line in _TABLE.split("\n") if line]
NAMES = frozenset(row[0] for row in _ROWS)
ARCHITECTURES = {
    # With bit 30 a call is one of the x32 ABI: the same calls by other numbers.
    "x86_64": Architecture(0xC000003E, {name: int(x86) for name, x86, _ in _ROWS}, foreign=1 << 30),
    "aarch64": Architecture(0xC00000B7, {name: int(arm) for name, _, arm in _ROWS if arm != "-"}),
}
