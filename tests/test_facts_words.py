"""Which names does the flow go through? Each word that the facts know, and one beside them that they do not."""

from __future__ import annotations

import pytest

from ga_lint.facts.interpreter.elements import tells_length
from ga_lint.facts.model import Stack
from ga_lint.facts.values import Tensor, TensorKind
from testbed.seen import LOSS, facts_in, loop, losses_in, window_in

HEAD = 'logits, labels, args = model(batch["input_ids"]).logits, batch["labels"], args\n'
MEAN = "F.cross_entropy(logits, labels)"
SUM = 'F.cross_entropy(logits, labels, reduction="sum")'
COUNT = "(labels != -100).sum()"


def told(lines: str, above: str = "") -> list[str]:
    return losses_in(loop(HEAD + lines, above))


@pytest.mark.parametrize(
    "name",
    "sum item clamp clamp_min float to long int cuda max clone detach type_as maximum double view reshape "
    "unsqueeze squeeze cpu type tolist mean".split(),
)
def test_methods_that_leave_a_count_one(name: str) -> None:
    assert told(f"loss = {SUM} / {COUNT}.{name}()") == ["mean unknown"]
    assert told(f"loss = {SUM} / ({COUNT} * steps).{name}()") == ["mean unknown / accumulation steps"]


@pytest.mark.parametrize("name", ["bool", "argmax", "neg"])
def test_methods_that_make_another_number_of_a_count(name: str) -> None:
    assert told(f"loss = {SUM} / {COUNT}.{name}()") == ["sum unknown / something else"]


@pytest.mark.parametrize(
    "name",
    "int float max min abs round torch.clamp torch.clamp_min torch.as_tensor torch.tensor torch.ceil "
    "torch.maximum".split(),
)
def test_functions_that_leave_a_count_one(name: str) -> None:
    assert told(f"loss = {SUM} / {name}({COUNT})") == ["mean unknown"]


@pytest.mark.parametrize("name", ["neg", "nan_to_num"])
def test_functions_that_leave_a_loss_one(name: str) -> None:
    assert told(f"loss = torch.{name}({MEAN}, args.x)") == ["mean unknown"]


@pytest.mark.parametrize("name", ["clamp", "min", "max", "minimum", "maximum"])
def test_functions_that_bound_a_loss(name: str) -> None:
    assert told(f"loss = torch.{name}({MEAN}, args.x)") == ["mean unknown * a bound"]


@pytest.mark.parametrize("name", ["exp", "log", "where", "softplus", "logsigmoid"])
def test_functions_after_which_a_loss_is_no_multiple_of_its_mean(name: str) -> None:
    assert told(f"loss = torch.{name}({MEAN}, args.x)") == ["mean unknown * a function of the loss"]


@pytest.mark.parametrize("name", ["isnan", "zeros_like", "argsort"])
def test_functions_that_do_not(name: str) -> None:
    assert told(f"loss = torch.{name}({MEAN})") == []


@pytest.mark.parametrize(
    ("name", "flows"), [("detach", False), ("item", False), ("tolist", False), ("numpy", False), ("cpu", True)]
)
def test_methods_that_end_the_flow(name: str, flows: bool) -> None:
    assert told(f"loss = {MEAN}.{name}()") == (["mean unknown"] if flows else [])


@pytest.mark.parametrize(
    "name",
    "tqdm trange iter list tuple reversed sorted cycle islice deepcopy copy track progress_bar".split(),
)
def test_functions_that_are_transparent(name: str) -> None:
    assert told(f"loss = {name}([{MEAN}])[0]", "from itertools import *") == (
        [] if name == "trange" else ["mean unknown"]
    )


@pytest.mark.parametrize(
    "name",
    "model net network student student_model unwrapped_model raw_model ddp_model model_engine engine "
    "policy actor gpt llm lm transformer base_model decoder".split(),
)
def test_names_of_models(name: str) -> None:
    assert told(f"loss = args.{name}(**batch).loss") == ["mean unknown"]
    assert told(f"loss = args.{name}_of_ours(**batch).loss") == []


