"""`ci whoami`: who we are to the server, and why it is this server and this key."""

import json

from ci_client.command import exit_codes
from ci_client.command.caller_display import LOCAL, caller_details, caller_document
from ci_client.command.connecting import connect, tell_of_server
from ci_client.command.display import say
from ci_client.errors import ClientError
from ci_client.library.config import ClientConfig, ServerChoice


def whoami(server: ServerChoice, as_json: bool) -> int:
    """Ask the server, and show what it says; the exit code."""
    with connect(server) as client:
        if client.config.passed_over is not None:
            tell_of_server(client.config)
        try:
            caller = client.whoami()
        except ClientError:
            _say_sources(client.config)
            raise
        if as_json:
            print(json.dumps(caller_document(client.config, caller), indent=2), flush=True)
            return exit_codes.PASSED
        print(caller_details(client.config, caller), flush=True)
        if not caller:
            say("The server is too old to report who you are, but it accepts your requests.")
        elif caller["credential"] == LOCAL:
            say(
                "The server has no users and needs no key: anyone who can reach it has full access."
            )
        return exit_codes.PASSED


def _say_sources(config: ClientConfig) -> None:
    say(caller_details(config, {}))
