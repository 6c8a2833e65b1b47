"""The real `ci-admin` beside a server that runs."""

import subprocess
import sys

import httpx


def admin(server, *arguments):
    """`ci-admin` with the server's settings; what it did."""
    return subprocess.run(
        [sys.executable, "-m", "ci_admin", *map(str, arguments)],
        cwd=server.directory,
        env=server.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def succeed(server, *arguments):
    """The same; its standard output, when all went well."""
    done = admin(server, *arguments)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def create_user(server, email="ann@example.com", *options):
    succeed(server, "user", "create", "--email", email, "--name", email.partition("@")[0], *options)


def create_key(server, email="ann@example.com", *options):
    """A new key, as `KEY=$(ci-admin key create ...)` has it."""
    out = succeed(server, "key", "create", "--email", email, "--name", "a key", *options)
    return out.removesuffix("\n")


class Caller:
    """Somebody with a key, or, with `None`, with nothing."""

    def __init__(self, server, key):
        self._url = server.url
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def ask(self, method, path, **options):
        return httpx.request(
            method,
            f"{self._url}{path}",
            headers=self._headers,
            timeout=60,
            trust_env=False,
            **options,
        )

    def status(self, path="/jobs", method="GET"):
        return self.ask(method, path).status_code

    def submit(self, form):
        answer = self.ask("POST", "/submit-async", **form)
        assert answer.status_code == 200, answer.text
        return answer.json()["job_id"]
