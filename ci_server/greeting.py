"""What `python -m ci_server` says when it starts: where it is, for whom, and what to do next."""

import asyncio
from urllib.parse import urlsplit

from ci_common.errors import RunnerError
from ci_common.settings import Settings
from ci_server.wiring.instance import what_jobs_run_in

_DEFAULT_PORT = 8000
"""Where clients look that are told nothing."""

_ENGINE_SECONDS = 5.0


async def greeting(settings: Settings, host: str, port: int, *, has_identities: bool) -> str:
    """Lines for people, the last with its line end."""
    url = url_of(host, port)
    rows = {
        "jobs": await _jobs(settings),
        "for": _callers(settings, has_identities=has_identities),
        "data": str(settings.db_path.absolute()),
        "try": _next(url, port, has_identities=has_identities),
        "open": f"{url}/ in a browser",
    }
    lines = [f"ci_server at {url} (Ctrl-C stops it)"]
    return "\n".join([*lines, *(f"  {name:<5} {text}" for name, text in rows.items()), ""])


def url_of(host: str, port: int) -> str:
    """Of this machine."""
    named = f"[{host}]" if ":" in host else host
    return f"http://{named}:{port}"


async def _jobs(settings: Settings) -> str:
    if settings.controller == "external":
        return "started by `python -m ci_controller` (CI_CONTROLLER=external)"
    try:
        async with asyncio.timeout(_ENGINE_SECONDS):
            return f"run in {await what_jobs_run_in(settings)}"
    except (RunnerError, TimeoutError) as error:
        why = str(error) or f"the container engine did not respond within {_ENGINE_SECONDS:g} s"
        return f"wait: {why}"


def _callers(settings: Settings, *, has_identities: bool) -> str:
    if not has_identities:
        if settings.insecure:
            return "anyone who can reach it, without a key (--insecure)"
        return (
            "programs on this machine, without a key; `ci-admin user create` turns on "
            "authentication"
        )
    others = {
        f"JWTs of {settings.jwt_issuer}": settings.jwt_issuer,
        "the Identity-Aware Proxy": settings.iap_audience or settings.trusted_proxies,
    }
    return " and ".join(["users with an API key", *(name for name, on in others.items() if on)])


def _next(url: str, port: int, *, has_identities: bool) -> str:
    is_default = port == _DEFAULT_PORT and urlsplit(url).hostname in ("127.0.0.1", "localhost")
    where = "" if is_default else f"CI_SERVER_URL={url} "
    key = "CI_API_KEY=... " if has_identities else ""
    return f"{where}{key}ci submit, in a project's directory"
