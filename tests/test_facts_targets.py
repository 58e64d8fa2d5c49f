"""What is known of a loss's targets: where they come from, which of them count, and can their number differ?"""

from __future__ import annotations

import pytest

from ga_lint.facts.model import Counted, Level, LossSite
from testbed.seen import facts_in, loop

HEAD = 'logits, labels, args = model(batch["input_ids"]).logits, batch["labels"], args\n'
MEAN = "\nloss = F.cross_entropy(logits, labels)"
EACH = 'F.cross_entropy(logits, labels, reduction="none")'
LABELS, MASK = 'batch["labels"]', 'batch["attention_mask"]'


def site(lines: str, above: str = "PAD = 0") -> LossSite:
    (window,) = facts_in(loop(HEAD + lines, above)).windows
    return window.losses[0][0].site


def ragged(lines: str, above: str = "PAD = 0") -> list[str]:
    return [step.message for step in site(lines, above).ragged]


@pytest.mark.parametrize(
    ("index", "written", "does_not_count"),
    [
        ("args.pad_id", "args.pad_id", True),
        ("PAD", "PAD", True),
        ("0", "0", True),
        ("-1", "-1", False),
        ("args.none", "args.none", False),
        ("-100", "-100", False),
    ],
)
def test_ignore_indices(index: str, written: str, does_not_count: bool) -> None:
    one = site(f"loss = F.cross_entropy(logits, labels, ignore_index={index})")
    assert (one.ignore_index, bool(one.ragged), one.explicit_ignore) == (written, does_not_count, True)
    assert one.divisor and one.divisor.text == f"(labels != {written}).sum()"


@pytest.mark.parametrize(
    ("built", "written"),
    [
        ("nn.CrossEntropyLoss(ignore_index=PAD)", "PAD"),
        ("nn.CrossEntropyLoss(ignore_index=7)", "7"),
        ("nn.CrossEntropyLoss(ignore_index=choose(7))", None),
        ("nn.CrossEntropyLoss()", "-100"),
        ("nn.BCEWithLogitsLoss()", None),
    ],
)
def test_the_ignore_index_of_a_criterion(built: str, written: str | None) -> None:
    assert site("loss = criterion(logits, labels)", f"PAD = 0\ncriterion = {built}").ignore_index == written


def test_an_ignore_index_that_is_written_elsewhere_is_the_criterions_attribute() -> None:
    above = "class Own:\n    criterion = nn.CrossEntropyLoss(ignore_index=choose(7))\n\nown = Own()"
    assert site("loss = own.criterion(logits, labels)", above).ignore_index == "own.criterion.ignore_index"


