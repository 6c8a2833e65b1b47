"""What a notification can be sent to, and where jobs may send theirs."""

import ipaddress

import pytest

from ci_common.notify_targets import Channel, NotifyPolicy, read_target, targets_problem
from ci_common.webhook_addresses import WebhookAddresses


@pytest.mark.parametrize(
    ("text", "channel", "host"),
    [
        ("https://example.com/hook?x=1", Channel.WEBHOOK, "example.com"),
        ("https://EXAMPLE.com.:8443", Channel.WEBHOOK, "example.com"),
        ("http://127.0.0.1:8080/", Channel.WEBHOOK, "127.0.0.1"),
        ("https://[2001:db8::1]/x", Channel.WEBHOOK, "2001:db8::1"),
        ("mailto:ann.b+ci@example.com", Channel.MAIL, "example.com"),
        ("MAILTO:ann@EXAMPLE.com", Channel.MAIL, "example.com"),
    ],
)
def test_targets(text, channel, host):
    target = read_target(text)
    assert (target.channel, target.host) == (channel, host)


@pytest.mark.parametrize(
    "text",
    [
        *("", "example.com", "ftp://example.com/", "https://", "https:///x", "file:///etc/passwd"),
        *("https://user:pass@example.com/", "https://@example.com/", "https://a@b@c/"),
        *("https://example.com:22/", "https://example.com:0/", "https://example.com:99999/"),
        *("https://exa mple.com/", "https://example.com/\r\nHost: x", "https://example.com/\x00"),
        *("https://example.com\\@evil.com/", "https://example.com/#x", "https://ex%61mple.com/"),
        *("https://[::1", "https://::1/", "https://[v1.x]/", "https://[fe80::1%25eth0]/"),
        *("https://-x.com/", "https://b\u00fccher.example/", f"https://e.com/{'x' * 1000}"),
        *(
            "mailto:",
            "mailto:ann",
            "mailto:a b@c.de",
            "mailto:a@b.c,d@e.f",
            "mailto:a@b.c\nBcc: x@y",
        ),
        *(
            "mailto:a@b.c?bcc=x@y.z",
            'mailto:"a b"@c.de',
            "mailto:<a@b.c>",
            f"mailto:{'a' * 65}@b.c",
        ),
    ],
)
def test_what_is_no_target(text):
    with pytest.raises(ValueError, match="must") as raised:
        read_target(text)
    assert not text or text not in str(raised.value)
    assert targets_problem([text])


def test_where_jobs_may_send():
    policy = NotifyPolicy(("hooks.example.com", "*.corp.example"), ("ann@x.org", "y.org"), True)
    allowed = ["https://hooks.example.com/a", "https://a.b.corp.example/", "mailto:Ann@x.org"]
    assert policy.problem([*allowed, "mailto:anybody@Y.org"]) is None
    for refused in (
        *("https://corp.example/", "https://evilcorp.example/", "https://example.com/"),
        *("mailto:bob@x.org", "mailto:a@sub.y.org"),
    ):
        assert policy.problem([refused]), refused
    assert "CI_SMTP_URL" in NotifyPolicy(mail=("x.org",)).problem(["mailto:a@x.org"])
    anywhere = NotifyPolicy(("*",))
    assert anywhere.problem(["https://anything.example/"]) is None
    assert "by https only" in anywhere.problem(["HTTP://localhost/x"]), "it is never delivered"
    assert NotifyPolicy(("*", "localhost")).problem(["http://localhost/x"]) is None
    assert NotifyPolicy().problem(["https://anything.example/"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"]
)
def test_addresses_that_jobs_may_not_call(host):
    url = f"https://{host}/hook"
    address = host.strip("[]")
    assert NotifyPolicy(("*",)).problem([url]) == (
        f"{address} is not a public host; if it may be called, the operator adds its network to "
        "CI_WEBHOOK_NETWORKS"
    )
    networks = map(ipaddress.ip_network, ("127.0.0.0/8", "10.0.0.0/8", "::1/128"))
    inside = WebhookAddresses(tuple(networks))
    anywhere = NotifyPolicy(("*",), addresses=inside)
    assert "`*` does not name it" in anywhere.problem([url])
    assert NotifyPolicy(("*", address), addresses=inside).problem([url]) is None


def test_public_addresses_may_be_called():
    policy = NotifyPolicy(("*", "8.8.8.8"))
    assert policy.problem(["https://8.8.4.4/", "https://[2606:4700::1111]/"]) is None
    assert "use https" in policy.problem(["http://8.8.8.8/"])
