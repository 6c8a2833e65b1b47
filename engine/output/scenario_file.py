"""Writing interest rate scenarios: the wide CSV that a model reads, or numpy's format."""

import sys
from collections.abc import Iterator
from pathlib import Path

from engine.errors import RequestError
from engine.numbers.parallel import ranges
from engine.output.matrix_file import MatrixFile
from engine.output.results import write
from engine.scenarios.rates import WIDE_YEARS, Rates

BLOCK = 1024


def write_scenarios(rates: Rates, path: Path | None) -> None:
    """Write to a file by its ending, or CSV to standard output; numbers in shortest form.

    Raises:
        RequestError: the ending is neither .csv nor .npy.
    """
    if path is None:
        for text in _csv(rates):
            sys.stdout.write(text)
    elif path.suffix == ".csv":
        write(path, lambda file: file.writelines(text.encode() for text in _csv(rates)))
    elif path.suffix == ".npy":
        with MatrixFile(path, (rates.count, len(WIDE_YEARS))) as file:
            for block in ranges(rates.count, BLOCK):
                file.append(rates.block(*block))
    else:
        raise RequestError(f"{path}: scenarios are written as .csv or .npy")


def _csv(rates: Rates) -> Iterator[str]:
    yield f"scenario_id,{','.join(WIDE_YEARS)}\n"
    for start, stop in ranges(rates.count, BLOCK):
        block = rates.block(start, stop).tolist()
        lines = (f"{i},{','.join(map(repr, row))}\n" for i, row in enumerate(block, start + 1))
        yield "".join(lines)
