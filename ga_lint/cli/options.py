"""Which commands and options are there? The one table that the parser, the help and the completion read."""

from __future__ import annotations

import enum
from dataclasses import dataclass

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
    """Under which heading the help shows an option."""

    RULES = "Rules"
    FILES = "Files"
    BASELINE = "Known findings"
    COMMENTS = "Suppression"
    OUTPUT = "Output"
    FIXING = "Rewriting"
    NUMBERS = "Numeric check"
    IMPACT = "Impact"
    SETTINGS = "Settings"


@dataclass(frozen=True, slots=True)
class Option:
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


@dataclass(frozen=True, slots=True)
class Command:
    """One command; its module in this package has `run(arguments) -> exit code`."""

    name: str
    help: str
    argument: str  # empty where it takes none
    argument_help: str

    @property
    def options(self) -> tuple[Option, ...]:
        return tuple(option for option in OPTIONS if self.name in option.commands.split())


_PATHS = "Files and folders (default: the working folder)."
COMMANDS = (
    Command("check", "Report losses that gradient accumulation gets wrong.", "PATHS", _PATHS + " `-` reads stdin."),
    Command("fix", "Rewrite what can be proved.", "PATHS", _PATHS + " `-` reads stdin."),
    Command("verify", "Run short numeric checks of the losses and of their rewrites.", "PATHS", _PATHS),
    Command("server", "Serve an editor as a language server.", "", ""),
    Command("rule", "Show a rule's page.", "RULE", "A code or a name: GA101, mean-of-means."),
)

