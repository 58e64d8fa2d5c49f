"""How is one input made of another? By a chain of damages to its tree, tokens, lines, bytes, layout or notebook."""

from __future__ import annotations

import io
import json
import random
import re
import tokenize
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fuzz.bases import bases, strange_statement
from testbed.mutation import mutants
from testbed.notebooks import Book, CodeCell, Style

ENCODINGS = (
    "utf-8 utf8 UTF-8 utf_8 utf-8-sig latin-1 iso-8859-15 cp1252 ascii shift_jis euc_jp gb18030 big5 koi8-r utf-16 "
    "utf-32 utf-7 iso2022_jp hz punycode idna raw_unicode_escape unicode_escape rot13 hex base64 undefined mbcs "
    "cp037 cp500 cp65001 nonsense latin-1-unix utf-8-mac charmap"
).split()
_WORDS = (
    "loss steps step loader batch model optimizer accelerator num_items_in_batch labels backward mean sum reduction "
    "gradient_accumulation_steps self super return yield await for if in with not lambda None True 0 1 -100 4 1e999 "
    "0x_f / * ** // % + - = == := . , : ; ( ) [ ] { } @ -> ... * ** not is # noqa \\ '' \"\" f'' b'' # ga-lint:"
).split(" ")
_CHARACTERS = "é損ªµ\u200b\u2028\x85\x1c\x0c\x0b\xa0\ufeff\x1a\x00\x7f\U0001d535\u202e\t \r\n\"'\\#%!?"
_MAGICS = (
    "%%time|%matplotlib inline|!pip install x|loss?|x = !ls|%%bash|%%capture out|?loss|x = %time y|!a \\|%%".split("|")
)


@dataclass(frozen=True)
class Input:
    """A file as it would lie on the disk, and how it was made."""

    name: str
    data: bytes
    made: str


def make(seed: int, number: int, generated: Sequence[str]) -> Input:
    """The input of this number: the same for the same seed, whatever was made before."""
    chance = random.Random(f"{seed}/{number}")
    data = chance.choice(bases())
    made = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        damage = chance.choice(_DAMAGES)
        made.append(damage.__name__.strip("_"))
        data = damage(data, chance, generated)
    if chance.random() < 0.2:
        made.append("notebook")
        return Input("train.ipynb", _notebook(data, chance), " ".join(made))
    if chance.random() < 0.3:
        made.append("layout")
        data = _layout(data, chance)
    return Input("train.py", data, " ".join(made))


