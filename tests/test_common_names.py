"""A function that is called `train`, as many are: who of all the files that speak of it calls this one?"""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.fixtures import check, diagnostics, rows

LOOP = """\
def train(model, loader, optimizer, accumulate):
    for step, batch in enumerate(loader):
        loss = model(**batch).loss / accumulate
        loss.backward()
        if (step + 1) % accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
"""

SCRIPT = """\
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, DataCollatorForSeq2Seq

from tuning.{module} import train


def main(args, dataset, tokenizer, optimizer):
    model = AutoModelForCausalLM.from_pretrained(args.path)
    loader = DataLoader(dataset, batch_size=4, collate_fn=DataCollatorForSeq2Seq(tokenizer))
    train(model, loader, optimizer, args.accumulate)
"""


@pytest.mark.parametrize(("module", "found"), [("rounds", True), ("others", False)])
def test_the_caller_of_a_common_name_is_found_by_the_module_that_it_names(
    tmp_path: Path, module: str, found: bool
) -> None:
    package = tmp_path / "tuning"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "rounds.py").write_text(LOOP)
    (package / "others.py").write_text(LOOP)
    (tmp_path / "main.py").write_text(SCRIPT.format(module=module))
    for number in range(50):
        (tmp_path / f"other_{number}.py").write_text("def train(rows):\n    return rows\n")
    known = rows(diagnostics(check(package / "rounds.py", tmp_path)))
    assert [place for place in known if "GA101" in place] == ([(3, "GA101")] if found else [])
