"""What the launch of a job takes time for."""

from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import override


class LaunchStage(StrEnum):
    """Only what may take long; whatever else a launch does is done at once."""

    PULLING = "pulling"
    """The engine fetches the container image."""
    INSTALLING = "installing"
    """The project's requirements are installed."""
    RETRYING = "retrying"
    """The engine failed at it, and it is tried again."""


@dataclass(frozen=True, slots=True)
class LaunchStep:
    """Where a launch is."""

    stage: LaunchStage
    tries: int = 0
    """The number of the try that follows; only of `RETRYING`."""

    @override
    def __str__(self) -> str:
        """As it is stored."""
        return f"{self.stage.value} {self.tries}" if self.tries else self.stage.value

    @classmethod
    def parse(cls, text: str | None) -> "LaunchStep | None":
        """Read what `str` returned; `None` for nothing, and for what another version may write."""
        stage, _, tries = (text or "").partition(" ")
        if stage not in set(LaunchStage) or not (tries.isdecimal() or not tries):
            return None
        return cls(LaunchStage(stage), int(tries or 0))
