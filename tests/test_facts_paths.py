"""Along which paths does a loss come to backward? Statements, tests, containers and helpers between the two."""

from __future__ import annotations

import pytest

from testbed.seen import loop, losses_in

HEAD = """\
logits, labels = model(batch["input_ids"]).logits, batch["labels"]
args = args
mean = F.cross_entropy(logits, labels)
total = F.cross_entropy(logits, labels, reduction="sum")
"""
DIVIDED = "loss = mean\nif {}:\n    loss = mean / steps"
BOTH = ["mean unknown / accumulation steps", "mean unknown"]
YES, NO = BOTH[:1], BOTH[1:]
EITHER = ["mean unknown", "sum unknown"]


def paths(lines: str, above: str = "", before: str = "pass") -> list[str]:
    return losses_in(loop(HEAD + lines, above, before))


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        ("args.divide", BOTH),
        ("1 == 1", YES),
        ("1 != 1", NO),
        ("1 is 1", YES),
        ("1 is not 1", NO),
        ("1 < 2", BOTH),
        ("1 == 1 == 2", BOTH),
        ("not True", NO),
        ("not args.divide", BOTH),
        ("mean is None", NO),
        ("mean is not None", YES),
        ("mean != None", BOTH),
        ("labels is not None", YES),
        ("batch is None", NO),
        ("batch['attention_mask'] is None", BOTH),
        ("batch['weight'] is None", BOTH),
        ("args.x is None", BOTH),
        ("mean is args.x", BOTH),
        ("isinstance(0.5, torch.Tensor)", NO),
        ("isinstance(0.5, float)", BOTH),
        ("isinstance(mean, torch.Tensor)", BOTH),
        ("torch.is_tensor(0.5)", NO),
        ("callable(0.5)", BOTH),
        ('"labels" in batch', YES),
        ('"labels" not in batch', NO),
        ('"ids" in batch', BOTH),
        ('"labels" == args.kind', BOTH),
        ('"a" in {"a": 1}', YES),
        ('"a" not in {"a": 1}', NO),
        ('"b" in {"a": 1}', BOTH),
        ("args.a or True", YES),
        ("args.a and False", NO),
        ("True and True", YES),
        ("False or False", NO),
        ("False or args.a", BOTH),
        ("True and args.a", BOTH),
        ("dist.is_initialized()", BOTH),
        ("(flag := not True)", NO),
        ("(flag := not args.divide)", BOTH),
    ],
)
def test_tests(test: str, outcome: list[str]) -> None:
    assert paths(DIVIDED.format(test)) == outcome


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("if args.a:\n    loss = mean\nelse:\n    loss = total", EITHER),
        ("if args.a:\n    loss = mean\nelse:\n    raise ValueError", ["mean unknown"]),
        ("if args.a:\n    if args.a:\n        loss = mean\n    else:\n        loss = total\nelse:\n    loss = total",
         EITHER),
        ("loss = None\nif args.a:\n    loss = mean\nif loss is None:\n    loss = total", EITHER),
        ("loss = None\nif args.a:\n    loss = mean\nif loss is not None:\n    loss = loss * 2",
         ["mean unknown * constant"]),
        ("match args.kind:\n    case 1:\n        loss = mean\n    case _:\n        loss = total", EITHER),
        ("loss = mean\nmatch args.kind:\n    case 1:\n        loss = total", EITHER),
        ("loss = mean\nmatch args.kind:\n    case _ if args.a:\n        loss = total", EITHER),
        ("loss = mean\nmatch args.kind:\n    case 1 as one:\n        loss = total", EITHER),
        ("loss = mean\nmatch args.kind:\n    case other:\n        loss = total", ["sum unknown"]),
        ("loss = mean / 2\nmatch args.kind:\n    case 1:\n        loss = mean\n    case _:\n        loss = total",
         EITHER),
        ("try:\n    loss = mean\nexcept ValueError:\n    loss = total\nfinally:\n    loss = loss / 2",
         ["mean unknown / constant", "sum unknown / constant"]),
        ("try:\n    loss = mean\nexcept TypeError:\n    loss = total", ["mean unknown"]),
        ("try:\n    loss = mean\nexcept:\n    loss = total", EITHER),
        ("try:\n    pass\nexcept ValueError:\n    raise\nelse:\n    loss = mean", ["mean unknown"]),
        ("loss = mean\nwhile args.a:\n    loss = total\n    break", ["sum unknown"]),
        ("loss = mean\nfor _ in args.x:\n    if args.a:\n        continue\n    loss = total\nelse:\n    loss /= 2",
         ["sum unknown / constant", "mean unknown / constant"]),
        ("loss = mean\nfor _ in args.x:\n    if args.a:\n        break\n    loss = total",
         ["sum unknown", "mean unknown"]),
        ("loss = mean if args.a else total", EITHER),
        ("loss = mean if True else total", ["mean unknown"]),
        ("loss = mean if args.a else None", ["mean unknown"]),
        ("loss = args.a and mean", ["mean unknown"]),
        ("loss = mean or total", EITHER),
        ("with torch.autocast('cuda'):\n    loss = mean / 2", ["mean unknown / constant"]),
        ("with torch.no_grad():\n    loss = mean / 2", []),
        ("with torch.inference_mode():\n    loss = mean / 2", []),
        ("loss = 0\nwith torch.no_grad():\n    loss += mean", []),
        ("with torch.no_grad():\n    pass\nloss = mean / 2", ["mean unknown / constant"]),
        ("loss = mean\ndel loss", []),
        ("loss: float = mean", ["mean unknown"]),
        ("(loss := mean)", ["mean unknown"]),
        ("assert (loss := mean) > 0", ["mean unknown"]),
        ("loss = other = mean", ["mean unknown"]),
        ("other = mean\nloss = other + args.x", ["mean unknown"]),
        ("import functools\nf = functools.partial(F.cross_entropy, reduction='sum')\nloss = f(logits, labels)",
         EITHER[1:]),
        ("import functools\nce = functools.partial(args.ce, reduction='sum')\nloss = ce(logits, labels)", []),
        ("loss, other = mean", ["mean unknown"]),
        ("other, loss = mean", []),
        ("[loss, other] = mean, 1", ["mean unknown"]),
        ("other, loss = {'a': 1, 'b': mean}", ["mean unknown"]),
        ("args.loss = mean\nloss = args.loss", ["mean unknown"]),
        ("args.loss = mean\nloss = getattr(args, 'loss')", ["mean unknown"]),
        ("args.loss = mean\nloss = getattr(args, args.name)", []),
        ("args.loss = mean\nloss = getattr(args, 1)", []),
        ("loss = mean\nloss /= 2", ["mean unknown / constant"]),
        ("loss = mean\nloss.div_(2)", ["mean unknown / constant"]),
        ("loss = mean\nloss.div(2)", ["mean unknown"]),
        ("loss = mean\nloss -= args.x", ["mean unknown"]),
        ("scale = 2 * 3\nloss = mean * scale", ["mean unknown * constant"]),
        ("n = args.world_size\nloss = total / ((labels != -100).sum() / n)", ["mean unknown * number of ranks"]),
        ("loss = mean\nif dist.is_initialized():\n    dist.all_reduce(args.x)\n    loss = total", ["sum unknown"]),
        ("loss = mean\nif torch.distributed.is_initialized():\n    args.gather(loss)\n    loss = total", EITHER[1:]),
        ("loss = mean\nif dist.is_initialized():\n    dist.barrier()\n    loss = total", EITHER[::-1]),
        ("loss = mean\nif args.is_initialized():\n    args.gather(loss)\n    loss = total", EITHER[::-1]),
        ("if dist.is_initialized():\n    dist.all_reduce(args.x)\n    loss = mean\nelse:\n    loss = total", EITHER),
        ("loss = mean.cpu()", ["mean unknown"]),
        ("loss = model(**batch).mean()", ["mean unknown"]),
    ],
)  # fmt: skip
def test_statements(lines: str, told: list[str]) -> None:
    assert paths(lines) == told


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("loss = {'loss': mean, 'x': 1}['loss']", ["mean unknown"]),
        ("loss = {'loss': mean, 'x': 1}['x']", []),
        ("loss = {**{'loss': mean}}['loss']", ["mean unknown"]),
        ("loss = dict(loss=mean, **args)['loss']", ["mean unknown"]),
        ("loss = dict({'loss': mean})['loss']", ["mean unknown"]),
        ("out = {'loss': mean}\nloss = sum(out.values())", ["mean unknown"]),
        ("out = {'loss': mean}\nfor key, loss in out.items():\n    pass", ["mean unknown"]),
        ("out = {'loss': mean}\nloss = out.get('loss')", ["mean unknown"]),
        ("out = {'loss': mean}\nloss = out.get('x', total)", ["sum unknown"]),
        ("out = {'loss': mean}\nloss = out.get('x')", []),
        ("out = {'loss': mean}\nout.get('loss')\nloss = out['loss']", ["mean unknown"]),
        ("out = {'loss': mean}\nout.pop('loss')\nloss = out['loss']", []),
        ("out = {'loss': mean}\nout.update(loss=total)\nloss = out['loss']", ["sum unknown"]),
        ("out = {'loss': mean}\nout.update({'loss': total})\nloss = out['loss']", ["sum unknown"]),
        ("out = {'loss': mean}\nout.update(args)\nloss = out['loss']", ["mean unknown"]),
        ("out = {}\nout['loss'] = mean\nloss = out['loss']", ["mean unknown"]),
        ("out = {}\nout[args.key] = mean\nloss = out['loss']", ["mean unknown"]),
        ("out = {}\nout['other'] = mean\nloss = out['loss']", []),
        ("loss = (1, mean)[1]", ["mean unknown"]),
        ("losses = [mean]\nlosses.reverse()\nloss = losses[0]", ["mean unknown"]),
        ("inner = {**args, 'loss': mean}\nloss = {**inner, 'x': 1}['loss']", ["mean unknown"]),
        ("loss = (1, mean)[-1]", ["mean unknown"]),
        ("loss = (1, mean)[2]", []),
        ("loss = (1, mean)[1:][0]", ["mean unknown"]),
        ("loss = (1, mean)[:1][0]", []),
        ("loss = (1, mean)[args.n :][0]", []),
        ("loss = (mean, total)[::2][1]", []),
        ("loss = ((mean,) + args.rest)[0]", ["mean unknown"]),
        ("loss = ([mean] + [total])[1]", ["sum unknown"]),
        ("losses = []\nlosses.append(mean)\nloss = sum(losses)", ["mean unknown"]),
        ("losses = []\nlosses.append(mean)\nloss = torch.stack(losses).mean()", ["mean unknown"]),
        ("losses = []\nlosses.append(mean)\nloss = losses[0]", ["mean unknown"]),
        ("losses = []\nlosses.append(mean)\nlosses.append(total)\nloss = sum(losses)", ["mean unknown + sum unknown"]),
        ("losses = []\nlosses.append(mean)\nlosses.append(args.x)\nloss = torch.stack(losses).sum()", ["mean unknown"]),
        ("losses = []\nlosses.append(args.x)\nlosses.append(mean)\nloss = losses[1]", ["mean unknown"]),
        ("losses = [total]\nlosses.append(mean)\nloss = losses[-1]", ["mean unknown"]),
        ("loss, *rest = mean, total, 1", ["mean unknown"]),
        ("first, *rest, loss = 1, total, 2, mean", ["mean unknown"]),
        ("first, *rest = 1, total, mean\nloss = rest[1]", ["mean unknown"]),
        ("*rest, loss = (mean,)", ["mean unknown"]),
        ("loss, *rest, last = (mean,)", []),
        ("losses = []\nfor _ in args.x:\n    losses.append(mean)\nloss = torch.stack(losses).sum()", ["mean unknown"]),
        ("losses = [one for one in (mean, total)]\nloss = sum(losses)", ["mean unknown + sum unknown"]),
        ("loss = sum(mean for _ in args.x)", ["mean unknown"]),
        ("loss = sum({mean for _ in args.x})", ["mean unknown"]),
        ("loss = next(iter([mean]))", ["mean unknown"]),
        ("for _, loss in enumerate([mean]):\n    pass", ["mean unknown"]),
        ("for _, loss in zip(args.x, [mean]):\n    pass", ["mean unknown"]),
        (
            "loss = F.cross_entropy(logits, labels, reduction='sum' if args.a else 'mean')",
            ["sum unknown", "mean unknown"],
        ),
        ("kind = ('sum', 'mean')[0]\nloss = F.cross_entropy(logits, labels, reduction=kind)", ["sum unknown"]),
    ],
)
def test_containers(lines: str, told: list[str]) -> None:
    assert paths(lines) == told


