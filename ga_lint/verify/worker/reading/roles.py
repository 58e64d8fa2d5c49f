"""What is each free name of a loop: model, optimizer, loader? Told by how it is used, then by what it is called."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ga_lint.verify.worker.reading.sources import dotted, last

MODEL = re.compile(
    r"model|^net$|network|^ddp|llm|transformer|^gpt|bert|decoder|^lm$|policy|student|teacher", re.IGNORECASE
)
LOADER = re.compile(
    r"loader|_dl$|^dl$|dataset|data_iter|iterator|^data$|batches|train_data|_iter$|_it$|^it$", re.IGNORECASE
)
LOSS = re.compile(r"criterion|loss_f|loss_func|^ce$|ce_loss|^crit|objective|loss_module|loss_fct", re.IGNORECASE)
BATCH_FUNCTION = re.compile(
    r"(get|next|sample|load|fetch)_batch(?!_?(metric|logp|loss|size|stat|log|acc|sampl|norm|score|len|num))",
    re.IGNORECASE,
)
PROGRESS = re.compile(r"^t?qdm|progress|pbar|^trange", re.IGNORECASE)
_OPTIMIZER = re.compile(r"optim|^opt$|_opt$|^opt_|^optims?$", re.IGNORECASE)
_ENGINE = re.compile(r"engine|^ds(_|$)|deepspeed", re.IGNORECASE)
_SCHEDULER = re.compile(r"sched|^lr_", re.IGNORECASE)
_NOT_A_FORWARD = re.compile(
    r"save|load|eval|unwrap|get_|set_|prepare|log|build|create|len|generate|valid|test|count|param|wrap|sync|check|step|grad|train_|loss",
    re.IGNORECASE,
)
_UNWRAPS = re.compile(r"^_?unwrap(ped)?(_model)?$|^de_?parallel$")  # some descend as long as there is a `module`
_TEACHER = re.compile(r"teacher|ref_model|reference|frozen", re.IGNORECASE)
WRAPS = re.compile(r"share|window|prefetch", re.IGNORECASE)  # generators and classes of the user's around a loader
_ITERATORS = (
    "enumerate",
    "iter",
    "tqdm",
    "cycle",
    "islice",
    "track",
    "list",
    "log_every",
    "wrap",
    "skip_first_batches",
)


@dataclass
class Usage:
    """How dotted names are used in the slice."""

    members: dict[str, set[str]] = field(default_factory=dict)  # attributes read from the name
    called: dict[str, list[ast.Call]] = field(default_factory=dict)
    backward_of: set[str] = field(default_factory=set)  # `name.backward(loss)`
    loops: list[ast.For] = field(default_factory=list)
    nexts: set[str] = field(default_factory=set)  # `next(name)`


def usage(nodes: Sequence[ast.AST]) -> Usage:
    found = Usage()
    for node in (each for root in nodes for each in ast.walk(root)):
        if isinstance(node, ast.Attribute):
            base = dotted(node.value)
            if base is not None:
                found.members.setdefault(base, set()).add(node.attr)
        elif isinstance(node, ast.For):
            found.loops.append(node)
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            if name is None:
                continue
            found.called.setdefault(name, []).append(node)
            base, _, method = name.rpartition(".")
            if method == "backward" and node.args:
                found.backward_of.add(base)
            if name == "next" and node.args:
                found.nexts.add(dotted(node.args[0]) or "")
    return found


def unwrap_iterable(expression: ast.expr) -> tuple[ast.expr, bool]:
    """`enumerate(tqdm(loader), 1)` -> loader, and whether it is enumerated. A helper of the user's is unwrapped too."""
    enumerated = False
    while isinstance(expression, ast.Call):
        name = last(dotted(expression.func))
        known = name in _ITERATORS or PROGRESS.search(name) or WRAPS.search(name)
        if not known or not expression.args:
            break
        enumerated |= name == "enumerate"
        expression = next((a for a in expression.args if LOADER.search(last(dotted(a)))), expression.args[0])
    return expression, enumerated


def infer(
    nodes: Sequence[ast.AST], loop: ast.AST, before: Mapping[str, Sequence[ast.stmt]] | None = None
) -> dict[str, str]:
    """The role of each dotted name whose use gives it away; `before`: what the names are given before the loop."""
    found = usage(nodes)
    roles = {name: role for name, members in found.members.items() if (role := _by_members(name, members, found))}
    for name, role in list(roles.items()):
        if role == "scaler":
            for call in found.called.get(f"{name}.step", []):
                if call.args and (optimizer := dotted(call.args[0])):
                    roles.setdefault(optimizer, "optimizer")
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for name in found.called:
        role = _by_arguments(name, found) or _by_call(name)
        is_own = name.removeprefix("self.") in own and role == "model"  # `self.model_forward`, which is written here
        if name not in roles and role and not is_own:
            roles[name] = role
        base, _, method = name.rpartition(".")
        if base not in ("", "self") and BATCH_FUNCTION.search(method):
            roles[base] = "iterator"
    for node in found.loops:
        roles.update({n: "loader" for n in iterated(node, loop, before or {}) if n not in roles})
    roles.update({name: "iterator" for name in found.nexts if name and name not in roles})
    return roles


