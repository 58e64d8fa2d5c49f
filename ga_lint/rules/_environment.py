"""What do the rules about a project's libraries share? Where it says which releases it runs with."""

from __future__ import annotations

from collections.abc import Iterator

from ga_lint.diagnostics import Step
from ga_lint.facts.model import Place
from ga_lint.project import Project


def requirement_step(project: Project, library: str, otherwise: Place) -> Iterator[Step]:
    """The line that requires the library; where only the configuration names the release, that is said."""
    requirement = project.requirement(library)
    if requirement is not None and not (library == "transformers" and project.transformers_version):
        verb = "locked" if requirement.locked else "required"
        yield Step(f"`{requirement.text}` is {verb}", requirement.path, requirement.span)
    elif project.transformers_version:
        text = f"judged against transformers {project.transformers_version}, as configured"
        yield otherwise.as_step(text)
