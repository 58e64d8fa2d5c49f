"""Does a forward do nothing about its loss but hand the count on, in the words that all of transformers' heads copy?

Then no rule has anything to say about it, and its body need not be parsed. Asked of the text, line by line: each that
speaks of a loss or of labels must be one of a few, so that nothing else can become what is returned.
"""

from __future__ import annotations

import re

from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.values import Class
from ga_lint.syntax.parsed import FunctionNode, ParsedFile

_DOCSTRING = re.compile(r'\s*[rR]?"""(?:[^"\\]|\\.|"(?!""))*"""', re.DOTALL)
_COMMENT = re.compile(r"^ *#.*$", re.MULTILINE)
_INSIDE = r"(?:[^()]|\((?:[^()]|\([^()]*\))*\))*?"  # of a call, to two brackets deep
_CALL = re.compile(rf"self\.loss_function\({_INSIDE}\*\*kwargs,?\s*\)")
_SPEAKS = re.compile(r"^.*(?:[lL]oss|labels|return\b).*$", re.MULTILINE)
_KNOWN = re.compile(
    r" *(?:loss = None|loss = CALL|loss=loss,|if labels is not None:|labels = labels\.to\([\w.]+\)"
    r"|return [A-Z]\w*\(|return [A-Z]\w*\(loss=loss,[^()]*\)"
    r"|return \(\(loss,\) \+ output\) if loss is not None else output)"
)
_RETURNS = re.compile(r"\breturn [A-Z]\w*\((?!\s*loss=loss,)")  # something without this loss
_NAME = b"loss_function"
# What else may make a loss, or keep the count from getting there.
_OTHERWISE = re.compile(
    r"entropy|criterion|nll|bce|mse|kl_?div|log_?(?:prob|softmax)|likelihood|super\(|num_items"
    r"|yield|\bdef |\bclass |\"\"\"|'''"
    r"|(?<!\*)kwargs\s*[=.\[]",
    re.IGNORECASE,
)


def only_hands_count_on(run: Interpreter, parsed: ParsedFile, cls: Class, method: FunctionNode) -> bool:
    """True only where it is certain; then this forward needs no following."""
    if parsed.skeleton is None or method.args.kwarg is None or method.args.kwarg.arg != "kwargs":
        return False
    body = parsed.skeleton.body_text(method)
    return body is not None and _is_plain(body) and _is_transformers(run, cls)


def _is_plain(body: str) -> bool:
    documented = _DOCSTRING.match(body)
    text = _COMMENT.sub("", body[documented.end() :] if documented else body)
    text, calls = _CALL.subn("CALL", text)
    if not calls or _OTHERWISE.search(text) or _RETURNS.search(text):
        return False
    return all(_KNOWN.fullmatch(line) for line in _SPEAKS.findall(text))


def _is_transformers(run: Interpreter, cls: Class) -> bool:
    """Is `self.loss_function` what transformers' models have, which none of its classes replaces?"""
    for one in run.names.ancestry(cls):
        data = one.scope.parsed.source.data if isinstance(one, Class) else b""
        if b"class PreTrainedModel(" not in data and data.count(_NAME) != data.count(b"self." + _NAME + b"("):
            return False
    return True
