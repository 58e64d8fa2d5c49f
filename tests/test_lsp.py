"""What does an editor see? A real client talks to `ga-lint server` over stdin and stdout."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

import pytest

pytest.importorskip("pygls")
from lsprotocol import types
from pygls.lsp.client import LanguageClient

from testbed.fixtures import ROOT
from testbed.shell import BROKEN, HIT, environment, ga_lint, write

IMPORTS = "import torch.nn.functional as F"
LOOP = """
for step, batch in enumerate(loader):
    logits = model(batch["input_ids"])[:, :-1]
    loss = F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=-100)
    (loss / steps).backward()
    if (step + 1) % steps == 0:
        optimizer.step()
        optimizer.zero_grad()
"""
WIDE = HIT.replace("            loss /= cfg.accum", "            '𝛁损'; loss /= cfg.accum")


class Editor:
    """A client that keeps what the server publishes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = LanguageClient("editor", "1")
        self.published: asyncio.Queue[types.PublishDiagnosticsParams] = asyncio.Queue()

        @self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def keep(params: types.PublishDiagnosticsParams) -> None:
            self.published.put_nowait(params)

    async def __aenter__(self) -> Self:
        await self.client.start_io(sys.executable, "-m", "ga_lint", "server", "--stdio", env=environment())
        await self.client.initialize_async(
            types.InitializeParams(types.ClientCapabilities(), root_uri=self.folder.as_uri())
        )
        self.client.initialized(types.InitializedParams())
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.wait_for(self.client.shutdown_async(None), 20)
        self.client.exit(None)
        await asyncio.wait_for(self.client.stop(), 20)

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    async def diagnostics(self, name: str) -> list[types.Diagnostic]:
        """The next that are published for this file."""
        while True:
            params = await asyncio.wait_for(self.published.get(), 20)
            if params.uri.endswith(name):
                return list(params.diagnostics)

    async def open(self, name: str, text: str) -> list[types.Diagnostic]:
        item = types.TextDocumentItem(self.uri(name), "python", 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return await self.diagnostics(name)

    def type(self, name: str, version: int, text: str) -> None:
        document = types.VersionedTextDocumentIdentifier(version, self.uri(name))
        change = types.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    async def actions(self, name: str, diagnostic: types.Diagnostic) -> list[types.CodeAction]:
        """The actions for a finding in a file, or in a cell, which comes with its whole URI."""
        context = types.CodeActionContext([diagnostic])
        document = types.TextDocumentIdentifier(name if ":" in name else self.uri(name))
        answer = await self.client.text_document_code_action_async(
            types.CodeActionParams(document, diagnostic.range, context)
        )
        return [action for action in answer or [] if isinstance(action, types.CodeAction)]

    async def hover(self, name: str, line: int, character: int) -> str | None:
        document = types.TextDocumentIdentifier(name if ":" in name else self.uri(name))
        params = types.HoverParams(document, types.Position(line, character))
        answer = await self.client.text_document_hover_async(params)
        return answer.contents.value if answer and isinstance(answer.contents, types.MarkupContent) else None


def applied(text: str, action: types.CodeAction, uri: str | None = None) -> str:
    """The text after the editor has applied an action, in the protocol's UTF-16 columns."""
    assert action.edit is not None
    changes = [each for each in action.edit.document_changes or () if isinstance(each, types.TextDocumentEdit)]
    if uri is not None:
        changes = [each for each in changes if each.text_document.uri == uri]
    (change,) = changes
    lines = text.splitlines(keepends=True)

    def offset(position: types.Position) -> int:
        before = sum(len(line.encode("utf-16-le")) for line in lines[: position.line])
        return before + 2 * position.character

    data = text.encode("utf-16-le")
    for edit in sorted(change.edits, key=lambda edit: -edit.range.start.line):
        start, end = offset(edit.range.start), offset(edit.range.end)
        data = data[:start] + edit.new_text.encode("utf-16-le") + data[end:]
    return data.decode("utf-16-le")


@pytest.fixture
def session(tmp_path: Path) -> Callable[[Callable[[Editor], Awaitable[None]]], None]:
    """Runs what a user does in an editor."""
    write(tmp_path, {"pyproject.toml": ""})

    def run(steps: Callable[[Editor], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with Editor(tmp_path) as editor:
                await steps(editor)

        asyncio.run(asyncio.wait_for(whole(), 60))

    return run


Session = Callable[[Callable[[Editor], Awaitable[None]]], None]


def test_diagnostics_while_typing_a_quick_fix_and_a_page(session: Session, tmp_path: Path) -> None:
    write(tmp_path, {"twin.py": HIT})
    ga_lint("fix", "--no-verify", "twin.py", cwd=tmp_path)

    async def steps(editor: Editor) -> None:
        assert await editor.open("a.py", "x = 1\n") == []
        for version in range(2, 6):  # faster than the server looks; the last text counts
            editor.type("a.py", version, HIT)
        (found,) = await editor.diagnostics("a.py")
        assert (found.code, found.severity, found.source) == ("GA103", types.DiagnosticSeverity.Error, "ga-lint")
        assert found.related_information and found.code_description
        fix, silence = await editor.actions("a.py", found)
        assert fix.is_preferred and fix.title.startswith("GA103: ")
        assert applied(HIT, fix) == (tmp_path / "twin.py").read_text()
        page = await editor.hover("a.py", found.range.start.line, found.range.start.character)
        assert page is not None and page.startswith("# GA103 double-division")
        assert await editor.hover("a.py", 0, 0) is None
        editor.type("a.py", 6, applied(HIT, fix))
        assert await editor.diagnostics("a.py") == []
        silenced = applied(HIT, silence)
        editor.type("a.py", 7, silenced)
        assert await editor.diagnostics("a.py") == []
        line = silenced.splitlines()[found.range.start.line]
        page = await editor.hover("a.py", found.range.start.line, line.index("ignore[GA103]") + 8)
        assert page is not None and page.startswith("# GA103")

    session(steps)


def test_columns_are_the_clients(session: Session) -> None:
    async def steps(editor: Editor) -> None:
        (found,) = await editor.open("a.py", WIDE)
        line = WIDE.splitlines()[found.range.start.line].encode("utf-16-le")
        marked = line[2 * found.range.start.character : 2 * found.range.end.character].decode("utf-16-le")
        assert marked == "loss /= cfg.accum"

    session(steps)


def test_broken_text_settings_and_exclusion(session: Session, tmp_path: Path) -> None:
    async def steps(editor: Editor) -> None:
        (found,) = await editor.open("a.py", BROKEN)
        assert found.code == "GA001"
        assert [a.title for a in await editor.actions("a.py", found)] == []
        assert await editor.open("build/b.py", BROKEN) == []
        (deep,) = await editor.open("deep.py", "x = " + "-" * 5000 + "1\n")
        assert deep.message.startswith("could not be analysed: nested too deeply")
        changed = types.FileEvent(editor.uri("pyproject.toml"), types.FileChangeType.Changed)
        write(tmp_path, {"pyproject.toml": '[tool.ga-lint]\nignore = ["GA001"]\n'})
        editor.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([changed]))
        assert await editor.diagnostics("a.py") == []
        write(tmp_path, {"pyproject.toml": "[tool.ga-lint]\nselct = []\n"})
        editor.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([changed]))
        (wrong,) = await editor.diagnostics("a.py")
        assert "has no key 'selct'" in wrong.message
        editor.client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(editor.uri("a.py")))
        )
        assert await editor.diagnostics("a.py") == []

    session(steps)


