"""Webhooks from a real server to real receivers, administered by the real `ci-admin`."""

import asyncio
import json
import threading

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from ci_common.deliveries import OF_JOBS, Subscription, new_subscription_id
from ci_common.job import utc_now
from ci_common.job_events import JobEventKind
from ci_common.notify_targets import Channel
from ci_common.webhook_signing import new_signing_key, secret_text
from ci_persistence.database.database import Database
from ci_persistence.files.secret_keys import SecretKeys
from ci_persistence.sqlite.subscriptions import SqliteSubscriptions
from support import projects
from support.administration import admin, succeed
from support.command_line import CommandLine
from support.receivers import DROP, Answer, Receiver
from support.waiting import until_sync

LOOPBACK = {"webhook_networks": "127.0.0.0/8"}


@pytest.fixture
def make_server(own_server, python_for_jobs):
    def make(**settings):
        return own_server(python=python_for_jobs, executor="process", **settings)

    return make


def add(server, url, *options):
    """A webhook; its id and its secret."""
    done = admin(server, "webhook", "add", url, *options)
    assert done.returncode == 0, done.stderr
    return done.stderr.split()[2], done.stdout.strip()


def add_row(server, url):
    """The same without the time of a command."""
    name, key = new_subscription_id(Channel.WEBHOOK), new_signing_key()
    kinds = (JobEventKind.FINISHED,)
    one = Subscription(name, "local", Channel.WEBHOOK, url, kinds, utc_now())

    async def write():
        database = Database(server.database)
        await database.open()
        try:
            keys = SecretKeys(server.data, None)
            await SqliteSubscriptions(database, keys).add(one, key)
        finally:
            await database.close()

    asyncio.run(write())
    return name, secret_text(key)


def deliveries(server, webhook):
    """Type, state, attempts, status and error of each, in order; without the time of a command."""
    return server.execute(
        "SELECT type, state, attempts, status_code, error, message_id FROM deliveries "
        "WHERE owner = ? ORDER BY number",
        webhook,
    )


def ended(server, webhook):
    """Its deliveries, once none is pending."""
    return until_sync(
        lambda: deliveries(server, webhook),
        lambda found: found and all(state != "pending" for _, state, *_ in found),
        "the end of the deliveries",
    )


def run_job(server, script="true", **spec):
    form = server.form(projects.ANY)
    form["data"] = {"spec": json.dumps({"command": projects.shell(script), **spec})}
    answer = server.http.post("/submit-async", **form)
    assert answer.status_code == 200, answer.text
    job_id = answer.json()["job_id"]
    server.finished(job_id)
    return job_id


