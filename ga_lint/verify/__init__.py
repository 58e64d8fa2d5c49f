"""Does the gradient depend on how the batch was cut into micro-batches? The numeric check, seen from outside.

Nothing here imports torch: user code runs in a worker process (`ga_lint.verify.worker`), started when it is needed.
"""

from ga_lint.verify.model import Outcome, Run, Settings, Site, SiteKind, Verdict
from ga_lint.verify.plan import site_at, sites_in
from ga_lint.verify.verifier import Verifier, available

__all__ = [
    "Outcome",
    "Run",
    "Settings",
    "Site",
    "SiteKind",
    "Verdict",
    "Verifier",
    "available",
    "site_at",
    "sites_in",
]