@pytest.mark.parametrize(
    "name",
    "input_ids inputs_embeds attention_mask input_features pixel_values".split(),
)
def test_inputs_of_models(name: str) -> None:
    assert told(f"loss = args.f({name}=args.x, labels=labels).loss") == ["mean unknown"]
    assert told(f"loss = args.f({name}=args.x, targets=labels).loss") == []


@pytest.mark.parametrize(
    "name",
    "criterion loss_fn loss_fct loss_func loss_function ce_loss xent _criterion own_loss_fn own_loss_fct "
    "own_loss_func OwnCriterion".split(),
)
def test_names_of_losses(name: str) -> None:
    assert told(f"loss = args.{name}(logits, labels)") == ["unknown unknown"]


@pytest.mark.parametrize("name", ["penalty", "loss", "own_loss", "metric_fn"])
def test_names_that_are_none(name: str) -> None:
    assert told(f"loss = args.{name}(logits, labels)") == []


@pytest.mark.parametrize(
    "name",
    "prepare setup setup_module setup_dataloaders prepare_data_loader to_device".split(),
)
def test_what_a_driver_gives_back(name: str) -> None:
    assert told(f"loss = args.driver.{name}({MEAN})") == ["mean unknown"]
    assert told(f"loss = args.driver.{name}(args.x, {MEAN})[1]") == ["mean unknown"]
    assert told(f"loss = args.driver.other({MEAN})") == []


@pytest.mark.parametrize(
    "name",
    "gather reduce all_reduce all_gather gather_for_metrics all_gather_into_tensor".split(),
)
def test_collectives(name: str) -> None:
    over_ranks = ["sum unknown / the window's count over all ranks"]
    assert told(f"loss = {SUM} / args.accelerator.{name}({COUNT})") == over_ranks
    assert told(f"loss = {SUM} / {name}({COUNT})", "from torch.distributed.nn import *") == over_ranks
    assert told(f"loss = {SUM} / args.accelerator.other({COUNT})") == ["sum unknown / something else"]


@pytest.mark.parametrize(
    ("lines", "over_ranks"),
    [
        ("dist.all_reduce(n)", True),
        ("dist.all_reduce(n.clone())", False),
        ("dist.reduce(n)", False),
        ("dist.barrier()", False),
        ("all_counts = [None]\ndist.all_gather_object(all_counts, n)\nn = sum(all_counts)", True),
    ],
)
def test_a_count_that_is_put_together_in_place(lines: str, over_ranks: bool) -> None:
    (one,) = told(f"n = {COUNT}\n{lines}\nloss = {SUM} / n", "import torch.distributed as dist")
    assert ("over all ranks" in one) is over_ranks


@pytest.mark.parametrize(
    "name",
    "to cuda cpu contiguous float double half bfloat16 long int bool type type_as clone detach detach_ "
    "requires_grad_ pin_memory view reshape flatten squeeze unsqueeze transpose permute".split(),
)
def test_methods_that_keep_the_targets(name: str) -> None:
    (window,) = facts_in(loop(f"{HEAD}labels = labels.{name}(0)\nloss = {MEAN}")).windows
    assert not window.losses[0][0].site.labels_remade


@pytest.mark.parametrize(("name", "remade"), [("from_numpy", False), ("as_tensor", False), ("tensor", False),
                                              ("LongTensor", False), ("stack", True), ("cat", True)])  # fmt: skip
def test_functions_that_keep_the_targets(name: str, remade: bool) -> None:
    (window,) = facts_in(loop(f"{HEAD}labels = torch.{name}(labels)\nloss = {MEAN}")).windows
    assert window.losses[0][0].site.labels_remade is remade


@pytest.mark.parametrize(
    "name",
    "to cuda cpu train eval half float bfloat16 requires_grad_ compile".split(),
)
def test_methods_that_give_the_network_back(name: str) -> None:
    above = (
        "class Net(nn.Module):\n    def forward(self, x, y):\n        return F.cross_entropy(x, y, reduction='sum')\n"
    )
    assert told(f"loss = net.{name}()(logits, labels)", f"{above}\nnet = Net()") == ["sum unknown"]


@pytest.mark.parametrize(
    "name",
    "view reshape flatten transpose permute contiguous float log_softmax softmax squeeze to".split(),
)
def test_methods_of_what_a_network_gives(name: str) -> None:
    assert told(f"loss = ((model(batch['x']).{name}(1) - labels) ** 2).mean()") == ["mean unknown"]


