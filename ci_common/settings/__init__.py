"""The settings of server and controller, one class for each part that uses them.

`Settings` is all of them, but for those that an executor has of its own. Code that needs one part
takes that part's class. The client's are in `ci_client.library.config`.
"""

from ci_common.settings.connections import ConnectionSettings
from ci_common.settings.controller import ControllerSettings
from ci_common.settings.delivery import DeliverySettings
from ci_common.settings.environment import EnvironmentSettings, read_settings
from ci_common.settings.executors import ExecutorSettings
from ci_common.settings.grpc import GrpcSettings
from ci_common.settings.identities import IdentitySettings
from ci_common.settings.instance import InstanceSettings
from ci_common.settings.jobs import JobSettings
from ci_common.settings.metrics import MetricsSettings
from ci_common.settings.runs import RunSettings
from ci_common.settings.scanning import ScanSettings
from ci_common.settings.server import ServerSettings
from ci_common.settings.sessions import SessionSettings
from ci_common.settings.telemetry import TelemetrySettings
from ci_common.settings.traffic import TrafficSettings

__all__ = [
    "ConnectionSettings",
    "ControllerSettings",
    "DeliverySettings",
    "EnvironmentSettings",
    "ExecutorSettings",
    "GrpcSettings",
    "IdentitySettings",
    "InstanceSettings",
    "JobSettings",
    "MetricsSettings",
    "RunSettings",
    "ScanSettings",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "TelemetrySettings",
    "TrafficSettings",
    "read_settings",
]


class Settings(
    TelemetrySettings,
    MetricsSettings,
    DeliverySettings,
    GrpcSettings,
    SessionSettings,
    IdentitySettings,
    TrafficSettings,
    ConnectionSettings,
    RunSettings,
    ScanSettings,
    JobSettings,
    ExecutorSettings,
    ControllerSettings,
    ServerSettings,
    InstanceSettings,
):
    """What a composition root reads. Problems are reported from the last class to the first."""
