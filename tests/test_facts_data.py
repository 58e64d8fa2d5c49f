"""Can two micro-batches hold different numbers of targets? What loaders, collators, datasets and files say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ga_lint.diagnostics import Confidence
from ga_lint.facts.model import Answer, Raggedness
from testbed.seen import facts_in, loop

HEAD = """\
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    DataCollatorForWholeWordMask,
    DataCollatorWithPadding,
    default_data_collator,
)

net = AutoModelForCausalLM.from_pretrained("gpt2")
"""
OWN = "loss = model(**batch).loss"
GIVEN = 'loss = F.cross_entropy(model(batch["x"]).logits, batch["labels"])'
MASKED = "labels = [-100 if one == 1 else one for one in ids]"


def raggedness(text: str, folder: Path = Path("project")) -> Raggedness:
    facts = facts_in(text, folder)
    (window,) = [one for one in facts.windows if one.losses]
    return facts.raggedness_of(window.losses[0][0].site)


def trained(loader: str, lines: str, above: str = "") -> list[str]:
    """Why the counts differ, where that is seen on the way from this loader."""
    text = loop(lines, f"{HEAD}{above}") + f"\n\ntrain(net, {loader}, opt, 4, cfg)\n"
    found = raggedness(text)
    return [step.message for step in found.evidence] if found.confidence is Confidence.CERTAIN else []


@pytest.mark.parametrize(
    ("collator", "said"),
    [
        ("DataCollatorForSeq2Seq(tok)", ["labels padded with -100 by DataCollatorForSeq2Seq"]),
        ("DataCollatorForLanguageModeling(tok)", ["labels padded with -100 by DataCollatorForLanguageModeling"]),
        ("DataCollatorForWholeWordMask(tok)",
         ["labels set to -100 where nothing is masked by DataCollatorForWholeWordMask"]),
        ("DataCollatorWithPadding(tok)", []),
        ("OwnCollator(tok)", []),
        ("default_data_collator", []),
        ("None", []),
        ("made()", []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("lines", [OWN, GIVEN])
@pytest.mark.parametrize("name", ["collate_fn", "data_collator", "collator"])
def test_collators(collator: str, said: list[str], lines: str, name: str) -> None:
    assert trained(f"DataLoader(data, {name}={collator})", lines) == said


@pytest.mark.parametrize(
    ("above", "collator", "said"),
    [
        ('def f(rows):\n    return {"labels": torch.full((2, 3), -100)}\n', "f", ["filled with -100"]),
        ('def f(rows):\n    return {"labels": torch.full((2, 3), -100)}\n', "f if cfg else None", ["filled with -100"]),
        ('def f(rows):\n    return {"labels": torch.full((2, 3), 0)}\n', "f", []),
        ('def f(rows):\n    return {"x": torch.full((2, 3), -100), "labels": rows}\n', "f", []),
        ("def f(rows):\n    return rows\n", "f", []),
        ('class F_:\n    def __call__(self, rows):\n        return {"labels": torch.full((2, 3), -100)}\n', "F_()",
         ["filled with -100"]),
        ('def f(rows):\n    return {"labels": nn.utils.rnn.pad_sequence(rows, padding_value=-100)}\n', "f",
         ["rows of different lengths padded here"]),
    ],
)  # fmt: skip
def test_collators_of_the_project(above: str, collator: str, said: list[str]) -> None:
    assert trained(f"DataLoader(data, collate_fn={collator})", GIVEN, above) == said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f'{MASKED}\n        return {{"x": 1, "labels": labels}}', ["-100 put into the labels"]),
        ('return {"x": 1, "labels": [-100] * 3 + ids}', ["-100 put into the labels"]),
        ('return {"x": [-100] * 3 + ids, "labels": ids}', []),
        (f'{MASKED}\n        if i:\n            return {{"labels": labels}}\n        return {{"labels": ids}}',
         ["-100 put into the labels"]),
        ("return self.rows[i]", []),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "loader",
    [
        "DataLoader(Data())",
        "DataLoader(dataset=Data())",
        "DataLoader(Data(), collator=default_data_collator)",
        "Data()",
    ],
)
def test_datasets_of_the_project(body: str, said: list[str], loader: str) -> None:
    assert trained(loader, GIVEN, f"class Data:\n    def __getitem__(self, i):\n        {body}\n") == said


@pytest.mark.parametrize(
    ("loader", "said"),
    [
        ("DataLoader([row() for _ in rows])", ["-100 put into the labels"]),
        ("[row() for _ in rows]", ["-100 put into the labels"]),
        ("DataLoader(Empty())", []),
        ("Empty()", []),
        ("DataLoader()", []),
        ("DataLoader(load_dataset('x'))", []),
    ],
)
def test_other_loaders(loader: str, said: list[str]) -> None:
    above = f'class Empty:\n    pass\n\ndef row():\n    {MASKED}\n    return {{"x": 1, "labels": labels}}\n'
    assert trained(loader, GIVEN, above) == said


@pytest.mark.parametrize(
    ("element", "target", "said"),
    [
        ("(ids, labels)", "x, y", True),
        ("(labels, ids)", "x, y", False),
        ('{"x": ids, "y": labels}', "x, y", True),
        ("(ids, labels, 1)", "x, y", False),
    ],
)
def test_rows_that_are_unpacked(element: str, target: str, said: bool) -> None:
    above = f"class Data:\n    def __getitem__(self, i):\n        {MASKED}\n        return {element}\n"
    lines = f"{target} = batch\nloss = F.cross_entropy(model(x).logits, y)"
    assert bool(trained("DataLoader(Data())", lines, above)) is said


YES, MAY = (Answer.YES, Confidence.LIKELY), (Answer.UNKNOWN, Confidence.POSSIBLE)
TOKENS = 'loss = F.cross_entropy(model(batch["x"]).logits[:, :-1], batch["labels"][:, 1:])'
NAMELESS = "loss = F.cross_entropy(model(args.x).logits[:, :-1], args.y)"


@pytest.mark.parametrize(
    ("above", "lines", "answer"),
    [
        ("", TOKENS, MAY),
        ("IGNORED = -100", TOKENS, YES),
        ("IGNORED = -100", GIVEN, MAY),
        ("IGNORED = -100", NAMELESS, MAY),
        ("IGNORED = -100\nblock_size = 8", TOKENS, MAY),
        ("IGNORED = 100", TOKENS, MAY),
        ("rows = nn.utils.rnn.pad_sequence(rows)", TOKENS, YES),
        ("rows = tok(rows, padding=True)", TOKENS, YES),
        ('rows = tok(rows, padding="longest")', TOKENS, YES),
        ('rows = tok(rows, padding="max_length")', TOKENS, MAY),
        ("rows = tok(rows, padding=False)", TOKENS, MAY),
        ("def evaluate():\n    return tok(rows, padding=True)", TOKENS, MAY),
        ("def _validate():\n    return tok(rows, padding=True)", TOKENS, MAY),
        ("def train_rows():\n    return tok(rows, padding=True)", TOKENS, YES),
        ("def evaluate():\n    return 1\n\nrows = tok(rows, padding=True)", TOKENS, YES),
        ("from transformers import AutoModelForTokenClassification", OWN, YES),
        ("net = transformers.BertForTokenClassification()", OWN, YES),
        ("BertForTokenClassification = args", OWN, YES),
        ("from transformers import AutoModelForTokenClassification\nblock_size = 8", OWN, MAY),
        ("from transformers import AutoModelForTokenClassification", TOKENS, MAY),
        ("from transformers import AutoModelForSequenceClassification", OWN, MAY),
        ("", TOKENS.replace("[:, 1:])", "[:, 1:], ignore_index=-1)"), YES),
        ("", NAMELESS.replace("args.y)", "args.y, ignore_index=-1)"), YES),
        ("block_size = 8", NAMELESS.replace("args.y)", "args.y, ignore_index=-1)"), MAY),
        ("block_size = 8", TOKENS.replace("[:, 1:])", "[:, 1:], ignore_index=-1)"), YES),
    ],
)
def test_what_a_file_says(above: str, lines: str, answer: tuple[Answer, Confidence]) -> None:
    found = raggedness(loop(lines, above))
    assert (found.answer, found.confidence) == answer


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("data", "IGNORED = -100\n", YES),
        ("collator", "IGNORED = -100\n", YES),
        ("models", "IGNORED = -100\n", MAY),
        ("data", "rows = tok(rows, padding=True)\n", MAY),
        ("data", "x = 1\n", MAY),
    ],
)
def test_what_an_imported_data_module_says(
    name: str, text: str, answer: tuple[Answer, Confidence], tmp_path: Path
) -> None:
    (tmp_path / f"{name}.py").write_text(text)
    found = raggedness(loop(TOKENS, f"from {name} import rows"), tmp_path)
    assert (found.answer, found.confidence) == answer
    blocks = raggedness(loop(TOKENS, f"from {name} import rows\nblock_size = 8"), tmp_path)
    assert blocks.answer is Answer.UNKNOWN


def test_two_reasons_are_enough(tmp_path: Path) -> None:
    assert len(raggedness(loop(TOKENS, "A, B, C = -100, -100, -100")).evidence) == 2
    for name in ("data", "loaders", "collators"):
        (tmp_path / f"{name}.py").write_text("IGNORED = -100\nOTHER = -100\n")
    imports = "from data import a\nfrom loaders import b"
    assert len(raggedness(loop(TOKENS, imports), tmp_path).evidence) == 2
    assert len(raggedness(loop(TOKENS, f"{imports}\nfrom collators import c"), tmp_path).evidence) == 2
