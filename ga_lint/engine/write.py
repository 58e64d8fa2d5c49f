"""How does new text reach the disk, or the screen, without ever leaving a file half written?"""

from __future__ import annotations

import contextlib
import difflib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ga_lint.errors import SourceError
from ga_lint.source import SourceFile

_BACKUP = ".ga-lint-backup"


def write_back(before: SourceFile, after: SourceFile) -> None:
    """Put `after` in the place of `before`; SourceError says why it could not be, and the file is as it was.

    A new file beside the old one is renamed over it. Where that is no choice (another name links to the same file,
    or the folder takes no new files) the file itself is overwritten, with a copy at hand until that is done.
    """
    path = Path(os.path.realpath(before.path))
    try:
        if path.read_bytes() != before.on_disk:
            raise SourceError("changed on disk while it was analysed; not rewritten, run again")
        status = path.stat()
        if not os.access(path, os.W_OK):
            raise SourceError("not writable; make it writable or exclude it")
        if status.st_nlink > 1 or not os.access(path.parent, os.W_OK | os.X_OK):
            _overwrite(path, before.on_disk, after.on_disk)
        else:
            _replace(path, after.on_disk, status)
    except OSError as error:
        raise SourceError(f"could not be written: {error.strerror or error}; left as it was") from None


def write_whole(path: Path, data: bytes) -> None:
    """Write a file of our own, whole or not at all; OSError says why not, and what was there before still is.

    What is no plain file (a pipe, /dev/stdout), or has another name too, is written where it is.
    """
    path = Path(os.path.realpath(path))
    try:
        status = path.stat()
    except FileNotFoundError:
        path.touch()  # with the mode that a new file gets here
        try:
            _replace(path, data, path.stat())
        except BaseException:
            path.unlink()
            raise
        return
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and os.access(path.parent, os.W_OK | os.X_OK):
        _replace(path, data, status)
    else:
        path.write_bytes(data)


def _replace(path: Path, data: bytes, status: os.stat_result) -> None:
    with _temporary(path.parent, path.name) as (handle, name):
        _write_all(handle, data)
        os.chmod(name, stat.S_IMODE(status.st_mode))
        with contextlib.suppress(OSError):  # only root may give files away
            os.chown(name, status.st_uid, status.st_gid)
        os.replace(name, path)
    _sync_folder(path.parent)


def _overwrite(path: Path, old: bytes, new: bytes) -> None:
    """In place: the inode stays. The old bytes wait in a temporary folder until the new ones are on the disk."""
    with _temporary(Path(tempfile.gettempdir()), path.name + _BACKUP) as (backup, _):
        _write_all(backup, old)
        with path.open("r+b", buffering=0) as file:
            try:
                # Room first: a full disk is noticed before a single byte of the file has changed.
                if len(new) > len(old) and hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, len(new))
                _write_all(file.fileno(), new)
                file.truncate(len(new))
            except BaseException:  # Ctrl-C too
                os.lseek(file.fileno(), 0, os.SEEK_SET)
                _write_all(file.fileno(), old)
                file.truncate(len(old))
                raise


@contextlib.contextmanager
def _temporary(folder: Path, name: str) -> Iterator[tuple[int, str]]:
    """An open file in that folder that is gone afterwards, whatever happens, unless it was renamed."""
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
    try:
        yield handle, temporary
    finally:
        os.close(handle)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
    os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    """The rename itself is on the disk only when its folder is; not every system can open one."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def patch(name: str, before: bytes, after: bytes) -> bytes:
    """A unified diff that `git apply` takes, in the file's own bytes; empty when nothing differs."""
    label = name.encode("utf-8", "surrogateescape")
    lines = _unified(_lines(before), _lines(after), b"a/" + label, b"b/" + label)
    return b"".join(line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n" for line in lines)


def _unified(old: list[bytes], new: list[bytes], old_name: bytes, new_name: bytes) -> Iterator[bytes]:
    """As difflib.unified_diff, which takes lines for changed that a longer file has often."""
    for number, group in enumerate(difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_grouped_opcodes()):
        if number == 0:
            yield from (b"--- " + old_name + b"\n", b"+++ " + new_name + b"\n")
        sides = (_range(group[0][1], group[-1][2]), _range(group[0][3], group[-1][4]))
        yield b"@@ -%s +%s @@\n" % sides
        for tag, first, last, start, end in group:
            if tag == "equal":
                yield from (b" " + line for line in old[first:last])
            else:
                yield from (b"-" + line for line in old[first:last])
                yield from (b"+" + line for line in new[start:end])


def _range(first: int, last: int) -> bytes:
    """A hunk's lines as `start,length`; an empty one starts at the line before it."""
    length = last - first
    start = first + 1 if length else first
    return str(start).encode() if length == 1 else b"%d,%d" % (start, length)


def _lines(data: bytes) -> list[bytes]:
    """Lines as git sees them: a line ends at \\n only, and \\r is a part of it."""
    lines = data.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
