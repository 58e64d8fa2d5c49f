"""How do `--help` and the completion look? Typer shows the option table; it is imported for nothing else."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from ga_lint.cli.options import COMMANDS, Command, Kind, Option, Panel
from ga_lint.engine.own_rules import known_rules

_EPILOG = "Exits with 0: nothing to report, 1: findings, 2: could not work."
_ABOUT = """Find, rewrite and numerically prove losses that gradient accumulation gets wrong."""
_WIDEST = 100  # characters; longer lines are harder to read
_LEAST = 20  # characters for a text, however narrow the terminal
_FLAGS, _GAP = 30, 2  # characters for the flags and behind them, so that on 80 the texts have the rest


def show(words: Sequence[str]) -> int:
    """Print the help or the completion that the words ask for."""
    try:
        program()(args=list(words), prog_name="ga-lint")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def program() -> typer.Typer:
    """Every command and option, as typer sees them."""
    app = typer.Typer(
        name="ga-lint",
        help=_ABOUT,
        epilog=_EPILOG + " `ga-lint check` is where to start.",
        no_args_is_help=True,
        rich_markup_mode=None,
        context_settings={"max_content_width": _WIDEST},
    )
    app.callback()(_program)
    for command in COMMANDS:
        epilog = _EPILOG if "PATHS" in command.argument else ""
        app.command(command.name, help=command.help, epilog=epilog, cls=_Shown)(_described(command))
    return app


def _program(
    version: Annotated[bool, typer.Option("--version", help="Print the version, and stop.")] = False,
) -> None:
    """Never called with anything to do: the real parser has run before."""


class _Shown(TyperCommand):
    """A command whose options stand under headings, a line each, so that all of them fit a screen."""

    def format_options(self, _ctx: Any, formatter: Any) -> None:
        command = next(command for command in COMMANDS if command.name == self.name)
        formatter.write_paragraph()
        if command.argument:
            _write(formatter, "Arguments", [(command.argument, command.argument_help)])
        for panel in Panel:
            options = [option for option in command.options if option.panel is panel]
            if options:
                _write(formatter, panel.value, [(_flags(option), option.help) for option in options])


def _write(formatter: Any, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    formatter.write(typer.style(f"{heading}:", bold=True) + "\n")
    formatter.indent()
    room = max(formatter.width - formatter.current_indent - _FLAGS - _GAP, _LEAST)
    for left, text in rows:
        first, *others = textwrap.wrap(text.rstrip("."), room, break_on_hyphens=False)  # `json-lines` is one word
        formatter.write(f"{'':{formatter.current_indent}}{left:<{_FLAGS}}{'':{_GAP}}{first}\n")
        for line in others:
            formatter.write(f"{'':{formatter.current_indent + _FLAGS + _GAP}}{line}\n")
    formatter.dedent()


def _flags(option: Option) -> str:
    flag = option.flag.replace("--", "--[no-]", 1) if option.off else option.flag
    if option.kind is Kind.OPTIONAL:
        return flag + option.metavar
    flags = f"{option.short}, {flag}" if option.short else flag
    return f"{flags} {option.metavar}".rstrip()


def _described(command: Command) -> Callable[[], None]:
    """A function with the signature that makes typer show this command."""

    def described() -> None:
        """Never called, likewise."""

    argument = typer.Argument(
        help=command.argument_help,
        metavar=command.argument,
        show_default=False,
        autocompletion=_rules if command.argument == "RULE" else None,
    )
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
        show_default=False,
        autocompletion=_rules if option.metavar == "RULES" else None,
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


def _rules(incomplete: str) -> list[tuple[str, str]]:
    """What a shell offers for the beginning of a code or of a name."""
    found = [(rule.code, rule.name) for rule in known_rules() if rule.code.startswith(incomplete)]
    return found or [(rule.name, rule.summary) for rule in known_rules() if rule.name.startswith(incomplete)]
