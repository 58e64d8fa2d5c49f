"""Where does text go, and in what colours? The only module that knows about terminals."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from ga_lint.report.text import shown

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.text import Text

_MANY = 200  # fewer files are done before a bar could be read
_STYLES = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}
_HEADER = re.compile(r"^\S.*:\d+:\d+: (?P<code>GA\d+) (?P<name>\[[\w-]+\]) (?P<severity>error|warning|info) \(\w+\)$")
_DIFF = {"---": "bold", "+++": "bold", "@@": "cyan", "-": "red", "+": "green"}
_GUTTER = r"^   \| +\d* \|"
_UNDERLINE = r"(?m)(?<=\| )\s*(\^+ .*)$"
_LABEL = r"(?m)^  (trace|effect|fix \(\w+\)|no rewrite|not rewritten):"
# The lines of a numeric check: a verdict first, behind two spaces where the terminal is narrow.
_OUTCOMES = {
    "verdict": "bold",
    "confirmed": "bold green",
    "refuted": "bold red",
    "correct": "green",
    "wrong": "bold yellow",
    "missing division": "bold yellow",
    "inconclusive": "cyan",
    "not verifiable": "dim",
    "not run": "bold red",
}
_OUTCOME = re.compile(rf"^(?:  )?(?P<outcome>{'|'.join(_OUTCOMES)})(?=  |$)")
_NOISE = r"(?<= )(-|0|\d(\.\d+)?e-1\d)(?= )"
_BAR = r"█+"
_COMMAND = r"`ga-lint [^`]*`"


def wants_color(choice: str | None) -> bool:
    """Whether stdout gets colours: as asked for, else on a terminal unless NO_COLOR says no."""
    if choice in ("always", "never"):
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def can_write(text: str) -> bool:
    """Whether stdout's encoding has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def write_bytes(data: bytes) -> None:
    """Files and patches, to stdout byte for byte."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def write_patch(data: bytes, *, color: bool) -> None:
    """A unified diff; in colours it is for reading only."""
    if not color:
        write_bytes(data)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(force_terminal=True, highlight=False, soft_wrap=True)
    for line in data.decode(errors="replace").splitlines():
        style = next((style for start, style in _DIFF.items() if line.startswith(start)), "")
        console.print(Text(shown(line.replace("\t", "    ")), style=style))


def write(text: str) -> None:
    """Results, to stdout as they are."""
    sys.stdout.write(text)
    sys.stdout.flush()


def write_report(text: str, *, color: bool) -> None:
    """A `full` report, coloured where that was decided. The reporter knows nothing of it."""
    if not color:
        write(text)
        return
    from rich.console import Console

    console = Console(force_terminal=True, highlight=False, soft_wrap=True)
    for line in _painted(text):
        console.print(line)


def _painted(text: str) -> Iterator[Text]:
    from rich.text import Text

    severity = "info"
    for line in text.splitlines():
        painted = Text(line)
        if header := _HEADER.match(line):
            severity = header["severity"]
            painted.stylize("bold", 0, header.start("code") - 2)
            painted.stylize(_STYLES[severity], *header.span("code"))
            painted.stylize("dim", *header.span("name"))
            painted.stylize(_STYLES[severity], *header.span("severity"))
            painted.stylize("dim", header.end("severity"))
        elif line.startswith("   | "):
            painted.highlight_regex(_GUTTER, "dim blue")
            painted.highlight_regex(_UNDERLINE, _STYLES[severity])
        elif outcome := _OUTCOME.match(line):
            painted.stylize(_OUTCOMES[outcome["outcome"]], *outcome.span("outcome"))
            painted.highlight_regex(_NOISE, "dim")
        else:
            painted.highlight_regex(_BAR, "cyan")
            painted.highlight_regex(_LABEL, "bold blue")
            painted.highlight_regex(_COMMAND, "green")
        yield painted


def write_page(markdown: str, *, color: bool) -> None:
    """A rule's page, laid out on a terminal, as it is elsewhere."""
    if not color:
        write(markdown)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    # The terminal's own colours on its own background, whether that is light or dark.
    Console(force_terminal=True).print(Markdown(markdown, code_theme="ansi_dark"))


def note(line: str) -> None:
    """One line to stderr, behind everything that stdout has."""
    sys.stdout.flush()
    print(line, file=sys.stderr, flush=True)


class ProgressBar:
    """A bar on stderr while the work is long and stderr is a terminal; call it with what is done, and of how much."""

    def __init__(self, label: str, *, many: int = _MANY) -> None:
        self._label = label
        self._many = many if sys.stderr.isatty() else None
        self._bar: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._many is None or total < self._many:
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
            self._bar.add_task(self._label)
        self._bar.update(self._bar.task_ids[0], completed=done, total=total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
