"""How does a run of user code end before its text does? By what no `except Exception` of the user's swallows."""


class NotVerifiable(BaseException):
    """The site cannot be run; the text says what is missing. Not an Exception: user code must not swallow it."""


class Uncontrolled(NotVerifiable):
    """The code ran, but not on the rows or in the steps that it was given: nothing can be compared."""


class StepsUncontrolled(Uncontrolled):
    """It stepped after another number of micro-batches than it has accumulation steps here."""


class Finished(BaseException):
    """Enough windows were captured."""