@pytest.mark.parametrize(
    ("definition", "call", "told"),
    [
        ("a, b, c='sum'", "f(logits, labels)", "sum unknown"),
        ("a, b, c='sum'", "f(logits, labels, 'mean')", "mean unknown"),
        ("a, b, c='sum'", "f(logits, b=labels, c='mean')", "mean unknown"),
        ("a, b, c='sum'", "f(*(logits, labels), c='mean')", "mean unknown"),
        ("a, b, c='sum'", "f(**{'a': logits, 'b': labels, 'c': 'mean'})", "mean unknown"),
        ("a, *, b, c='sum'", "f(logits, b=labels)", "sum unknown"),
        ("a, b, c='mean'", "f(logits, labels, **({'c': 'sum'} if args.a else {'c': 'sum', 'd': 1}))", "sum unknown"),
        ("a, b, c='mean'", "f(logits, labels, **({'c': 'sum'} if args.a else args.b))", "mean unknown"),
        ("a, *, b, c", "f(logits, b=labels, c='sum')", "sum unknown"),
        ("a, b, /, c='sum'", "f(logits, labels)", "sum unknown"),
        ("a, b, c=KIND", "f(logits, labels)", "sum unknown"),
        ("a, b, c", "functools.partial(f, c='sum')(logits, labels)", "sum unknown"),
        ("c, a, b", "functools.partial(f, 'sum')(logits, labels)", "sum unknown"),
    ],
)
def test_arguments_of_a_helper(definition: str, call: str, told: str) -> None:
    above = f"import functools\nKIND = 'sum'\n\ndef f({definition}):\n    return F.cross_entropy(a, b, reduction=c)\n"
    assert paths(f"loss = {call}", above) == [told]


