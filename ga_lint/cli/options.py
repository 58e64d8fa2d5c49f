"""Which commands and options are there? The one table that the parser, the help and the completion read."""

from __future__ import annotations

import enum

from msgspec import Struct

from ga_lint.config import CONFIDENCES
from ga_lint.report import FORMATS
from ga_lint.report.numeric import FORMATS as NUMERIC


class Kind(enum.Enum):
    """What follows an option."""

    SWITCH = "nothing"
    TEXT = "a text, the last one counts"
    LIST = "texts, by comma or repeated"
    OPTIONAL = "nothing, or a text behind an equals sign"


class Panel(enum.Enum):
    """Under which heading the help shows an option, in this order."""

    RULES = "Rules"
    FILES = "Files"
    KNOWN = "Known findings"
    FIXING = "Rewriting"
    NUMBERS = "Numeric check"
    IMPACT = "Impact"
    OUTPUT = "Output"
    SETTINGS = "Settings"


class Option(Struct, frozen=True):
    """One option of some commands."""

    flag: str
    commands: str  # their names, by space
    help: str
    panel: Panel
    kind: Kind = Kind.SWITCH
    metavar: str = ""
    choices: tuple[str, ...] = ()
    off: str | None = None  # the opposite switch
    short: str | None = None

    @property
    def name(self) -> str:
        """`min_confidence` for `--min-confidence`."""
        return self.flag.lstrip("-").replace("-", "_")


class Command(Struct, frozen=True):
    """One command; its module in this package has `run(arguments) -> exit code`."""

    name: str
    help: str
    argument: str  # empty where it takes none
    argument_help: str

    @property
    def options(self) -> tuple[Option, ...]:
        return tuple(option for option in OPTIONS if self.name in option.commands.split())


_PATHS = "Files and folders (default: .)"
COMMANDS = (
    Command("check", "Report losses that gradient accumulation gets wrong.", "PATHS", _PATHS + ", or `-`."),
    Command("fix", "Rewrite what can be proved.", "PATHS", _PATHS + ", or `-`."),
    Command("verify", "Run short numeric checks of the losses and of their rewrites.", "PATHS", _PATHS),
    Command("rule", "Show a rule's page.", "RULE", "Codes or names: GA101, mean-of-means."),
    Command("server", "Serve an editor as a language server.", "", ""),
)

