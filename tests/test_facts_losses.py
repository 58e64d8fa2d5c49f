"""How is a loss put together, and by what is it divided, as it is written? Asked of one expression inside a loop."""

from __future__ import annotations

import pytest

from testbed.seen import loop, losses_in

HEAD = 'logits, labels, args, crit = model(batch["input_ids"]).logits, batch["labels"], args, args.criterion\n'
MEAN = "F.cross_entropy(logits, labels)"
SUM = 'F.cross_entropy(logits, labels, reduction="sum")'
EACH = 'F.cross_entropy(logits, labels, reduction="none")'
MASK = 'batch["attention_mask"]'
COUNT = "(labels != -100).sum()"


def told_of(expression: str, above: str = "") -> str:
    """The one loss that there is; nothing where none is seen."""
    return " or ".join(losses_in(loop(f"{HEAD}loss = {expression}", above)))


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        (MEAN, "mean unknown"),
        ("F.cross_entropy(logits, labels, size_average=False)", "sum unknown"),
        ("F.cross_entropy(logits, labels, size_average=True)", "mean unknown"),
        ("F.cross_entropy(logits, labels, reduce=False).sum()", "sum unknown"),
        ("F.cross_entropy(logits, labels, reduce=False)[0]", ""),
        ("F.cross_entropy(logits, labels, reduction=args.reduction)", "unknown unknown"),
        ("F.cross_entropy(logits, labels, weight=args.weights)", "mean unknown weighted"),
        ("F.cross_entropy(logits, labels, None)", "mean unknown"),
        ("F.cross_entropy(logits, labels, args.weights)", "mean unknown weighted"),
        ("nn.CrossEntropyLoss(args.weights)(logits, labels)", "mean unknown weighted"),
        ("nn.CrossEntropyLoss()(logits, labels)", "mean unknown"),
        ("F.cross_entropy(logits, labels, ignore_index=0)", "mean token"),
        ('F.kl_div(logits, labels, reduction="batchmean")', "mean unknown"),
        ("F.mse_loss(logits, labels)", "mean unknown"),
        ("args.ce_loss(logits, labels)", "unknown unknown"),
        ("args.ce_loss(logits[:, :-1], labels)", "unknown token"),
        ("args.my_criterion(logits, labels)", "unknown unknown"),
        ("args.focal_loss_fct(logits, labels)", "unknown unknown"),
        ("args.penalty(logits, labels)", ""),
    ],
)
def test_a_call(expression: str, told: str) -> None:
    assert told_of(expression) == told


