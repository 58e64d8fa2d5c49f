"""What takes the place of something that is not there? Stand-ins that absorb bookkeeping, or else void the check."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NoReturn, Self

from ga_lint.verify.worker.exceptions import NotVerifiable

Guess = Callable[[str], object]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


class Recorder:
    """Everything that was replaced or guessed, once each, in the order in which it happened."""

    def __init__(self) -> None:
        self._assumptions: dict[str, None] = {}
        self.unknown: dict[str, None] = {}
        self.tested = ""  # the stand-in whose truth was asked for last
        self._offered: dict[str, object] = {}  # what a stand-in was compared with first
        self.chosen: dict[str, object] = {}  # the values that take the place of stand-ins

    def assume(self, text: str) -> None:
        self._assumptions.setdefault(text)

    def offer(self, name: str, value: object) -> None:
        self._offered.setdefault(name, value)

    def choose(self) -> bool:
        """Give the stand-in that was compared last the first value that the code knows; False if it has one already."""
        if self.tested not in self._offered or self.tested in self.chosen:
            return False
        value = self.chosen[self.tested] = self._offered[self.tested]
        self.assume(f"`{self.tested}` taken as {value!r}: the code gives up on a value that it does not know")
        return True

    @property
    def assumptions(self) -> tuple[str, ...]:
        stood_in = sorted({re.split(r"[.(\[]", name.lstrip("."))[0] for name in self.unknown} - {"self"})
        names = (f"stand-ins that do nothing: {', '.join(stood_in)}",) if stood_in else ()
        return (*self._assumptions, *names)


_METHODS = frozenset({"update"})  # names that would pass for counters


class Unknown:
    """Absorbs logging and bookkeeping. It is false, empty and zero; meeting a tensor or a backward voids the check.

    `guess` may know a value for an attribute or an item by its dotted name (`args.logging_steps`).
    """

    _name: str
    _recorder: Recorder
    _guess: Guess | None
    _items: dict[str, object]
    _is_computed = False  # it has been calculated with: what it is compared with is not its own value

    def __init__(self, name: str, recorder: Recorder, guess: Guess | None = None) -> None:
        self.__dict__.update(_name=name, _recorder=recorder, _guess=guess, _items={})
        recorder.unknown.setdefault(name)

    def _part(self, name: str) -> object:
        if name in self._recorder.chosen:
            return self._recorder.chosen[name]
        value = self._guess(name) if self._guess is not None else MISSING
        return Unknown(name, self._recorder, self._guess) if value is MISSING else value

    def _void(self) -> NoReturn:
        raise NotVerifiable(f"needs `{self._name}`")

    def __getattr__(self, attribute: str) -> object:
        if attribute.startswith("__") and attribute.endswith("__"):
            raise AttributeError(attribute)
        name = f"{self._name}.{attribute}"
        value = Unknown(name, self._recorder, self._guess) if attribute in _METHODS else self._part(name)
        self.__dict__[attribute] = value
        return value

    def __setattr__(self, attribute: str, value: object) -> None:
        self.__dict__[attribute] = value

    def backward(self, *_: object, **__: object) -> NoReturn:
        self._void()

    def get(self, key: object = None, default: object = None, **_: object) -> object:
        value = self._part(f"{self._name}.{key}")
        return default if isinstance(value, Unknown) else value

    def __call__(self, *args: object, **kwargs: object) -> object:
        for value in (*args, *kwargs.values()):
            # A batch or a loss goes in and something is expected back; a logger is content with numbers.
            if _carries_gradient(value):
                return Unknown(f"{self._name}(...)", self._recorder)
        return Unknown(f"{self._name}()", self._recorder)

    def keys(self) -> NoReturn:  # `**` asks for it, and would get nothing
        self._void()

    def __getitem__(self, key: object) -> object:
        place = repr(key)  # slices and tensors cannot be hashed
        if place not in self._items:
            is_name = isinstance(key, str) and "." not in key  # a parameter's says nothing about what is kept of it
            self._items[place] = self._part(f"{self._name}.{key}" if is_name else f"{self._name}[...]")
        return self._items[place]

    def __setitem__(self, key: object, value: object) -> None:
        self._items[repr(key)] = value

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __iter__(self) -> Iterator[object]:
        return iter(())

    def __next__(self) -> object:
        return Unknown(f"next({self._name})", self._recorder)

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        self._recorder.tested = self._name
        if "(" not in self._name:
            self._recorder.assume(f"`{self._name}` is unknown: taken as false")
        return False

    def __contains__(self, _: object) -> bool:
        return False

    def __fspath__(self) -> str:
        return "/nonexistent"

    def __int__(self) -> int:
        return 0

    def __index__(self) -> int:
        return 0

    def __float__(self) -> float:
        return 0.0

    def __str__(self) -> str:
        return f"<{self._name}>"

    def __format__(self, _: str) -> str:
        return str(self)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str | int | float | Enum):  # `if args.mode == "causal"`: the answer is a guess
            self._recorder.tested = self._name
            if not self._is_computed:
                self._recorder.offer(self._name, other)
                return self._name in self._recorder.chosen and self._recorder.chosen[self._name] == other
        return self is other

    def _compare(self, _: object) -> bool:
        return bool(self)

    __lt__ = __le__ = __gt__ = __ge__ = _compare

    def _arithmetic(self, other: object = None) -> Unknown:
        if _is_tensor(other):
            self._void()
        computed = Unknown(self._name, self._recorder, self._guess)
        computed.__dict__["_is_computed"] = True
        return computed

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _arithmetic
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __or__ = __ror__ = _arithmetic
    __neg__ = __pos__ = _arithmetic

    @classmethod
    def __torch_function__(
        cls, func: object, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> NoReturn:
        todo: list[object] = [*args, *(kwargs or {}).values()]
        while todo:
            value = todo.pop(0)
            if isinstance(value, Unknown):
                value._void()
            if isinstance(value, list | tuple):
                todo.extend(value)
        raise AssertionError(f"torch.{getattr(func, '__name__', func)} was given no stand-in")


class Quiet:
    """Accepts every call and does nothing: a scheduler, a logger, a progress bar's extras."""

    def __getattr__(self, attribute: str) -> Callable[..., None]:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return lambda *_, **__: None


def _is_tensor(value: object) -> bool:
    return hasattr(value, "grad_fn")


def _carries_gradient(value: object) -> bool:
    return getattr(value, "grad_fn", None) is not None
