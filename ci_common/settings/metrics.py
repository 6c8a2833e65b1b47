"""Settings of `/metrics`."""

from typing import Literal

from ci_common.settings.environment import EnvironmentSettings


class MetricsSettings(EnvironmentSettings):
    """Who may read the metrics, and what they tell of tenants."""

    metrics: Literal["loopback", "operators", "everyone", "off"] = "loopback"
    """Who may read `/metrics`. `loopback`: programs of this machine, and operators with a key."""
    metrics_tenants: bool = False
    """Whether the metrics of jobs and of stored bytes have a label `tenant`."""
