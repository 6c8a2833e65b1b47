"""One run of a model: read, value, write, and say how long it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import RequestError
from engine.model.cautions import cautions
from engine.model.config import Config, load_config
from engine.model.model import Model, load_model
from engine.model.package import opened
from engine.model.policies import Policies
from engine.numbers.arrays import Floats
from engine.numbers.distribution import Statistics, count_below_zero, summarize
from engine.output.matrix_file import MatrixFile
from engine.output.results import (
    check_place,
    result_document,
    statistics_document,
    write_array,
    write_json,
)
from engine.valuation.cash_flows import CashFlows
from engine.valuation.machine import peak_memory
from engine.valuation.plan import Plan, make_plan
from engine.valuation.progress import Progress, Silent
from engine.valuation.valuation import Part, Valuation, value

RESULTS, NPV, TIMINGS = "results.json", "npv.npy", "timings.json"
BY_POLICY, FLOWS, BREAKDOWN = "policy_npv.npy", "cash_flows.json", "breakdown.json"


@dataclass(frozen=True)
class Run:
    """What a run gave. `document` is the canonical result; `timings` are seconds by phase.

    `name` is what the model calls itself, or what its directory or zip is called; it may be empty.
    `losing` is the number of policies with a mean NPV below zero, if values by policy were made.
    """

    name: str
    config: Config
    policies: Policies
    valuation: Valuation
    statistics: Statistics
    losing: int | None
    document: dict[str, Any]
    timings: dict[str, Any]


@dataclass(frozen=True)
class Request:
    """Where a model is, what replaces its description's settings, and where results go."""

    path: Path
    changes: "Changes"
    output: Path | None = None
    allow_hooks: bool = True


@dataclass(frozen=True)
class Changes:
    """Settings of the command line; None leaves what the model says."""

    scenarios: int | None = None
    seed: int | None = None
    threads: int | None = None
    max_memory: int | None = None
    block_size: int | None = None
    mortality: float | None = None
    lapse: float | None = None
    expense: float | None = None
    per_policy: bool = False

    def apply(self, config: Config) -> Config:
        """The description with these settings in it.

        Raises:
            RequestError: a seed for scenarios that come from a file.
        """
        if self.seed is not None and config.scenarios.file is not None:
            raise RequestError(f"--seed: the scenarios are those of {config.scenarios.file}")
        multipliers = {"mortality": self.mortality, "lapse": self.lapse, "expense": self.expense}
        execution = {
            "threads": self.threads,
            "max_memory": self.max_memory,
            "block_size": self.block_size,
        }
        return replace(
            config,
            scenarios=replace(
                config.scenarios, **_given({"count": self.scenarios, "seed": self.seed})
            ),
            multipliers=replace(config.multipliers, **_given(multipliers)),
            execution=replace(config.execution, **_given(execution)),
            output=replace(config.output, per_policy=config.output.per_policy or self.per_policy),
        )


def run(
    request: Request,
    progress: Progress | None = None,
    on_start: Callable[[Path, Config], None] | None = None,
) -> Run:
    """Do it all. Files are written whole, `results.json` last. `on_start` is given the model's
    directory and description, before anything else of it is read.

    Raises:
        EngineError: one of its kinds; nothing is written then but what was finished before.
    """
    if request.output is not None:
        _check_output(request.output)
    progress = progress or Silent()
    clock = _Clock()
    with opened(request.path) as root:
        config = request.changes.apply(load_config(root))
        plan = make_plan(config.execution, progress)
        if on_start is not None:
            on_start(root, config)
        progress.update("load", 0, 1)
        with clock.phase("load"):
            model = load_model(root, config, threads=plan.threads, allow_hooks=request.allow_hooks)
        progress.update("load", 1, 1)
        with clock.phase("value"):
            by_policy = _ByPolicy(model, request.output) if config.output.per_policy else None
            valuation = _value(model, plan, by_policy)
    with clock.phase("summarize"):
        statistics = summarize(valuation.npv, config.output.percentiles)
        document = result_document(
            statistics,
            valuation.npv,
            len(model.policies),
            show_distribution=config.output.show_distribution,
            warnings=cautions(model),
        )
    timings = clock.seconds | {"threads": plan.threads, "peak_memory_bytes": peak_memory()}
    losing = by_policy.losing if by_policy else None
    name = config.name or request.path.name.removesuffix(".zip")
    result = Run(name, config, model.policies, valuation, statistics, losing, document, timings)
    if request.output is not None:
        write_outputs(result, request.output)
    return result


def _check_output(output: Path) -> None:
    """Refuse a directory that could not take the results, before the work is done."""
    for name in (RESULTS, NPV, TIMINGS, BY_POLICY, FLOWS, BREAKDOWN):
        check_place(output / name)


def _value(model: Model, plan: Plan, by_policy: "_ByPolicy | None") -> Valuation:
    if by_policy is None:
        return value(model, plan)
    with by_policy.file or nullcontext():
        return value(model, plan, by_policy.take)


class _ByPolicy:
    """Takes values by policy: counts the losing ones, and writes them if there is an output."""

    def __init__(self, model: Model, output: Path | None) -> None:
        shape = (len(model.policies), model.rates.count)
        self.file = MatrixFile(output / BY_POLICY, shape) if output else None
        self.losing = 0

    def take(self, rows: Floats) -> None:
        """Take the next policies' values, shape (policies, scenarios)."""
        self.losing += count_below_zero(rows)
        if self.file is not None:
            self.file.append(rows)


def write_outputs(result: Run, output: Path) -> None:
    """Write everything there is to write."""
    write_array(output / NPV, result.valuation.npv)
    if result.valuation.flows is not None:
        write_json(output / FLOWS, cash_flow_document(result.valuation.flows))
    if result.valuation.parts:
        write_json(output / BREAKDOWN, breakdown_document(result))
    write_json(output / TIMINGS, result.timings)
    write_json(output / RESULTS, result.document)


def cash_flow_document(flows: CashFlows) -> dict[str, list[float]]:
    """Expected, undiscounted flows, each a list of 50 years."""
    return {
        "policies": flows.policies.tolist(),
        "premium": flows.premium.tolist(),
        "claims": flows.claims.tolist(),
        "expenses": flows.expenses.tolist(),
        "net": flows.net.tolist(),
    }


def breakdown_document(result: Run) -> dict[str, dict[str, Any]]:
    """Statistics by attribute and word."""
    document: dict[str, dict[str, Any]] = {}
    for part, npv in zip(result.valuation.parts, result.valuation.part_npv, strict=True):
        entry = _part_document(part, npv, result)
        document.setdefault(part.attribute, {})[part.word] = entry
    return document


def _part_document(part: Part, npv: Floats, result: Run) -> dict[str, Any]:
    statistics = summarize(npv, result.config.output.percentiles)
    return {
        "policy_count": int(part.mask(result.policies).sum()),
        "statistics": statistics_document(statistics),
    }


class _Clock:
    """Seconds of phases, by a clock that only goes forward."""

    def __init__(self) -> None:
        self.seconds: dict[str, Any] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[f"{name}_seconds"] = time.perf_counter() - start


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
