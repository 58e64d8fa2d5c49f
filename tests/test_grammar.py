"""Is code that only a newer Python reads found to be what it is?"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ga_lint.grammar import readable, tree_of
from ga_lint.grammar.fstrings import as_before_312
from testbed.shell import ga_lint, write

OTHER_QUOTES = [
    ('f"{a["b"]}"', "f\"{a['b']}\""),
    ('x = f"{a["b"]}"', "x = f\"{a['b']}\""),
    ("x = f'{d['k']:>{w}} {y!r}'", "x = f'{d[\"k\"]:>{w}} {y!r}'"),
    ('x = f"{", ".join(["a", "b"])}"', "x = f\"{', '.join(['a', 'b'])}\""),
    ('x = f"{f"{y}"}{f"{y:>{w}}"}"', "x = f\"{f'{y}'}{f'{y:>{w}}'}\""),
    ("x = f\"{'''a''' + d[\"b\"]}\"", "x = f\"{'''a''' + d['b']}\""),
    ('x = f"{x:{"a"}}"', "x = f\"{x:{'a'}}\""),
    ('x = f"a{{b}}{c["d"]}"', "x = f\"a{{b}}{c['d']}\""),
    ('x = rf"\\d{a["b"]}" "c"', 'x = rf"\\d{a[\'b\']}" "c"'),
    ('x = f"{(lambda y: y["q"])(z)}{a != b}"', "x = f\"{(lambda y: y['q'])(z)}{a != b}\""),
]
A_CONSTANT = [
    ('x = f"{"""a"""}"', "x = f\"{'  a  '}\""),
    ('x = f"{f"{"nested"}"}"', "x = f\"{'   nested  '}\""),
    ('x = f"{"\\n".join(z)}"', "x = f\"{' n  join z'}\""),
    ('x = f"{a["it\'s"]}"', "x = f\"{'  it s '}\""),
    ('x = f"{"é\\n"}"', "x = f\"{'é n'}\""),
    ('x = f"""{"""q"""}"""', 'x = f"""{\'  q  \'}"""'),
    ('x = f"""{\n  a["x"]  # "c"\n}"""', 'x = f"""{\n0              \n}"""'),
]
AS_IT_IS = [
    "x = f\"{a['b']}\"",
    'x = f"""{d["a"]} "b" {e}"""',
    "x = f'{a if b else \"c\"}{x:%Y-%m-%d}{y:#x}'",
    'print(f"{x}", "f")  # f"{"',
    'if"a"in b: pass',
    'x = "no {a["',
    'x = "never closed',
    'x = f"{never[closed"',
]


@pytest.mark.parametrize(("text", "older"), [*OTHER_QUOTES, *A_CONSTANT, *((one, one) for one in AS_IT_IS)])
def test_what_older_parsers_read(text: str, older: str) -> None:
    assert as_before_312(text) == older
    assert len(older) == len(text) and older.count("\n") == text.count("\n")


@pytest.mark.parametrize("text", [text for text, _ in [*OTHER_QUOTES, *A_CONSTANT]])
def test_it_is_read_by_any_python(text: str) -> None:
    (statement,) = tree_of(text).body
    assert statement.end_lineno == text.count("\n") + 1
    assert statement.end_col_offset == len(text.rpartition("\n")[2].encode())
    ast.parse(readable(text))


def test_other_quotes_say_the_same() -> None:
    for text, older in OTHER_QUOTES:
        assert ast.dump(tree_of(text)) == ast.dump(ast.parse(older))


@pytest.mark.parametrize("text", ['x = f"{a["b"]}', "x = (", 'x = f"{\n  a["x"]  # c\n}" +'])
def test_what_no_python_reads_stays_an_error(text: str) -> None:
    with pytest.raises(SyntaxError):
        tree_of(text)


TRAINING = """\
import torch.nn.functional as F
from transformers import Trainer


class Own(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(input_ids=inputs["input_ids"])
        logits, labels = outputs.logits[:, :-1].flatten(0, 1), inputs["labels"][:, 1:].flatten()
        print(f"{inputs["labels"].shape} {"\\n".join(["é"])}"); loss = F.cross_entropy(logits, labels)
        return (loss, outputs) if return_outputs else loss
"""


def test_findings_stand_where_they_are_and_are_rewritten(tmp_path: Path) -> None:
    write(tmp_path, {"train.py": TRAINING, "apart.py": TRAINING.replace("; ", "\n        ")})
    found = ga_lint("check", "--output-format", "concise", "train.py", cwd=tmp_path)
    assert found.out.startswith("train.py:9:71: GA202")
    ran = ga_lint("fix", "--unsafe-fixes", "--no-verify", "apart.py", cwd=tmp_path)
    assert ran.code == 0, ran.err
    after = (tmp_path / "apart.py").read_text(encoding="utf-8")
    assert 'print(f"{inputs["labels"].shape} {"\\n".join(["é"])}")' in after
    assert "loss = loss / num_items_in_batch" in after


@pytest.mark.slow
def test_its_numbers_are_had_too(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    write(tmp_path, {"apart.py": TRAINING.replace("; ", "\n        ")})
    ran = ga_lint("verify", "apart.py", cwd=tmp_path)
    assert ran.code == 1 and "1 site: 1 confirmed" in ran.out, ran.out + ran.err
