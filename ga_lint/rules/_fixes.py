"""Which rewrite suits a loop? The request that a fixer gets, or the reason why there is none."""

from __future__ import annotations

from ga_lint.diagnostics import FixRequest, FixTier
from ga_lint.facts.model import Answer, Factor, Idiom, Level, LossSite, Place, Stack, Window
from ga_lint.rules._beside import others_of, unlike_in_number, wholes_of
from ga_lint.rules._counting import counting_written_out
from ga_lint.rules._loops import ADDS_UP, Loss, in_loop
from ga_lint.rules._requests import ADDED, MASKED, SCALED, WEIGHED, Fix, Options, Targets

STEPS = "gradient_accumulation_steps"  # of an Accelerator an attribute, of an engine a method
_AVERAGES = (Stack.DDP, Stack.FSDP, Stack.FABRIC, Stack.ACCELERATE)
_ADDS_UP = ("", "autograd", "torch.autograd")  # no driver, or `torch.autograd.backward`
_TWICE = "the loss is divided by the steps more than once, and only one of the divisions would go"
_SHARED = "a backward of another kind is handed the same loss, which the rewrite would change for it too"
_SEVERAL = "the loss has several terms, and each needs a weight of its own"
_OF_PARTS = "the loss is made of the means of several parts, and each of these is over a count of its own"
_LOOP_ELSEWHERE = "the loop over the micro-batches is elsewhere: what is seen here is one round of it"


def window_fix(loss: Loss) -> Fix:
    """The request for a share of the window or for a sum over its count, or why there is none."""
    if (refusal := _refusal(loss) or _unlike_beside(loss)) is not None:
        return None, refusal
    if len(loss.by_user) > 1:
        return None, _TWICE
    window = loss.window
    targets = _in_loop(window) + wholes_of(loss)
    counting = counting_written_out(loss, targets)
    if isinstance(counting, str):
        return None, counting
    division = loss.by_user[-1].place if loss.by_user else None
    targets += others_of(loss)
    if window.added_up:
        return _gathered(loss, division, counting)
    if window.idiom is Idiom.INNER_LOOP:
        return _sum_over_count(loss, targets, division, counting)
    return _share_of_window(loss, targets, division, counting)


def sum_fix(loss: Loss, divisor: Factor) -> Fix:
    """The request to divide a sum by the targets of the whole window in place of `divisor`, or why there is none."""
    window = loss.window
    if loss.by_user:
        return None, "the loss is divided by the steps as well"
    if (refusal := _refusal(loss, divisor)) is not None:
        return None, refusal
    if loss.term.site.weighed:
        return None, WEIGHED
    if loss.term.site.masked and divisor.targets != loss.term.site.live:
        return None, MASKED
    targets = _in_loop(window)
    counting = counting_written_out(loss, targets)
    if isinstance(counting, str):
        return None, counting
    if not in_loop(divisor.place, window):
        return None, "the loss is divided outside the loop"
    counting = [("loss", "sum"), ("divisor", divisor.text), *counting]
    if window.idiom is Idiom.INNER_LOOP:
        return _sum_over_count(loss, targets, divisor.place, counting)
    return _share_of_window(loss, targets, divisor.place, counting)


def length_fix(loss: Loss, division: Place | None) -> Fix:
    """The request to divide by the length of the window, which may be shorter at the loader's end, or why not."""
    window = loss.window
    if window.stack in (Stack.ACCELERATE, Stack.DEEPSPEED, Stack.LIGHTNING) or window.library.answer is Answer.YES:
        return None, f"{window.stack.value} may divide by the full steps as well"
    if window.loop == window.function:
        return None, _LOOP_ELSEWHERE
    if window.added_up:
        return None, "the losses of the window are added up before its one backward"
    if len(loss.by_user) > 1:
        return None, _TWICE
    if others_of(loss):
        return None, "several backwards or divisions belong to the window"
    if division in window.shared:
        return None, _SHARED
    place = division or window.backward
    if not in_loop(place, window):
        return None, "the loss is divided outside the loop"
    role = "backward" if division is None else "division"
    targets = (("loop", window.loop.span), (role, place.span), ("step", window.optimizer_step.span))
    options = (("steps", window.steps), ("behind", "yes" if window.stepped_behind else "no"))
    return FixRequest("window-length", FixTier.UNSAFE, "divide by the window's length", targets, options), None


