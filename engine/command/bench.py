"""How fast this machine is: made-up portfolios, the best and the median of several runs."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from engine.model.config import DynamicLapse, Execution, parse_config
from engine.model.model import Model, load_model
from engine.model.policies import load_policies
from engine.parity.golden_set import DEFAULT_CONFIG, GOLDEN
from engine.parity.portfolio import write_portfolio
from engine.valuation.machine import peak_memory
from engine.valuation.plan import Plan, make_plan
from engine.valuation.valuation import stream, value

REPEATS = 5
SCENARIOS = 1000
TABLES = ("mortality.csv", "lapse.csv", "expenses.csv")


@dataclass(frozen=True)
class Timing:
    """Seconds of one thing, repeated; `peak` is the process's memory so far, in bytes."""

    name: str
    best: float
    median: float
    peak: int | None


def bench(execution: Execution, *, quick: bool = False) -> Iterator[Timing]:
    """Measure loading, and the ways of valuing; `quick` leaves out the million policies."""
    plan = make_plan(execution)
    with tempfile.TemporaryDirectory(prefix="engine-bench-") as directory:
        root = Path(directory)
        for table in TABLES:
            (root / table).write_bytes((GOLDEN / "term_life_100x10" / table).read_bytes())
        write_portfolio(root / "policies.csv", 10_000)
        small = _model(root)
        lapse = replace(small.basis, dynamic_lapse=DynamicLapse(5.0, 0.04, 0.5, 2.0))
        dynamic = replace(small, basis=lapse)
        yield timed("dynamic lapse, 10,000 x 1,000", lambda: value(dynamic, plan))
        yield timed("by policy, 10,000 x 1,000", lambda: stream(small, plan, _drop))
        yield timed("by policy, dynamic lapse", lambda: stream(dynamic, plan, _drop))
        for count in (100_000,) if quick else (100_000, 1_000_000):
            yield from _large(root, count, plan)


def _large(root: Path, count: int, plan: Plan) -> Iterator[Timing]:
    path = root / "policies.csv"
    write_portfolio(path, count)
    files = [(path, path.name)]
    yield timed(f"load {count:,} from CSV", lambda: load_policies(files, threads=plan.threads))
    model = _model(root)
    yield timed(f"portfolio, {count:,} x 1,000", lambda: value(model, plan))


def timed(name: str, work: Callable[[], object], repeats: int = REPEATS) -> Timing:
    """Time some work several times."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return Timing(name, min(seconds), statistics.median(seconds), peak_memory())


def table(timing: Timing) -> str:
    """One line of a table."""
    return (
        f"{timing.name:<34} best {timing.best:7.3f} s  median {timing.median:7.3f} s  "
        f"peak {(timing.peak or 0) >> 20:5} MiB"
    )


def document(timings: list[Timing]) -> dict[str, Any]:
    """All of them, for machines."""
    return {"timings": [asdict(timing) for timing in timings]}


def _model(root: Path) -> Model:
    settings = DEFAULT_CONFIG | {"scenarios": {"count": SCENARIOS}}
    return load_model(root, parse_config(settings, "bench"))


def _drop(rows: object) -> None:
    pass
