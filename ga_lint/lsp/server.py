"""When does the server look at a text, and what does it answer? Diagnostics while typing, quick fixes, hover."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from ga_lint import __version__
from ga_lint.engine.own_rules import known_rules
from ga_lint.lsp.analysis import Analyser, Analysis, Answer, Cure, Document
from ga_lint.lsp.convert import Converter, failure, overlaps, path_of
from ga_lint.outcome import Failed
from ga_lint.resources import page_path

Params = TypeVar("Params")
Result = TypeVar("Result")
PAUSE = 0.15  # seconds without a key stroke before a text is looked at
_CONFIGURATION = "**/{pyproject.toml,ga-lint.toml}"
_CODE = re.compile(r"\bGA\d{3}\b")


class Server:
    """One session with one editor."""

    def __init__(self) -> None:
        python = types.NotebookCellLanguage("python")
        notebooks = types.NotebookDocumentSyncOptions([types.NotebookDocumentFilterWithCells([python])], save=True)
        self.protocol = LanguageServer("ga-lint", f"v{__version__}", notebook_document_sync=notebooks)
        self._analyser = Analyser()
        self._one_at_a_time = ThreadPoolExecutor(1)  # the engine is not made for threads; the editor never waits for it
        self._answers: dict[str, Answer] = {}
        self._notebooks: set[str] = set()
        features: dict[str, Callable[[Any], Awaitable[object]]] = {
            types.TEXT_DOCUMENT_DID_OPEN: self._opened,
            types.TEXT_DOCUMENT_DID_CHANGE: self._changed,
            types.TEXT_DOCUMENT_DID_SAVE: self._files_changed,  # what others import of it may have changed
            types.NOTEBOOK_DOCUMENT_DID_OPEN: self._notebook_opened,
            types.NOTEBOOK_DOCUMENT_DID_CHANGE: self._notebook_changed,
            types.NOTEBOOK_DOCUMENT_DID_SAVE: self._files_changed,
            types.WORKSPACE_DID_CHANGE_WATCHED_FILES: self._files_changed,
            types.WORKSPACE_DID_CHANGE_CONFIGURATION: self._files_changed,
            types.INITIALIZED: self._initialized,
            types.TEXT_DOCUMENT_DID_CLOSE: self._closed,
            types.NOTEBOOK_DOCUMENT_DID_CLOSE: self._notebook_closed,
            types.TEXT_DOCUMENT_HOVER: self._hover,
        }
        for name, method in features.items():
            self.protocol.feature(name)(_plain(method))
        kinds = types.CodeActionOptions([types.CodeActionKind.QuickFix])
        self.protocol.feature(types.TEXT_DOCUMENT_CODE_ACTION, kinds)(_plain(self._actions))

    # -- when to look

    async def _initialized(self, _params: types.InitializedParams) -> None:
        watched = self.protocol.client_capabilities.workspace
        if watched and watched.did_change_watched_files and watched.did_change_watched_files.dynamic_registration:
            options = types.DidChangeWatchedFilesRegistrationOptions([types.FileSystemWatcher(_CONFIGURATION)])
            registration = types.Registration("settings", types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
            self.protocol.client_register_capability(types.RegistrationParams([registration]))

    async def _opened(self, params: types.DidOpenTextDocumentParams) -> None:
        await self._look(params.text_document.uri)

    async def _changed(self, params: types.DidChangeTextDocumentParams) -> None:
        await self._look(params.text_document.uri, PAUSE)

    async def _closed(self, params: types.DidCloseTextDocumentParams) -> None:
        self._forget(params.text_document.uri)

    async def _notebook_opened(self, params: types.DidOpenNotebookDocumentParams) -> None:
        self._notebooks.add(params.notebook_document.uri)
        await self._look_at_notebook(params.notebook_document.uri)

    async def _notebook_changed(self, params: types.DidChangeNotebookDocumentParams) -> None:
        await self._look_at_notebook(params.notebook_document.uri, PAUSE)

    async def _notebook_closed(self, params: types.DidCloseNotebookDocumentParams) -> None:
        self._notebooks.discard(params.notebook_document.uri)
        for cell in params.cell_text_documents:
            self._forget(cell.uri)

    async def _files_changed(self, _params: object) -> None:
        await self._look_at_all()

    async def _look_at_all(self) -> None:
        await self._run(self._analyser.forget)
        cells = {cell.document for uri in self._notebooks if (book := self._book(uri)) for cell in book.cells}
        for uri in list(self.protocol.workspace.text_documents):
            if uri not in cells:
                await self._look(uri)
        for uri in list(self._notebooks):
            await self._look_at_notebook(uri)

    async def _run(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._one_at_a_time, call)

    # -- looking

    async def _look(self, uri: str, pause: float = 0) -> None:
        version = self.protocol.workspace.get_text_document(uri).version
        await asyncio.sleep(pause)
        document = self.protocol.workspace.text_documents.get(uri)
        if document is None or document.version != version:
            return  # closed, or there is a newer text, and its own look is under way
        path = path_of(uri)
        if path.suffix != ".py" and document.language_id != "python":
            return
        text = document.source
        analysis = await self._run(lambda: self._analyser.of_text(path, text))
        self._answers[uri] = Answer(analysis, {None: Document(uri, version, analysis.source.lines)})
        converter = self._converter(analysis.source.lines)
        found = [converter.diagnostic(diagnostic) for diagnostic in analysis.diagnostics]
        self._publish(uri, [*found, *_failures(analysis)], version)

    async def _look_at_notebook(self, uri: str, pause: float = 0) -> None:
        book = self._book(uri)
        version = book.version if book else None
        await asyncio.sleep(pause)
        book = self._book(uri)
        if book is None or book.version != version:
            return
        texts = [self.protocol.workspace.get_text_document(cell.document) for cell in book.cells]
        cells: dict[int | None, Document] = {
            number: Document(text.uri, text.version, text.source.split("\n")) for number, text in enumerate(texts)
        }
        is_code = (cell.kind is types.NotebookCellKind.Code for cell in book.cells)
        code = [text.source if is_one else None for text, is_one in zip(texts, is_code, strict=True)]
        answer = Answer(await self._run(lambda: self._analyser.of_cells(path_of(uri), code)), cells)
        for number, cell in cells.items():
            self._answers[cell.uri] = answer
            converter = self._converter(cell.lines)
            ours = [converter.diagnostic(each) for each in answer.analysis.diagnostics if each.cell == number]
            failures = _failures(answer.analysis) if number == 0 else []
            self._publish(cell.uri, [*ours, *failures], cell.version)

    def _book(self, uri: str) -> types.NotebookDocument | None:
        return self.protocol.workspace.get_notebook_document(notebook_uri=uri)

    def _converter(self, lines: list[str]) -> Converter:
        return Converter(self.protocol.workspace.position_codec, lines)

    def _publish(self, uri: str, diagnostics: list[types.Diagnostic], version: int | None = None) -> None:
        params = types.PublishDiagnosticsParams(uri, diagnostics, version)
        self.protocol.text_document_publish_diagnostics(params)

    def _forget(self, uri: str) -> None:
        self._answers.pop(uri, None)
        self._publish(uri, [])

    # -- answering

    async def _actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        uri = params.text_document.uri
        answer = self._answers.get(uri)
        if answer is None or not self._is_current(answer):
            return []  # the text has moved on; the next diagnostics bring the editor back
        cell = answer.cell_of(uri)
        converter = self._converter(answer.documents[cell].lines)
        asked = [
            diagnostic
            for diagnostic in answer.analysis.diagnostics
            if diagnostic.cell == cell and overlaps(converter.range(diagnostic.finding.span), params.range)
        ]
        if not asked:
            return []  # editors ask wherever the cursor goes
        return [
            types.CodeAction(
                cure.title,
                types.CodeActionKind.QuickFix,
                [converter.diagnostic(cure.diagnostic)],
                is_preferred=cure.preferred or None,
                edit=types.WorkspaceEdit(document_changes=list(self._changes(answer, cure))),
            )
            for cure in await self._run(lambda: answer.analysis.cures(asked))
        ]

    def _is_current(self, answer: Answer) -> bool:
        texts = self.protocol.workspace.text_documents
        return all(d.uri in texts and texts[d.uri].version == d.version for d in answer.documents.values())

    def _changes(self, answer: Answer, cure: Cure) -> Iterator[types.TextDocumentEdit]:
        """The edits of each document; in a notebook, a definition can go to another cell than its use."""
        for cell in dict.fromkeys(edit.cell for edit in cure.edits):
            document = answer.documents[cell]
            converter = self._converter(document.lines)
            place = types.OptionalVersionedTextDocumentIdentifier(document.uri, document.version)
            yield types.TextDocumentEdit(place, [converter.edit(edit) for edit in cure.edits if edit.cell == cell])

    async def _hover(self, params: types.HoverParams) -> types.Hover | None:
        """The page of the finding under the cursor, or of the code that is written there."""
        document = self.protocol.workspace.get_text_document(params.text_document.uri)
        at = types.Range(params.position, params.position)
        answer = self._answers.get(params.text_document.uri)
        if answer is not None:
            cell = answer.cell_of(document.uri)
            converter = self._converter(answer.documents[cell].lines)
            for diagnostic in answer.analysis.diagnostics:
                place = converter.range(diagnostic.finding.span)
                if diagnostic.cell == cell and overlaps(place, at):
                    return _page(diagnostic.finding.code, place)
        lines = document.source.split("\n")
        line = lines[params.position.line] if params.position.line < len(lines) else ""
        for code in _CODE.finditer(line):
            if code.start() <= params.position.character <= code.end():
                return _page(code.group(), at)
        return None


def _plain(method: Callable[[Params], Awaitable[Result]]) -> Callable[[Params], Awaitable[Result]]:
    """As a function: pygls writes its name on what it registers, and a bound method takes none."""

    async def handle(params: Params) -> Result:
        return await method(params)

    return handle


def _failures(analysis: Analysis) -> list[types.Diagnostic]:
    return [failure(analysis.outcome.error)] if isinstance(analysis.outcome, Failed) else []


def _page(code: str, place: types.Range) -> types.Hover | None:
    rule = next((rule for rule in known_rules() if rule.code == code), None)
    if rule is None:
        return None
    text = page_path(rule.code, rule.name).read_text(encoding="utf-8")
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text), place)
