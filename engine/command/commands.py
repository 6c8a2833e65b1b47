"""The command line: what can be asked for, and how it is answered."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from engine.command.service_commands import add_bench, add_parity, add_serve
from engine.errors import EngineError, ModelError, RequestError
from engine.model.assets import assets_of
from engine.model.cautions import cautions
from engine.model.config import (
    MAX_MULTIPLIER,
    MAX_SCENARIOS,
    MAX_SEED,
    Config,
    load_config,
    parse_size,
)
from engine.model.model import load_model
from engine.model.package import opened
from engine.output import plot
from engine.output.packaging import write_package
from engine.output.report import report
from engine.output.results import canonical
from engine.output.run import Changes, Request, run
from engine.output.scenario_file import write_scenarios
from engine.scenarios.generator import STREAMS, GeneratedRates, RateModel
from engine.valuation import capabilities
from engine.valuation.progress import INITIALIZED_PREFIX, for_stream

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 is success, see `engine.errors` for the rest."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except EngineError as error:
        print(f"{error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stdout = None  # nobody reads; do not fail again at exit
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except MemoryError:
        print("out of memory: use fewer scenarios, or a smaller --max-memory", file=sys.stderr)
        return EngineError.exit_code
    except OSError as error:
        print(f"{error.filename or 'input or output'}: {error.strerror}", file=sys.stderr)
        return EngineError.exit_code
    return status


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    top = Parser(prog="python -m engine", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="value a model"))
    validate = commands.add_parser("validate", help="check a model without valuing it")
    validate.add_argument("model", type=Path)
    validate.set_defaults(command=_validate)
    _add_package(commands.add_parser("package", help="create a zip of a model, with a manifest"))
    _add_scenarios(commands.add_parser("scenarios", help="write generated interest rates"))
    able = commands.add_parser("capabilities", help="show what numpy can use on this machine")
    able.set_defaults(command=_capabilities)
    add_parity(commands.add_parser("parity", help="compare results between environments"))
    add_bench(commands.add_parser("bench", help="benchmark this machine"))
    add_serve(commands.add_parser("serve", help="run a small HTTP worker"))
    return top


def _add_run(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("model", type=Path, help="the model: a directory, or a zip of one")
    add("--scenarios", type=_Whole(1, MAX_SCENARIOS), metavar="N", help="number of scenarios")
    add("--seed", type=_Whole(0, MAX_SEED), help="seed of generated scenarios")
    add("--threads", type=_Whole(1, 1024), metavar="N", help="number of threads")
    add("--max-memory", type=_size, metavar="SIZE", help="for values by policy, e.g. 512M")
    add(
        "--block-size", type=_Whole(1, 1 << 30), metavar="N", help="policies or scenarios per block"
    )
    add("--per-policy", action="store_true", help="values by policy, written with --output")
    for name in ("mortality", "lapse", "expense"):
        effect = f"multiply {name} by X (overrides the model)"
        add(f"--{name}-mult", type=_multiplier, metavar="X", help=effect)
    add("--output", type=Path, metavar="DIR", help="write results.json, npv.npy, timings.json")
    add("--plot", type=Path, metavar="FILE", help="draw the distribution, PNG or SVG")
    add("--json", action="store_true", help="print results.json instead of a table")
    command.set_defaults(command=_run)


def _add_package(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", type=Path, metavar="DIR", help="the directory of a model")
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="default: DIR.zip in the current directory"
    )
    command.set_defaults(command=_package)


def _add_scenarios(command: argparse.ArgumentParser) -> None:
    default = RateModel()
    add = command.add_argument
    add("model", type=Path, nargs="?", help="use the settings of this model")
    add("--count", "--scenarios", type=_Whole(1, MAX_SCENARIOS), metavar="N", help="default 1000")
    add("--seed", type=_Whole(0, MAX_SEED), help="default 42")
    add("--rng", choices=STREAMS, help="random number generator, default philox")
    add("--initial", type=float, help=f"default {default.initial}")
    add("--drift", type=float, help=f"default {default.drift}")
    add("--volatility", type=float, help=f"default {default.volatility}")
    add("--min-rate", dest="low", type=float, help=f"default {default.low}")
    add("--max-rate", dest="high", type=float, help=f"default {default.high}")
    add("--output", type=Path, metavar="FILE", help=".csv or .npy; default: stdout, as CSV")
    command.set_defaults(command=_scenarios)


def _run(options: argparse.Namespace) -> int:
    if options.plot is not None:
        plot.check(options.plot)
    changes = Changes(
        scenarios=options.scenarios,
        seed=options.seed,
        threads=options.threads,
        max_memory=options.max_memory,
        block_size=options.block_size,
        mortality=options.mortality_mult,
        lapse=options.lapse_mult,
        expense=options.expense_mult,
        per_policy=options.per_policy,
    )
    with redirect_stdout(sys.stderr):  # what hooks print is not the result
        on_start = None if sys.stderr.isatty() else _say_what_is_valued
        result = run(Request(options.model, changes, options.output), for_stream(), on_start)
    if options.plot is not None:
        plot.draw(result, options.plot)
    print(canonical(result.document).decode() if options.json else report(result))
    return 0


def _say_what_is_valued(root: Path, config: Config) -> None:
    """One line for programs that watch, as those of progress are."""
    try:
        assets = assets_of(root, config)
    except (ModelError, OSError):
        return  # whoever reads the files next says what is wrong with them
    told = {
        "pipelineId": config.name or None,
        "assetsHash": assets.sha256,
        "nodeCount": assets.count,
    }
    line = json.dumps(told, separators=(",", ":"))
    print(f"{INITIALIZED_PREFIX}{line}", file=sys.stderr, flush=True)


def _validate(options: argparse.Namespace) -> int:
    with opened(options.model) as root, redirect_stdout(sys.stderr):
        model = load_model(root)
    for warning in cautions(model):
        print(f"Warning: {warning}", file=sys.stderr)
    print(f"valid: {len(model.policies):,} policies, {model.rates.count:,} scenarios")
    return 0


def _package(options: argparse.Namespace) -> int:
    target = options.output or Path(f"{options.model.resolve().name}.zip")
    with redirect_stdout(sys.stderr):
        model, manifest = write_package(options.model, target)
    for warning in cautions(model):
        print(f"Warning: {warning}", file=sys.stderr)
    for asset in manifest["assets"]:
        print(f"{asset['hash']}  {asset['relativePath']}")
    print(f"{target}: {len(manifest['assets'])} files, {target.stat().st_size:,} bytes")
    return 0


def _scenarios(options: argparse.Namespace) -> int:
    settings = load_settings(options)
    rates = GeneratedRates(*settings)
    write_scenarios(rates, options.output)
    return 0


def load_settings(options: argparse.Namespace) -> tuple[RateModel, int, int, str]:
    """The generator's parameters: the model's, if one is named, then the command line's."""
    scenarios = None
    if options.model is not None:
        with opened(options.model) as root:
            scenarios = load_config(root).scenarios
        if scenarios.file is not None:
            raise RequestError(f"{options.model} reads its scenarios from {scenarios.file}")
    base = scenarios.rates if scenarios else RateModel()
    names = ("initial", "drift", "volatility", "low", "high")
    given = {n: getattr(options, n) for n in names if getattr(options, n) is not None}
    model = replace(base, **given)
    check_rate_model(model)
    count = options.count or (scenarios.count if scenarios else None) or 1000
    seed = options.seed if options.seed is not None else scenarios.seed if scenarios else 42
    return model, count, seed, options.rng or (scenarios.stream if scenarios else STREAMS[0])


