"""Is the last, shorter window divided by its own length? Equal counts, run for real, after every optimizer step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from testbed.accumulation import STEPS, Recorder, TinyModel, micro_batches, oracle, worst
from testbed.rewriting import refusal, rewritten

EXACT, FAR = 1e-10, 1e-2
LENGTHS = (11, 10, 9, 2)  # a last window of two, of one, a full one, and none but a short one

HEAD = "for step, batch in enumerate(loader):"
BODY = """            loss = model(**batch).loss
            logged.append(loss.item())
            loss = loss / steps
            loss.backward()"""
FLUSH = "(step + 1) % steps == 0 or step + 1 == len(loader)"
UPDATE = "            if {}:\n                optimizer.step()\n                optimizer.zero_grad()\n"
BEHIND = "        if {}:\n            optimizer.step()\n            optimizer.zero_grad()\n"


def loop(head: str, body: str, gate: str, above: str = "") -> str:
    return f"""from tqdm import tqdm


def train(model, loader, optimizer, steps, logged):
    for epoch in range(2):
{above}        {head}
{body}
{UPDATE.format(gate)}"""


@dataclass
class Form:
    """One way to write the loop, and what a rule would say about it."""

    text: str
    loop: str = "for step,"
    division: str = "loss / steps"
    behind: str = "no"

    def fixed(self) -> str:
        options = {"steps": "steps", "behind": self.behind}
        place = {"division": self.division} if self.division else {"backward": "loss.backward()"}
        places = {"loop": self.loop, "step": "optimizer.step()"} | place
        return rewritten(self.text, "window-length", options, **places)


FORMS = {
    "counted from nought": Form(loop(HEAD, BODY, FLUSH)),
    "counted from one": Form(
        loop(
            "for step, batch in enumerate(tqdm(loader, disable=True), start=1):",
            BODY,
            "step % steps == 0 or step == count",
            "        count = len(loader)\n",
        )
    ),
    "a flag above": Form(
        loop(HEAD, f"            last = step == len(loader) - 1\n{BODY}", "(step + 1) % steps == 0 or last")
    ),
    "a progress bar with a name": Form(
        loop(
            "for step, batch in enumerate(bar):",
            BODY,
            "not (step + 1) % steps or step == len(bar) - 1",
            "        bar = tqdm(loader, disable=True)\n",
        )
    ),
    "a counter that is raised first": Form(
        loop(
            "for batch in loader:",
            f"            seen += 1\n{BODY}",
            "seen % steps == 0 or seen == len(loader)",
            "        seen = 0\n",
        ),
        loop="for batch",
    ),
    "a counter that is raised last": Form(
        loop("for batch in loader:", f"{BODY}\n            seen += 1", "seen % steps == 0", "        seen = 0\n")
        + BEHIND.format("seen % steps")
        + "    print(len(loader), end='')\n",
        loop="for batch",
        behind="yes",
    ),
    "stepped behind the loop": Form(
        loop(HEAD, BODY, "(step + 1) % steps == 0") + BEHIND.format("len(loader) % steps != 0"), behind="yes"
    ),
    "divided in place behind a guard": Form(
        loop(
            HEAD,
            BODY.replace("            loss = loss / steps", "            if steps > 1:\n                loss /= steps"),
            FLUSH,
        ),
        division="loss /= steps",
    ),
    "times an inverse": Form(
        loop(HEAD, BODY.replace("loss / steps", "loss * (1 / steps)"), FLUSH), division="loss * (1 / steps)"
    ),
    "inside backward": Form(
        loop(
            HEAD,
            BODY.replace("            loss = loss / steps\n", "").replace("loss.backward", "(loss / steps).backward"),
            FLUSH,
        )
    ),
    "the log takes the division back": Form(
        loop(
            HEAD,
            "            loss = model(**batch).loss / steps\n            loss.backward()\n"
            "            logged.append((loss * steps).item())",
            FLUSH,
        ),
        division="model(**batch).loss / steps",
    ),
    "the log is in another block": Form(
        loop(
            HEAD,
            "            loss = model(**batch).loss\n            if steps > 1:\n                loss = loss / steps\n"
            "            loss.backward()\n            logged.append(steps * loss.item())",
            FLUSH,
        )
    ),
    "nobody divides": Form(loop(HEAD, BODY.replace("            loss = loss / steps\n", ""), FLUSH), division=""),
    "steps that are computed": Form(
        loop(HEAD, BODY.replace("/ steps", "/ (half * 2 - half)"), FLUSH, "        half = steps\n"),
        division="loss / (half * 2 - half)",
    ),
}


def run(text: str, length: int) -> tuple[list[torch.Tensor], list[float]]:
    names: dict[str, Any] = {}
    exec(compile(text, "train.py", "exec"), names)
    recorder, logged = Recorder(model := TinyModel()), list[float]()
    names["train"](model, micro_batches([(3, 3)] * length), recorder.optimizer, STEPS, logged)
    return recorder.seen, logged


def error(text: str, length: int) -> float:
    batches = micro_batches([(3, 3)] * length)
    windows = [batches[start : start + STEPS] for start in range(0, length, STEPS)]
    return worst(run(text, length)[0], oracle(windows * 2))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_window_is_divided_by_its_own_length(form: Form) -> None:
    fixed = form.fixed()
    for length in LENGTHS:
        assert (error(form.text, length) > FAR) is (length % STEPS > 0 or not form.division)
        assert error(fixed, length) < EXACT


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if form.division])
def test_what_is_logged_stays(name: str) -> None:
    """Each entry is the undivided loss of its forward; steps differ from the original's at the first short window."""
    form = FORMS[name]
    before, after = run(form.text, 11)[1], run(form.fixed(), 11)[1]
    assert len(after) == 22
    assert after[:11] == pytest.approx(before[:11], rel=1e-12)


