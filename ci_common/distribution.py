"""The installed distribution. It is slow to ask: programs whose start has to be quick do not."""

from importlib.metadata import PackageNotFoundError, version

from ci_common.installation import DISTRIBUTION


def installed_version() -> str:
    """The version of the installed package, or `unknown` where it runs without being installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