def check_rate_model(model: RateModel) -> None:
    """Refuse parameters for which a model's description would be refused.

    Raises:
        RequestError: with what is wrong.
    """
    numbers = (model.initial, model.drift, model.volatility, model.low, model.high)
    in_range = all(math.isfinite(n) and -10 <= n <= 10 for n in numbers)
    if not in_range or min(model.initial, model.low) < -0.99 or model.volatility < 0:
        raise RequestError("a parameter of the generator is out of range")
    if model.low > model.high:
        raise RequestError("--min-rate is above --max-rate")


def _capabilities(_: argparse.Namespace) -> int:
    print(json.dumps(capabilities.capabilities(), indent=2))
    return 0


class Parser(argparse.ArgumentParser):
    """Tells what is wrong with a command line before how one is written."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2; the reason, then the usage, on standard error."""
        self.exit(2, f"{self.prog}: error: {message}\n\n{self.format_usage()}")


class _Whole:
    """A whole number in a range, for argparse."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> int:
        """The number, or argparse's kind of error."""
        try:
            number = int(text)
        except ValueError:
            number = self._low - 1
        if not self._low <= number <= self._high:
            _refuse(f"{text!r} is not an integer from {self._low} to {self._high}")
        return number


def _multiplier(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= MAX_MULTIPLIER:
        _refuse(f"{text!r} is not a number from 0 to {MAX_MULTIPLIER:g}")
    return number


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        _refuse(f"{text!r} {error}")


def _refuse(reason: str) -> NoReturn:
    raise argparse.ArgumentTypeError(reason)
