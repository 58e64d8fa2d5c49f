"""How often was each rule broken?"""

from __future__ import annotations

from collections import Counter

from ga_lint.outcome import Report


def render(report: Report) -> str:
    counts = Counter((diagnostic.finding.code, diagnostic.finding.name) for diagnostic in report.diagnostics)
    digits = max((len(str(count)) for count in counts.values()), default=0)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "".join(f"{count:>{digits}}  {code}  {name}\n" for (code, name), count in ordered)
