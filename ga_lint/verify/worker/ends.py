"""How does a run of user code end before its text does? No user code may swallow these."""


class NotVerifiable(BaseException):
    """The site cannot be run; the text says what is missing. Not an Exception: user code must not swallow it."""


class Finished(BaseException):
    """Enough windows were captured."""
