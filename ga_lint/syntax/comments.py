"""Which comments does a file hold? Asked of the tokenizer, so that a string that looks like one is none."""

from __future__ import annotations

import tokenize

from msgspec import Struct

from ga_lint.source import Position, SourceFile, Span


class Comment(Struct, frozen=True):
    """One comment, from its `#` to the end of its line."""

    span: Span
    text: str
    own_line: bool  # nothing but white space stands before it

    @property
    def row(self) -> int:
        return self.span.start.row


def comments(source: SourceFile) -> tuple[Comment, ...]:
    """Every comment in order; those before the first fault when the text is not Python."""
    lines = iter([f"{line}\n" for line in source.lines])
    found: list[Comment] = []
    try:
        for token in tokenize.generate_tokens(lambda: next(lines, "")):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                span = Span(Position(row, column + 1), Position(row, column + 1 + len(token.string)))
                own_line = not source.lines[row - 1][:column].strip()
                found.append(Comment(span, token.string, own_line))
    except (tokenize.TokenError, SyntaxError):
        pass  # GA001 tells of the fault; what was read until then still counts
    return tuple(found)
