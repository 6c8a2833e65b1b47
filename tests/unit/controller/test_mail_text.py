"""What e-mails say, with hostile names and messages."""

from email import message_from_bytes, policy

import pytest

from ci_common.deliveries import OF_JOBS, TEST_TYPE, Message
from ci_common.job_event_wire import job_event_json
from ci_common.job_events import JobEvent, JobEventKind
from ci_common.notify_targets import Channel
from ci_controller.delivery.fan_out import event_payload
from ci_controller.delivery.mail_text import compose
from support.jobs import NOON

HOSTILE = (
    "<script>alert(1)</script>\r\nBcc: evil@example.com\x1b[31m \u202egnp.exe \u00fc \U0001f600"
)


def mail_of(payload, owner="ml_1"):
    address = "ann@example.com"
    message = Message(
        "msg_1", "acme", owner, Channel.MAIL, address, "ml_1", payload["type"], "id", payload
    )
    content = compose(message, "ci@example.org", NOON).as_bytes()
    return message_from_bytes(content, policy=policy.default)


def payload_of(kind=JobEventKind.FINISHED, job=None, **facts):
    event = JobEvent(7, "0b0e", "acme", HOSTILE, kind, NOON, facts, "tenant")
    about = {"labels": {}, "title": None, "url": None, "name": "test", **(job or {})}
    return {
        "type": f"job.{kind.value}",
        "timestamp": job_event_json(event)["at"],
        "data": {**job_event_json(event), "job": about},
    }


def test_hostile_words_stay_words():
    job = {
        "name": HOSTILE,
        "title": HOSTILE,
        "labels": {"git.branch": HOSTILE, "git.commit": HOSTILE},
        "url": 'https://ci.example.com/"><script>',
    }
    facts = {"status": "failed", "reason": "timeout", "message": HOSTILE * 500, "exit_code": None}
    mail = mail_of(payload_of(job=job, **facts))
    assert set(mail.keys()) == {
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version"),
        "Content-Type",
    }
    assert (mail["From"], mail["To"]) == ("ci@example.org", "ann@example.com")
    assert mail["Message-ID"] == "<msg_1@example.org>"
    assert mail["Subject"].startswith("[ci] <script>alert(1)</script>  Bcc: evil")
    assert len(mail["Subject"]) <= 150
    text, html = (part.get_content() for part in mail.iter_parts())
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    for shown in (text, html):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "\u00fc \U0001f600" in shown
        assert not any(line.startswith("Bcc:") for line in shown.splitlines())
        assert len(shown) < 10_000
    assert "<script" not in html
    assert 'href="https://ci.example.com/&quot;&gt;&lt;script&gt;"' in html


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"status": "completed", "exit_code": 0}, "passed"),
        ({"status": "completed", "exit_code": 3}, "failed with exit code 3"),
        ({"status": "failed", "exit_code": None}, "timed out"),
        ({"status": "cancelled", "exit_code": None}, "cancelled"),
    ],
)
def test_results(facts, words):
    tests = {"total": 6, "passed": 2, "failed": 2, "errors": 1, "skipped": 1, "seconds": 1}
    job = {"labels": {"git.branch": "main", "git.commit": "3f1c2d4e5f"}}
    mail = mail_of(
        payload_of(job=job, reason="timeout", message="why", tests=tests, **facts), OF_JOBS
    )
    assert mail["Subject"] == f"[ci] test (main) {words}"
    text = mail.get_body(("plain",)).get_content()
    assert "6: 2 passed, 2 failed, 1 error, 1 skipped" in text
    assert "3f1c2d4e" in text
    assert "3f1c2d4e5" not in text
    assert "--notify" in text


def test_other_events_and_tests():
    for kind in JobEventKind:
        if kind not in (JobEventKind.PROGRESS, JobEventKind.FINISHED):
            assert mail_of(payload_of(kind))["Subject"].startswith("[ci] test ")
    gone = JobEvent(7, "0b0e", "acme", "ann", JobEventKind.DELETED, NOON, {}, "tenant")
    assert mail_of(event_payload(gone, None, None))["Subject"] == "[ci] 0b0e was deleted"
    test = {"type": TEST_TYPE, "timestamp": "", "data": {"subscription": "ml_1"}}
    assert mail_of(test)["Subject"] == "[ci] test message"
