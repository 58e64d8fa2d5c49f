"""What are inputs made of? Shipped fixtures, installed trainers, generated modules, and syntax that nobody writes."""

from __future__ import annotations

import ast
import functools
import importlib.util
import random
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from testbed.fixtures import FIXED, FIXTURES
from testbed.hostile import SHAPES

MAX_BASE = 40_000  # bytes; LibCST takes 2 s a MB, and most faults need little room
_WORDS = "trainer loss modeling_llama modeling_gpt2 modeling_t5 modeling_bert"
_ODD = """\
@(lambda f: f)
async def odd(a, /, b: int = (yes := 1), *c: "str", d=lambda *a, **k: (yield), **e) -> None: await a; return b
class Odd(base := object, metaclass=type): x: int; y: "list[int]" = [*range(3)]; z = w = x = 1
match loss:
    case {"loss": loss, **rest} if loss: pass
    case [_, *outputs] | Model(loss=outputs): loss = outputs
    case -1 | 1.5 + 2j | None | "a" "b": ...
try: loss = loss / steps
except* (ValueError, TypeError) as group: raise
else: loss = loss
finally: del loss
with (open("a") as a, open("b") as b,): loss = (a, b)
for i, (loss, *rest) in enumerate(loader) or (): loss.backward(); continue
else: loss = loss
while loss := next(batches): break
loss = f"{loss!r:>{width}} {{}} {'nested'} {loss=}" rb'' if 0 else 1
loss /= steps if steps else (lambda: steps)()
(loss.mean()) / steps; loss = loss @ loss ** -loss // ~loss << 1 if not loss else loss
loss, = loss,; [loss] = [loss]; (loss) = (loss); loss[::, ..., 1:2] = loss
global loss; nonlocal_ = 0; assert loss, loss
loss = {**loss, "loss": loss, **{k: v for k, v in loss if v for _ in v}}
loss = [await x async for x in loss if (y := x)]
loss = loss if loss else loss if loss else loss
loss = loss and loss or not loss in loss is not loss <= loss < 3
loss = loss.loss.loss[0](loss)(*loss, **loss)(loss=loss)
lambda: (yield); print((yield loss), (yield from loss))
\uff41 = 1; 損失 = loss; µ = loss
if loss: pass;  # a comment
elif (loss): pass
else: pass
loss = (  # above
    loss  # behind

    / steps)  # below
loss = \\
    loss / \\
    steps
\"\"\"a string
    loss.backward()
\"\"\"
"""


@functools.cache
def odd_statements() -> Sequence[str]:
    """Each is legal somewhere, and few have been seen near a loss."""
    found: list[str] = []
    for line in _ODD.splitlines():
        joined = found and (line.startswith((" ", "except", "else", "finally", "elif", "#", '"""\n')) or not line)
        if joined or (found and found[-1].startswith(("@", '"""')) and found[-1].count("\n") < 2):
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


@functools.cache
def bases() -> Sequence[bytes]:
    """Code that trains: where the rules look, so that a mutation of it matters."""
    paths = [path for path in sorted(FIXTURES.rglob("*.py")) if not path.name.endswith(FIXED)]
    for package in ("trl", "transformers", "accelerate", "lightning"):
        found = importlib.util.find_spec(package)
        if found is not None and found.origin:
            paths += [path for path in sorted(Path(found.origin).parent.rglob("*.py")) if _is_of_interest(path)]
    return [data for path in paths if (data := path.read_bytes()) and len(data) <= MAX_BASE]


def _is_of_interest(path: Path) -> bool:
    return any(word in path.name for word in _WORDS.split())


@functools.cache
def foreign() -> Sequence[Path]:
    """Python's own tests: the strangest code there is."""
    return sorted(Path(sysconfig.get_path("stdlib"), "test").glob("*.py"))


@functools.cache
def statements_of(path: Path) -> Sequence[str]:
    """The top-level statements of a file, as they are written."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    found = (ast.get_source_segment(text, node) for node in tree.body)
    return [each for each in found if each and len(each) < 4_000]


def strange_statement(chance: random.Random, generated: Sequence[str]) -> str:
    """A statement or a module from one of the pools."""
    match chance.randrange(4):
        case 0 if generated:
            return chance.choice(generated)
        case 1 if foreign():
            return chance.choice(statements_of(chance.choice(foreign())) or ["pass"])
        case 2 if chance.random() < 0.1:
            return chance.choice([shape for shape in SHAPES.values() if len(shape) < 20_000])
        case _:
            return chance.choice(odd_statements())


def generated_modules(count: int, seed: int) -> Sequence[str]:
    """Modules from hypothesmith, which makes them from Python's grammar; none where it is not installed."""
    if importlib.util.find_spec("hypothesmith") is None:
        return []
    return list(_generated(count, seed))


def _generated(count: int, seed: int) -> Iterator[str]:
    import hypothesis
    import hypothesmith

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: list[str] = []

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(hypothesmith.from_grammar(auto_target=False))
        def collect(text: str) -> None:
            made.append(text)

        collect()
    return iter(made)
