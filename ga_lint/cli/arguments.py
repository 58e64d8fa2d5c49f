"""What do these words say? A strict parser over the option table: importing a parser takes longer than a whole run."""

from __future__ import annotations

import os
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
        raise UsageError(f"no command {name!r}{_instead_of_command(name)}")
    return _Parser(command).parse(rest)


def _instead_of_command(word: str) -> str:
    """What was probably meant by the first word, as the end of an error line."""
    if word == "help":
        return "; see `ga-lint --help`"
    if word in ("version", "-V"):
        return "; `ga-lint --version` prints it"
    if os.path.exists(word):
        return f"; `ga-lint check {word}` checks that path"
    return nearest(word, [command.name for command in COMMANDS])


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
            raise UsageError(f"`ga-lint {self._command.name}` has no option {flag!r}{self._instead_of_option(flag)}")
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

    def _instead_of_option(self, flag: str) -> str:
        """Another command, or the option of another one, that is called so; else the nearest of this one's."""
        if any(command.name == flag.removeprefix("--") for command in COMMANDS):
            return f"; `ga-lint {flag.removeprefix('--')}` is a command of its own"
        others = [command.name for command in COMMANDS if any(flag == option.flag for option in command.options)]
        if others:
            return f"; it is one of `ga-lint {others[0]}`"
        close = nearest(flag, [*self._on, *self._off]).partition("; known")[0]
        return close or f"; see `ga-lint {self._command.name} --help`"
