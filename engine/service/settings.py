"""Settings of the worker, from the environment. An empty variable is one that is not set."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import RequestError
from engine.service.access import Access
from engine.service.keys import Keys, check_url
from engine.service.limits import memory_of_models
from engine.service.tokens import Expected

DEFAULT_PORT = 8750
DEFAULT_GRACE_SECONDS = 25
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
SHORTEST_TOKEN = 16
LEAST_MEMORY_MB = 128
SECRETS = ("ENGINE_TOKEN",)


@dataclass(frozen=True)
class Settings:
    """`memory` in bytes, None is no limit; `grace` is how many seconds a model has to end after
    SIGTERM.
    """

    port: int
    log_level: int
    memory: int | None
    grace: float
    access: Access


def read_settings(environment: Mapping[str, str], container: int | None = None) -> Settings:
    """All of them; `container` is the memory of the container, in bytes.

    Raises:
        RequestError: one is not what it has to be.
    """
    megabytes = _whole(environment, "MAX_MEMORY_MB", LEAST_MEMORY_MB, 1 << 30)
    grace = _whole(environment, "ENGINE_GRACE_SECONDS", 0, 86_400)
    port = _whole(environment, "PORT", 0, 65_535)
    return Settings(
        port=DEFAULT_PORT if port is None else port,
        log_level=_level(environment.get("LOG_LEVEL") or "INFO"),
        memory=memory_of_models(container) if megabytes is None else megabytes << 20,
        grace=DEFAULT_GRACE_SECONDS if grace is None else grace,
        access=_access(environment),
    )


def _access(environment: Mapping[str, str]) -> Access:
    token = environment.get("ENGINE_TOKEN") or None
    if token is not None and (len(token) < SHORTEST_TOKEN or not _is_plain(token)):
        raise RequestError(
            f"ENGINE_TOKEN must have at least {SHORTEST_TOKEN} printable ASCII characters and no "
            "spaces"
        )
    url = environment.get("ENGINE_JWKS_URL") or None
    if url is None:
        return Access(token)
    check_url(url)
    issuer, audience = (environment.get(f"ENGINE_JWT_{name}") for name in ("ISSUER", "AUDIENCE"))
    if not issuer or not audience:
        raise RequestError(
            "ENGINE_JWKS_URL needs ENGINE_JWT_ISSUER and ENGINE_JWT_AUDIENCE: without them, tokens "
            "for other services would be accepted"
        )
    return Access(token, Keys(url), Expected(issuer, audience))


def _is_plain(text: str) -> bool:
    return all("!" <= letter <= "~" for letter in text)


def _level(name: str) -> int:
    if name.upper() not in LEVELS:
        raise RequestError(f"LOG_LEVEL is {name!r}, and must be one of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[name.upper()]


def _whole(environment: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1
    if not low <= number <= high:
        raise RequestError(f"{name} is {text!r}, and must be an integer from {low} to {high}")
    return number
