"""The instance's database, data directory and keys: what all of its programs need."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from ci_common.secret import decoded_key
from ci_common.settings.environment import EnvironmentSettings


def _secret_keys(value: SecretStr | None) -> SecretStr | None:
    if value and value.get_secret_value():
        for key in value.get_secret_value().split(","):
            decoded_key(key)
    return value


class InstanceSettings(EnvironmentSettings):
    """The database, the files beside it, and their keys."""

    db_path: Path = Path("ci_jobs.db")
    """The SQLite database. Created if missing; an empty file is fine."""
    data_dir: Path | None = None
    """Directory of packages, logs and caches; by default beside the database."""
    min_free_disk_mb: int = Field(default=512, ge=0)
    """Minimum free disk space of the data directory, in MiB; below it, uploads are refused."""
    disk_reserve_mb: int = Field(default=16, ge=0)
    """Disk space, in MiB, that logs and artifacts leave free for the database."""
    secret_key: Annotated[SecretStr | None, AfterValidator(_secret_keys)] = None
    """Keys that encrypt secrets, separated by commas; unset means a file of the data directory."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Log level."""

    @property
    def secret_keys(self) -> str | None:
        """The value of `secret_key`."""
        return self.secret_key.get_secret_value() if self.secret_key else None

    @property
    def data_path(self) -> Path:
        """The data directory in force."""
        return self.data_dir or self.db_path.with_name(self.db_path.name + ".data")