def test_a_saved_import_counts(session: Session, tmp_path: Path) -> None:
    helper = "import torch.nn.functional as F\n\ndef lm_loss(logits, labels):\n    return {}(logits, labels)\n"
    loop = (
        "from helper import lm_loss\n"
        "def train(model, loader, optimizer):\n"
        "    for step, (ids, labels) in enumerate(loader):\n"
        "        (lm_loss(model(ids), labels) / 8).backward()\n"
        "        if (step + 1) % 8 == 0:\n"
        "            optimizer.step()\n"
        "            optimizer.zero_grad()\n"
    )
    write(
        tmp_path, {"pyproject.toml": '[tool.ga-lint]\nmin-confidence = "possible"\n', "helper.py": helper.format("own")}
    )

    async def steps(editor: Editor) -> None:
        assert await editor.open("a.py", loop) == []
        write(tmp_path, {"helper.py": helper.format("F.cross_entropy")})
        document = types.TextDocumentIdentifier(editor.uri("helper.py"))
        editor.client.text_document_did_save(types.DidSaveTextDocumentParams(document))
        assert [found.code for found in await editor.diagnostics("a.py")] == ["GA101"]

    session(steps)


def test_an_unused_suppression_is_faded_and_removed(session: Session) -> None:
    text = "x = 1  # ga-lint: ignore[GA101]\n"

    async def steps(editor: Editor) -> None:
        (found,) = await editor.open("a.py", text)
        assert (found.code, list(found.tags or ())) == ("GA002", [types.DiagnosticTag.Unnecessary])
        (fix,) = await editor.actions("a.py", found)
        assert applied(text, fix) == "x = 1\n"

    session(steps)


