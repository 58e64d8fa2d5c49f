"""What are the facts of this file? The order in which the extractors are asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from ga_lint.facts.accumulation import deepspeed_trainers
from ga_lint.facts.callers import with_callers
from ga_lint.facts.counted_labels import local_averages_of
from ga_lint.facts.forwards import forwards_of, has_forwards
from ga_lint.facts.interpreter import Interpreter
from ga_lint.facts.interpreter.gradients import MANUAL
from ga_lint.facts.lightning import lightning_steps, run_manual_steps
from ga_lint.facts.lineage import PREPARES
from ga_lint.facts.loss_functions import loss_functions_of
from ga_lint.facts.model import (
    LOOP_WORDS,
    LOSS_FUNCTION_WORDS,
    LOSS_OVERRIDE_WORDS,
    SETUP_WORDS,
    STEP_OVERRIDE_WORDS,
    Answer,
    Arguments,
    FileFacts,
    Level,
    LightningStep,
    LossFunction,
    LossSite,
    ModelForward,
    Override,
    Raggedness,
    TrainerSetup,
    Window,
)
from ga_lint.facts.raggedness import FileSigns, raggedness_as_called, raggedness_of
from ga_lint.facts.roots import loop_roots, run_roots
from ga_lint.facts.rounds import run_rounds
from ga_lint.facts.setups import arguments_of, setups_of
from ga_lint.facts.trainers import overrides_of
from ga_lint.facts.window_signs import BOUNDARY_SETTER, REDUCTION_SETTER, divided_after, may_be_wrapped
from ga_lint.facts.windows import windows_of
from ga_lint.knowledge import Knowledge
from ga_lint.project import Project
from ga_lint.syntax.parsed import ParsedFile
from ga_lint.syntax.skeleton import BrokenSkeleton

_OVERRIDE_WORDS = (*LOSS_OVERRIDE_WORDS, *STEP_OVERRIDE_WORDS, b"def " + PREPARES.encode())


def extract(parsed: ParsedFile, project: Project) -> FileFacts:
    """All facts of one file, with what they need of the files it imports."""
    while True:
        project.add(parsed)
        try:
            with Interpreter(project, project.knowledge) as run:
                return _extracted(run, parsed, project)
        except BrokenSkeleton as broken:
            if broken.path == parsed.path and parsed.skeleton is not None:
                raise  # whoever parsed it has to do that again
            project.read_whole(broken.path)


def _extracted(run: Interpreter, parsed: ParsedFile, project: Project) -> FileFacts:
    signs = FileSigns(parsed, run.knowledge, project)
    windows: tuple[Window, ...] = ()
    raggedness: dict[LossSite, Raggedness] = {}
    if any(word in parsed.source.data for word in LOOP_WORDS):
        run_loops(run, parsed)
        own = [one for one in windows_of(run, signs.wrapper) if one.loop.path == parsed.path]
        called = with_callers(run, parsed, own, lambda window: _is_decided(window, signs), signs.wrapper)
        homes = {home.path: FileSigns(home, run.knowledge, project) for _, home in called.homes}
        for one in called.windows:
            callers = [homes[home.path] for home in called.of(one)]
            (window,) = _signed([signs.with_level(one, callers)], parsed)
            windows = (*windows, window)
            for site in _sites(window):
                raggedness[site] = raggedness_as_called(site, signs, callers)
    steps: tuple[LightningStep, ...] = ()
    if b"def training_step" in parsed.source.data:
        steps = tuple(_levelled(step, signs) for step in lightning_steps(run, parsed, project))
    overrides: tuple[Override, ...] = ()
    if any(word in parsed.source.data for word in _OVERRIDE_WORDS):
        with Interpreter(project, project.knowledge) as trainers:
            overrides = tuple(_with_level(one, signs) for one in overrides_of(trainers, parsed))
    returned = [term.site for step in steps for one in step.returns for term in one.terms or ()]
    raggedness |= {site: raggedness_of(site, signs) for site in dict.fromkeys(returned)}
    arguments, setups = _setups(parsed, project, run.knowledge)
    engines = tuple(deepspeed_trainers(parsed)) if b"deepspeed" in parsed.source.data else ()
    return FileFacts(
        parsed.path,
        windows,
        overrides,
        steps,
        engines,
        loss_functions=_loss_functions(parsed, project, run.knowledge),
        forwards=_forwards(parsed, project, run.knowledge),
        arguments=arguments,
        setups=setups,
        local_averages=tuple(local_averages_of(parsed)),
        raggedness=raggedness,
    )


def _sites(window: Window) -> Iterator[LossSite]:
    return (term.site for terms in window.losses for term in terms)


def _is_decided(window: Window, signs: FileSigns) -> bool:
    """Is a loss in it whose tokens are known to differ in number?"""
    known = [site for site in _sites(signs.with_level(window)) if site.level is not Level.UNKNOWN]
    return any(raggedness_of(site, signs).answer is not Answer.UNKNOWN for site in known)


def _signed(windows: Sequence[Window], parsed: ParsedFile) -> tuple[Window, ...]:
    data = parsed.source.data
    sets_reduction = REDUCTION_SETTER.search(data) is not None
    sets_boundary, mentions_deepspeed = BOUNDARY_SETTER in data, b"deepspeed" in data.lower()
    return tuple(
        replace(
            window,
            divided_after=divided_after(window, parsed),
            sets_reduction=sets_reduction,
            sets_boundary=sets_boundary,
            mentions_deepspeed=mentions_deepspeed,
            may_be_wrapped=may_be_wrapped(data),
        )
        for window in windows
    )


def _with_level(override: Override, signs: FileSigns) -> Override:
    return replace(override, level=signs.level) if override.method == "training_step" else override


def _levelled(step: LightningStep, signs: FileSigns) -> LightningStep:
    returns = tuple(
        replace(one, terms=tuple(signs.levelled(term) for term in one.terms)) for one in step.returns if one.terms
    )
    return replace(step, returns=returns)


def run_loops(run: Interpreter, parsed: ParsedFile) -> None:
    """Follow every function that leads to a backward, from where it is called."""
    roots = loop_roots(parsed)
    if roots.module:
        run.run_module(run.names.module(parsed))
    if MANUAL.encode() in parsed.source.data:
        run_manual_steps(run, parsed)
    run_roots(run, parsed, replace(roots, module=False))
    run_rounds(run, parsed)


def _loss_functions(parsed: ParsedFile, project: Project, knowledge: Knowledge) -> tuple[LossFunction, ...]:
    if not any(word in parsed.source.data for word in LOSS_FUNCTION_WORDS):
        return ()
    with Interpreter(project, knowledge) as run:
        return loss_functions_of(run, parsed)


def _forwards(parsed: ParsedFile, project: Project, knowledge: Knowledge) -> tuple[ModelForward, ...]:
    if not has_forwards(parsed):
        return ()
    with Interpreter(project, knowledge) as run:
        return forwards_of(run, parsed)


def _setups(
    parsed: ParsedFile, project: Project, knowledge: Knowledge
) -> tuple[tuple[Arguments, ...], tuple[TrainerSetup, ...]]:
    if not any(word in parsed.source.data for word in SETUP_WORDS):
        return (), ()
    with Interpreter(project, knowledge) as run:
        arguments = arguments_of(run, parsed)
        return arguments, setups_of(run, parsed, arguments)
