"""A container's health check, for engines that run a command in it: exit code 0 is healthy."""

import http.client
import os
import sys

SECONDS = 4.0


def main() -> int:
    """Ask the worker in this container, whatever proxies the environment names."""
    port = int(os.environ.get("PORT") or 3000)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/health")
        return 0 if connection.getresponse().status == http.HTTPStatus.OK else 1
    except (OSError, http.client.HTTPException) as error:
        print(f"port {port}: {error}", file=sys.stderr)
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
