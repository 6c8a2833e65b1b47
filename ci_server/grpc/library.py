"""What grpc has to find in the environment before it is imported."""

import os
from importlib import import_module
from importlib.util import find_spec

from ci_common.errors import SettingsError

_ENVIRONMENT = {
    # Its fork handlers break every open stream when the server starts a process.
    "GRPC_ENABLE_FORK_SUPPORT": "0",
    # There is no setting for the lowest version of TLS. These suites are of TLS 1.2, and with the
    # server's EC key none of them can be used: what is left is TLS 1.3, which has its own.
    "GRPC_SSL_CIPHER_SUITES": "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
}

_DEFAULTS = {
    # It writes to stderr by itself, a line for each connection that fails, and waits for readers.
    "GRPC_VERBOSITY": "NONE",
}

_MODULES = ("grpc", "grpc_health", "grpc_reflection", "google.protobuf")


def prepare() -> None:
    """Let grpc be imported. Raises SettingsError where it is not installed."""
    missing = [name for name in _MODULES if not _is_installed(name)]
    if missing:
        raise SettingsError(
            f"CI_GRPC_CERTS is set, but {', '.join(missing)} is not installed, which the Job "
            "Worker service needs: pip install 'ci-runner[grpc]', or unset CI_GRPC_CERTS"
        )
    os.environ.update({**_DEFAULTS, **os.environ, **_ENVIRONMENT})
    try:
        import_module("ci_common.worker_api.worker_pb2_grpc")
    except Exception as error:  # they compare versions, and raise what they please
        raise SettingsError(
            f"CI_GRPC_CERTS is set, but grpcio or protobuf cannot be used: {error} "
            "(pip install --upgrade 'ci-runner[grpc]')"
        ) from error


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a module within a package that is not there either
        return False