@pytest.mark.parametrize(
    ("helper", "call"),
    [
        ("def f(a, *rest):\n    return ce(a, rest[0])", "f(x, y)"),
        ("def f(**kw):\n    return ce(kw['a'], kw['b'])", "f(a=logits, b=labels)"),
        ("f = lambda a, b: ce(a, b)", "f(x, y)"),
        ("def f(a, b):\n    yield ce(a, b)", "sum(f(x, y))"),
        ("def f(a, b):\n    def g():\n        return ce(a, b)\n    return g()", "f(x, y)"),
        ("class f:\n    def __call__(self, a, b):\n        return ce(a, b)", "f()(x, y)"),
        ("class f(nn.Module):\n    def forward(self, a, b):\n        return ce(a, b)", "f()(x, y)"),
        ("class f:\n    @staticmethod\n    def g(a, b):\n        return ce(a, b)", "f().g(x, y)"),
        ("class f:\n    @classmethod\n    def g(cls, a, b):\n        return ce(a, b)", "f().g(x, y)"),
        ("class f:\n    @classmethod\n    def g(cls, a, b):\n        return ce(a, b)", "f.g(x, y)"),
        ("class f:\n    ce = ce", "f.ce(x, y)"),
        ("class f:\n    ce: object = ce", "f().ce(x, y)"),
        ("class f:\n    def __init__(self):\n        self.ce = ce", "f().ce(x, y)"),
        ("class f:\n    def setup(self):\n        self.ce = ce", "f().ce(x, y)"),
        ("class g:\n    ce = ce\nclass f(g):\n    def h(self, a, b):\n        return self.ce(a, b)", "f().h(x, y)"),
        ("class g:\n    def h(self): return ce\nclass f(g):\n    def h(self): return super().h()", "f().h()(x, y)"),
    ],
)  # fmt: skip
def test_helpers(helper: str, call: str) -> None:
    assert paths(f"x, y = logits, labels\nloss = {call}", f"ce = F.cross_entropy\n{helper}") == ["mean unknown"]


EACH = """losses = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
mask = batch["attention_mask"] if args.masked else None
"""
MASKED = "loss = (losses * mask).sum() / mask.sum()"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (f"if mask is not None:\n    {MASKED}\nelse:\n    loss = losses.mean()", ["mean token masked", "mean token"]),
        (f"if mask is None:\n    loss = losses.mean()\nelse:\n    {MASKED}", ["mean token", "mean token masked"]),
        (f"if mask is None:\n    mask = batch['other_mask']\n{MASKED}", ["mean token masked"] * 4),
    ],
)
def test_what_may_be_none_is_it_on_one_path_alone(lines: str, told: list[str]) -> None:
    assert paths(EACH + lines) == told
