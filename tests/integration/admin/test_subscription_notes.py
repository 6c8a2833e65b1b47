"""What `ci-admin` remarks about a webhook or an e-mail address that it adds."""

import pytest

URL = "https://example.com/hook"


def remarks(instance, *words):
    done = instance.admin(*words)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_tenant_of_nobody_is_noted(instance):
    assert "note" not in remarks(instance, "webhook", "add", URL), "the tenant of the jobs here"
    remarks(
        *(instance, "user", "create"),
        *("--email", "ann@example.com", "--name", "Ann", "--tenant", "acme"),
    )
    assert "note" not in remarks(instance, "webhook", "add", URL, "--tenant", "acme")
    note = "note: no user or job belongs to the tenant 'acne' yet; did you mean 'acme'?"
    assert note in remarks(instance, "webhook", "add", URL, "--tenant", "acne")
    assert note in remarks(instance, "mail", "add", "ann@example.com", "--tenant", "acne")
    listed = instance.admin("webhook", "list", "--tenant", "acne").stdout
    assert URL in listed, "it is added all the same"


@pytest.mark.parametrize("url", ["http://10.0.0.1/hook", "https://[::1]/hook"])
def test_an_address_that_cannot_be_reached_is_noted(instance, url):
    note = "note: with these settings nothing will be sent there: "
    assert note in remarks(instance, "webhook", "add", url)
    done = instance.admin("webhook", "add", url, webhook_networks="10.0.0.0/8,::1/128")
    assert (done.returncode, "note" in done.stderr) == (0, False)