@pytest.mark.parametrize(
    ("lines", "messages", "remade"),
    [
        ("", [], False),
        ("labels[args.mask] = -100", ["positions of `labels` set to the ignore index"], True),
        ("labels[labels == PAD] = args.ignore_index", ["positions of `labels` set to the ignore index"], True),
        ("labels[:, 0] = 5", [], True),
        ('batch["labels"][args.mask] = -100\nlabels = batch["labels"]',
         ["positions of `batch['labels']` set to the ignore index"], True),
        ("other = labels\nother[args.mask] = -100", [], True),
        ('batch["input_ids"][args.mask] = 0', [], False),
        ("labels = labels.masked_fill(args.mask, -100)", ["positions of `labels` set to the ignore index"], True),
        ("labels.masked_fill_(args.mask, -100)", ["positions of `labels` set to the ignore index"], True),
        ("labels.masked_fill(args.mask, -100)", [], False),
        ("labels = labels.masked_fill(args.mask, 5)", [], True),
        ("labels = labels.masked_fill(args.mask, value=-100)", ["positions of `labels` set to the ignore index"], True),
        ("labels = torch.where(args.mask, labels, -100)", ["positions set to -100"], True),
        ("labels = torch.where(args.mask, labels, 7)", [], True),
        ("labels = torch.full((2, 3), -100)", ["filled with -100"], True),
        ("labels = torch.full((2, 3), 100)", [], False),
        ("labels = F.pad(labels, (0, 1), value=-100)", ["filled with -100"], False),
        ("labels = nn.utils.rnn.pad_sequence(labels)", ["rows of different lengths padded here"], True),
        ("labels = torch.cat([labels[:1], labels])", [], True),
        ("labels = torch.cat([args.x, torch.full((2,), -100)])", ["filled with -100"], True),
        ("labels = torch.stack([labels, args.x])", [], True),
        ("labels = torch.tensor(labels)", [], False),
        ("labels = labels.to('cuda').long().view(-1)", [], False),
        ("labels = labels.roll(1)", [], True),
        ("labels = labels + 1", [], True),
        ("labels = -labels", [], True),
        ("labels = labels[:, 1:]", [], False),
        ("labels = labels[..., 1:]", [], False),
        ("labels = labels[:, :-1]", [], True),
        ("labels = labels[0, 1:]", [], True),
        ("labels = labels[:, 1:][:, 1:]", [], True),
        ("labels = labels[:, 2:]", [], True),
        ("labels = labels[:, 1:9]", [], True),
        ("labels = labels[:]", [], False),
        ("labels = labels[..., None]", [], False),
        ("labels = labels[:, ::2]", [], True),
        ("labels = labels[labels != -100]", ["only positions of `labels != -100` are kept"], True),
        ("labels = labels[labels != -100, 0]", ["only positions of `(labels != -100, 0)` are kept"], True),
        ("labels = labels[labels != 3]", [], True),
        ("labels = labels[args.mask]", [], True),
        (f"labels = labels[{MASK}]", ["only positions of `batch['attention_mask']` are kept"], True),
        (f"labels = args.y[{MASK}]", ["only positions of `batch['attention_mask']` are kept"], True),
        ("labels = [-100] * 3 + args.ids", ["-100 put into the labels"], True),
        ("labels = args.ids + [-100] * 3", ["-100 put into the labels"], True),
        ("labels = [-100 for _ in args.ids]", ["-100 put into the labels"], False),
        ("labels = [one if one else -100 for one in args.ids]", ["-100 put into the labels"], False),
        ("labels = [-1 for _ in args.ids]", [], False),
    ],
)  # fmt: skip
def test_targets(lines: str, messages: list[str], remade: bool) -> None:
    one = site(lines + MEAN)
    assert ([step.message for step in one.ragged], one.labels_remade) == (messages, remade)


@pytest.mark.parametrize(
    ("lines", "level", "shifted"),
    [
        ("labels = labels[:, 1:]", Level.TOKEN, True),
        ("labels = labels[0, :]", Level.UNKNOWN, None),
        ("labels[args.mask] = -100", Level.TOKEN, None),
        ("logits = logits[:, :-1]", Level.TOKEN, True),
        ("logits = logits[:, -1:]", Level.UNKNOWN, None),
        ("logits = logits[:, 1:-1]", Level.UNKNOWN, None),
        ("logits = logits[1:]", Level.TOKEN, True),
    ],
)
def test_shifts(lines: str, level: Level, shifted: bool | None) -> None:
    one = site(lines + MEAN)
    assert (one.level, one.shifted) == (level, shifted)


@pytest.mark.parametrize(
    ("mask", "counted", "live"),
    [
        ("labels != -100", Counted(LABELS, "-100"), True),
        ("labels.ne(-100)", Counted(LABELS, "-100"), True),
        ("torch.ne(labels, -100)", Counted(LABELS, "-100"), True),
        ("labels != PAD", Counted(LABELS, "PAD"), True),
        ("labels != args.pad", Counted(LABELS, "args.pad"), True),
        ("labels != choose(1)", Counted(LABELS, "choose(1)"), True),
        ("labels[:, 1:] != -100", Counted(LABELS, "-100", shifted=True), True),
        ("(labels != -100).view(-1).float()", Counted(LABELS, "-100"), True),
        ("labels.roll(1) != -100", None, False),
        ("labels == 3", None, False),
        ("labels.eq(3)", None, False),
        ("labels > 3", None, False),
        ("-100 != labels", None, False),
        (MASK, Counted(MASK), True),
        (f"{MASK}[:, 1:]", Counted(MASK, shifted=True), True),
        (f"{MASK}[:, :-1]", None, False),
        (f"{MASK}.bool()", Counted(MASK), True),
        (f"{MASK}.roll(1)", None, False),
        (f"{MASK} * batch['loss_mask']", None, False),
        (f"{MASK} & batch['loss_mask']", None, False),
        ("args.mask", None, False),
    ],
)
def test_what_a_mask_counts(mask: str, counted: Counted | None, live: bool) -> None:
    one = site(f"mask = {mask}\nloss = ({EACH} * mask).sum() / mask.sum()")
    assert one.masked and one.targets == counted
    assert one.live == (counted if live else None)