_ALL = "check fix verify"
_COLORS = ("auto", "always", "never")
_LIST, _TEXT = Kind.LIST, Kind.TEXT
# fmt: off
OPTIONS = (
    Option("--select", _ALL, "Rules to run: codes, prefixes, names or ALL.", Panel.RULES, _LIST, "RULES"),
    Option("--ignore", _ALL, "Rules to leave out; the most specific selector wins.", Panel.RULES, _LIST, "RULES"),
    Option("--extend-select", _ALL, "Rules to run besides the selected ones.", Panel.RULES, _LIST, "RULES"),
    Option("--min-confidence", "check fix", "Leave out findings below it (default: likely).", Panel.RULES, _TEXT,
           "LEVEL", CONFIDENCES),
    Option("--transformers-version", _ALL, "The release or range to judge for (default: what the project asks for).",
           Panel.RULES, _TEXT, "VERSION"),

    Option("--exclude", _ALL, "Patterns to leave out, instead of the default ones.", Panel.FILES, _LIST, "PATTERNS"),
    Option("--extend-exclude", _ALL, "Patterns to leave out besides.", Panel.FILES, _LIST, "PATTERNS"),
    Option("--force-exclude", _ALL, "Leave excluded files out even when they are named.", Panel.FILES),
    Option("--respect-gitignore", _ALL, "Leave out what .gitignore names (default).", Panel.FILES,
           off="--no-respect-gitignore"),
    Option("--stdin-filename", "check fix", "The path that the text on stdin would have.", Panel.FILES, _TEXT, "FILE"),
    Option("--diff-base", "check fix", "Only findings that touch a line changed since the merge base with it.",
           Panel.FILES, _TEXT, "REVISION"),
    Option("--show-files", "check", "List the files that would be checked, and stop.", Panel.FILES),

    Option("--baseline", "check fix", "Leave out the known findings in this file.", Panel.BASELINE, _TEXT, "FILE"),
    Option("--update-baseline", "check", "Write the findings of this run into it.", Panel.BASELINE),
    Option("--prune-baseline", "check", "Take entries out of which the fault is gone.", Panel.BASELINE),
    Option("--error-stale-baseline", "check", "Exit with 1 when there are such entries.", Panel.BASELINE),

    Option("--ignore-suppressions", "check", "Look behind the comments that silence findings.", Panel.COMMENTS),
    Option("--add-ignore", "check", "Silence what is found by comments, with a reason if one is given.", Panel.COMMENTS,
           Kind.OPTIONAL, "[=REASON]"),

    Option("--diff", "fix", "Print patches instead of writing.", Panel.FIXING),
    Option("--unsafe-fixes", "fix", "Also write rewrites that change the gradient by intent.", Panel.FIXING),
    Option("--verify", "fix", "Check every rewrite numerically (default where torch is installed).", Panel.FIXING,
           off="--no-verify"),
    Option("--verified-only", "fix", "Write only what the numeric check confirms.", Panel.FIXING),
    Option("--ask", "fix", "Show each rewrite, safe or unsafe, and ask before it is written.", Panel.FIXING),
    Option("--exit-non-zero-on-fix", "fix", "Exit with 1 when a file was rewritten.", Panel.FIXING),

    Option("--timeout", "verify", "Time limit for one site (default: 30).", Panel.NUMBERS, _TEXT, "SECONDS"),
    Option("--seed", "verify", "Seed of the data (default: 0).", Panel.NUMBERS, _TEXT, "N"),
    Option("--dtype", "verify", "Add rows in these types; float64 decides.", Panel.NUMBERS, _LIST, "DTYPES"),
    Option("--device", "verify", "auto, cpu or cuda[:n]: add a row from there; the CPU decides.", Panel.NUMBERS, _TEXT,
           "DEVICE"),
    Option("--ranks", "verify", "Run distributed sites on so many real processes too.", Panel.NUMBERS, _TEXT, "N"),
    Option("--fsdp", "verify", "Shard the model of those processes.", Panel.NUMBERS),

    Option("--impact", "verify", "What a fault does to your training: how gradients are scaled, and what targets of "
           "short and long samples weigh, where 1 is right, expected over random windows. The file has each sample's "
           "number of targets, one a line, or JSON lines. Needs no torch.", Panel.IMPACT, _TEXT, "FILE"),
    Option("--field", "verify", "The field of the JSON lines: a count, or a list of labels.", Panel.IMPACT, _TEXT,
           "NAME"),
    Option("--accumulation-steps", "verify", "Micro-batches in a window (default: as in the code).", Panel.IMPACT,
           _TEXT, "N"),
    Option("--batch-size", "verify", "Samples in a micro-batch (default: as in the code).", Panel.IMPACT, _TEXT, "N"),

    Option("--output-format", "check fix", f"auto (default: full, with the annotations of a CI), {', '.join(FORMATS)}.",
           Panel.OUTPUT, _TEXT, "FORMAT", ("auto", *FORMATS)),
    Option("--output-format", "verify", f"auto (default: full, with the annotations of a CI), {', '.join(NUMERIC)}.",
           Panel.OUTPUT, _TEXT, "FORMAT", ("auto", *NUMERIC)),
    Option("--output-format", "rule", "text or json (default: text).", Panel.OUTPUT, _TEXT, "FORMAT", ("text", "json")),
    Option("--output", _ALL, "Also write a format to a file; repeatable.", Panel.OUTPUT, _LIST, "FORMAT:FILE"),
    Option("--report", "verify", "Also write a page with diffs and pictures of the gradients.", Panel.OUTPUT, _TEXT,
           "FILE.html"),
    Option("--statistics", "check", "Count findings by rule instead.", Panel.OUTPUT),
    Option("--fail-on", "check", "The least severity that makes the exit code 1 (default: info).", Panel.OUTPUT, _TEXT,
           "SEVERITY", ("error", "warning", "info")),
    Option("--exit-zero", "check", "Exit with 0 in spite of findings.", Panel.OUTPUT),
    Option("--all", "rule", "Every rule.", Panel.OUTPUT),
    Option("--quiet", _ALL, "Findings and errors only.", Panel.OUTPUT, short="-q"),
    Option("--verbose", _ALL, "Say more about what was done.", Panel.OUTPUT, short="-v"),
    Option("--color", f"{_ALL} rule", "auto, always or never (default: auto).", Panel.OUTPUT, _TEXT, "WHEN", _COLORS),

    Option("--stdio", "server", "Speak over stdin and stdout (what it does anyway).", Panel.SETTINGS),
    Option("--config", _ALL, "Read this file instead of the nearest one.", Panel.SETTINGS, _TEXT, "FILE"),
    Option("--isolated", _ALL, "Read no configuration file.", Panel.SETTINGS),
    Option("--show-facts", "check", "Print what the rules know about each file, as text or json, and stop.",
           Panel.SETTINGS),
    Option("--show-settings", "check", "Print the settings for the first path, and stop.", Panel.SETTINGS),
)
# fmt: on
