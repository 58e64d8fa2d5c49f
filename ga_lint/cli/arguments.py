"""What do these words say? A strict parser over the option table: importing a parser takes longer than a whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from ga_lint.cli.options import COMMANDS, Command, Kind, Option
from ga_lint.config import nearest
from ga_lint.errors import UsageError


class Arguments(Struct, frozen=True):
    """One command line: the command, its positional words, and what each given option says, by option name."""

    command: Command
    words: tuple[str, ...]
    switches: Mapping[str, bool]
    texts: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]

    def switch(self, name: str) -> bool:
        return self.switches.get(name, False)

    def text(self, name: str) -> str | None:
        return self.texts.get(name)

    def items(self, name: str) -> tuple[str, ...]:
        return self.lists.get(name, ())


def parse(words: Sequence[str]) -> Arguments:
    """The command line without the program's name; UsageError names what is wrong and the nearest right word."""
    name, *rest = words
    command = next((command for command in COMMANDS if command.name == name), None)
    if command is None:
        raise UsageError(f"no command {name!r}{nearest(name, [command.name for command in COMMANDS])}")
    return _Parser(command).parse(rest)


class _Parser:
    def __init__(self, command: Command) -> None:
        self._command = command
        self._on: dict[str, Option] = {}
        self._off: dict[str, Option] = {}
        for option in command.options:
            self._on |= {flag: option for flag in (option.flag, option.short) if flag}
            if option.off:
                self._off[option.off] = option
        self._words: list[str] = []
        self._switches: dict[str, bool] = {}
        self._texts: dict[str, str] = {}
        self._lists: dict[str, tuple[str, ...]] = {}

    def parse(self, words: Sequence[str]) -> Arguments:
        todo = list(reversed(words))
        while todo:
            word = todo.pop()
            if word == "--":
                self._words += reversed(todo)
                break
            if word == "-" or not word.startswith("-"):
                self._words.append(word)
            else:
                self._take(word, todo)
        return Arguments(self._command, tuple(self._words), self._switches, self._texts, self._lists)

    def _take(self, word: str, todo: list[str]) -> None:
        flag, equals, value = word.partition("=")
        if flag in self._off and not equals:
            self._switches[self._off[flag].name] = False
            return
        option = self._on.get(flag)
        if option is None:
            hint = nearest(flag, [*self._on, *self._off]).partition("; known")[0]
            name = self._command.name
            raise UsageError(f"`ga-lint {name}` has no option {flag!r}{hint or f'; see `ga-lint {name} --help`'}")
        if option.kind is Kind.OPTIONAL:
            self._switches[option.name] = True
            self._texts[option.name] = value
            return
        if option.kind is Kind.SWITCH:
            if equals:
                raise UsageError(f"{flag} takes no value")
            self._switches[option.name] = True
            return
        if not equals:
            if not todo or (todo[-1].startswith("--") and len(todo[-1]) > 2):
                raise UsageError(f"{flag} needs a value: {option.metavar}")
            value = todo.pop()
        if option.choices and value not in option.choices:
            raise UsageError(f"{flag}: {value!r} is not one of {', '.join(option.choices)}")
        if option.kind is Kind.TEXT:
            self._texts[option.name] = value
        else:
            items = tuple(item for part in value.split(",") if (item := part.strip()))
            self._lists[option.name] = self._lists.get(option.name, ()) + items