Damage = Callable[[bytes, random.Random, Sequence[str]], bytes]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _tree(data: bytes, chance: random.Random, _: Sequence[str]) -> bytes:
    """Statements and expressions in other places, written anew: always Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return mutants(_text(data), chance.getrandbits(32), chance.randint(1, 6)).encode("utf-8", "replace")
    except (SyntaxError, ValueError, RecursionError, MemoryError, IndexError):  # no Python, or nothing in it
        return data


def _tokens(data: bytes, chance: random.Random, _: Sequence[str]) -> bytes:
    """A few tokens dropped, doubled, or replaced by others; the layout stays."""
    text = _text(data)
    try:
        found = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return data
    lines = text.split("\n")
    for _number in range(chance.choice((1, 1, 2, 4))):
        token, other = chance.choice(found), chance.choice(found)
        (row, start), (last, end) = token.start, token.end
        if row != last or row > len(lines) or lines[row - 1][start:end] != token.string:
            continue
        same_kind = [each.string for each in found if each.type == token.type]
        new = chance.choice(["", f"{token.string} {token.string}", other.string, chance.choice(same_kind)])
        new = chance.choice(_WORDS) if chance.random() < 0.3 else new
        lines[row - 1] = f"{lines[row - 1][:start]}{new}{lines[row - 1][end:]}"
    return "\n".join(lines).encode("utf-8", "replace")


def _lines(data: bytes, chance: random.Random, _: Sequence[str]) -> bytes:
    """Rows dropped, doubled, moved, joined, indented or commented."""
    lines = _text(data).split("\n")
    for _number in range(chance.randint(1, 4)):
        at, to = chance.randrange(len(lines)), chance.randrange(len(lines))
        match chance.randrange(9):
            case 0:
                lines[at] = ""
            case 1:
                lines.insert(at, lines[at])
            case 2:
                lines.insert(to, lines.pop(at))
            case 3:
                lines[at] = f"    {lines[at]}"
            case 4:
                lines[at] = lines[at].removeprefix("    ")
            case 5:
                lines[at] = f"{lines[at]};{chance.choice(_WORDS)}"
            case 6:
                lines[at] += chance.choice(
                    ["  # loss", "  # noqa", " \\", "  # ga-lint: ignore[GA101]", "\t", "  # é損"]
                )
            case 7:
                lines[at : to + 1] = [f"# {line}" for line in lines[at : to + 1][:5]]
            case _:
                lines[at : at + 2] = ["; ".join(line.strip() for line in lines[at : at + 2])]
    return "\n".join(lines).encode("utf-8", "replace")


def _bytes(data: bytes, chance: random.Random, _: Sequence[str]) -> bytes:
    """Single bytes and short runs of them: what a broken disk or a broken editor leaves."""
    out = bytearray(data)
    for _number in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(len(out) + 1)
        match chance.randrange(5):
            case 0:
                out[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                out[at:at] = chance.choice(_CHARACTERS).encode("utf-8", "surrogatepass")
            case 2:
                del out[at : at + chance.choice((1, 2, 8, 100))]
            case 3:
                out[at:at] = out[at : at + chance.choice((1, 8, 200))]
            case _:
                out[at:at] = chance.choice(_WORDS).encode()
    return bytes(out)


def _splice(data: bytes, chance: random.Random, generated: Sequence[str]) -> bytes:
    """Strange statements among the others, at their indentation."""
    lines = _text(data).split("\n")
    for _number in range(chance.randint(1, 3)):
        at = chance.randrange(len(lines) + 1)
        near = next((line for line in lines[at:] if line.strip()), "")
        indent = near[: len(near) - len(near.lstrip())]
        strange = strange_statement(chance, generated)
        lines[at:at] = [indent + line if line.strip() else line for line in strange.split("\n")]
    return "\n".join(lines).encode("utf-8", "replace")


def _halves(data: bytes, chance: random.Random, _: Sequence[str]) -> bytes:
    """The top of one file on the bottom of another."""
    other = chance.choice(bases())
    one, two = data.split(b"\n"), other.split(b"\n")
    return b"\n".join(one[: chance.randrange(len(one) + 1)] + two[chance.randrange(len(two)) :])


def _wrapped(data: bytes, chance: random.Random, _: Sequence[str]) -> bytes:
    """All of it one block further in."""
    head = chance.choice(
        ["if True:", "try:", "def main():", "class Main:", "for _ in range(2):", "with x:", "async def main():"]
    )
    body = "".join(f"    {line}\n" if line.strip() else "\n" for line in _text(data).split("\n"))
    tail = "except ImportError:\n    pass\n" if head == "try:" else ""
    return f"{head}\n{body}{tail}".encode("utf-8", "replace")


_DAMAGES: tuple[Damage, ...] = (_tree, _tokens, _tokens, _lines, _lines, _bytes, _splice, _splice, _halves, _wrapped)


def _layout(data: bytes, chance: random.Random) -> bytes:
    """The same text as another editor, or another country, writes it."""
    match chance.randrange(8):
        case 0:
            return data.replace(b"\n", chance.choice((b"\r\n", b"\r", b"\n\n", b"\n\x0c")))
        case 1:
            return re.sub(rb"\n", lambda _: chance.choice((b"\n", b"\r\n", b"\r")), data)
        case 2:
            return b"\xef\xbb\xbf" * chance.randint(1, 2) + data
        case 3:
            return re.sub(rb"(?m)^( {4})+", lambda found: b"\t" * (len(found[0]) // 4), data)
        case 4:
            return data.rstrip(b"\n") + chance.choice((b"", b" ", b"\\", b"\n\n\n", b"\x0c", b"\x1a", b"\n    ", b"#"))
        case 5:
            return re.sub(rb"(?m)^(    )", lambda found: chance.choice((found[0], b"\x0c" + found[0])), data)
        case _:
            return _encoded(data, chance)


def _encoded(data: bytes, chance: random.Random) -> bytes:
    name = chance.choice(ENCODINGS)
    text = f"# -*- coding: {chance.choice((name, name, name.upper()))} -*-\n# é\n{_text(data)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            encoded = text.encode(name if chance.random() < 0.8 else "utf-8", "replace")
    except (LookupError, ValueError, TypeError):
        return text.encode("utf-8", "replace")
    return chance.choice((b"", b"", b"", b"\xef\xbb\xbf")) + encoded


def _notebook(data: bytes, chance: random.Random) -> bytes:
    """The text in cells, in a notebook as some program writes it; often damaged."""
    cells = []
    lines = re.split(r"\r\n|\r|\n", _text(data))
    while lines:
        count = chance.randint(1, 30)
        while count < len(lines) and lines[count][:1] in (" ", "\t", ")", "]", "}"):
            count += 1
        rows, lines = lines[:count], lines[count:]
        if chance.random() < 0.2:
            rows.insert(chance.randrange(len(rows) + 1), chance.choice(_MAGICS))
        cells.append(CodeCell(rows, chance.random() < 0.7, chance.random() < 0.3, chance.random() < 0.5))
    style = Style(
        indent=chance.choice((None, " ", "\t", "  ")),
        newline=chance.choice(("\n", "\r\n")),
        is_ascii=chance.random() < 0.5,
        escapes_slashes=chance.random() < 0.2,
        is_spaced=chance.random() < 0.8,
        has_bom=chance.random() < 0.1,
        final_newline=chance.random() < 0.8,
        row_end=chance.choice((r"\n", r"\n", r"\r\n", r"\r")),
    )
    written = Book(cells, style).written()
    return _damaged_json(written, chance) if chance.random() < 0.4 else written


def _damaged_json(data: bytes, chance: random.Random) -> bytes:
    match chance.randrange(4):
        case 0:
            return _bytes(data, chance, ())
        case 1:
            return data[: chance.randrange(len(data))]
        case 2:
            odd = chance.choice(
                ('"cells": 1', '"cells": [1, null, {}, []]', '"source": {"a": 1}', '"source": [1, null]')
            )
            return re.sub(
                rf'"{odd[1:7]}"'.encode(), odd.split(":")[0].encode() + b": null, " + odd.encode(), data, count=1
            )
        case _:
            document = json.loads(data.decode("utf-8-sig"))
            for cell in document["cells"]:
                if chance.random() < 0.3:
                    key = chance.choice(("source", "cell_type", "outputs", "id"))
                    cell[key] = chance.choice((None, 1, [], {}, "x", ["a\n", 2], [["x"]], "\ud800", True))
            return json.dumps(document).encode("utf-8", "surrogatepass")
