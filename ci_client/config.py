"""Which server to talk to.

The first that is set wins: an explicit address, `CI_SERVER_URL`, `server` in the configuration
file (TOML, `~/.ci/config`), and at last the address of a server on this machine.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from ci_client.errors import ConfigError

DEFAULT_SERVER = "http://localhost:8000"
CONFIG_FILE = Path("~/.ci/config")


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a client must know before it can ask anything."""

    server_url: str
    """Without a slash at the end."""


def load_config(server_url: str | None = None) -> ClientConfig:
    """The configuration in force, given what was asked for explicitly.

    Raises:
        ConfigError: the configuration file cannot be read, or the address is not one.
    """
    if server_url:
        return ClientConfig(_normal_url(server_url, "--server"))
    if from_environment := os.environ.get("CI_SERVER_URL"):
        return ClientConfig(_normal_url(from_environment, "CI_SERVER_URL"))
    return ClientConfig(_normal_url(_configured_server() or DEFAULT_SERVER, str(CONFIG_FILE)))


def _configured_server() -> str | None:
    path = _config_path()
    if path is None:
        return None
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"Cannot read {path}: {error}. Mend the file, or remove it.") from error
    server = table.get("server")
    if server is not None and not isinstance(server, str):
        raise ConfigError(f'{path}: `server` must be a string such as "{DEFAULT_SERVER}".')
    return server


def _config_path() -> Path | None:
    try:
        path = CONFIG_FILE.expanduser()
    except RuntimeError:  # an account without a home directory
        return None
    return path if path.exists() else None


def _normal_url(text: str, said_in: str) -> str:
    from urllib.parse import urlsplit

    url = text.strip()
    if "://" not in url:
        url = f"http://{url}"
    url = url.rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise ConfigError(
            f"{said_in}: {text!r} is not the address of a server; it should look like "
            f"{DEFAULT_SERVER}."
        )
    return url
