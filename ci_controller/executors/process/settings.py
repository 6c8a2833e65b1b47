"""The settings of the process executor."""

from ci_common.settings import EnvironmentSettings


class ProcessSettings(EnvironmentSettings):
    """There are none of its own."""
