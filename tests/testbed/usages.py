"""What is each scenario of the measured releases, in the terms of the law, and what was measured of it?"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from ga_lint.knowledge.releases import ReleaseRow, load_releases
from ga_lint.knowledge.trainer_law import Form, Site, Usage, accepts, outcome

# "m_": a model of one's own: without **kwargs, with them, with the count's parameter alone. "attr": its
# accepts_loss_kwargs says so; "ign": it ignores the count.
SCENARIOS: dict[str, tuple[Site, Form]] = {
    "default": (Site.MODEL, Form.COUNT),
    "noparam": (Site.OVERRIDE_WITHOUT_PARAMETER, Form.MEAN),
    "ignored": (Site.OVERRIDE, Form.MEAN),
    "kwignored": (Site.OVERRIDE, Form.MEAN),
    "over_steps": (Site.OVERRIDE, Form.MEAN_OVER_STEPS),
    "used": (Site.OVERRIDE, Form.COUNT),
    "canon": (Site.OVERRIDE, Form.COUNT_TIMES_RANKS),
    "outloss": (Site.OVERRIDE, Form.MEAN),
    "outloss_fwd": (Site.OVERRIDE, Form.COUNT),
    "super_drop": (Site.SUPER_WITHOUT_COUNT, Form.COUNT),
    "super_fwd": (Site.SUPER_WITH_COUNT, Form.COUNT),
    "clf_mean": (Site.FUNCTION, Form.MEAN),
    "clf_sum": (Site.FUNCTION, Form.COUNT),
    "smooth": (Site.SMOOTHER, Form.COUNT),
    "m_nokw": (Site.MODEL, Form.MEAN),
    "m_nokw_canon": (Site.OVERRIDE, Form.COUNT_TIMES_RANKS),
    "m_nokw_clf": (Site.FUNCTION, Form.COUNT),
    "m_named": (Site.MODEL, Form.COUNT),
    "m_namedattr": (Site.MODEL, Form.COUNT),
    "m_kwign": (Site.MODEL, Form.MEAN),
    "m_kwignattr": (Site.MODEL, Form.MEAN),
    "m_kwuse": (Site.MODEL, Form.COUNT),
    "lossfn_mean": (Site.LOSS_FUNCTION, Form.MEAN),
    "lossfn_sum": (Site.LOSS_FUNCTION, Form.COUNT),
}
_STOCK = "loss_kwargs"  # how a stock causal LM's ** parameter was called when that decided
_KEYWORDS = {"m_nokw": None, "m_named": None, "m_kwign": "kwargs", "m_kwuse": "kwargs"}  # by how the name begins
_ATTRIBUTES = {"m_namedattr": True, "m_kwignattr": False}


def usage_of(scenario: str, row: ReleaseRow, *, ranks: bool = False, averages: bool | None = None) -> Usage:
    """`name`, or `name+option`: flagF sets model_accepts_loss_kwargs to False, scaledF loss_is_scaled_for_ga,
    nolabels takes the key `labels` from the batches."""
    name, _, option = scenario.partition("+")
    site, form = SCENARIOS[name]
    keywords = next((word for start, word in _KEYWORDS.items() if name.startswith(start)), _STOCK)
    assigned = False if option == "flagF" else None
    accepted = accepts(row, keywords, attribute=_ATTRIBUTES.get(name), assigned=assigned)
    if form is Form.COUNT_TIMES_RANKS and not accepted:
        form = Form.COUNT  # the override that is run multiplies for accepting models only
    scaled = False if option == "scaledF" else None
    return Usage(site, form, accepted, scaled, averages, labels=option != "nolabels", ranks=ranks)


def cells() -> Iterator[tuple[str, str, int, int, bool | None, str]]:
    """Scenario, release, steps, ranks, average_tokens_across_devices and what was measured."""
    path = Path(__file__).parents[1] / "data" / "measured-gradients.toml"
    for matrix in tomllib.loads(path.read_text(encoding="utf-8"))["matrix"]:
        averages = matrix.get("average_tokens_across_devices")
        for scenario, values in matrix["measured"].items():
            for release, value in zip(matrix["releases"].split(), values.split(), strict=True):
                if value != "-":
                    yield scenario, release, matrix["steps"], matrix["ranks"], averages, value


def measured(scenario: str, version: str) -> float:
    """The scale in one process with four steps."""
    found = [cell for cell in cells() if cell[:4] == (scenario, version, 4, 1)]
    return float(found[0][-1])


def computed(scenario: str, requirement: str) -> float:
    """The same by the law, for `transformers==5.23.0` or, on the newest transformers, `deepspeed==0.18.3`."""
    library, _, version = requirement.partition("==")
    releases = load_releases()
    row = releases.row(version) if library == "transformers" else releases.newest
    engine = releases.engine(version) if library == "deepspeed" else None
    usage = replace(usage_of(scenario, row), deepspeed=library == "deepspeed")
    return outcome(usage, row, engine).scale(4)
