"""A model with everything read and checked, ready to be valued."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from engine.errors import ModelError, Problem, Problems, RequestError
from engine.model.assumptions import Assumptions, load_expenses, load_lapse, load_mortality
from engine.model.config import NAMES, Config, DynamicLapse, Multipliers, Scenarios, load_config
from engine.model.hooks import Hooks, load_hooks
from engine.model.package import resolve
from engine.model.policies import Policies, load_policies
from engine.scenarios.generator import GeneratedRates
from engine.scenarios.rates import GivenRates, Rates, load_rates

T = TypeVar("T")
MAX_PARTS = 1000


@dataclass(frozen=True)
class Basis:
    """What drives a policy's cash flows: assumptions, and what changes them."""

    assumptions: Assumptions
    multipliers: Multipliers = field(default_factory=Multipliers)
    dynamic_lapse: DynamicLapse | None = None
    hooks: Hooks | None = None


@dataclass(frozen=True)
class Model:
    """A portfolio, its basis, its scenarios, and the description they came from."""

    policies: Policies
    basis: Basis
    rates: Rates
    config: Config


def load_model(
    root: Path, config: Config | None = None, *, threads: int = 1, allow_hooks: bool = True
) -> Model:
    """Read every file of a model's directory; `config` replaces the one in it.

    Raises:
        ModelError: the mistakes of every file, the first 20 of each.
        RequestError: hooks are there but not allowed, or Parquet without pyarrow.
    """
    config = config or load_config(root)
    if config.hooks is not None and not allow_hooks:
        raise RequestError("this model has hooks, which are Python code; they are not allowed here")
    reader = _Reader(root)
    assumptions = _assumptions(reader, config)
    hooks = reader.read("hooks", config.hooks, load_hooks) if config.hooks else None
    rates = _rates(reader, config.scenarios, threads)
    policies = _policies(reader, config.policies, threads)
    reader.raise_if_any()
    basis = Basis(_got(assumptions), config.multipliers, config.dynamic_lapse, hooks)
    model = Model(_got(policies), basis, _got(rates), config)
    _check_output(model, reader.described_in)
    return model


class _Reader:
    """Reads file after file, and keeps the mistakes of all of them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._errors: list[ModelError] = []
        self.described_in = next((name for name in NAMES if (root / name).is_file()), NAMES[0])

    def path(self, key: str, reference: str) -> Path:
        """Where a file is that the description refers to."""
        return resolve(self._root, reference, self.described_in, key)

    def read(self, key: str, reference: str, loader: Callable[[Path, str], T]) -> T | None:
        """What the loader makes of a file; None when it, or an earlier step, found mistakes."""
        return self.attempt(lambda: loader(self.path(key, reference), reference))

    def attempt(self, step: Callable[[], T]) -> T | None:
        """Do one step; its mistakes are kept for later."""
        try:
            return step()
        except ModelError as error:
            self._errors.append(error)
            return None

    def raise_if_any(self) -> None:
        """Raise the mistakes of all steps as one."""
        if self._errors:
            problems: list[Problem] = [p for error in self._errors for p in error.problems]
            raise ModelError(problems, sum(error.more for error in self._errors))


def _assumptions(reader: _Reader, config: Config) -> Assumptions | None:
    files = config.assumptions
    mortality_of = partial(load_mortality, interpolate=config.interpolate)
    lapse_of = partial(load_lapse, interpolate=config.interpolate)
    mortality = reader.read("assumptions.mortality", files["mortality"], mortality_of)
    lapse = reader.read("assumptions.lapse", files["lapse"], lapse_of)
    expenses = reader.read("assumptions.expenses", files["expenses"], load_expenses)
    if mortality is None or lapse is None or expenses is None:
        return None
    return Assumptions(mortality, lapse, expenses)


def _rates(reader: _Reader, scenarios: Scenarios, threads: int) -> Rates | None:
    if scenarios.file is None:
        return GeneratedRates(
            scenarios.rates, scenarios.count or 0, scenarios.seed, scenarios.stream
        )
    found = reader.read(
        "scenarios.file", scenarios.file, lambda path, name: load_rates(path, name, threads=threads)
    )
    if found is None:
        return None
    if scenarios.count is not None and scenarios.count > len(found):
        raise RequestError(
            f"{scenarios.count} scenarios were requested, but {scenarios.file} has {len(found)}"
        )
    return GivenRates(found[: scenarios.count])


def _policies(reader: _Reader, names: tuple[str, ...], threads: int) -> Policies | None:
    found = [reader.attempt(lambda name=name: reader.path("policies", name)) for name in names]  # type: ignore[misc]
    paths = [path for path in found if path is not None]
    if len(paths) < len(names):
        return None
    files = list(zip(paths, names, strict=True))
    return reader.attempt(lambda: load_policies(files, threads=threads))


def _check_output(model: Model, described_in: str) -> None:
    """Refuse what the policies do not allow of what the description asks for."""
    problems = Problems(described_in)
    _check_breakdown(model, problems)
    _check_maturities(model, problems)
    limit = model.config.execution.max_policies
    if limit is not None and len(model.policies) > limit:
        reason = f"is less than the {len(model.policies):,} policies of the model"
        problems.add(reason, column="execution.maxPolicies", value=limit)
    problems.raise_if_any()


def _check_maturities(model: Model, problems: Problems) -> None:
    """Note endowments, unless the model accepts that they pay no maturity benefit."""
    count = int(np.count_nonzero(model.policies.are("Endowment")))
    if count and not model.config.output.accept_no_maturity:
        problems.add(
            f"is not true, and the number of endowments is {count:,}. Maturity benefits are not "
            "projected, so endowments would be valued as term insurance, which can be wrong by a "
            "multiple. Remove them, or set output.acceptNoMaturity = true to value them anyway",
            column="output.acceptNoMaturity",
        )


def _check_breakdown(model: Model, problems: Problems) -> None:
    for name in model.config.output.breakdown:
        if name not in model.policies.attributes:
            known = ", ".join(model.policies.attributes)
            problems.add(f"is not one of {known}", column="output.breakdown", value=name)
        elif len(model.policies.attributes[name].labels) > MAX_PARTS:
            reason = f"has more than {MAX_PARTS} different values to break down by"
            problems.add(reason, column="output.breakdown", value=name)


def _got(value: T | None) -> T:
    assert value is not None  # noqa: S101 - mistakes were raised before
    return value
