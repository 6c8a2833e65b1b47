"""Which server to talk to, and who we are to it.

The server is the first that is set of: an explicit address, `CI_SERVER_URL`, `server` in the
configuration file (TOML, `~/.ci/config`), and at last the address of a server on this machine. The
API key is the first of: an explicit one, `CI_API_KEY`, `api_key` in the configuration file, which,
where the file names a server, is for that server only.
"""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci_client.errors import ConfigError

DEFAULT_SERVER = "http://localhost:8000"
CONFIG_FILE = Path("~/.ci/config")
_KEYS = ("server", "api_key")

_ALLOW_HTTP = "CI_ALLOW_HTTP"
_TRUE = ("1", "true", "yes", "on")


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """What a user asked for explicitly; `None` leaves it to the environment and the file."""

    server_url: str | None = None
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What a client must know before it can ask anything."""

    server_url: str
    """Without a slash at the end."""
    api_key: str | None = field(default=None, repr=False)
    """Never to be shown."""
    server_option: str = ""
    """What `ci` must be told elsewhere to reach the same server: ` --server URL`, or nothing."""


def load_config(server_url: str | None = None, api_key: str | None = None) -> ClientConfig:
    """The configuration in force, given what was asked for explicitly.

    Raises:
        ConfigError: the configuration file cannot be read, has a key that means nothing, or others
            can read the API key in it; the address or the key is not one; or the key would be sent
            where everybody can read it.
    """
    asked_for = (server_url, os.environ.get("CI_SERVER_URL"))
    api_key = api_key or os.environ.get("CI_API_KEY")
    file = {} if any(asked_for) and api_key else _read_file()
    named = _text(file, "server", DEFAULT_SERVER)
    url = _normal_url(*_chosen(asked_for, named))
    if not api_key and (stored := _text(file, "api_key", "ci_...")):
        is_meant = named is None or _origin(_normal_url(named, str(CONFIG_FILE))) == _origin(url)
        api_key = stored if is_meant else None
    key = _checked_key(api_key) if api_key else None
    if key is not None and not _may_see_key(url):
        raise ConfigError(
            f"The API key was not sent, because anyone on the way to {url} could read it. Use an "
            f"https:// address, or, in a network you trust, set {_ALLOW_HTTP}=true."
        )
    return ClientConfig(url, key, _server_option(server_url, url, named))


def _read_file() -> dict[str, Any]:
    path = _config_path()
    if path is None:
        return {}
    import tomllib

    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            table = tomllib.loads(file.read().decode())
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, str(error)) from None
    except UnicodeDecodeError:
        raise _unreadable(path, "it is not UTF-8") from None
    except OSError as error:
        raise _unreadable(path, str(error)) from error
    if "api_key" in table and os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"{path} holds an API key, and others on this machine can read it. Run: "
            f"chmod 600 {path} (and, if others may have read it, get a new key)."
        )
    _check_keys(path, table)
    return table


def _check_keys(path: Path, table: dict[str, Any]) -> None:
    unknown = [name for name in table if name not in _KEYS]
    if unknown:
        raise ConfigError(
            f"{path}: unknown key {', '.join(map(repr, unknown))}, which would have no effect. "
            f"Known are {' and '.join(map(repr, _KEYS))}. Correct the name, or remove the line."
        )


def _unreadable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"Cannot read {path}: {why}. Fix or delete the file.")


def _config_path() -> Path | None:
    try:
        path = CONFIG_FILE.expanduser()
    except RuntimeError:  # an account without a home directory
        return None
    return path if path.exists() else None


def _chosen(asked_for: tuple[str | None, str | None], named: str | None) -> tuple[str, str]:
    """The address, and where it was said."""
    option, variable = asked_for
    if option:
        return option, "--server"
    if variable:
        return variable, "CI_SERVER_URL"
    return named or DEFAULT_SERVER, str(CONFIG_FILE)


def _text(file: dict[str, Any], name: str, example: str) -> str | None:
    value = file.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f'{_config_path()}: `{name}` must be a string such as "{example}".')
    return value or None


def _checked_key(text: str) -> str:
    # What a header cannot carry would come back in somebody's error message, key and all.
    key = text.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ConfigError(
            "The API key is malformed: it must be a single word of ASCII characters. Keys are "
            "looked up in this order: --api-key, CI_API_KEY, `api_key` in ~/.ci/config."
        )
    return key


def _server_option(option: str | None, url: str, named: str | None) -> str:
    # The variable may be set in this terminal only; the file and the default are everywhere.
    if not option and url == _normal_url(named or DEFAULT_SERVER, str(CONFIG_FILE)):
        return ""
    import shlex

    return f" --server {shlex.quote(url)}"


def _may_see_key(url: str) -> bool:
    """Whether nobody else can read what is sent there, or the user does not mind."""
    from urllib.parse import urlsplit

    from ci_common.addresses import is_loopback

    parts = urlsplit(url)
    if parts.scheme == "https" or is_loopback(parts.hostname or ""):
        return True
    return os.environ.get(_ALLOW_HTTP, "").strip().lower() in _TRUE


def _origin(url: str) -> tuple[str, str | None, int]:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _is_host(name: str | None) -> bool:
    """Whether the name service can be asked for it: it refuses labels that are empty or long."""
    return bool(name) and all(0 < len(part) < 64 for part in str(name).rstrip(".").split("."))


def _normal_url(text: str, said_in: str) -> str:
    from urllib.parse import urlsplit

    url = text.strip()
    if "://" not in url:
        url = f"http://{url}"
    url = url.rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.port != 0 and _is_host(parts.hostname)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise ConfigError(
            f"{said_in}: {text!r} is not the address of a server; it should look like "
            f"{DEFAULT_SERVER}."
        )
    return url
