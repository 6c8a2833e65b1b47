"""One attempt to send a webhook: over TLS, to the address that was checked."""

import ipaddress
import socket
import ssl
import threading

import pytest
from standardwebhooks import Webhook

from ci_common.deliveries import OF_JOBS, Message
from ci_common.job import utc_now
from ci_common.notify_targets import Channel, NotifyPolicy
from ci_common.webhook_signing import secret_text
from ci_controller.delivery import webhooks
from ci_controller.delivery.reachable import Reachable
from ci_controller.delivery.webhooks import WebhookSender
from support.receivers import DROP, Answer, Receiver
from support.server_certificates import make_certificate

pytestmark = pytest.mark.anyio

KEY = b"k" * 32
ANY_HOST = NotifyPolicy(("*",))


class Keys:
    async def signing_keys(self, message, now):
        return [KEY]


class Names:
    """A name server that gives another answer each time."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, host, port, type):
        found = self.answers.pop(0)
        return [(socket.AF_INET, type, 6, "", (address, port)) for address in found]


def sender(names, *, certificate=None, policy=ANY_HOST):
    trusted = ssl.create_default_context(cafile=certificate)
    networks = [ipaddress.ip_network("127.0.0.0/8")]
    return WebhookSender(Keys(), Reachable(networks, names), policy, utc_now, trusted)


def message(url, owner="wh_1"):
    return Message(
        "msg_1", "acme", owner, Channel.WEBHOOK, url, "wh_1", "ci.test", None, {"type": "ci.test"}
    )


async def test_the_name_is_verified_at_the_address_that_was_checked(tmp_path):
    certificate = make_certificate(tmp_path, "hooks.test")
    # The second answer would be used by whoever resolves the name again.
    names = Names(["127.9.9.9", "127.0.0.1"], ["10.0.0.1"])
    with Receiver(certificate=certificate) as receiver:
        url = f"https://hooks.test:{receiver.port}/a?b=c"
        attempt = await sender(names, certificate=certificate).send(message(url))
        assert (attempt.delivered, attempt.status_code) == (True, 200), attempt.error
        (request,) = receiver.received
        assert request.headers["host"] == f"hooks.test:{receiver.port}"
        assert request.path == "/a?b=c"
        Webhook(secret_text(KEY)).verify(request.body, request.headers)
        other = f"https://other.test:{receiver.port}/"
        attempt = await sender(Names(["127.0.0.1"]), certificate=certificate).send(message(other))
        assert (attempt.delivered, "CERTIFICATE_VERIFY_FAILED" in attempt.error) == (False, True)
        assert len(receiver.received) == 1


async def test_what_receivers_do_wrong(monkeypatch):
    never = threading.Event()
    answers = {
        "500: \ufffd[2Jno x": Answer(500, body=b"\x1b[2Jno\r\nx"),
        "4": Answer(418, body=b"z" * 100_000),
        "not followed": Answer(307, {"location": "http://127.0.0.1/"}),
        "connection": DROP,
        "within 0.5 s": None,
    }

    def answer(request):
        found = list(answers.values())[int(request.path.strip("/"))]
        return never.wait(30) if found is None else found

    with Receiver(answer) as receiver:
        for number, words in enumerate(answers):
            if words.startswith("within"):
                monkeypatch.setattr(webhooks, "_SECONDS", 0.5)
            attempt = await sender(Names(["127.0.0.1"])).send(message(f"{receiver.url}/{number}"))
            assert (attempt.delivered, attempt.final) == (False, False)
            assert words in attempt.error
            assert len(attempt.error) < 300
        never.set()
    monkeypatch.undo()
    attempt = await sender(Names(["127.0.0.1"])).send(message(receiver.url))
    assert "connection failed" in attempt.error


async def test_what_an_operator_no_longer_allows():
    strict = sender(Names(), policy=NotifyPolicy(("a.test",)))
    attempt = await strict.send(message("https://b.test/", OF_JOBS))
    assert (attempt.final, "CI_NOTIFY_HOSTS" in attempt.error) == (True, True)


async def test_inside_jobs_call_only_hosts_that_the_operator_names():
    with Receiver() as receiver:
        url = f"http://inside.test:{receiver.port}/"
        anywhere = sender(Names(["127.0.0.1"], ["127.0.0.1"]))
        attempt = await anywhere.send(message(url.replace("http:", "https:"), OF_JOBS))
        assert (attempt.final, "`*` does not name it" in attempt.error) == (True, True)
        assert receiver.received == []
        assert (await anywhere.send(message(url))).delivered, "a webhook is the operator's"
        for pattern in ("inside.test", "*.test"):
            named = sender(Names(["127.0.0.1"]), policy=NotifyPolicy(("*", pattern)))
            assert (await named.send(message(url, OF_JOBS))).delivered
