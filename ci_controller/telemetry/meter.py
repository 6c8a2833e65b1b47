"""Where a controller tells what its ticks take."""

from typing import Protocol

from typing_extensions import override


class TickMeter(Protocol):
    """Takes note; never raises."""

    def ticked(self, seconds: float, error: Exception | None) -> None:
        """A tick took so long, and was ended by this error, if by any."""


class _NoMeter(TickMeter):
    @override
    def ticked(self, seconds: float, error: Exception | None) -> None:
        """Nobody wants to know."""


NO_METER = _NoMeter()
