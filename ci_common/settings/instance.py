"""Where an instance is: what each of its programs has to know."""

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
    """The SQLite database. Made when missing; an empty file is fine."""
    data_dir: Path | None = None
    """Where packages, logs and caches live; by default beside the database."""
    min_free_disk_mb: int = Field(default=512, ge=0)
    """The disk floor: with less free space in the data directory uploads are refused."""
    disk_reserve_mb: int = Field(default=16, ge=0)
    """What logs and artifacts leave of the data directory's disk to the database."""
    secret_key: Annotated[SecretStr | None, AfterValidator(_secret_keys)] = None
    """Keys that encrypt secrets, separated by commas; unset means a file of the data directory."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """How much the server tells on stderr."""

    @property
    def secret_keys(self) -> str | None:
        """The value of `secret_key`."""
        return self.secret_key.get_secret_value() if self.secret_key else None

    @property
    def data_path(self) -> Path:
        """The data directory in force."""
        return self.data_dir or self.db_path.with_name(self.db_path.name + ".data")
