"""`ga-lint server`: the language server for editors, over stdin and stdout."""

from __future__ import annotations

import importlib.util

from ga_lint.cli.arguments import Arguments
from ga_lint.errors import UsageError


def run(arguments: Arguments) -> int:
    if arguments.words:
        raise UsageError(f"`ga-lint server` takes no path: {arguments.words[0]!r}; the editor says what is open")
    if importlib.util.find_spec("pygls") is None:
        raise UsageError("the language server needs pygls: pip install 'ga-lint[lsp]'")
    from ga_lint.lsp.server import Server

    Server().protocol.start_io()
    return 0
