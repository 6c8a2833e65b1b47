"""A model's own Python: functions that change mortality or lapse by policy and scenario.

A hooks file may define either or both of

    def adjust_mortality(policies, year, lives, rates): ...
    def adjust_lapse(policies, year, lives, rates): ...

`policies` is a block of the portfolio (`engine.model.policies.Policies`), `year` counts from 1,
`lives` is what is left of each policy at the start of the year, shape (policies, scenarios), and
`rates` are the year's interest rates, shape (scenarios,). The answer is a multiplier, finite and
not negative, of any shape that broadcasts to that of `lives`. A function must treat every policy
and every scenario on its own, and may be called from several threads.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from engine.errors import HookError, Problems
from engine.model.policies import Policies
from engine.numbers.arrays import Floats

Hook = Callable[[Policies, int, Floats, Floats], Any]
NAMES = ("adjust_mortality", "adjust_lapse")


@dataclass(frozen=True)
class Hooks:
    """The functions of a hooks file; None for one that it does not define."""

    file: str
    adjust_mortality: Hook | None = None
    adjust_lapse: Hook | None = None

    def mortality(self, policies: Policies, year: int, lives: Floats, rates: Floats) -> Floats:
        """Multipliers on mortality, broadcastable to (policies, scenarios)."""
        return self._call("adjust_mortality", policies, year, lives, rates)

    def lapse(self, policies: Policies, year: int, lives: Floats, rates: Floats) -> Floats:
        """Multipliers on lapse rates, broadcastable to (policies, scenarios)."""
        return self._call("adjust_lapse", policies, year, lives, rates)

    def _call(
        self, name: str, policies: Policies, year: int, lives: Floats, rates: Floats
    ) -> Floats:
        hook: Hook | None = getattr(self, name)
        if hook is None:
            return np.ones(())
        seen, seen_rates = lives.view(), rates.view()
        seen.flags.writeable = seen_rates.flags.writeable = False
        try:
            multiplier = _real(hook(policies, year, seen, seen_rates))
        except (Exception, SystemExit) as error:
            raise HookError(_failure(self.file, name, f"failed in year {year}", error)) from error
        _check(multiplier, lives.shape, f"{self.file}: {name} in year {year}")
        return multiplier


def load_hooks(path: Path, name: str) -> Hooks:
    """Run a hooks file and find its functions.

    Raises:
        HookError: it cannot be run.
        ModelError: it defines neither function, or something else under a function's name.
    """
    module = ModuleType("model_hooks")
    module.__file__ = str(path)
    try:
        source = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        exec(source, module.__dict__)  # noqa: S102 - running the model's code is what hooks are
    except (Exception, SystemExit) as error:
        raise HookError(_failure(name, "the file", "cannot be run", error)) from error
    found = {hook: getattr(module, hook) for hook in NAMES if hasattr(module, hook)}
    problems = Problems(name)
    if not found:
        problems.add(f"defines neither {' nor '.join(NAMES)}")
    for hook, function in found.items():
        if not callable(function):
            problems.add("is not a function", column=hook)
    problems.raise_if_any()
    return Hooks(name, **found)


def _real(answer: Any) -> Floats:
    """As doubles; what a complex number or a mask would silently lose is an error."""
    if isinstance(answer, np.ma.MaskedArray) or np.asarray(answer).dtype.kind == "c":
        raise TypeError("masked arrays and complex numbers are not valid multipliers")
    return np.asarray(answer, dtype=np.float64)


def _check(multiplier: Floats, shape: tuple[int, ...], what: str) -> None:
    try:
        fits = np.broadcast_shapes(multiplier.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise HookError(
            f"{what} returned an array of shape {multiplier.shape}, which is not one of {shape}"
        )
    if not ((multiplier >= 0.0) & (multiplier < np.inf)).all():
        raise HookError(f"{what} returned a multiplier that is negative, infinite or not a number")


def _failure(file: str, name: str, what: str, error: BaseException) -> str:
    """The hook's own part of the traceback, under a line that says which one failed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    return f"{file}: {name} {what}\n" + "".join(lines).rstrip()
