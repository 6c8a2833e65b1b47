"""Settings of the package scanner."""

import shlex
from typing import Annotated

from pydantic import AfterValidator, Field

from ci_common.settings.command_line import checked_command
from ci_common.settings.environment import EnvironmentSettings


def _command(value: str | None) -> str | None:
    if value is None:
        return None
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    return checked_command(value)


class ScanSettings(EnvironmentSettings):
    """Which program looks at packages before they are accepted."""

    scan_command: Annotated[str | None, AfterValidator(_command)] = None
    """Command that scans every package, such as `clamdscan --fdpass -`; unset: none does."""
    scan_timeout_seconds: float = Field(default=45, gt=0, le=1800)
    """Timeout of a scan, with the time it waits for others; clients wait 60 s for an answer."""
    max_scans: int = Field(default=3, ge=1, le=64)
    """Maximum number of scans at once, for each server process; of one tenant about half."""

    @property
    def scan_argv(self) -> tuple[str, ...] | None:
        """`scan_command`, word by word."""
        return tuple(shlex.split(self.scan_command)) if self.scan_command else None