@pytest.mark.parametrize(
    ("lines", "targets", "live"),
    [
        (f"loss = {EACH}[labels != -100].mean()", Counted(LABELS, "-100"), Counted(LABELS, "-100")),
        (f"loss = {EACH}[{MASK}.bool()].mean()", Counted(MASK), Counted(MASK)),
        (f"loss = torch.masked_select({EACH}, {MASK}).mean()", None, Counted(MASK)),
        (f"loss = ({EACH} * {MASK} * batch['loss_mask']).sum()", None, None),
        (f"loss = ({EACH} * {MASK}).sum()", None, Counted(MASK)),
    ],
)
def test_what_is_picked(lines: str, targets: Counted | None, live: Counted | None) -> None:
    one = site(lines)
    assert (one.targets, one.live) == (targets, live)


@pytest.mark.parametrize(
    ("count", "by", "shifted"),
    [
        ("(labels != -100).sum()", "labels != -100", False),
        ("labels.numel()", "labels.numel()", False),
        ("(labels[:, 1:] != -100).sum()", "labels[:, 1:] != -100", True),
        (f"{MASK}.sum()", "attention_mask", False),
    ],
)
def test_a_mean_that_is_a_sum_again(count: str, by: str, shifted: bool) -> None:
    one = site(f"loss = F.cross_entropy(logits, labels) * {count}")
    assert (one.rescaled_by, one.rescaled_shifted) == (by, shifted)
    assert one.rescaled_as.replace("'", '"') == count and one.rescaled_at


def test_a_sum_over_a_count_and_times_it_is_a_sum() -> None:
    one = site("n = (labels != -100).sum()\nloss = F.cross_entropy(logits, labels, reduction='sum') / n * n")
    assert (one.rescaled_by, one.averaged_over) == ("", "labels != -100")


KERNEL = """
class {name}(torch.autograd.Function):
    @staticmethod
    def forward(ctx, {parameters}):
        {body}
"""


@pytest.mark.parametrize(
    ("name", "parameters", "body", "level"),
    [
        ("FastCrossEntropy", "logits, labels", "return run(logits)", Level.UNKNOWN),
        ("VocabCrossEntropy", "logits, labels", "return run(logits)", Level.TOKEN),
        ("Cross_Entropy", "x, target", "return run(x)", Level.UNKNOWN),
        ("FastAttention", "logits, labels", "return run(logits)", None),
        ("FastCrossEntropy", "logits, other", "return run(logits)", None),
        ("FastCrossEntropy", "logits, labels, reduction", "return run(logits)", None),
        ("FastCrossEntropy", "logits, labels, weight", "return run(logits)", None),
        ("FastCrossEntropy", "logits, labels", "return run(logits).mean()", None),
        ("FastCrossEntropy", "logits, labels", "return run(logits).sum()", None),
        ("FastCrossEntropy", "logits, labels", "return run(logits).sum(-1)", Level.UNKNOWN),
    ],
)
def test_kernels(name: str, parameters: str, body: str, level: Level | None) -> None:
    kernel = KERNEL.format(name=name, parameters=parameters, body=body)
    windows = facts_in(loop(f"{HEAD}loss = {name}.apply(logits, labels, 1).mean()", kernel)).windows
    found = [term.site for window in windows for terms in window.losses for term in terms]
    assert [one.level for one in found] == ([] if level is None else [level])
    assert all((one.labels, one.labels_from, one.named_labels) == ("labels", LABELS, True) for one in found)


