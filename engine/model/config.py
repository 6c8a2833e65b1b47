"""What a model says about itself: `model.toml` or `livecalc.config.json`, one schema for both."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import Problems
from engine.model.settings import Section, is_number
from engine.scenarios.generator import STREAMS, RateModel

NAMES = ("model.toml", "livecalc.config.json")
MODELS = ("term_life",)
MODEL_FILE = ".mga"
INTERPOLATIONS = ("linear", "step")
DEFAULT_PERCENTILES = (0.5, 1.0, 5.0, 50.0, 75.0, 90.0, 95.0, 99.0)
DEFAULT_SEED = 42
DEFAULT_COUNT = 1000
MAX_SCENARIOS = 10_000_000
MAX_SEED = (1 << 64) - 1
MAX_MULTIPLIER = 1e15  # a rate stays at most 1; this is for the sums of expenses


@dataclass(frozen=True)
class Multipliers:
    """Factors on every mortality rate, lapse rate and expense."""

    mortality: float = 1.0
    lapse: float = 1.0
    expense: float = 1.0


@dataclass(frozen=True)
class DynamicLapse:
    """Lapse rates are multiplied by clip(1 + sensitivity·(r - reference), low, high)."""

    sensitivity: float
    reference: float
    low: float
    high: float


@dataclass(frozen=True)
class Scenarios:
    """Either `file`, or `count` scenarios made from `seed` by `stream` and `rates`.

    Of a file, `count` are the first, and None are all.
    """

    file: str | None = None
    count: int | None = None
    seed: int = DEFAULT_SEED
    stream: str = STREAMS[0]
    rates: RateModel = field(default_factory=RateModel)


@dataclass(frozen=True)
class Execution:
    """How to run; never changes a result. None is for the machine to say; memory in bytes.

    Of more than `max_policies` policies the model is refused.
    """

    threads: int | None = None
    max_memory: int | None = None
    block_size: int | None = None
    max_policies: int | None = None


@dataclass(frozen=True)
class OutputOptions:
    """What to write; `breakdown` names attributes to split the portfolio by.

    Endowments are refused unless `accept_no_maturity`: their maturity benefit is not projected.
    """

    percentiles: tuple[float, ...] = DEFAULT_PERCENTILES
    show_distribution: bool = True
    show_cashflows: bool = False
    per_policy: bool = False
    breakdown: tuple[str, ...] = ()
    accept_no_maturity: bool = False


@dataclass(frozen=True)
class Config:
    """A model's description; file names are as written, relative to the model.

    `interpolate` says how gaps in mortality and lapses are filled; `model_file` is a model of the
    desktop extension's language, which is not read.
    """

    policies: tuple[str, ...]
    assumptions: Mapping[str, str]
    scenarios: Scenarios
    multipliers: Multipliers = Multipliers()
    dynamic_lapse: DynamicLapse | None = None
    hooks: str | None = None
    execution: Execution = Execution()
    output: OutputOptions = field(default_factory=OutputOptions)
    name: str = ""
    interpolate: str | None = None
    model_file: str = ""


def load_config(root: Path) -> Config:
    """Read the model's description.

    Raises:
        ModelError: there is none, or two, or it has mistakes in it; all are named at once.
    """
    return parse_config(*load_document(root))


def load_document(root: Path) -> tuple[Any, str]:
    """The model's description, decoded and not checked, and its file's name.

    Raises:
        ModelError: there is none, or two, or it is not TOML or JSON.
    """
    found = [name for name in NAMES if (root / name).is_file()]
    if len(found) != 1:
        what = "both exist: keep one" if found else "not found: one of them describes a model"
        problems = Problems(" and ".join(NAMES))
        problems.add(what)
        problems.raise_if_any()
    return _document(root / found[0]), found[0]


def _document(path: Path) -> Any:
    problems = Problems(path.name)
    try:
        text = path.read_text(encoding="utf-8-sig")
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:  # both decoders', and UnicodeDecodeError
        problems.add(f"cannot be read: {error}")
        problems.raise_if_any()
        raise


def parse_config(document: Any, name: str) -> Config:
    """Check a decoded description; `name` is the file's."""
    problems = Problems(name)
    top = Section(document, "", problems)
    model_file = _model_file(top)
    for note in ("$schema", "description", "version"):
        top.take(note)
    name = top.take("name")
    assumptions = top.section("assumptions", required=True)
    interpolate = assumptions.choice("interpolate", INTERPOLATIONS)
    config = Config(
        policies=top.texts("policies", required=True),
        assumptions=_assumptions(assumptions),
        scenarios=_scenarios(top.section("scenarios", required=True)),
        multipliers=_multipliers(top.section("multipliers")),
        dynamic_lapse=_dynamic_lapse(top.section("dynamicLapse")),
        hooks=_hooks(top),
        execution=_execution(top.section("execution")),
        output=_output(top.section("output")),
        name=name if isinstance(name, str) else "",
        interpolate=interpolate,
        model_file=model_file,
    )
    top.nothing_else()
    problems.raise_if_any()
    return config


