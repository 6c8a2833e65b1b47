"""The version of this client."""

from importlib.metadata import PackageNotFoundError, version

from ci_common.installation import DISTRIBUTION


def client_version() -> str:
    """That of the installed package, or `(not installed)` where it runs from its sources."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "(not installed)"
