"""How a model is run: threads, block sizes, memory. None of it changes a bit of the result."""

from dataclasses import dataclass, field

import numpy as np

from engine.errors import RequestError
from engine.horizon import YEARS
from engine.model.config import Execution
from engine.numbers.parallel import AHEAD, in_order, ranges
from engine.scenarios.rates import Rates
from engine.valuation.discount import Curves, curves
from engine.valuation.machine import memory
from engine.valuation.machine import threads as usable_threads
from engine.valuation.progress import Progress, Silent

SCENARIO_BLOCK = 1024
POLICY_BLOCK = 4096
DOUBLE = 8


@dataclass(frozen=True)
class Plan:
    """Sizes are numbers of scenarios, of policies, and bytes."""

    threads: int = 1
    scenario_block: int = SCENARIO_BLOCK
    policy_block: int = POLICY_BLOCK
    max_memory: int = 1 << 30
    progress: Progress = field(default_factory=Silent)

    def scenario_ranges(self, count: int) -> list[tuple[int, int]]:
        """Blocks of scenarios."""
        return ranges(count, self.scenario_block)

    def policy_ranges(self, policies: int, scenarios: int) -> list[tuple[int, int]]:
        """Blocks of policies whose values, all that are in hand at once, fit into memory.

        Raises:
            RequestError: not even one policy a block does.
        """
        in_hand = AHEAD * self.threads + 2
        room = self.max_memory - curves_size(scenarios)
        rows = room // (in_hand * max(1, scenarios) * DOUBLE)
        if rows < 1:
            needed = curves_size(scenarios) + in_hand * scenarios * DOUBLE
            raise RequestError(
                f"values by policy of {scenarios} scenarios need {-(-needed >> 10):,} KiB on "
                f"{self.threads} threads, of which {self.max_memory >> 10:,} are allowed: use a "
                "larger --max-memory, or fewer threads or scenarios"
            )
        return ranges(policies, self._even(policies, min(self.policy_block, rows)))

    def _even(self, count: int, largest: int) -> int:
        """A size, `largest` at most, of which every thread gets the same number."""
        blocks = -(-count // largest)
        blocks = -(-blocks // self.threads) * self.threads
        return max(1, -(-count // blocks))


def make_plan(execution: Execution, progress: Progress | None = None) -> Plan:
    """Fill in what the model leaves open."""
    return Plan(
        threads=usable_threads(execution),
        scenario_block=execution.block_size or SCENARIO_BLOCK,
        policy_block=execution.block_size or POLICY_BLOCK,
        max_memory=memory(execution),
        progress=progress or Silent(),
    )


def curves_size(scenarios: int) -> int:
    """Bytes of rates and discount factors."""
    return 2 * YEARS * scenarios * DOUBLE


def all_curves(rates: Rates, plan: Plan) -> Curves:
    """Rates and discount factors of every scenario, in memory."""
    result = Curves(np.empty((YEARS, rates.count)), np.empty((YEARS, rates.count)))

    def fill(block: tuple[int, int]) -> int:
        part = curves(rates.block(*block))
        result.rates[:, slice(*block)] = part.rates
        result.factors[:, slice(*block)] = part.factors
        return block[1]

    for done in in_order(fill, plan.scenario_ranges(rates.count), plan.threads):
        plan.progress.update("discount", done, rates.count)
    return result
