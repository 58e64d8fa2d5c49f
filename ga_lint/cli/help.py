"""How do `--help` and the completion look? Typer shows the option table; it is imported for nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from ga_lint.cli.options import COMMANDS, Command, Kind, Option

_EPILOG = "Exit codes: 0 nothing to report, 1 findings, 2 could not work. Rules: `ga-lint rule --all`."
_ABOUT = """Find, rewrite and numerically prove losses that gradient accumulation gets wrong."""


def show(words: Sequence[str]) -> int:
    """Print the help or the completion that the words ask for."""
    app = typer.Typer(name="ga-lint", help=_ABOUT, epilog=_EPILOG, no_args_is_help=True, rich_markup_mode=None)
    app.callback()(_program)
    for command in COMMANDS:
        app.command(command.name, help=command.help, epilog=_EPILOG)(_described(command))
    try:
        app(args=list(words), prog_name="ga-lint")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _program(
    version: Annotated[bool, typer.Option("--version", help="Print the version, and stop.")] = False,
) -> None:
    """Never called with anything to do: the real parser has run before."""


def _described(command: Command) -> Callable[[], None]:
    """A function with the signature that makes typer show this command."""

    def described() -> None:
        """Never called, likewise."""

    argument = typer.Argument(help=command.argument_help, metavar=command.argument, show_default=False)
    words = inspect.Parameter(
        "words", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[Path], argument]
    )
    parameters = [*([words] if command.argument else []), *(_parameter(option) for option in command.options)]
    described.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    described.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return described


def _parameter(option: Option) -> inspect.Parameter:
    flags = [f"{option.flag}/{option.off}" if option.off else option.flag, *([option.short] if option.short else [])]
    shown = typer.Option(
        *flags,
        help=option.help,
        metavar=option.metavar or None,
        rich_help_panel=option.panel.value,
        show_default=False,
        show_choices=False,
    )
    annotation: object
    match option.kind:
        case Kind.SWITCH:
            annotation = bool
        case Kind.TEXT | Kind.OPTIONAL:
            annotation = Literal[option.choices] | None if option.choices else str | None
        case Kind.LIST:
            annotation = list[str]
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False if option.kind is Kind.SWITCH else None,
        annotation=Annotated[annotation, shown],
    )