_ALL = "check fix verify"
_COLORS = ("auto", "always", "never")
_LIST, _TEXT = Kind.LIST, Kind.TEXT
# fmt: off
OPTIONS = (
    Option("--select", _ALL, "Codes, prefixes, names or ALL (default: GA).", Panel.RULES, _LIST, "RULES"),
    Option("--ignore", _ALL, "Leave these out; the most specific one wins.", Panel.RULES, _LIST, "RULES"),
    Option("--extend-select", _ALL, "Run these too.", Panel.RULES, _LIST, "RULES"),
    Option("--min-confidence", "check fix", "possible, likely (default) or certain.", Panel.RULES, _TEXT, "LEVEL",
           CONFIDENCES),
    Option("--transformers-version", _ALL, "Judge for it (default: the project's own).", Panel.RULES, _TEXT, "VERSION"),

    Option("--exclude", _ALL, "Leave these out instead of the usual ones.", Panel.FILES, _LIST, "PATTERNS"),
    Option("--extend-exclude", _ALL, "Leave these out too.", Panel.FILES, _LIST, "PATTERNS"),
    Option("--force-exclude", _ALL, "Leave them out even where they are named.", Panel.FILES),
    Option("--respect-gitignore", _ALL, "Leave out what .gitignore names (default).", Panel.FILES,
           off="--no-respect-gitignore"),
    Option("--stdin-filename", "check fix", "The path that the text on stdin would have.", Panel.FILES, _TEXT, "FILE"),
    Option("--jobs", "check", "Processes to use (default: one a core).", Panel.FILES, _TEXT, "NUMBER"),
    Option("--no-cache", "check", "Look at every file anew, and keep nothing.", Panel.FILES),
    Option("--cache-dir", "check", "Where results are kept (.ga_lint_cache).", Panel.FILES, _TEXT, "FOLDER"),

    Option("--baseline", "check fix", "Leave out the findings that are in it.", Panel.KNOWN, _TEXT, "FILE"),
    Option("--update-baseline", "check", "Write this run's findings into it.", Panel.KNOWN),
    Option("--prune-baseline", "check", "Drop entries of which the fault is gone.", Panel.KNOWN),
    Option("--error-stale-baseline", "check", "Exit with 1 when there are such entries.", Panel.KNOWN),
    Option("--diff-base", "check fix", "Only what touches a line changed since then.", Panel.KNOWN, _TEXT, "REVISION"),
    Option("--add-ignore", "check", "Silence every finding by a comment.", Panel.KNOWN, Kind.OPTIONAL, "[=REASON]"),
    Option("--ignore-suppressions", "check", "Look behind such comments.", Panel.KNOWN),

    Option("--diff", "fix", "Print patches instead of writing.", Panel.FIXING),
    Option("--unsafe-fixes", "fix", "Also write what changes gradients by intent.", Panel.FIXING),
    Option("--verify", "fix", "Check by numbers (default if torch is there).", Panel.FIXING, off="--no-verify"),
    Option("--verified-only", "fix", "Write only what the numeric check confirms.", Panel.FIXING),
    Option("--ask", "fix", "Show each rewrite and ask before writing it.", Panel.FIXING),
    Option("--exit-non-zero-on-fix", "fix", "Exit with 1 when a file was rewritten.", Panel.FIXING),

    Option("--timeout", "verify", "Time limit for one site (default: 30).", Panel.NUMBERS, _TEXT, "SECONDS"),
    Option("--seed", "verify", "Seed of the data (default: 0).", Panel.NUMBERS, _TEXT, "N"),
    Option("--dtype", "verify", "Add rows in these types; float64 decides.", Panel.NUMBERS, _LIST, "DTYPES"),
    Option("--device", "verify", "Add a row from auto, cpu or cuda[:n].", Panel.NUMBERS, _TEXT, "DEVICE"),
    Option("--ranks", "verify", "Run what is distributed on N processes too.", Panel.NUMBERS, _TEXT, "N"),
    Option("--fsdp", "verify", "Shard the model of those processes.", Panel.NUMBERS),
    Option("--adapter", "verify", "Take model and batches from this file.", Panel.NUMBERS, _TEXT, "FILE"),

    Option("--impact", "verify", "Say what a fault does to these target counts.", Panel.IMPACT, _TEXT, "FILE"),
    Option("--field", "verify", "The count, or the labels, in JSON lines.", Panel.IMPACT, _TEXT, "NAME"),
    Option("--accumulation-steps", "verify", "Instead of the code's.", Panel.IMPACT, _TEXT, "N"),
    Option("--batch-size", "verify", "Samples in a micro-batch, likewise.", Panel.IMPACT, _TEXT, "N"),

    Option("--output-format", "check fix", f"auto (default: full, and the annotations of a CI), {', '.join(FORMATS)}.",
           Panel.OUTPUT, _TEXT, "FORMAT", ("auto", *FORMATS)),
    Option("--output-format", "verify", f"auto (default: full, and the annotations of a CI), {', '.join(NUMERIC)}.",
           Panel.OUTPUT, _TEXT, "FORMAT", ("auto", *NUMERIC)),
    Option("--output-format", "rule", "text (default), markdown or json.", Panel.OUTPUT, _TEXT, "FORMAT",
           ("text", "markdown", "json")),
    Option("--output", _ALL, "Also write a format to a file; repeatable.", Panel.OUTPUT, _LIST, "FORMAT:FILE"),
    Option("--report", "verify", "Also write a page with pictures.", Panel.OUTPUT, _TEXT, "FILE.html"),
    Option("--statistics", "check", "Count findings by rule instead.", Panel.OUTPUT),
    Option("--fail-on", "check", "Exit with 1 from here on (default: info).", Panel.OUTPUT, _TEXT, "SEVERITY",
           ("error", "warning", "info")),
    Option("--exit-zero", "check", "Exit with 0 in spite of findings.", Panel.OUTPUT),
    Option("--all", "rule", "Every rule.", Panel.OUTPUT),
    Option("--quiet", _ALL, "Findings and errors only.", Panel.OUTPUT, short="-q"),
    Option("--verbose", _ALL, "Say more about what was done.", Panel.OUTPUT, short="-v"),
    Option("--color", f"{_ALL} rule", "auto (default), always or never.", Panel.OUTPUT, _TEXT, "WHEN", _COLORS),

    Option("--config", _ALL, "Read this file instead of the nearest one.", Panel.SETTINGS, _TEXT, "FILE"),
    Option("--isolated", _ALL, "Read no configuration file.", Panel.SETTINGS),
    Option("--show-facts", "check", "Print what is read in the files, and stop.", Panel.SETTINGS),
    Option("--show-files", "check", "List what would be checked, and stop.", Panel.SETTINGS),
    Option("--show-settings", "check", "Print the first path's settings, and stop.", Panel.SETTINGS),
    Option("--stdio", "server", "Over stdin and stdout, which it is anyway.", Panel.SETTINGS),
)
# fmt: on
