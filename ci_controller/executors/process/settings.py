"""The settings of the process executor."""

from ci_common.settings import EnvironmentSettings


class ProcessSettings(EnvironmentSettings):
    """It has none of its own."""
