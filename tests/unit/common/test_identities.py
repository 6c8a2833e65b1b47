"""What a key looks like, and which addresses, names and tenants there can be."""

import base64
import hashlib

import pytest

from ci_common.errors import InvalidIdentityError
from ci_common.identities import (
    canonical_email,
    checked_name,
    checked_tenant,
    is_whole_token,
    new_key_id,
    new_token,
    prefix_of,
    token_digest,
)


def test_a_key_is_256_random_bits():
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    for token in tokens:
        mark, random = token[:3], token[3:]
        assert mark == "ci_"
        assert len(base64.urlsafe_b64decode(random + "=")) == 32


def test_the_digest_is_that_of_the_whole_key():
    assert token_digest("ci_x") == hashlib.sha256(b"ci_x").hexdigest()
    assert len(token_digest("ci_ä\udcff")) == 64


def test_what_is_shown_of_a_key():
    token = new_token()
    assert prefix_of(token) == token[:11]
    assert is_whole_token(token)
    assert not is_whole_token(prefix_of(token))
    assert not is_whole_token(new_key_id())


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("ann@example.com", "ann@example.com"),
        (" Ann.O'Hara+ci@Example.COM\n", "ann.o'hara+ci@example.com"),
        ("build@localhost", "build@localhost"),
    ],
)
def test_addresses_have_one_form(text, email):
    assert canonical_email(text) == email


@pytest.mark.parametrize(
    "text",
    ["", "ann", "@x", "ann@", "a b@x.org", "a@x@y", "a@.org", "ann@x.org\nroot", "ä@x.org", "a@x-",
     f"{'a' * 65}@x.org", f"a@{'x' * 300}"],
)  # fmt: skip
def test_no_addresses(text):
    with pytest.raises(InvalidIdentityError, match="ann@example"):
        canonical_email(text)


@pytest.mark.parametrize("text", ["local", "a", "team-7", "0" * 40])
def test_tenants(text):
    assert checked_tenant(text) == text


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a b", "a/b", "..", "a\n", "ä", "0" * 41])
def test_no_tenants(text):
    with pytest.raises(InvalidIdentityError, match="is not a valid tenant name"):
        checked_tenant(text)


def test_names():
    assert checked_name("  Ann Ä. O'Hara ") == "Ann Ä. O'Hara"


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "\x1b[31m", "x" * 101])
def test_no_names(text):
    with pytest.raises(InvalidIdentityError):
        checked_name(text)