@pytest.mark.parametrize(
    "classes",
    "num_labels num_classes n_classes nclass num_class".split(),
)
def test_names_of_the_number_of_classes(classes: str) -> None:
    assert told(f"loss = F.cross_entropy(logits.view(-1, args.{classes}), labels)") == ["mean unknown"]
    assert told("loss = F.cross_entropy(logits.view(-1, args.vocabulary), labels)") == ["mean token"]


@pytest.mark.parametrize(
    ("wrapper", "stack"),
    [
        ("DistributedDataParallel", Stack.DDP),
        ("DDP", Stack.DDP),
        ("FullyShardedDataParallel", Stack.FSDP),
        ("FSDP", Stack.FSDP),
        ("fully_shard", Stack.FSDP),
        ("DataParallel", Stack.RAW),
    ],
)
def test_wrappers(wrapper: str, stack: Stack) -> None:
    found = window_in(loop(LOSS, f"net = {wrapper}(net)"))
    assert found is not None and found.stack is stack


@pytest.mark.parametrize(
    "name",
    "steps args.steps accum_steps args.accum grad_acc grad_accumulation gas update_freq "
    "accumulate_grad_batches iters_to_accumulate micro_steps micro_batches n_micro acc_steps acc_iters".split(),
)
def test_names_of_steps(name: str) -> None:
    assert told(f"loss = {MEAN} / {name}") == ["mean unknown / accumulation steps"]


@pytest.mark.parametrize(
    "name",
    "world_size worldsize num_processes num_gpus n_gpu n_gpus dp_size get_world_size num_replicas".split(),
)
def test_names_of_the_number_of_ranks(name: str) -> None:
    assert told(f"loss = {MEAN} / {name}") == ["mean unknown / number of ranks"]


@pytest.mark.parametrize("name", ["total_steps_done", "warmup", "ranking", "gasoline"])
def test_names_of_something_else(name: str) -> None:
    assert told(f"loss = {MEAN} / {name}") == ["mean unknown / something else"]


@pytest.mark.parametrize(
    ("tensor", "outcome"),
    [
        (Tensor(TensorKind.OTHER, "lengths", from_batch=True), True),
        (Tensor(TensorKind.OTHER, "target_len", from_batch=True), True),
        (Tensor(TensorKind.OTHER, "lengths_of_words", from_batch=True), False),
        (Tensor(TensorKind.OTHER, "lengths"), False),  # made by the model, say
        (Tensor(TensorKind.OTHER, "lengths", from_batch=True, flat=True), False),  # one for each token
    ],
)
def test_what_tells_how_long_each_row_is(tensor: Tensor, outcome: bool) -> None:
    assert tells_length(tensor) is outcome


@pytest.mark.parametrize("name", ["to", "cuda", "contiguous", "float", "long", "clone", "view", "reshape", "half"])
def test_methods_of_what_is_only_known_by_its_name(name: str) -> None:
    """Logits and labels stay what they are called; what `view` makes of logits has tokens for elements."""
    shifted = "loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())"
    known = name != "half"
    assert told(f"logits, labels = args.logits.{name}(x), args.labels.{name}(x)\n{shifted}") == [
        "mean token" if known else "mean unknown"
    ]
    flat = name in ("view", "reshape")
    assert told(f"loss = F.cross_entropy(args.logits.{name}(-1, n), args.z)") == [
        "mean token" if flat else "mean unknown"
    ]


@pytest.mark.parametrize(
    ("index", "level"),
    [
        ("torch.arange(n), last", "sample"),
        ("torch.arange(n), last, :", "sample"),
        ("torch.arange(n), last, 1:", "token"),
        ("torch.arange(n), 1:", "token"),
        ("torch.arange(n), :-1", "token"),
        ("torch.randperm(n), last", "unknown"),
        ("torch.arange(n)", "unknown"),
    ],
)
def test_one_position_of_each_row(index: str, level: str) -> None:
    assert told(f"loss = F.cross_entropy(logits[{index}], args.classes)") == [f"mean {level}"]