def is_unknown_backward(window: Window) -> bool:
    """Does something that no library of ours is run backward, so that it may do anything to the loss?"""
    return window.stack in (Stack.RAW, Stack.DDP, Stack.FSDP) and window.driver not in _ADDS_UP


def _refusal(loss: Loss, divisor: Factor | None = None) -> str | None:
    window, site = loss.window, loss.term.site  # `divisor`: what is to go
    if window.stack is Stack.DEEPSPEED and not _is_engines_own(loss):
        return "the DeepSpeed engine divides and steps by its own configuration"
    if is_unknown_backward(window):
        return f"what `{window.driver}.backward` makes of several ranks is not known"
    if window.added_up and window.idiom is not Idiom.INNER_LOOP:
        return "the losses are gathered round by round: their targets have to be counted, and cleared, beside them"
    if window.cleared is not None:
        return "the gradients are cleared before backward, so that nothing accumulates"
    if window.rescaled:
        return "the gradients are scaled by hand after backward"
    if window.stack is Stack.LIGHTNING:
        return "the loop over batches is Lightning's own"
    if window.loop == window.function:
        return _LOOP_ELSEWHERE
    if window.backward.path != window.loop.path:
        return "backward runs in another function than the loop"
    if any(f.place.path != window.loop.path for f in loss.by_user):
        return "the loss is divided in another file than the loop"
    if not window.loop.span.contains(window.backward.span):
        return "backward runs outside the loop"
    if any(len(terms) > 1 for terms in window.losses):
        return _SEVERAL
    if site.has_own_counts and not window.added_up:
        return _OF_PARTS
    if any(not in_loop(place, window) for place in window.added):
        return ADDED
    known = (*loss.by_user, divisor)
    if any(f is not None and f.place in window.shared for f in known):
        return _SHARED
    if any(f.kind not in ADDS_UP and f not in known for f in loss.term.factors):
        return SCALED
    if any(term.site.labels_remade for terms in window.losses for term in terms) and not loss.term.site.labels_remade:
        return "some targets are masked, cut off or replaced in the loop on one of its paths"
    if site.weighted:
        return "the loss has class weights, so a share of the targets is not its share of the loss"
    if any(_is_over_others(term.site, site) for terms in window.losses for term in terms):
        return "on another path the loss is over something else than these targets"
    return None


def _unlike_beside(loss: Loss) -> str | None:
    """Why the other backwards and paths of the window cannot be weighed in the same edit."""
    own = counting_written_out(loss, [])
    for other in loss.beside:
        if (reason := _refusal(other)) is not None:
            return reason
        if not _is_same_code(other.term.site, loss.term.site) and counting_written_out(other, []) != own:
            return "on another path the loss is over other targets"
    return unlike_in_number(loss)


def _is_same_code(other: LossSite, site: LossSite) -> bool:
    """The same loss of batches that are made in different ways."""
    return (other.call, other.reduced) == (site.call, site.reduced)


def _in_loop(window: Window) -> Targets:
    """The loop, and what stands in it beside the loss and may need a weight of its own."""
    return [("loop", window.loop.span), *(("added", place.span) for place in window.added)]


def _is_over_others(other: LossSite, site: LossSite) -> bool:
    """A loss that no targets of tokens are handed to: a regression, or one value for each row."""
    return other.level is not Level.TOKEN and not other.is_models_own and other.labels_from != site.labels_from


def _is_averaged(window: Window) -> bool:
    """May several ranks run this, whose gradients are averaged?"""
    return window.stack in _AVERAGES or (window.stack is Stack.RAW and window.may_be_wrapped)


