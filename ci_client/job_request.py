"""What is asked of the server along with a project."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ci_common.secret import Secret


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What is left out is as the project's table says, or else as the server does."""

    job: str | None = None
    """A job of the project's table."""
    command: Sequence[str] | None = None
    """In place of the job's own."""
    priority: int | None = None
    """0 (lowest) to 10 (highest); orders the jobs of the tenant. The server may set a ceiling."""
    retries: int | None = None
    """How often a job whose container was lost is started again."""
    timeout: str | None = None
    """Wall clock: seconds, or a text such as 30s, 10m, 1h."""
    secrets: Sequence[Secret] = field(default=(), repr=False)
    """Given to the job, and to nobody else."""

    def to_spec(self) -> dict[str, Any]:
        """The form's part `spec`."""
        command = list(self.command) if self.command else None
        spec: dict[str, Any] = {"job": self.job, "command": command}
        for name in ("priority", "retries", "timeout"):
            if (value := getattr(self, name)) is not None:
                spec[name] = value
        return spec

    def to_secrets(self) -> dict[str, Any]:
        """The form's part `secrets`."""
        return {
            secret.name: {
                "value": base64.b64encode(secret.value).decode(),
                "environment": secret.in_environment,
            }
            for secret in self.secrets
        }