def test_signed_events_of_a_tenants_jobs(make_server):
    server = make_server(**LOOPBACK, public_url="https://ci.example.com").start().ready()
    run_job(server)  # before there is a webhook
    with Receiver() as receiver:
        url = f"{receiver.url}/hook?token=s3cret"
        webhook, secret = add(server, url, "--event", "submitted", "--event", "finished")
        private = run_job(server, private=True)
        job_id = run_job(server, "exit 3", labels={"git.commit": "abc"})
        first, second = receiver.wait_for(2)
        told = Webhook(secret).verify(second.body, second.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(second.body + b" ", second.headers)
        assert (first.payload["type"], told["type"]) == ("job.submitted", "job.finished")
        assert second.path == "/hook?token=s3cret"
        assert second.headers["content-type"] == "application/json"
        data = told["data"]
        assert (data["job_id"], data["kind"], data["facts"]["exit_code"]) == (job_id, "finished", 3)
        assert data["job"] == {
            "name": "test",
            "title": None,
            "labels": {"git.commit": "abc"},
            "url": f"https://ci.example.com/ui/jobs/{job_id}",
        }
        assert told["timestamp"] == data["at"]

        new = succeed(server, "webhook", "rotate", webhook).strip()
        assert new != secret
        assert "delivered (200)" in succeed(server, "webhook", "test", webhook)
        (test,) = receiver.wait_for(1, lambda request: request.payload["type"] == "ci.test")
        assert len(test.headers["webhook-signature"].split()) == 2
        for one in (secret, new):
            Webhook(one).verify(test.body, test.headers)
        ended(server, webhook)
        shown = json.loads(succeed(server, "webhook", "deliveries", "--json", webhook))
        assert [(one["type"], one["state"], one["status_code"]) for one in shown] == [
            ("job.submitted", "delivered", 200),
            ("job.finished", "delivered", 200),
            ("ci.test", "delivered", 200),
        ]
        assert private not in json.dumps(shown)
        assert succeed(server, "webhook", "redeliver", second.id).startswith("1 message will")
        _, again = receiver.wait_for(2, lambda request: request.id == second.id)
        assert again.body == second.body
        assert "s3cret" not in server.log_tail(1000)
    assert succeed(server, "webhook", "remove", webhook) == f"{webhook}: removed\n"
    run_job(server)
    assert len(deliveries(server, webhook)) == 3


def test_receivers_that_fail_do_not_delay_others(make_server):
    server = make_server(**LOOPBACK).start().ready()
    hang = threading.Event()
    seen = []

    def fail_first(request):
        seen.append(request.id)
        return Answer(503, body=b"\x1b[31mnot now\n") if seen.count(request.id) == 1 else Answer()

    with (
        Receiver() as good,
        Receiver() as target,
        Receiver(lambda request: hang.wait() and DROP) as slow,
        Receiver(lambda request: Answer(302, {"location": f"{target.url}/secret"})) as redirects,
        Receiver(fail_first) as fails,
        Receiver(lambda request: DROP if len(drops.received) == 1 else Answer()) as drops,
        Receiver(lambda request: Answer(410)) as gone,
    ):
        receivers = (slow, redirects, fails, drops, gone, good)
        webhooks = {receiver: add_row(server, receiver.url)[0] for receiver in receivers}
        try:
            run_job(server)
            run_job(server)
            good.wait_for(2)  # although one receiver keeps its first request
            assert len(slow.wait_for()) == 1
            for receiver in (fails, drops):
                assert {state for _, state, *_ in ended(server, webhooks[receiver])} == {
                    "delivered"
                }
                first = receiver.received[0]
                assert len(receiver.wait_for(2, lambda one, wanted=first.id: one.id == wanted)) == 2
            _, _, _, status, error, _ = until_sync(
                lambda: deliveries(server, webhooks[redirects])[0],
                lambda row: row[2],
                "an attempt",
            )
            assert (status, "not followed" in error) == (302, True)
            assert target.received == []
            assert {state for _, state, *_ in ended(server, webhooks[gone])} == {"failed"}
            assert "disabled: answered 410" in succeed(server, "webhook", "list")
        finally:
            hang.set()


def test_a_controller_that_dies_between_sending_and_noting_sends_again(make_server):
    server = make_server(**LOOPBACK).start().ready()
    killed = threading.Event()

    def kill_first(request):
        if not killed.is_set():
            server.kill()  # the request has arrived, and will never be noted
            killed.set()
        return Answer()

    with Receiver(kill_first) as receiver:
        webhook, secret = add_row(server, receiver.url)
        job_id = server.submit(projects.ANY, projects.shell("true"))
        assert killed.wait(60)
        server.start().ready()
        first, second = receiver.wait_for(2)
        assert first.id == second.id
        for request in (first, second):
            assert Webhook(secret).verify(request.body, request.headers)["data"]["job_id"] == job_id
        ((_, state, _, _, _, message_id),) = ended(server, webhook)
        assert (state, message_id) == ("delivered", first.id)
        run_job(server)
        assert len(receiver.wait_for(3)) == len(receiver.received)


def test_what_jobs_ask_for(make_server, tmp_path):
    server = make_server(**LOOPBACK, notify_hosts="127.0.0.1").start().ready()
    project = tmp_path / "project"
    project.mkdir()
    table = project / "ci.toml"
    table.write_text("[jobs.test]\n")
    ci = CommandLine(server.url, tmp_path).run
    with Receiver() as receiver:
        asked = (f"{receiver.url}/a", f"{receiver.url}/b")
        options = [word for url in asked for word in ("--notify", url)]
        done = ci("submit", "--path", project, "--private", *options, "--", "true")
        assert done.code == 0, done.err
        received = receiver.wait_for(2)
        assert [request.path for request in received] == ["/a", "/b"]
        secret = succeed(server, "webhook", "secret", "jobs").strip()
        assert secret.startswith("whsec_")
        told = Webhook(secret).verify(received[0].body, received[0].headers)
        assert (told["type"], told["data"]["private"]) == ("job.finished", True)
        table.write_text(f'[jobs.test]\ncommand = "true"\nnotify = ["{asked[0]}"]\n')
        assert ci("submit", "--path", project).code == 0
        receiver.wait_for(3)
        shown = server.http.get("/jobs").text
        assert receiver.url not in shown, "URLs of webhooks may be secrets"
    for target, words in {
        "https://example.com/x": "CI_NOTIFY_HOSTS",
        "mailto:ann@example.com": "CI_SMTP_URL",
        "https://u:p@127.0.0.1/": "must not have a user or password",
    }.items():
        done = ci("submit", "--path", project, "--notify", target)
        assert (done.code, words in done.err) == (2, True), done.err


def test_private_addresses_are_not_called_unless_allowed(make_server):
    server = make_server().start().ready()
    with Receiver() as receiver:
        run_job(server, notify=[f"https://localhost:{receiver.port}/"])
        ((_, state, *_, error, _),) = ended(server, OF_JOBS)
        assert (state, "CI_WEBHOOK_NETWORKS" in error) == ("failed", True)
        form = server.form(projects.ANY)
        form["data"] = {"spec": json.dumps({"notify": [f"https://127.0.0.1:{receiver.port}/"]})}
        answer = server.http.post("/submit-async", **form)
        assert (answer.status_code, "CI_WEBHOOK_NETWORKS" in answer.text) == (400, True)
        assert receiver.received == []
    done = admin(server, "webhook", "add", "http://user@example.com/")
    assert (done.returncode, done.stdout) == (2, "")
    assert "user or password" in done.stderr