def test_a_notebook(session: Session) -> None:
    head, _, loop = HIT.partition("def train")
    cells = [head, "%matplotlib inline\n", f"def train{loop}"]

    async def steps(editor: Editor) -> None:
        uris = [f"vscode-notebook-cell:{editor.folder}/n.ipynb#c{number}" for number in range(3)]
        kind = types.NotebookCellKind.Code
        book = types.NotebookDocument(
            editor.uri("n.ipynb"), "jupyter-notebook", 1, [types.NotebookCell(kind, uri) for uri in uris]
        )
        items = [types.TextDocumentItem(uri, "python", 1, text) for uri, text in zip(uris, cells, strict=True)]
        editor.client.notebook_document_did_open(types.DidOpenNotebookDocumentParams(book, items))
        assert await editor.diagnostics("#c0") == []
        assert await editor.diagnostics("#c1") == []
        (found,) = await editor.diagnostics("#c2")
        assert found.code == "GA103"
        assert "/= cfg.accum" in cells[2].splitlines()[found.range.start.line]
        page = await editor.hover(uris[2], found.range.start.line, found.range.start.character)
        assert page is not None and page.startswith("# GA103 double-division")
        assert await editor.hover(uris[0], found.range.start.line, found.range.start.character) is None
        fix, silence = await editor.actions(uris[2], found)
        assert fix.is_preferred and "/= cfg.accum" not in applied(cells[2], fix)
        assert f"ga-lint: ignore[{found.code}]" in applied(cells[2], silence)
        assert await editor.actions(uris[0], found) == []
        identifier = types.NotebookDocumentIdentifier(book.uri)
        closed = [types.TextDocumentIdentifier(uri) for uri in uris]
        editor.client.notebook_document_did_close(types.DidCloseNotebookDocumentParams(identifier, closed))
        assert await editor.diagnostics("#c2") == []

    session(steps)


def test_a_rewrite_of_two_cells_edits_both(session: Session) -> None:
    cells = [f"%matplotlib inline\n{IMPORTS}", LOOP.lstrip()]

    async def steps(editor: Editor) -> None:
        uris = [f"vscode-notebook-cell:{editor.folder}/n.ipynb#c{number}" for number in range(2)]
        code = [types.NotebookCell(types.NotebookCellKind.Code, uri) for uri in uris]
        book = types.NotebookDocument(editor.uri("n.ipynb"), "jupyter-notebook", 1, code)
        items = [types.TextDocumentItem(uri, "python", 1, text) for uri, text in zip(uris, cells, strict=True)]
        editor.client.notebook_document_did_open(types.DidOpenNotebookDocumentParams(book, items))
        (found,) = await editor.diagnostics("#c1")
        fix, _ = await editor.actions(uris[1], found)
        first, second = (applied(text, fix, uri) for text, uri in zip(cells, uris, strict=True))
        assert first == f"%matplotlib inline\nimport itertools\n\n{IMPORTS}"
        assert second.startswith("class WithTargetShare:") and "(loss * share).backward()" in second
        change = types.NotebookDocumentCellContentChanges(
            types.VersionedTextDocumentIdentifier(2, uris[0]),
            [types.TextDocumentContentChangeWholeDocument("import torch.nn.functional as F\n")],
        )
        event = types.NotebookDocumentChangeEvent(cells=types.NotebookDocumentCellChanges(text_content=[change]))
        now = types.VersionedNotebookDocumentIdentifier(2, book.uri)
        editor.client.notebook_document_did_change(types.DidChangeNotebookDocumentParams(now, event))
        assert await editor.actions(uris[1], found) == []  # the other cell has moved on

    session(steps)


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    ran = ga_lint("server", "a.py", cwd=tmp_path)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    hidden = "import importlib.util as u, sys\nu.find_spec = lambda *_: None\nfrom ga_lint.cli.main import main\n"
    write(tmp_path, {"sitecustomize.py": hidden + "sys.exit(main(['server']))\n"})
    ran = ga_lint("server", cwd=tmp_path, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert "pip install 'ga-lint[lsp]'" in ran.err