def _model_file(top: Section) -> str:
    """The name of a model in the desktop extension's language, or nothing."""
    value = top.take("model", required=True)
    if isinstance(value, str) and value.lower().endswith(MODEL_FILE):
        return value
    if value is not None and value not in MODELS:
        top.note("model", f"is not one of {', '.join(MODELS)}, *{MODEL_FILE}", value)
    return ""


def _assumptions(section: Section) -> dict[str, str]:
    names = ("mortality", "lapse", "expenses")
    files = {name: section.text(name, required=True) for name in names}
    section.nothing_else()
    return {name: file for name, file in files.items() if file is not None}


def _scenarios(section: Section) -> Scenarios:
    file = section.text("file")
    if file is not None:
        section.nothing_else()
        return Scenarios(file=file)
    count = section.whole("count", DEFAULT_COUNT, 1, MAX_SCENARIOS)
    seed = section.whole("seed", DEFAULT_SEED, 0, MAX_SEED)
    stream = section.choice("rng", STREAMS)
    rates = _rate_model(section.section("interestRate"))
    section.nothing_else()
    seed = DEFAULT_SEED if seed is None else seed
    return Scenarios(None, count, seed, stream or STREAMS[0], rates)


def _rate_model(section: Section) -> RateModel:
    default = RateModel()
    model = RateModel(
        section.number("initial", default.initial, -0.99, 10.0),
        section.number("drift", default.drift, -10.0, 10.0),
        section.number("volatility", default.volatility, 0.0, 10.0),
        section.number("minRate", default.low, -0.99, 10.0),
        section.number("maxRate", default.high, -0.99, 10.0),
    )
    if model.low > model.high:
        section.note("minRate", "is above maxRate", model.low)
    section.nothing_else()
    return model


def _multipliers(section: Section) -> Multipliers:
    values = [
        section.number(n, 1.0, 0.0, MAX_MULTIPLIER) for n in ("mortality", "lapse", "expense")
    ]
    section.nothing_else()
    return Multipliers(*values)


def _dynamic_lapse(section: Section) -> DynamicLapse | None:
    enabled = section.flag("enabled", True)
    if section.empty:
        return None
    dynamic = DynamicLapse(
        section.number("sensitivity", 0.0, -1e6, 1e6, required=True),
        section.number("referenceRate", 0.0, -1.0, 10.0, required=True),
        section.number("minMultiplier", 0.0, 0.0, MAX_MULTIPLIER, required=True),
        section.number("maxMultiplier", 0.0, 0.0, MAX_MULTIPLIER, required=True),
    )
    if dynamic.low > dynamic.high:
        section.note("minMultiplier", "is above maxMultiplier", dynamic.low)
    section.nothing_else()
    return dynamic if enabled else None


def _hooks(top: Section) -> str | None:
    value = top.take("hooks")
    if value is None or (isinstance(value, str) and value):
        return value
    section = Section(value, "hooks", top.problems)
    file = section.text("file", required=True)
    section.nothing_else()
    return file


def _execution(section: Section) -> Execution:
    execution = Execution(
        section.whole("threads", None, 1, 1024),
        memory_size(section, "maxMemory"),
        section.whole("blockSize", None, 1, 1 << 30),
        section.whole("maxPolicies", None, 1, 1 << 62),
    )
    section.flag("autoRunOnSave", False)  # these two are for the desktop extension's editor
    section.whole("timeout", None, 1, 1 << 30)
    section.nothing_else()
    return execution


def memory_size(section: Section, key: str) -> int | None:
    """Bytes, as a number or as a text like 512M."""
    value = section.take(key)
    try:
        return None if value is None else parse_size(str(value))
    except ValueError as error:
        section.note(key, str(error), value)
        return None


def parse_size(text: str) -> int:
    """Bytes of "1048576", "1024K", "512M" or "2G"."""
    units = {"K": 10, "M": 20, "G": 30}
    text = text.strip().upper().removesuffix("B").removesuffix("I")
    digits, shift = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 0)
    if not digits.isascii() or not digits.isdigit() or int(digits) < 1:
        raise ValueError("is not a size in bytes like 512M")
    return int(digits) << shift


def _output(section: Section) -> OutputOptions:
    output = OutputOptions(
        _percentiles(section),
        section.flag("showDistribution", True),
        section.flag("showCashflows", False),
        section.flag("perPolicy", False),
        section.texts("breakdown"),
        section.flag("acceptNoMaturity", False),
    )
    section.nothing_else()
    return output


def _percentiles(section: Section) -> tuple[float, ...]:
    values = section.take("percentiles")
    if values is None:
        return DEFAULT_PERCENTILES
    if not isinstance(values, list) or not all(is_number(v) and 0 <= v <= 100 for v in values):
        section.note("percentiles", "is not a list of numbers from 0 to 100", values)
        return DEFAULT_PERCENTILES
    return tuple(sorted({float(value) for value in values}))