def _stack(window: Window) -> Options:
    """Who averages over ranks, and what `accelerator.backward` divides by, also where nothing says `accumulate()`."""
    stack: Options = [("stack", "distributed" if _is_averaged(window) else "plain")]
    if window.stack is Stack.ACCELERATE and window.library.answer is Answer.YES:
        stack.append(("divided_by", f"{window.driver}.{STEPS}"))
    return stack


def _is_engines_own(loss: Loss) -> bool:
    """Does the engine alone divide and say where a window ends?"""
    window = loss.window
    steps = window.idiom is Idiom.ENGINE and window.steps_by_engine and not window.sets_boundary
    return steps and window.library.answer is Answer.YES and not loss.by_user


def _share_of_window(loss: Loss, targets: Targets, division: Place | None, counting: Options) -> Fix:
    window = loss.window
    if division is not None:
        targets.append(("division", division.span))
    targets.append(("backward", window.backward.span))
    steps = window.steps
    if window.idiom is Idiom.ACCUMULATE:
        steps = f"{window.driver}.{STEPS}"
        stack: Options = [("stack", "accelerate"), ("accelerator", window.driver)]
    elif window.stack is Stack.DEEPSPEED:
        steps = f"{window.driver}.{STEPS}()"
        stack = [("stack", "deepspeed"), ("engine", window.driver)]
    else:
        targets.append(("step", window.optimizer_step.span))
        stack = _stack(window)
    if not steps:
        return None, "the number of micro-batches is not written down in the loop"
    summary = "weight each micro-batch by its share of the window's targets"
    if ("loss", "sum") in counting:
        summary = "divide by the targets of the whole window"
    options = (("steps", steps), *stack, *counting)
    return FixRequest("window-share", FixTier.UNSAFE, summary, tuple(targets), options), None


def _sum_over_count(loss: Loss, targets: Targets, division: Place | None, counting: Options) -> Fix:
    window, site = loss.window, loss.term.site
    if division is None:
        return None, "the division by the number of micro-batches is not in sight"
    targets.append(("division", division.span))
    if _is_cross_entropy(site) and in_loop(site.call, window):
        if site.call in window.shared:
            return None, _SHARED
        targets.append(("call", site.call.span))
        if site.constructor is not None and site.constructor.path == window.loop.path:
            targets.append(("constructor", site.constructor.span))
    if window.fetch is not None:
        targets.append(("fetch", window.fetch.span))
    if window.optimizer_step.path == window.loop.path:
        targets += [("backward", window.backward.span), ("step", window.optimizer_step.span)]
    summary = "divide by the targets of the whole window"
    options = (*_stack(window), *counting)
    return FixRequest("window-sum", FixTier.UNSAFE, summary, tuple(targets), options), None


def _gathered(loss: Loss, division: Place | None, counting: Options) -> Fix:
    """One backward on the average of a window's losses: their sums over its count."""
    window, site = loss.window, loss.term.site
    if division is None:
        return None, "the division by the number of micro-batches is not in sight"
    if window.added:
        return None, _SEVERAL
    if window.stack is not Stack.RAW or window.may_be_wrapped:  # not proved there
        return None, "the gathered losses have one backward, and their stack divides or averages besides"
    if not _is_cross_entropy(site) or not in_loop(site.call, window):
        return None, "the losses that are gathered are computed elsewhere, so their sums are not at hand"
    targets: Targets = [("call", site.call.span), ("division", division.span)]
    if site.constructor is not None and site.constructor.path == window.loop.path:
        targets.append(("constructor", site.constructor.span))
    summary = "gather the sums and divide by the window's targets"
    options = (("stack", "plain"), *counting)
    return FixRequest("window-gathered", FixTier.UNSAFE, summary, tuple(targets), options), None


def _is_cross_entropy(site: LossSite) -> bool:
    return site.call == site.reduced and not site.is_models_own