@pytest.mark.parametrize(
    ("inputs", "level"),
    [
        ("logits[:, :-1], labels[:, 1:]", "token"),
        ("logits.view(-1, 9), labels.view(-1)", "token"),
        ("logits.view(-1, args.num_labels), labels.view(-1)", "unknown"),
        ("logits.reshape(-1, n_classes), labels", "unknown"),
        ("logits.flatten(0, 1), labels.flatten()", "token"),
        ("logits.squeeze(), labels", "unknown"),
        ("logits.view(9), labels", "unknown"),
        ("logits.permute(0, 2, 1), labels", "token"),
        ("logits.transpose(1, 2), labels", "token"),
        ("logits.swapaxes(1, 2), labels", "token"),
        ("args.x.transpose(1, 2), labels", "token"),
        ("args.x.transpose(-1, -2), labels", "token"),
        ("args.x.swapaxes(1, -1), labels", "token"),
        ("args.x.transpose(0, 1), labels", "unknown"),
        ("args.x.permute(0, 2, 1), labels", "token"),
        ("args.x.permute(1, 0, 2), labels", "unknown"),
        ("args.x.rotate(0, 2, 1), labels", "unknown"),
        ("logits[:, 0], labels", "sample"),
        ("logits[:, -1, :], labels", "sample"),
        ("logits[:, args.position, :], labels", "sample"),
        ("logits[:, args.some, :], labels", "unknown"),
        ("logits[0, :], labels", "unknown"),
        ("logits[torch.arange(4), args.ends], labels", "sample"),
        ("logits[torch.arange(4), args.ends, :], labels", "sample"),
        ("logits[torch.arange(4), batch['n'] - 1], labels", "sample"),
        ("logits[torch.arange(4), :], labels", "unknown"),
        ("logits[torch.arange(4)[:, None], args.ends], labels", "unknown"),
        ("logits[torch.arange(4), args.ends, 1:], labels", "token"),
        ("logits[args.rows, args.ends], labels", "unknown"),
        ("logits.flatten(0, 1)[torch.arange(4), args.ends], labels", "token"),
        ("logits[batch['idx']], labels", "unknown"),
        ("args.hidden[:, 0], labels", "sample"),
        ("model(batch['x']).mean(1), labels", "sample"),
        ("model(batch['x']).mean(0), labels", "unknown"),
    ],
)
def test_what_one_element_is(inputs: str, level: str) -> None:
    assert told_of(f"F.cross_entropy({inputs})") == f"mean {level}"


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        (f"({EACH} * {MASK}).sum() / {MASK}.sum()", "mean token masked"),
        (f"({MASK} * {EACH}).sum() / {MASK}.sum()", "mean token masked"),
        (f"({EACH} * {MASK}).sum() / torch.count_nonzero({MASK})", "mean token masked"),
        (f"({EACH} * args.keep_mask).mean()", "mean token masked"),
        (f"({EACH} * args.keep).mean()", "mean unknown weighed"),
        (f"({EACH} * args.advantages).mean()", "mean unknown policy"),
        (f"(args.advantages * {EACH}).mean()", "mean unknown policy"),
        (f"({EACH} * {MASK} * args.ratio).mean()", "mean token masked policy"),
        (f"({EACH} * 2).mean()", "mean unknown"),
        (f"(2 - {EACH}).mean()", "mean unknown"),
        (f"(args.bias + {EACH}).mean()", "mean unknown"),
        (f"({EACH} + {EACH}).mean()", "mean unknown"),
        (f"(-{EACH}).mean()", "mean unknown"),
        (f"({EACH} ** 2).mean()", "mean unknown"),
        (f"(args.x * {EACH}).mean()", "mean unknown weighed"),
        (f"(2 * {EACH}).mean()", "mean unknown"),
        (f"({EACH} / {COUNT}).sum()", "mean unknown"),
        (f"({EACH}.sum(-1) / args.lengths).mean()", "mean sample weighed per_row"),
        (f"({EACH}.sum(-1) / 2).mean()", "mean sample"),
        (f"{EACH}.sum(-1).mean()", "mean sample"),
        (f"{EACH}.sum(dim=0)", "sum unknown"),
        (f"{EACH}.mean(dim=(0, 1))", "mean unknown"),
        (f"{EACH}.mean(dim=(1, 2))[0].sum()", "sum sample"),
        (f"{EACH}.mean(dim=(1,)).sum()", "sum sample"),
        (f"{EACH}.mean(dim=args.dim).sum()", "sum sample"),
        (f"{EACH}.sum(2).mean()", "mean unknown"),
        (f"{EACH}.mean(dim=None)", "mean unknown"),
        (f"torch.mean({EACH})", "mean unknown"),
        (f"torch.sum({EACH}, dim=1).mean()", "mean sample"),
        (f"torch.masked_select({EACH}, {MASK}).mean()", "mean token masked"),
        (f"torch.masked_select({EACH}, args.keep).mean()", "mean unknown"),
        (f"{EACH}.masked_fill({MASK}, 0).mean()", "mean token masked"),
        (f"{EACH}.masked_fill(args.keep, 0).mean()", "mean unknown"),
        (f"{EACH}.mul({MASK}).mean()", "mean token masked"),
        (f"{EACH}.detach().mean()", ""),
        (f"{EACH}.size(0)", ""),
        (f"{EACH}.view(-1).mean()", "mean unknown"),
        (f"{EACH}[labels != -100].mean()", "mean token masked"),
        (f"{EACH}[0].mean()", "mean unknown"),
        ('F.kl_div(logits, labels, reduction="none").sum(-1).mean()', "mean unknown"),
        ('F.kl_div(logits, labels, reduction="none").sum(-1).sum(-1).mean()', "mean sample"),
        ('F.kl_div(logits, labels, reduction="none").sum(1).mean()', "mean sample"),
    ],
)
def test_elements_put_together(expression: str, told: str) -> None:
    assert told_of(expression) == told


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("((logits - labels) ** 2).mean()", "mean unknown"),
        ("((logits - labels) ** 4).mean()", "mean unknown"),
        ("((logits - labels) ** 3).mean()", ""),
        ("((logits + labels) ** 2).mean()", ""),
        ("(logits - labels).mean()", ""),
        ("(logits - labels).abs().sum()", "sum unknown"),
        ("(labels - logits).pow(2).mean()", "mean unknown"),
        ("(labels - logits).pow(3).mean()", ""),
        ("torch.square(logits - labels).mean()", "mean unknown"),
        ("torch.pow(logits - labels, 2).mean()", "mean unknown"),
        ("torch.pow(logits - labels, 3).mean()", ""),
        ("torch.abs(labels - args.prediction).mean()", "mean unknown"),
        ("((labels - labels) ** 2).mean()", ""),
        ("((model(batch['x']) - labels) ** 2).mean()", "mean unknown"),
        ("((logits[:, :-1] - labels[:, 1:]) ** 2).mean()", "mean token"),
        ("((logits[:, 0] - labels) ** 2).mean()", "mean unknown"),
        ("((batch['scores'] - labels) ** 2).mean()", "mean unknown"),
        ("((batch['scores'] - batch['scores']) ** 2).mean()", ""),
        ("((logits.view(-1, 9) - batch['teacher_logits'].view(-1, 9)) ** 2).mean()", "mean token"),
        (f"((logits * {MASK} - labels) ** 2).mean()", "mean unknown"),
        (f"(({MASK} * logits - labels) ** 2).mean()", "mean unknown"),
        (f"-({MASK} * logits.log_softmax(-1)).gather(-1, labels).mean()", "mean token"),
        (f"-(logits.log_softmax(-1) * {MASK}).gather(-1, labels).mean()", "mean token"),
        ("((logits[:, 0] - batch['teacher_logits'][:, 0]) ** 2).mean()", "mean sample"),
        ("((logits - batch['teacher_logits']) ** 2).mean()", "mean unknown"),
        (f"((logits - {MASK}) ** 2).mean()", ""),
        ("(torch.softmax(logits, -1) * logits.log_softmax(-1)).sum(-1).mean()", "mean unknown"),
        ("-logits.log_softmax(-1).gather(-1, labels).mean()", "mean token"),
        ("-torch.gather(torch.log_softmax(logits, -1), -1, labels).mean()", "mean token"),
        ("-torch.gather(logits, -1, labels).mean()", ""),
        ("-args.selective_log_softmax(logits, labels).mean()", ""),
        ("-selective_log_softmax(logits, labels).mean()", "mean token"),
        ("-selective_log_softmax(logits[:, -1], labels).mean()", "mean sample"),
        ("-logits[:, -1].log_softmax(-1).gather(-1, labels).mean()", "mean sample"),
        ("-torch.gather(torch.log_softmax(logits[:, -1], -1), -1, labels).mean()", "mean sample"),
        ("-logits.log_softmax(-1)[torch.arange(4), labels].mean()", "mean unknown"),
        ("-logits.log_softmax(-1)[torch.arange(4), batch['x']].mean()", ""),
        ("-logits[torch.arange(4), labels].mean()", ""),
        ("-logits[torch.arange(4), args.ends].log_softmax(-1).gather(-1, labels).mean()", "mean sample"),
    ],
)
def test_arithmetic_that_is_a_loss(expression: str, told: str) -> None:
    assert told_of(expression) == told


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        (f"{MEAN} / steps", "mean unknown / accumulation steps"),
        (f"{MEAN} // steps", "mean unknown / accumulation steps"),
        (f"steps * {MEAN}", "mean unknown * accumulation steps"),
        (f"{MEAN} * (1 / steps)", "mean unknown / accumulation steps"),
        (f"{MEAN} * (1.0 / steps)", "mean unknown / accumulation steps"),
        (f"{MEAN} * (2 / steps)", "mean unknown * something else"),
        (f"{MEAN}.div(steps)", "mean unknown / accumulation steps"),
        (f"{MEAN}.true_divide(steps)", "mean unknown / accumulation steps"),
        (f"{MEAN}.mul(steps)", "mean unknown * accumulation steps"),
        (f"torch.div({MEAN}, steps)", "mean unknown / accumulation steps"),
        (f"torch.mul({MEAN}, steps)", "mean unknown * accumulation steps"),
        (f"torch.div({MEAN}, other=steps)", "mean unknown / accumulation steps"),
        (f"torch.mul({MEAN}, other=steps)", "mean unknown * accumulation steps"),
        (f"torch.div({MEAN}, *args.by)", "mean unknown / something else"),
        (f"torch.div({MEAN})", ""),
        ("args.accelerator.prepare()", ""),
        (f"{MEAN} * 0.5", "mean unknown * constant"),
        (f"{MEAN} * True", "mean unknown * something else"),
        (f"-{MEAN}", "mean unknown"),
        (f"{MEAN}.float()", "mean unknown"),
        (f"{MEAN}.item()", ""),
        (f"{MEAN} % 2", ""),
        (f"{MEAN} / (steps * args.world_size)", "mean unknown / accumulation steps / number of ranks"),
        (f"{MEAN} / (steps / args.world_size)", "mean unknown / accumulation steps * number of ranks"),
        (f"{MEAN} / (2 * args.world_size)", "mean unknown / constant / number of ranks"),
        (f"{MEAN} / (-2 * args.world_size)", "mean unknown / something else / number of ranks"),
        (f"{MEAN} * {COUNT}", "sum unknown"),
        (f"{MEAN} * labels.numel()", "sum unknown"),
        (f"{MEAN} * {COUNT} / args.total", "sum unknown / something else"),
        (f"{MEAN} / {COUNT}", "mean unknown / this micro-batch's count"),
        (f"{SUM} / {COUNT}", "mean unknown"),
        (f"{SUM} * {COUNT}", "sum unknown * this micro-batch's count"),
        (f"{SUM} / max({COUNT}, 1)", "mean unknown"),
        (f"{SUM} / {COUNT}.clamp(min=1)", "mean unknown"),
        (f"{SUM} / (labels != -100).sum(-1)", "sum unknown / something else"),
        (f"{SUM} / (labels != -100).sum(0)", "mean unknown"),
        (f"{SUM} / (labels != -100).any()", "sum unknown / something else"),
        (f"{SUM} / {COUNT}.backward_hooks()", "sum unknown / something else"),
        (f"{SUM} / torch.ne(labels, -100).sum()", "mean unknown"),
        (f"{SUM} / labels.ne(-100).sum()", "mean unknown"),
        (f"{SUM} / batch['lengths'].sum()", "mean unknown"),
        (f"{SUM} / batch['ids'].sum()", "sum unknown / something else"),
        (f"({EACH} * args.weights).sum() / args.weights.sum()", "mean unknown weighed"),
        (f"({EACH} * args.weights).sum() / torch.sum(args.weights)", "mean unknown weighed"),
        (f"({EACH} * args.weights).sum() / torch.sum(args.weights, 1)", "sum unknown weighed / something else"),
        (f"({EACH} * args.weights).sum() / args.weights.sum(1)", "sum unknown weighed / something else"),
        (f"{SUM} / ({COUNT} / args.world_size)", "mean unknown * number of ranks"),
        (f"{SUM} / ({COUNT} // args.world_size)", "mean unknown * number of ranks"),
        (f"{SUM} / len(labels)", "sum unknown / something else"),
        (f"{SUM} / ({COUNT} * steps)", "mean unknown / accumulation steps"),
        (f"{SUM} / (steps * {COUNT})", "mean unknown / accumulation steps"),
        (f"{SUM} * (steps / {COUNT})", "mean unknown * accumulation steps"),
        (f"{SUM} * (1 / ({COUNT} * steps))", "mean unknown / accumulation steps"),
        (f"{SUM} / ({COUNT} * args.other)", "mean unknown"),
        (f"{SUM} / ({COUNT} + 1)", "mean unknown"),
        (f"{SUM} / ({COUNT} * steps).item()", "mean unknown / accumulation steps"),
        (f"{SUM} / ({COUNT} * steps).backward_hooks()", "sum unknown / something else"),
        (f"{SUM} / (1 + {COUNT})", "mean unknown"),
        (f"{SUM} / ({COUNT} - {COUNT})", "mean unknown"),
        (f"{SUM} / (args.all - {COUNT})", "mean unknown"),
        (f"min({MEAN}, 10)", "mean unknown * a bound"),
        (f"torch.clamp({MEAN}, max=10)", "mean unknown * a bound"),
        (f"torch.mean({MEAN})", "mean unknown"),
        (f"sum([{MEAN}, {SUM}])", "mean unknown + sum unknown"),
        (f"sum({MEAN})", "mean unknown"),
        ("sum([args.penalty])", ""),
        (f"{MEAN} + {SUM}", "mean unknown + sum unknown"),
        (f"{MEAN} + args.penalty", "mean unknown"),
        (f"args.penalty - {MEAN}", "mean unknown"),
    ],
)
def test_factors_and_terms(expression: str, told: str) -> None:
    assert told_of(expression) == told
