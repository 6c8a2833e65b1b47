"""Settings of notifications."""

import sys

import pytest

from ci_common.errors import SettingsError
from ci_common.settings import DeliverySettings, Settings, read_settings
from ci_common.smtp_server import Encryption, SmtpServer
from ci_controller.assembly import build_deliverer


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", ("mail.example.com", 25, Encryption.NONE, None, None)),
        ("starttls://a:b%40c@m.org", ("m.org", 587, Encryption.STARTTLS, "a", "b@c")),
        ("smtps://a:b@[::1]:2465/", ("::1", 2465, Encryption.TLS, "a", "b")),
        ("smtp://a:b@127.0.0.1:25", ("127.0.0.1", 25, Encryption.NONE, "a", "b")),
    ],
)
def test_smtp_servers(url, server):
    found = SmtpServer.parse(url)
    assert (found.host, found.port, found.encryption, found.user, found.password) == server
    assert not found.password or repr(found.password) not in repr(found)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CI_SMTP_URL": "smtp://a:hunter2@mail.example.com"}, "unencrypted"),
        ({"CI_SMTP_URL": "mail.example.com:25"}, "such as smtps://"),
        ({"CI_SMTP_URL": "smtp://host:99999"}, "such as smtps://"),
        ({"CI_SMTP_URL": "smtp://hunter2@localhost"}, "both a user and a password"),
        ({"CI_SMTP_URL": "smtp://localhost"}, "CI_SMTP_FROM: must be set"),
        ({"CI_SMTP_FROM": "ci@example.com\nBcc: x@y.z"}, "one e-mail address"),
        ({"CI_NOTIFY_MAIL": "example.com, @x"}, "comma-separated"),
        ({"CI_NOTIFY_HOSTS": "https://example.com"}, "comma-separated"),
        ({"CI_WEBHOOK_NETWORKS": "10.0.0.1/8"}, "networks such as"),
    ],
)
def test_what_cannot_be(monkeypatch, variables, words):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=words) as raised:
        read_settings(DeliverySettings)
    assert next(iter(variables)) in str(raised.value) or "CI_SMTP_FROM" in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_mail_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiosmtplib", None)
    monkeypatch.delitem(sys.modules, "ci_controller.delivery.mail", raising=False)
    settings = Settings(smtp_url="smtp://localhost", smtp_from="ci@example.com")
    with pytest.raises(SettingsError, match="mail"):
        build_deliverer(settings, None, None, None)
