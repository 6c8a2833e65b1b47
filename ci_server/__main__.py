"""`python -m ci_server`: the server with the options it is best run with."""

import argparse
import asyncio
import errno
import logging.config
import os
import socket
import sys
from typing import Any

from ci_common.installation import needing

with needing("server", "python -m ci_server"):
    import uvicorn

    from ci_common.addresses import is_loopback
    from ci_common.errors import RunnerError
    from ci_common.settings import Settings
    from ci_server.connections import uvicorn_shape
    from ci_server.greeting import greeting
    from ci_server.telemetry.log_output import uvicorn_config
    from ci_server.wiring.access import has_identities
    from ci_server.wiring.instance import (
        check_database_location,
        load_settings,
        misspelled_settings,
    )

GRACEFUL_SHUTDOWN_SECONDS = 5

_NO_USERS = """\
ci_server: refusing to listen on {host}: this server has no users yet, so
anyone who can reach it over the network could run commands on this machine.
Either

  1. create a user and a key, and start again. From then on every request needs
     a key:

         ci-admin user create --email you@example.com --name You
         ci-admin key create --email you@example.com --name laptop --role admin

     The server speaks plain HTTP: put a TLS-terminating reverse proxy in
     front of it.

  2. or accept connections from this machine only: omit --host, or give
     --host 127.0.0.1.
     Requests through a reverse proxy are refused as long as there is no user.

Both the server and ci-admin use this database (CI_DB_PATH):
{database}
To let anyone who can reach {host} run commands here, add --insecure."""
"""Both ways are tried by a test, as they are printed."""

_OF_ALL: dict[str, Any] = {
    "proxy_headers": False,  # auth.addresses reads them, and knows whom to believe
    "timeout_graceful_shutdown": GRACEFUL_SHUTDOWN_SECONDS,
    "http": "ci_server.connections.protocol:BoundedHttpProtocol",
    "ws": "none",  # the class above brings its own, with bounds
    "server_header": False,
}
"""Options of uvicorn, however the server is started."""

_LARGEST_PORT = 65535
_WHY_NOT = {
    errno.EADDRINUSE: "another program uses this port; stop it, or choose another port with --port",
    errno.EACCES: "this user is not permitted to use this port; choose 1024 or higher with --port",
    errno.EADDRNOTAVAIL: "this machine does not have this address; choose another with --host",
}

WORKER_START_SECONDS = 60
"""A worker that does not answer its parent for so long is replaced. It cannot before it has loaded
the program, and on a busy machine that takes longer than the five seconds that uvicorn gives it:
workers would be killed and started for ever.
"""


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m ci_server",
        description="Run the CI server. Its other settings are environment variables: see "
        "docs/configuration.md.",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=_port, default=8000, help="port to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="number of processes (default: %(default)s)"
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="accept other machines without authentication: anyone who can reach the server has "
        "full access",
    )
    parser.add_argument(
        "--ephemeral",
        action="store_true",
        help="for programs such as `ci run`: serve until stdin ends, then remove everything",
    )
    options = parser.parse_args()
    if options.insecure:
        os.environ["CI_INSECURE"] = "true"  # the workers read it, too
    try:
        settings = load_settings()
        uvicorn_shape.check()
    except RunnerError as error:
        sys.exit(f"ci_server: {error.message}")
    if options.ephemeral:
        sys.exit(_serve_a_program(settings))
    try:
        check_database_location(settings)
        identified = asyncio.run(has_identities(settings))
    except RunnerError as error:
        sys.exit(f"ci_server: the server cannot start: {error.message}")
    for name, meant in misspelled_settings(os.environ).items():
        _say(f"ci_server: {name} is not a setting and is ignored; did you mean {meant}?", settings)
    if not is_loopback(options.host):
        _refuse_to_be_open_by_accident(options.host, settings, identified=identified)
    if options.port:
        _check_port(options.host, options.port)
        about = greeting(settings, options.host, options.port, has_identities=identified)
        _say(asyncio.run(about), settings)
    uvicorn.run(
        "ci_server.app:app",
        host=options.host,
        port=options.port,
        workers=options.workers,
        timeout_worker_healthcheck=WORKER_START_SECONDS,
        log_config=uvicorn_config(settings.log_format) or uvicorn.config.LOGGING_CONFIG,
        **_OF_ALL,
    )


def _say(text: str, settings: Settings) -> None:
    """Tell whoever started the server; as a line of the log where every line is one."""
    if settings.log_format == "json":
        logging.config.dictConfig(uvicorn_config("json") or {})
        logging.getLogger("ci_server").info("%s", text.strip())
    else:
        print(text, file=sys.stderr, flush=True)


def _serve_a_program(settings: Settings) -> int:
    """The exit code."""
    from ci_server.app import app
    from ci_server.ephemeral import serve

    try:
        return serve(settings, app, lambda: uvicorn.Config(app, log_config=None, **_OF_ALL))
    except RunnerError as error:
        sys.exit(f"ci_server: {error.message}")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= _LARGEST_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number from 0 to {_LARGEST_PORT}")
    return int(text)


def _check_port(host: str, port: int) -> None:
    """Exit with a word if nobody can listen there: uvicorn would say it among other lines."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        why = _WHY_NOT.get(error.errno or 0, f"{error.strerror}; choose another with --host")
        sys.exit(f"ci_server: cannot listen on {host}, port {port}: {why}")


def _refuse_to_be_open_by_accident(host: str, settings: Settings, *, identified: bool) -> None:
    """Exit with a word, unless callers have to prove who they are or the operator insists."""
    if settings.environment == "development":
        sys.exit(
            f"ci_server: refusing to listen on {host}: CI_ENVIRONMENT=development is for this "
            "machine only. Listen on 127.0.0.1, or leave CI_ENVIRONMENT at production"
        )
    if identified:
        return
    if not settings.insecure:
        sys.exit(_NO_USERS.format(host=host, database=settings.db_path.absolute()))
    _say(
        f"ci_server: --insecure without users: anyone who can reach {host} can run commands here",
        settings,
    )


if __name__ == "__main__":
    main()
