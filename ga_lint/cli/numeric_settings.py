"""What do the options of `ga-lint verify` ask of the numeric check?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ga_lint.cli.arguments import Arguments
from ga_lint.errors import UsageError
from ga_lint.verify import Settings
from ga_lint.verify.devices import cuda_devices, is_device

_DTYPES = ("float64", "float32", "bfloat16", "float16")
_MOST_RANKS = 16
_LONGEST = 1e6  # seconds; what would need longer hangs


def settings_of(arguments: Arguments) -> Settings:
    """The settings that are asked for; what this machine cannot do is said at once, not site by site."""
    settings = Settings()
    try:
        if seed := arguments.text("seed"):
            settings = replace(settings, seed=int(seed))
        if timeout := arguments.text("timeout"):
            settings = replace(settings, timeout=float(timeout))
    except ValueError as error:
        raise UsageError(f"--seed takes a whole number, --timeout seconds: {error}") from None
    if not 0 < settings.timeout < _LONGEST:
        raise UsageError(f"--timeout takes seconds, more than 0 and less than {_LONGEST:g}: {settings.timeout:g}")
    if named := arguments.text("adapter"):
        if not Path(named).is_file():
            raise UsageError(f"--adapter: no such file: {named}")
        settings = replace(settings, adapter=Path(named))
    ranks = _ranks(arguments)
    device = _device(arguments, ranks)
    dtypes = _dtypes(arguments)
    rows = [(dtype, "cpu") for dtype in dtypes if dtype != settings.dtype]
    if device != "cpu":
        rows += [(dtype, device) for dtype in (settings.dtype, *dtypes)]
    where = device.partition(":")[0]
    fsdp = arguments.switch("fsdp")
    return replace(settings, rows=tuple(dict.fromkeys(rows)), ranks=ranks, ranks_device=where, fsdp=fsdp)


def _dtypes(arguments: Arguments) -> tuple[str, ...]:
    found = arguments.items("dtype")
    for name in found:
        if name not in _DTYPES:
            raise UsageError(f"--dtype: {name!r} is not one of {', '.join(_DTYPES)}")
    return found


def _ranks(arguments: Arguments) -> int:
    text = arguments.text("ranks")
    if text is None:
        if arguments.switch("fsdp"):
            raise UsageError("--fsdp shards the model of real processes; give --ranks too")
        return 0
    if not text.isdecimal() or not 2 <= int(text) <= _MOST_RANKS:
        raise UsageError(f"--ranks takes a number of processes from 2 to {_MOST_RANKS}, not {text!r}")
    return int(text)


def _device(arguments: Arguments, ranks: int) -> str:
    """cpu or cuda[:n]; with ranks, each has a CUDA device of its own."""
    name = arguments.text("device") or "cpu"
    if name != "auto" and not is_device(name):
        raise UsageError(f"--device: {name!r} is not one of auto, cpu, cuda, cuda:0, cuda:1, ...")
    if name == "cpu":
        return name
    found = cuda_devices()
    if name == "auto":
        return "cuda" if found >= max(1, ranks) else "cpu"
    if not found:
        raise UsageError(f"--device {name}: torch finds no CUDA device here")
    if int(name.partition(":")[2] or 0) >= found:
        raise UsageError(f"--device {name}: torch finds no more than {found}, from cuda:0")
    if ranks > found:
        raise UsageError(f"--ranks {ranks} on CUDA takes a device each, and torch finds {found}")
    return name
