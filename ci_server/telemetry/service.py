"""What the server calls itself."""

from importlib.metadata import PackageNotFoundError, version

SERVICE = "ci-runner"


def service_version() -> str:
    """The version of the installed package, or `unknown` where it runs without being installed."""
    try:
        return version(SERVICE)
    except PackageNotFoundError:
        return "unknown"


VERSION = service_version()