def _by_members(name: str, members: set[str], found: Usage) -> str | None:
    part = last(name)
    if (
        f"{name}.accumulate" in found.called
        or "gather_for_metrics" in members
        or (name in found.backward_of and "accelerator" in part)
    ):
        return "accelerator"
    if "no_backward_sync" in members or (name in found.backward_of and "fabric" in part):
        return "fabric"
    if name in found.backward_of and "step" in members and not _SCHEDULER.search(part) and not _OPTIMIZER.search(part):
        return "engine" if MODEL.search(part) or _ENGINE.search(part) else "driver"
    if {"scale", "update"} <= members or "unscale_" in members or ("scaler" in part and name not in found.called):
        return "scaler"
    if "step" in members and _SCHEDULER.search(part):
        return "scheduler"
    if {"zero_grad", "step"} <= members and not MODEL.search(part):
        return "optimizer"
    if members & {"zero_grad", "step", "param_groups"} and _OPTIMIZER.search(part):
        return "optimizer"
    if members & {"no_sync", "require_backward_grad_sync"}:
        return "model"
    if MODEL.search(part) and members & {"train", "parameters", "named_parameters", "zero_grad", "forward"}:
        return "teacher" if _TEACHER.search(part) else "model"
    return None


def _by_call(name: str) -> str | None:
    part = last(name)
    if BATCH_FUNCTION.search(part) and (name == part or name == f"self.{part}"):
        return "batch function"
    if part == "tokenizer":
        return "tokenizer"
    if _UNWRAPS.search(part):
        return "unwrap"
    if part == "loss_scaler":
        return "scaler"
    if LOSS.search(part):
        return "loss"
    if MODEL.search(part) and part != "forward" and not _NOT_A_FORWARD.search(part) and part[:1].islower():
        return "teacher" if _TEACHER.search(part) else "model"
    return None


def _by_arguments(name: str, found: Usage) -> str | None:
    """Called with token ids and their mask by keyword, and told to train: a model, whatever its name."""
    given = ({keyword.arg for keyword in call.keywords} for call in found.called[name])
    is_model = found.members.get(name, set()) & {"train", "eval", "parameters", "named_parameters"}
    return "model" if is_model and any({"input_ids", "attention_mask"} <= names for names in given) else None


def iterated(node: ast.For, loop: ast.AST, before: Mapping[str, Sequence[ast.stmt]]) -> Iterator[str]:
    """The names of what a loop runs over, as `infer` gives them the role of a loader."""
    expression, _ = unwrap_iterable(node.iter)
    name = dotted(expression)
    for statement in reversed(before.get(name or "", ())):
        # `bar = tqdm(enumerate(loader))` is evaluated; the loader is what it runs over
        value = getattr(statement, "value", None)
        inner = dotted(unwrap_iterable(value.body if isinstance(value, ast.IfExp) else value)[0]) if value else None
        if inner is not None and inner != name and LOADER.search(last(inner)):
            yield inner
            return
    if name and (LOADER.search(last(name)) or node is loop):
        yield name
    if isinstance(expression, ast.Call) and last(dotted(expression.func)) == "zip":
        names = filter(None, map(dotted, expression.args))
        yield from (name for name in names if node is loop or LOADER.search(last(name)))


def interface(nodes: Sequence[ast.AST], roles: dict[str, str]) -> tuple[str, bool]:
    """How the loop takes the model's result, and whether the model shifts the labels itself."""
    parents = {id(child): node for root in nodes for node in ast.walk(root) for child in ast.iter_child_nodes(node)}
    for root in nodes:
        for call in ast.walk(root):
            if isinstance(call, ast.Call) and _is_forward(call, roles):
                found = _taken(call, parents.get(id(call)), nodes)
                if found is not None:
                    return found
    return "output", True


def _is_forward(call: ast.Call, roles: dict[str, str]) -> bool:
    name = (dotted(call.func) or "").removesuffix(".forward")
    return roles.get(name) in ("model", "engine")


def _taken(call: ast.Call, parent: ast.AST | None, nodes: Sequence[ast.AST]) -> tuple[str, bool] | None:
    keywords = [keyword.arg for keyword in call.keywords]
    targets = any(name and "target" in name for name in keywords)
    labelled = None in keywords or any(name and "label" in name for name in keywords)
    match parent:
        case ast.Attribute() | ast.Subscript():
            return "output", True
        case ast.Assign(targets=[ast.Tuple(elts=parts)]):
            names = [last(dotted(part)).lower() for part in parts]
            first = next((n for n, name in enumerate(names) if "loss" in name), None)
            if first is None:
                return "logits,loss", True
            return "loss,logits" if first == 0 else "logits,loss", labelled and not targets
        case ast.Assign(targets=[ast.Name() | ast.Attribute() as target]):
            return _from_name(dotted(target) or "", labelled or targets, len(call.args), labelled, nodes)
        case ast.Call() | ast.keyword():
            return "logits", True
    return None


def _from_name(name: str, labelled: bool, positional: int, shifts: bool, nodes: Sequence[ast.AST]) -> tuple[str, bool]:
    """The result is kept under a name: what is read from it later?"""
    members: set[str] = set()
    item = bare = False
    for node in (each for root in nodes for each in ast.walk(root)):
        if isinstance(node, ast.Attribute) and dotted(node.value) == name:
            members.add(node.attr)
        elif isinstance(node, ast.Subscript) and dotted(node.value) == name:
            item |= isinstance(node.slice, ast.Constant) or (isinstance(node.slice, ast.Slice) and labelled)
            bare |= not item
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr == "backward":
                members |= {"backward" for one in ast.walk(node) if isinstance(one, ast.Name) and one.id == name}
            bare |= any(dotted(a) == name for a in node.args)
            if dotted(node.func) in (f"{name}.get", f"{name}.pop"):
                members.add("loss")
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and dotted(node.value) == name:
            members |= {"loss" for part in node.targets[0].elts if "loss" in last(dotted(part)).lower()}
    if members & {"loss", "logits", "last_hidden_state", "to_tuple"} or (item and labelled):
        return "output", True
    if "loss" in name.lower() and (labelled or positional >= 2 or "backward" in members):
        return "loss", shifts
    return ("output", True) if item and not bare else ("logits", True)
