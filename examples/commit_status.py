"""Receives webhooks of a CI server, and sets the status of the commit on GitHub, GitLab or Gitea.

    WEBHOOK_SECRET=whsec_... FORGE_TOKEN=... python commit_status.py github --repository acme/app

It needs Python 3.11 and nothing else. See docs/how-to/set-commit-statuses.md.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST_BYTES = 1 << 20
MOST_SECONDS = 300
FORGE_SECONDS = 10
"""The CI server waits 15 seconds for an answer."""

APIS = {
    "github": "https://api.github.com",
    "gitlab": "https://gitlab.com/api/v4",
    "gitea": "https://gitea.com/api/v1",
}
STATES = {  # of each forge: running, passed, failed, and ended in another way
    "github": ("pending", "success", "failure", "error"),
    "gitlab": ("running", "success", "failed", "canceled"),
    "gitea": ("pending", "success", "failure", "error"),
}
COMMIT = re.compile("[0-9a-f]{7,64}")
GITLAB_HAS_IT = "Cannot transition status"
"""What GitLab says, with 400, when the status is already what it is to be."""


class Refused(Exception):
    """The message is not from the CI server."""


def verified(secret, headers, body, now=None):
    """The message in a body. Raises Refused unless it was signed with the secret just now."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = f"{message_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    given = [
        signature.partition(",")[2]
        for signature in headers.get("webhook-signature", "").split()
        if signature.startswith("v1,")
    ]
    if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in given):
        raise Refused("no valid signature")
    if abs((time.time() if now is None else now) - int(timestamp)) > MOST_SECONDS:
        raise Refused("too old")
    return json.loads(body)


def repository_of(remote):
    """`owner/name` of https://host/owner/name.git, ssh://host:22/owner/name, host:owner/name."""
    path = urllib.parse.urlsplit(remote).path if "://" in remote else remote.partition(":")[2]
    return path.strip("/").removesuffix(".git")


def status_of(forge, message):
    """Repository, commit, and the status to set; None if the message is about none."""
    data = message["data"]
    if message["type"] not in ("job.started", "job.finished") or not data.get("job"):
        return None
    labels, facts = data["job"]["labels"], data["facts"]
    # Whoever submits a job chooses its labels, and `..` would be another place of the forge's API.
    if not COMMIT.fullmatch(labels.get("git.commit", "")) or labels.get("git.dirty") == "true":
        return None
    running, passed, failed, other = STATES[forge]
    if message["type"] == "job.started":
        state, description = running, "running"
    elif facts["status"] == "completed":
        state = passed if facts["exit_code"] == 0 else failed
        description = facts["message"]
    else:
        state, description = other, facts["message"]
    status = {
        "state": state,
        "description": description[:140],
        "context": f"ci/{data['job']['name']}",
    }
    if data["job"]["url"]:
        status["target_url"] = data["job"]["url"]
    return repository_of(labels.get("git.remote", "")), labels["git.commit"], status


def request_of(forge, api, token, repository, commit, status):
    """The request that sets a status."""
    quoted = urllib.parse.quote(repository, safe="" if forge == "gitlab" else "/")
    sha = urllib.parse.quote(commit, safe="")
    path = f"projects/{quoted}" if forge == "gitlab" else f"repos/{quoted}"
    name, value = {
        "github": ("Authorization", f"Bearer {token}"),
        "gitlab": ("PRIVATE-TOKEN", token),
        "gitea": ("Authorization", f"token {token}"),
    }[forge]
    return urllib.request.Request(  # noqa: S310 - the operator's
        f"{api.rstrip('/')}/{path}/statuses/{sha}",
        json.dumps(status).encode(),
        {"Content-Type": "application/json", "User-Agent": "ci-commit-status", name: value},
        method="POST",
    )


def set_status(forge, request):
    """Send a request. Raises OSError, such as urllib.error.HTTPError."""
    try:
        with urllib.request.urlopen(request, timeout=FORGE_SECONDS) as answer:  # noqa: S310
            answer.read()
    except urllib.error.HTTPError as error:
        told = error.read(MOST_BYTES).decode(errors="replace")
        if not (forge == "gitlab" and error.code == 400 and GITLAB_HAS_IT in told):
            raise


class Receiver(BaseHTTPRequestHandler):
    """Answers webhooks: 204 when there is nothing left to do, 502 to get the message again."""

    options = None
    secret = token = ""
    timeout = 30

    def do_POST(self):
        """A webhook."""
        given = self.headers.get("content-length", "")
        if not given.isdecimal():
            return self.answer(411, "no length")
        length = int(given)
        if length > MOST_BYTES:
            return self.answer(413, "too large")
        try:
            message = verified(self.secret, self.headers, self.rfile.read(length))
        except (Refused, ValueError) as error:
            return self.answer(401, str(error))
        found = status_of(self.options.forge, message)
        if found is None:
            return self.answer(204)
        repository, commit, status = found
        if repository not in self.options.repository:
            # Whoever submits a job chooses its labels, but not where this token may write.
            return self.answer(204, f"{repository!r} is not listed with --repository")
        options = self.options
        request = request_of(options.forge, options.api, self.token, repository, commit, status)
        try:
            set_status(options.forge, request)
        except OSError as error:
            return self.answer(502, f"{options.forge} did not set the status: {error}")
        return self.answer(
            204, f"{repository} {commit[:12]} {status['context']}: {status['state']}"
        )

    def answer(self, code, words=""):
        """End the request; the words are for the CI server's operator, and for this log."""
        content = b"" if code == 204 else words.encode()
        self.send_response_only(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        if words:
            print(code, words, file=sys.stderr, flush=True)


def main():
    """Read the arguments, and receive webhooks without end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("forge", choices=APIS)
    parser.add_argument("--repository", action="append", required=True, metavar="OWNER/NAME")
    parser.add_argument("--api", help="base URL of the API")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8091)
    options = parser.parse_args()
    options.api = options.api or APIS[options.forge]
    Receiver.options = options
    try:
        Receiver.secret, Receiver.token = os.environ["WEBHOOK_SECRET"], os.environ["FORGE_TOKEN"]
    except KeyError as error:
        parser.error(f"the environment variable {error.args[0]} is not set")
    server = ThreadingHTTPServer((options.host, options.port), Receiver)
    print(f"listening on {options.host}:{server.server_port}", file=sys.stderr, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
