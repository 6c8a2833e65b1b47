"""Valuing a model: which way it goes, and what comes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.errors import EngineError
from engine.model.model import Model
from engine.model.policies import Policies
from engine.numbers.arrays import AnyArray, Floats
from engine.numbers.exact import ExactSum
from engine.numbers.parallel import in_order
from engine.valuation.cash_flows import CashFlows
from engine.valuation.discount import Curves, curves
from engine.valuation.grouped import Portfolio, portfolio
from engine.valuation.observed import FlowSums
from engine.valuation.per_policy import values
from engine.valuation.plan import Plan, all_curves

Sink = Callable[[Floats], None]
DYNAMIC_BLOCK = 256  # scenarios; keeps (groups by scenarios) in a processor's cache


@dataclass(frozen=True)
class Part:
    """The policies whose `attribute` is `word`, which has the code `code`."""

    attribute: str
    word: str
    code: int

    def mask(self, policies: Policies) -> AnyArray:
        """Which policies they are."""
        return np.asarray(policies.attributes[self.attribute].codes == self.code)


@dataclass(frozen=True)
class Valuation:
    """`npv` is the portfolio's by scenario; the rest is there when it was asked for.

    `part_npv` has a row for each of `parts`.
    """

    npv: Floats
    flows: CashFlows | None
    parts: tuple[Part, ...]
    part_npv: Floats


def value(model: Model, plan: Plan, sink: Sink | None = None) -> Valuation:
    """The portfolio's NPV in every scenario, with what the model's `output` asks for.

    `sink` gets the values by policy and scenario, block after block, in the order of the policies.

    Raises:
        HookError: a hook failed.
        RequestError: values by policy need more memory than is allowed.
        EngineError: a value is too large for a double.
    """
    if model.basis.hooks is not None:
        return _ByPolicy(model, plan, _parts(model)).run(sink)
    result = _value_groups(model, plan, _parts(model))
    if sink is not None:
        stream(model, plan, sink)
    return result


def stream(model: Model, plan: Plan, sink: Sink) -> None:
    """Give the sink the values by policy and scenario of a model without hooks."""
    discount = all_curves(model.rates, plan)
    blocks = plan.policy_ranges(len(model.policies), discount.count)

    def block_values(block: tuple[int, int]) -> Floats:
        return values(model.policies[slice(*block)], model.basis, discount)

    found = in_order(block_values, blocks, plan.threads)
    for (_, stop), matrix in zip(blocks, found, strict=True):
        sink(matrix)
        plan.progress.update("policies", stop, len(model.policies))


def _parts(model: Model) -> tuple[Part, ...]:
    """The parts that `output.breakdown` asks for; a word that no policy has is none."""
    columns = {name: model.policies.attributes[name] for name in model.config.output.breakdown}
    return tuple(
        Part(name, column.labels[code], code)
        for name, column in columns.items()
        for code in np.flatnonzero(np.bincount(column.codes)).tolist()
    )


def _value_groups(model: Model, plan: Plan, parts: Sequence[Part]) -> Valuation:
    """Portfolio and parts as groups of lives: exact totals first, then block by block."""
    whole = portfolio(model.policies, model.basis)
    masked = (model.policies[part.mask(model.policies)] for part in parts)
    portfolios: list[Portfolio] = [whole, *(portfolio(some, model.basis) for some in masked)]
    show = model.config.output.show_cashflows
    sums = whole.no_sums() if show else []

    def block_values(block: tuple[int, int]) -> tuple[Floats, list[ExactSum]]:
        part = curves(model.rates.block(*block))
        added = whole.no_sums() if show else []
        rows = [each.values(part, () if i else added) for i, each in enumerate(portfolios)]
        return np.stack(rows), added

    npv = np.empty((len(portfolios), model.rates.count))
    blocks = _scenario_plan(model, plan).scenario_ranges(model.rates.count)
    results = in_order(block_values, blocks, plan.threads)
    for (start, stop), (found, added) in zip(blocks, results, strict=True):
        npv[:, start:stop] = found
        for total, more in zip(sums, added, strict=True):
            total.merge(more)
        plan.progress.update("scenarios", stop, model.rates.count)
    _check(npv)
    flows = whole.mean_flows(sums, model.rates.count) if show else None
    return Valuation(npv[0], flows, tuple(parts), npv[1:])


def _scenario_plan(model: Model, plan: Plan) -> Plan:
    size = plan.scenario_block
    if model.basis.dynamic_lapse is not None:
        size = min(size, DYNAMIC_BLOCK)
    return Plan(plan.threads, size)


class _Sums:
    """Exact sums over policies by scenario: of all, and of each part."""

    def __init__(self, model: Model, parts: Sequence[Part]) -> None:
        self._parts = parts
        self.totals = [ExactSum((model.rates.count,)) for _ in range(len(parts) + 1)]
        self.flows = FlowSums(model.basis) if model.config.output.show_cashflows else None

    def add(self, policies: Policies, matrix: Floats) -> None:
        """Add a block of policies, values of shape (policies, scenarios)."""
        self.totals[0].add(matrix)
        for total, part in zip(self.totals[1:], self._parts, strict=True):
            mask = part.mask(policies)
            if mask.any():
                total.add(matrix[mask])

    def merge(self, other: "_Sums") -> None:
        """Add what another one has."""
        for total, more in zip(self.totals, other.totals, strict=True):
            total.merge(more)
        if self.flows is not None and other.flows is not None:
            self.flows.merge(other.flows)


class _ByPolicy:
    """The way with hooks: every policy in every scenario, added up exactly."""

    def __init__(self, model: Model, plan: Plan, parts: tuple[Part, ...]) -> None:
        self._model, self._plan, self._parts = model, plan, parts

    def run(self, sink: Sink | None) -> Valuation:
        """Value block after block of policies."""
        model, plan = self._model, self._plan
        discount = all_curves(model.rates, plan)
        blocks = plan.policy_ranges(len(model.policies), discount.count)
        sums = _Sums(model, self._parts)
        found = in_order(lambda block: self._block(block, discount), blocks, plan.threads)
        for (_, stop), (matrix, added) in zip(blocks, found, strict=True):
            sums.merge(added)
            if sink is not None:
                sink(matrix)
            plan.progress.update("policies", stop, len(model.policies))
        npv = np.stack([total.value() for total in sums.totals])
        flows = sums.flows.mean(discount.count) if sums.flows is not None else None
        return Valuation(npv[0], flows, self._parts, npv[1:])

    def _block(self, block: tuple[int, int], discount: Curves) -> tuple[Floats, _Sums]:
        policies = self._model.policies[slice(*block)]
        sums = _Sums(self._model, self._parts)
        matrix = values(policies, self._model.basis, discount, sums.flows)
        sums.add(policies, matrix)
        return matrix, sums


def _check(npv: Floats) -> None:
    if not np.isfinite(npv).all():
        raise EngineError("a value is not a finite number: the inputs overflow")
