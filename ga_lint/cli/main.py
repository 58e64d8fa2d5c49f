"""Where does the program start, and how does it end?"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from ga_lint import __version__
from ga_lint.errors import InternalError, UsageError
from ga_lint.outcome import EXIT_BROKEN

_SHOWS_HELP = {"--help", "-h", "--install-completion", "--show-completion"}
_OUTPUT_REFUSED = {errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT}
_INTERRUPTED = 130  # what shells expect after Ctrl-C


def start() -> NoReturn:
    """Run this process's command line, and leave at once.

    To take a run's trees apart, object by object, takes up to a quarter of its time; nobody needs the memory any more.
    """
    code = main()
    if sys.gettrace() is None:  # what traces us writes down at the end what it saw
        with contextlib.suppress(OSError):  # output that cannot be written: Python says so
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code."""
    words = sys.argv[1:] if words is None else words
    _ready_streams()
    try:
        return _run(words)
    except UsageError as error:
        return _broken(f"error: {error}")
    except InternalError as error:
        return _broken(f"internal error: {error}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # whoever read our output has gone, as `head` does
        _forget_output()
        return EXIT_BROKEN
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in _OUTPUT_REFUSED:
            _forget_output()
            return _broken(f"error: the output cannot be written: {error.strerror}")
        if "--verbose" in words or "-v" in words:
            raise
        from ga_lint.resources import ISSUES_URL

        what = f"{type(error).__name__}: {error}"
        return _broken(f"internal error: {what}; run it with --verbose and report what that prints: {ISSUES_URL}")


def _ready_streams() -> None:
    """What the encoding lacks is written as an escape; a stream that is closed takes everything and keeps nothing."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _forget_output() -> None:
    """What stdout still holds goes nowhere; Python would try to write it at exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: Sequence[str]) -> int:
    if list(words) == ["--version"]:
        print(f"ga-lint {__version__}")
        return 0
    before_dashes = words[: words.index("--")] if "--" in words else words
    if not words or not _SHOWS_HELP.isdisjoint(before_dashes) or "_GA_LINT_COMPLETE" in os.environ:
        from ga_lint.cli.help import show

        return show(["--help" if word == "-h" else word for word in words])
    from ga_lint.cli.arguments import parse

    arguments = parse(words)
    code: int = import_module(f"ga_lint.cli.{arguments.command.name}").run(arguments)
    return code


def _broken(line: str) -> int:
    print(line, file=sys.stderr)
    return EXIT_BROKEN