WRONG = {
    "what is left for this micro-batch": (" // steps * steps", ""),
    "counted on": ("- step // steps", "- (step + 1) // steps"),
    "counted back": ("- step // steps", "- (step - 1) // steps"),
    "the last window's everywhere": ("min(steps, len(loader) - step // steps * steps)", "len(loader) % steps or steps"),
}


@pytest.mark.parametrize(("old", "new"), WRONG.values(), ids=WRONG)
def test_another_length_would_be_seen(old: str, new: str) -> None:
    fixed = FORMS["counted from nought"].fixed()
    assert old in fixed
    assert error(fixed.replace(old, new), 11) > FAR


BODY_WITH_BREAK = f"            if step == 7:\n                break\n{BODY}"
REFUSED = {
    "no length in sight": (
        Form(loop(HEAD, BODY, "(step + 1) % steps == 0") + BEHIND.format("(step + 1) % steps"), behind="yes"),
        "whether loader has a length is not known",
    ),
    "a slice of the loader": (
        Form(loop("for step, batch in enumerate(islice(loader, 7)):", BODY, FLUSH)),
        "whether islice(loader, 7) has a length is not known",
    ),
    "a counter that starts again": (
        Form(
            loop(
                "for batch in loader:", f"{BODY}\n            n += 1", "n == steps or last", "        n = 0\n"
            ).replace(
                "            loss = model",
                "            last = batch is loader[len(loader) - 1]\n            loss = model",
                1,
            )
            + "                n = 0\n",
            loop="for batch",
        ),
        "batch is loader",
    ),
    "a counter that starts again, stepped behind": (
        Form(
            loop("for batch in loader:", f"{BODY}\n            n += 1", "n == steps", "        n = 0\n")
            + "                n = 0\n"
            + BEHIND.format("n > len(loader) - len(loader)"),
            loop="for batch",
            behind="yes",
        ),
        "nothing in the loop counts the loader's micro-batches",
    ),
    "drawn without end": (
        Form(
            loop(
                "while seen < len(loader):",
                f"            batch = next(batches)\n            seen += 1\n{BODY}",
                "seen % steps == 0 or seen == len(loader)",
            ),
            loop="while seen",
        ),
        "draws its micro-batches itself",
    ),
    "resumed": (
        Form(
            loop("for step, batch in enumerate(loader, done):", BODY, "(step + 1) % steps == 0")
            + BEHIND.format("len(loader)"),
            behind="yes",
        ),
        "the first window is shorter too",
    ),
    "carried into the next epoch": (
        Form(loop(HEAD, BODY, "(step + 1) % steps == 0") + "    print(len(loader))\n"),
        "is not stepped on",
    ),
    "left before the end": (
        Form(loop(HEAD, BODY_WITH_BREAK, "(step + 1) % steps == 0") + BEHIND.format("len(loader)"), behind="yes"),
        "left before the loader ends",
    ),
    "an index that moves": (
        Form(loop(HEAD, f"            step += offset\n{BODY}", FLUSH)),
        "step changes in the loop body",
    ),
    "a length that changes": (
        Form(
            loop(
                HEAD,
                f"{BODY}\n            count = count - 1",
                "(step + 1) % steps == 0 or step + 1 == count",
                "        count = len(loader)\n",
            )
        ),
        "count changes in the loop body",
    ),
    "skipped micro-batches": (
        Form(loop(HEAD, f"            if batch is None:\n                continue\n{BODY}", FLUSH)),
        "leave micro-batches out",
    ),
}


@pytest.mark.parametrize(("form", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_length_that_is_not_known_is_refused(form: Form, reason: str) -> None:
    options = {"steps": "steps", "behind": form.behind}
    places = {"loop": form.loop, "division": form.division, "step": "optimizer.step()"}
    assert reason in refusal(form.text, "window-length", options, **places)
