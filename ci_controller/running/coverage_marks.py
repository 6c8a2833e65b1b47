"""The lines, or the branches, of one file of source, each of which counts once."""

from array import array
from collections.abc import Iterator

from ci_controller.running.report_xml import BadReportError

_MOST = 200_000
"""In one file of source. The longest that people wrote have half as many."""

_FEW = 256


class CoverageMarks:
    """Numbers, each with the greatest of the values that it was given.

    A report may name a line again and again, and its content is a job's: so what is added takes
    eight bytes, and what is repeated is merged whenever it may be half of all.
    """

    __slots__ = ("_limit", "_packed", "_value_bits")

    def __init__(self, value_bits: int) -> None:
        """A number and its value have 64 bits together, of which the value has so many."""
        self._value_bits = value_bits
        self._packed = array("Q")
        self._limit = _FEW

    def add(self, number: int, value: int) -> None:
        """Raises BadReportError when there are too many numbers."""
        self._packed.append(number << self._value_bits | value)
        if len(self._packed) > self._limit:
            self._merge()

    def values(self) -> Iterator[int]:
        """One for each number. Raises BadReportError when there are too many."""
        self._merge()
        mask = (1 << self._value_bits) - 1
        return (packed & mask for packed in self._packed)

    def _merge(self) -> None:
        best: dict[int, int] = {}
        for packed in self._packed:
            number = packed >> self._value_bits
            if packed > best.get(number, -1):
                best[number] = packed
        if len(best) > _MOST:
            raise BadReportError(f"a file of source has more than {_MOST} lines or branches")
        self._packed = array("Q", best.values())
        self._limit = 2 * len(best) + _FEW
