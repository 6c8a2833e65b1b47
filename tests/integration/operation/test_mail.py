"""E-mail from a real server by a real SMTP server, administered by the real `ci-admin`."""

import json

import pytest

from support import projects
from support.administration import admin, succeed
from support.mail_servers import MailServer
from support.server_certificates import make_certificate
from support.waiting import until_sync


def submit(server, script, **spec):
    form = server.form(projects.ANY)
    form["data"] = {"spec": json.dumps({"command": projects.shell(script), **spec})}
    return server.http.post("/submit-async", **form)


@pytest.fixture
def mail_server(tmp_path):
    with MailServer(make_certificate(tmp_path)) as mail_server:
        yield mail_server


def test_mail_of_a_tenant_and_of_jobs(own_server, python_for_jobs, mail_server, tmp_path):
    server = own_server(
        python=python_for_jobs,
        executor="process",
        environment={
            "CI_SMTP_URL": mail_server.url,
            "CI_SMTP_FROM": "ci@example.org",
            "CI_NOTIFY_MAIL": "example.com",
            "SSL_CERT_FILE": str(tmp_path / "127.0.0.1.pem"),
        },
    )
    server.start().ready()
    mail_server.answers.append("451 try again later")
    added = succeed(server, "mail", "add", "team@example.net", "--failures")
    subscription = added.split()[1]
    assert submit(server, "true").status_code == 200
    asked = ["mailto:ann@example.com", "mailto:nobody@example.com"]
    answer = submit(server, "exit 3", labels={"git.branch": "\u00fc<b>"}, notify=asked)
    job_id = answer.json()["job_id"]
    mails = mail_server.wait_for(3)
    assert sorted(recipients[0] for recipients, _ in mails[1:]) != []
    by_address = {recipients[0]: mail for recipients, mail in mails}
    assert by_address.keys() == {"team@example.net", "ann@example.com"}
    for mail in by_address.values():
        assert mail["From"] == "ci@example.org"
        assert mail["Subject"] == "[ci] test (\u00fc<b>) failed with exit code 3"
        text, html = (part.get_content() for part in mail.iter_parts())
        assert job_id in text
        assert job_id in html
        assert "\u00fc&lt;b&gt;" in html
    twice = [mail["Message-ID"] for recipients, mail in mails]
    assert len(set(twice)) == 2, "what is sent again has the same id"

    assert "delivered" in succeed(server, "mail", "test", subscription)
    rows = "SELECT address, state, attempts, error FROM deliveries ORDER BY number"
    found = until_sync(
        lambda: server.execute(rows), lambda rows: all(row[1] != "pending" for row in rows)
    )
    states = {address: (state, attempts) for address, state, attempts, _ in found}
    assert states["nobody@example.com"] == ("failed", 1)
    assert any("no such user" in (error or "") for *_, error in found)
    assert "correct horse" not in server.log_tail(1000)

    refused = submit(server, "true", notify=["mailto:x@example.net"])
    assert (refused.status_code, "CI_NOTIFY_MAIL" in refused.text) == (400, True)
    wrong = admin(server, "mail", "add", "ann@example.com\nBcc: x@example.net")
    assert (wrong.returncode, "one e-mail address" in wrong.stderr) == (2, True)
