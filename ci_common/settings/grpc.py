"""Settings of the Job Worker service (gRPC)."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from ci_common.settings.environment import EnvironmentSettings

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


def _address(value: str) -> str:
    found = _ADDRESS.fullmatch(value)
    if found is None or not 0 < int(found[2]) < 65536:
        raise ValueError("must be a host and a port, such as 0.0.0.0:50051 or [::1]:50051")
    return value


class GrpcSettings(EnvironmentSettings):
    """Its address and certificates."""

    grpc_address: Annotated[str, AfterValidator(_address)] = "0.0.0.0:50051"
    """Host and port of the Job Worker service."""
    grpc_certs: Path | None = None
    """Directory created by `job-worker certs init`; unset means that the service is off."""
    grpc_revoked: Path | None = None
    """File with the serial numbers of revoked certificates; unset: revoked.txt in `grpc_certs`."""
