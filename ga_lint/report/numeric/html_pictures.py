"""How do the pictures stand in the page? Each with its legend, its caption and a table of the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ga_lint.report.numeric.charts import PANELS, by_parameter, of_elements, over_skew, over_steps
from ga_lint.report.numeric.impact import quantile_name, scale_sentences, set_sentence, weight_sentences
from ga_lint.report.numeric.model import SiteImpact
from ga_lint.report.numeric.svg import mark, number, text
from ga_lint.report.numeric.weights_chart import of_weights
from ga_lint.verify.sweep import SKEWS, ParameterGradient, Point, Sweep

_PRINTED = 20  # rows
_Draw = Callable[[Sequence[Point]], str]


def pictures(sweep: Sweep) -> Iterator[str]:
    """All pictures of one site."""
    has_rewrite = any(each.rewrite is not None for each in sweep.parameters)
    yield "<h3>How far from the full batch</h3>"
    yield f'<ul class="legend">{_key("original")}{_key("rewrite") if has_rewrite else ""}</ul>'
    yield '<div class="pictures">'
    if sweep.parameters:
        yield from _by_parameter(sweep.parameters)
        yield from _of_elements(sweep.parameters)
    yield from _over(
        sweep.steps,
        over_steps,
        "Over accumulation steps",
        "The same rows in windows of 1 to 16 micro-batches.",
        "steps",
    )
    total = sum(SKEWS[0])
    yield from _over(
        sweep.skew,
        over_skew,
        "Over label skew",
        f"Four micro-batches with {total} targets in all, spread ever more unevenly.",
        "spread",
    )
    yield "</div>"


def impact_section(found: SiteImpact) -> Iterator[str]:
    """What a fault does to a training set: in words, and as a picture of what samples of each length weigh."""
    law, impact = found.law, found.impact
    about = (
        f"{set_sentence(impact)}. Samples are taken to be drawn at random; batches sorted by length are off further."
    )
    yield f'<p class="soft">{text(about)}</p>'
    sentences = [*scale_sentences(found), *(weight_sentences(impact) if law.mean_of_means else ())]
    yield f"<ul class='plain'>{''.join(f'<li>{text(each)}</li>' for each in sentences)}</ul>"
    if law.mean_of_means:
        rows = [[quantile_name(each.quantile), f"{each.count:,}", f"{each.weight:.3g}"] for each in impact.weights]
        about = (
            "What a target weighs in samples of each length, where 1 is right; below, how many such samples there are."
        )
        yield '<div class="pictures">'
        yield from _figure("Weight by length", about, of_weights(impact), ("sample", "targets", "weight"), rows)
        yield "</div>"


def _key(kind: str) -> str:
    return f'<li><svg viewBox="0 0 12 12" aria-hidden="true">{mark(6, 6, kind, size=5)}</svg>{kind}</li>'


def _by_parameter(parameters: Sequence[ParameterGradient]) -> Iterator[str]:
    heads = ["parameter", "full batch's norm", "original's error"]
    rows = [[text(each.name), number(each.norm), number(each.original)] for each in parameters]
    if parameters[0].rewrite is not None:
        heads.append("rewrite's error")
        rows = [[*row, number(each.rewrite)] for row, each in zip(rows, parameters, strict=True)]
    about = "Relative error of each parameter's gradient, on a logarithmic axis."
    yield from _figure("By parameter", about, by_parameter(parameters), heads, rows)


def _of_elements(parameters: Sequence[ParameterGradient]) -> Iterator[str]:
    most = f"the {PANELS} largest of {len(parameters)} parameters" if len(parameters) > PANELS else "each parameter"
    rows = [
        [text(each.name), *(_exact(value) for value in entry)] for each in parameters[:PANELS] for entry in each.entries
    ]
    yield from _figure(
        "Element by element",
        f"The gradient's elements (up) against the full batch's (across) in {most}. On the dashed line they are equal; "
        "hollow ones at the edge lie beyond it.",
        of_elements(parameters),
        ("parameter", "full batch", "original", "rewrite"),
        rows,
    )


def _exact(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4g}"


def _over(points: Sequence[Point], draw: _Draw, name: str, about: str, column: str) -> Iterator[str]:
    measured = [point for point in points if point.original is not None]
    if not measured:
        return
    columns = [(column, [f"{each.value:.2g}" for each in points])]
    columns.append(("original's error", [number(each.original) for each in points]))
    if any(each.rewrite is not None for each in points):
        columns.append(("rewrite's error", [number(each.rewrite) for each in points]))
    if any(each.failure for each in points):
        columns.append(("does not run", [text(each.failure or "") for each in points]))
    heads, values = zip(*columns, strict=True)
    yield from _figure(name, about, draw(measured), heads, list(zip(*values, strict=True)))


def _figure(name: str, about: str, picture: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """`rows` are escaped. A table that is short is printed too."""
    rows = list(rows)
    kind = ' class="short"' if len(rows) <= _PRINTED else ""
    yield f'<figure><figcaption>{text(name)}</figcaption><p class="soft">{text(about)}</p>{picture}'
    yield f'<details{kind}><summary>Numbers: {text(name.lower())}</summary><div class="scroll">'
    yield f'<table aria-label="{text(name)}"><thead><tr>'
    yield "".join(f'<th scope="col">{text(head)}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    yield "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    yield "</tbody></table></div></details></figure>"
