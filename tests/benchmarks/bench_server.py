"""How long does an editor wait for `ga-lint server`?

    python tests/benchmarks/bench_server.py [FILE ...]

A real client starts the server, opens each file and types into it: a comment is made longer letter by letter, in the
middle of the file. Shown are the start-up (until the server answers `initialize`), the time until a file's first
diagnostics, and, of all key strokes, the median and the worst time until theirs, without the pause that the server
waits for more of them; then a quick fix and a hover. Without files: a trainer of 12 lines and one of 2,000.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from ga_lint.lsp.server import PAUSE

STROKES = 30
ROOT = Path(__file__).resolve().parents[2]
TRAINER = """\
import torch.nn.functional as F
from transformers import Trainer


class SftTrainer(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        logits = outputs.logits[:, :-1].flatten(0, 1)
        targets = inputs["labels"][:, 1:].flatten()
        loss = F.cross_entropy(logits, targets, ignore_index=-100)
        return (loss, outputs) if return_outputs else loss
"""
OTHERS = (
    "\n\ndef evaluate_{0}(model, loader):\n    total = 0.0\n    for batch in loader:\n"
    '        total += float(model(**batch).loss)\n        print(f"{{total:.3f}}")\n    return total\n'
)


class Client:
    """An editor that waits for the diagnostics of one version of a file."""

    def __init__(self) -> None:
        self.protocol = LanguageClient("bench", "1")
        self._published: asyncio.Queue[types.PublishDiagnosticsParams] = asyncio.Queue()

        @self.protocol.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def keep(params: types.PublishDiagnosticsParams) -> None:
            self._published.put_nowait(params)

    async def start(self) -> None:
        await self.protocol.start_io(sys.executable, "-m", "ga_lint", "server")
        await self.protocol.initialize_async(types.InitializeParams(types.ClientCapabilities()))
        self.protocol.initialized(types.InitializedParams())

    async def stop(self) -> None:
        await self.protocol.shutdown_async(None)
        self.protocol.exit(None)
        await self.protocol.stop()

    async def diagnostics(self, version: int) -> list[types.Diagnostic]:
        while (params := await asyncio.wait_for(self._published.get(), 60)).version != version:
            pass
        return list(params.diagnostics)

    async def open(self, uri: str, text: str) -> list[types.Diagnostic]:
        item = types.TextDocumentItem(uri, "python", 0, text)
        self.protocol.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return await self.diagnostics(0)

    async def type(self, uri: str, version: int, place: types.Position) -> None:
        document = types.VersionedTextDocumentIdentifier(version, uri)
        change = types.TextDocumentContentChangePartial(types.Range(place, place), "x")
        self.protocol.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))
        await self.diagnostics(version)


def milliseconds(started: float) -> float:
    return 1000 * (time.perf_counter() - started)


async def measure(client: Client, name: str, text: str) -> None:
    lines = text.splitlines(keepends=True)
    middle = len(lines) // 2
    lines.insert(middle, "# \n")
    text, uri = "".join(lines), (Path.cwd() / name).as_uri()
    started = time.perf_counter()
    found = await client.open(uri, text)
    opened = milliseconds(started)
    strokes = []
    for version in range(1, STROKES + 1):
        started = time.perf_counter()
        await client.type(uri, version, types.Position(middle, 1 + version))
        strokes.append(milliseconds(started) - 1000 * PAUSE)
    told = f"median {statistics.median(strokes):.0f} ms, worst {max(strokes):.0f} ms"
    print(f"{name}: {len(lines):,} lines, {len(found)} findings: opened in {opened:.0f} ms; a key stroke {told}")
    if found:
        await measure_cures(client, uri, found[0])


async def measure_cures(client: Client, uri: str, found: types.Diagnostic) -> None:
    document, context = types.TextDocumentIdentifier(uri), types.CodeActionContext([found])
    start = types.Position(0, 0)
    for what, place in (("elsewhere", types.Range(start, start)), ("first", found.range), ("again", found.range)):
        started = time.perf_counter()
        params = types.CodeActionParams(document, place, context)
        actions = await client.protocol.text_document_code_action_async(params)
        print(f"  {len(actions or [])} quick fixes, {what}: {milliseconds(started):.0f} ms")
    started = time.perf_counter()
    await client.protocol.text_document_hover_async(types.HoverParams(document, found.range.start))
    print(f"  hover: {milliseconds(started):.0f} ms")


async def main(paths: list[Path]) -> None:
    large = TRAINER + "".join(OTHERS.format(number) for number in range(250))
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths} or {"short.py": TRAINER, "long.py": large}
    client = Client()
    started = time.perf_counter()
    await client.start()
    print(f"start-up: {milliseconds(started):.0f} ms; the server waits {1000 * PAUSE:.0f} ms for more key strokes")
    for name, text in texts.items():
        await measure(client, name, text)
    await client.stop()


if __name__ == "__main__":
    asyncio.run(main([Path(word) for word in sys.argv[1:]]))
