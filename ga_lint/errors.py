"""Who has to act when something goes wrong: the user, or us?"""


class UsageError(Exception):
    """What the user typed or configured cannot work. One line naming the place and the remedy; exit code 2."""


class SourceError(Exception):
    """This file cannot be analysed; the run goes on without it. The text says why and what to do."""


class FixNotApplicable(Exception):
    """This finding has no rewrite that can be proved. The text is the reason that the user reads."""


class InternalError(Exception):
    """A fault of ga-lint's own, with the place where it happened."""
