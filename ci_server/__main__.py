"""`python -m ci_server`: the server with the options it is best run with."""

import argparse

import uvicorn

GRACEFUL_SHUTDOWN_SECONDS = 5


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m ci_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    uvicorn.run(
        "ci_server.app:app",
        host=options.host,
        port=options.port,
        workers=options.workers,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
    )


if __name__ == "__main__":
    main()
