"""What runs backward, and does it divide the loss itself?"""

from __future__ import annotations

from msgspec.structs import replace

from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.events import Event
from ga_lint.facts.interpreter.gradients import MANUAL
from ga_lint.facts.model import Answer, Idiom, LibraryDivision, Stack
from ga_lint.facts.values import UNKNOWN, Built, Choice, Const, Model, Symbol, Value, alternatives
from ga_lint.knowledge.model import DriverRow

_STACKS = {
    "accelerate": Stack.ACCELERATE,
    "deepspeed": Stack.DEEPSPEED,
    "fabric": Stack.FABRIC,
    "ddp": Stack.DDP,
    "fsdp": Stack.FSDP,
    "lightning": Stack.LIGHTNING,
    "torch": Stack.RAW,
}


def steps_of(rounds: Value) -> tuple[str, float | None]:
    """The steps as text, and as a number where there is one."""
    match rounds:
        case Const(value=int() | float() as number, text=text):
            return text or f"{number:g}", float(number)
        case Symbol(text=text, value=value):
            return text, value
        case Choice(values=values):
            return next((steps_of(one) for one in values if one != Const(1)), ("", None))
    return "", None


def stack_and_division(run: Interpreter, backward: Event, idiom: Idiom) -> tuple[Stack, LibraryDivision]:
    """Who runs backward, and whether it divides: unless it is told not to."""
    stack, library = _by_driver(run, backward, idiom)
    return stack, replace(library, answer=Answer.NO) if backward.undivided else library


def _by_driver(run: Interpreter, backward: Event, idiom: Idiom) -> tuple[Stack, LibraryDivision]:
    """The stack by its driver first and by the driver's name second."""
    for driver in alternatives(backward.driver):
        if isinstance(driver, Model) and driver.engine:
            return Stack.DEEPSPEED, _engine_division(driver)
        if isinstance(driver, Built):
            row = run.knowledge.drivers.get(driver.name)
            if row is None:
                continue
            stack = Stack.DEEPSPEED if _holds_engine(driver, row) else _STACKS[row.stack]
            if row.divides != "steps":
                return stack, LibraryDivision(Answer.NO)
            division = _accelerator_division(driver, row)
            if division.answer is Answer.NO and idiom is Idiom.ACCUMULATE and _reads_launchers_plugin(run, driver):
                return Stack.DEEPSPEED, LibraryDivision(Answer.UNKNOWN, by="the launcher's DeepSpeed plugin")
            return stack, division
    if backward.driver_text == MANUAL:
        return Stack.LIGHTNING, LibraryDivision(Answer.NO)
    name = backward.driver_text.rpartition(".")[2].lower()
    if "accelerator" in name:
        answer = Answer.YES if idiom is Idiom.ACCUMULATE else Answer.UNKNOWN
        return Stack.ACCELERATE, LibraryDivision(answer, by="accelerator.backward")
    if "fabric" in name:
        return Stack.FABRIC, LibraryDivision(Answer.NO)
    if name in ("engine", "model_engine", "ds_engine", "model", "self"):
        divides = Answer.YES if name.endswith("engine") else Answer.UNKNOWN
        return Stack.DEEPSPEED, LibraryDivision(divides, by="the DeepSpeed engine")
    # timid: an object of unknown make that runs backward may divide as well
    known = not name or any(word in name for word in ("optim", "scaler", "autograd", "amp", "torch"))
    return Stack.RAW, LibraryDivision(Answer.NO if known else Answer.UNKNOWN, by=f"{backward.driver_text}.backward")


def holds_engine(run: Interpreter, backward: Event) -> bool:
    """Is an accelerator told to run a DeepSpeed engine, which clears the gradients when it steps, and only then?"""
    built = [one for one in alternatives(backward.driver) if isinstance(one, Built)]
    rows = [(one, run.knowledge.drivers.get(one.name)) for one in built]
    return any(row is not None and _holds_engine(one, row) for one, row in rows)


def _holds_engine(driver: Built, row: DriverRow) -> bool:
    return row.engine_plugin is not None and driver.argument(None, row.engine_plugin) not in (None, Const(None))


def _engine_division(driver: Model) -> LibraryDivision:
    if driver.steps == Const(1):
        return LibraryDivision(Answer.NO, steps_value=1, by="the DeepSpeed engine")
    text, value = steps_of(driver.steps or UNKNOWN)
    by = f"the DeepSpeed engine (steps in its configuration: {text})" if text else "the DeepSpeed engine"
    return LibraryDivision(Answer.YES, text, value, by)


def _accelerator_division(driver: Built, row: DriverRow) -> LibraryDivision:
    engine = _plugged(driver, row.engine_plugin)
    given = engine.argument(1, row.steps or "") if engine else None  # the engine's own number goes first
    given = given or driver.argument(None, row.steps or "")
    plugin = _plugged(driver, row.plugin)
    if given is None and plugin is not None:
        given = plugin.argument(0, "num_steps")
    if given is None and (_is_unseen(driver, row.engine_plugin) or _is_unseen(driver, row.plugin)):
        return LibraryDivision(Answer.UNKNOWN, by="Accelerator(...)", place=driver.place)
    if given is None and any(name == "**" for name, _ in driver.named):
        return LibraryDivision(Answer.UNKNOWN, by="Accelerator(**...)", place=driver.place)
    if given is None or given == Const(1):
        return LibraryDivision(Answer.NO, place=driver.place)
    text, value = steps_of(given)
    by = f"Accelerator(gradient_accumulation_steps={text or '...'})"
    if engine is not None:
        by = f"the DeepSpeed engine (steps in its plugin: {text or 'several'})"
    return LibraryDivision(Answer.YES, text, value, by, driver.place)


def _reads_launchers_plugin(run: Interpreter, driver: Built) -> bool:
    """`accelerator.state.deepspeed_plugin`: `accelerate launch` brings the plugin, and the steps in it."""
    parsed = run.project.file(driver.place.path)
    return parsed is not None and b".state.deepspeed_plugin" in parsed.source.data


def _is_unseen(driver: Built, name: str | None) -> bool:
    """Is there a plugin whose steps are written elsewhere: made out of sight, or with a configuration of its own?"""
    found = driver.argument(None, name) if name else None
    if isinstance(found, Built):
        return found.argument(0, "hf_ds_config") not in (None, Const(None))
    return found not in (None, Const(None))


def _plugged(driver: Built, name: str | None) -> Built | None:
    found = driver.argument(None, name) if name else None
    return found if isinstance(found, Built) else None