@pytest.mark.parametrize(
    ("lines", "shifted", "remade", "reasons"),
    [("", None, False, 0), ("labels = labels[:, 1:]", True, False, 0), ("labels[args.mask] = -100", None, True, 1)],
)
def test_targets_of_kernels(lines: str, shifted: bool | None, remade: bool, reasons: int) -> None:
    kernel = KERNEL.format(name="FastCrossEntropy", parameters="logits, labels", body="return run(logits)")
    one = site(f"{lines}\nloss = FastCrossEntropy.apply(logits, labels).mean()", kernel)
    assert (one.shifted, one.labels_remade, len(one.ragged)) == (shifted, remade, reasons)


@pytest.mark.parametrize(
    ("above", "level"),
    [
        ("net = AutoModelForCausalLM.from_pretrained('x')", Level.TOKEN),
        ("net = AutoModelForSequenceClassification.from_pretrained('x')", Level.SAMPLE),
        ("net = shard(AutoModelForCausalLM.from_pretrained('x'))", Level.TOKEN),
        ("net = Wrapped(AutoModelForCausalLM.from_pretrained('x'))", Level.TOKEN),
        ("net = wrap(model=AutoModelForCausalLM.from_pretrained('x'))", Level.TOKEN),
        ("net = torch.compile(AutoModelForCausalLM.from_pretrained('x')).to('cuda')", Level.TOKEN),
        ("class Own(AutoModelForCausalLM):\n    pass\n\nnet = Own.from_pretrained('x')", Level.TOKEN),
        ("net = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained('x'), 'y')", Level.TOKEN),
        ("net = AutoModelForCausalLM.from_pretrained('x').module", Level.TOKEN),
    ],
)
@pytest.mark.parametrize("call", ["model(**batch).loss", "model.forward(**batch).loss", "model(**batch)[0]"])
def test_networks(above: str, level: Level, call: str) -> None:
    head = "from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification\nfrom peft import *\n"
    text = loop(f"loss = {call}", f"{head}from other import *\n{above}") + "\n\ntrain(net, data, opt, 4, cfg)\n"
    (window,) = facts_in(text).windows
    one = window.losses[0][0].site
    assert (one.level, one.labels_from) == (level, LABELS)


ANNOTATED = """class Net(nn.Module):
    def forward(self, x, y):
        return F.cross_entropy(self.head(x).flatten(0, 1), y.flatten(), ignore_index=-100)

class NetLoader(Net):
    pass
"""


@pytest.mark.parametrize(
    ("annotation", "level"),
    [
        ("Net", Level.TOKEN),
        ('"Net"', Level.TOKEN),
        ("Net | None", Level.TOKEN),
        ("Optional[Net]", Level.TOKEN),
        ("typing.Optional[Net]", Level.TOKEN),
        ("list[Net]", Level.UNKNOWN),
        ("Net | Other", Level.UNKNOWN),
        ('"one of the nets"', Level.UNKNOWN),
        ("Tensor", Level.UNKNOWN),
        ("NetLoader", Level.UNKNOWN),
    ],
)
def test_networks_that_an_annotation_names(annotation: str, level: Level) -> None:
    text = loop('loss = model(batch["x"], batch["labels"])', ANNOTATED).replace("(model,", f"(model: {annotation},")
    (window,) = facts_in(text).windows
    assert window.losses[0][0].site.level is level


def test_a_difference_of_two_models_has_no_targets() -> None:
    one = site("loss = ((logits - batch['teacher_logits']) ** 2).mean()")
    assert (one.labels, one.labels_from, one.labels_remade, one.named_labels) == (None, "", False, False)
    two = site("loss = ((logits - labels) ** 2).mean()")
    assert (two.labels, two.labels_from, two.labels_remade, two.named_labels) == ("labels", LABELS, True, True)


@pytest.mark.parametrize(
    ("mask", "over"),
    [
        (MASK, "attention_mask"),
        (f"({MASK} * args.x)", "batch['attention_mask'] * args.x"),
        (f"(args.x * {MASK})", "args.x * batch['attention_mask']"),
        (f"({MASK} * batch['loss_mask'])", "attention_mask"),
        (f"({MASK} & batch['loss_mask'])", "attention_mask"),
        (f"(args.x & {MASK})", "attention_mask"),
    ],
)
def test_over_what_a_mean_by_hand_is(mask: str, over: str) -> None:
    one = site(f"loss = ({EACH} * {mask}).sum() / {mask}.sum()")
    assert one.averaged_over == over
