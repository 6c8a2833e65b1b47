"""The options --secret and --secret-file, and how secrets are sent."""

import base64

import pytest

from ci_client.errors import UsageError
from ci_client.library.job_request import JobRequest
from ci_client.library.secret_options import given_secrets, goes_openly, read_secrets
from ci_common.secret import Secret

VALUE = "correct-horse-battery"


def test_variables_and_files(monkeypatch, tmp_path):
    monkeypatch.setenv("TOKEN", VALUE)
    path = tmp_path / "key=1"
    path.write_bytes(bytes(range(256)))
    assert read_secrets(["TOKEN"], [f"KEY={path}"]) == [
        Secret("TOKEN", VALUE.encode()),
        Secret("KEY", bytes(range(256)), in_environment=False),
    ]


def test_how_they_are_sent():
    request = JobRequest(secrets=[Secret("TOKEN", VALUE.encode())])
    value = base64.b64encode(VALUE.encode()).decode()
    assert request.to_secrets() == {"TOKEN": {"value": value, "environment": True}}
    assert VALUE not in repr(request)
    assert "secrets" not in request.to_spec()


@pytest.mark.parametrize(
    ("names", "files", "why"),
    [
        ([f"TOKEN={VALUE}"], [], "not a value"),
        (["NOT_SET_ANYWHERE"], [], "is not set"),
        (["TOKEN", "TOKEN"], [], "twice"),
        (["SHORT"], [], "too short"),
        (["not-a-name"], [], "letters, digits"),
        ([], ["KEY"], "NAME=PATH"),
        ([], ["KEY=/nowhere/at/all"], "cannot be read"),
        ([], ["1KEY=/etc/hostname"], "letters, digits"),
    ],
)
def test_what_cannot_be_is_told_without_values(monkeypatch, names, files, why):
    monkeypatch.setenv("TOKEN", VALUE)
    monkeypatch.setenv("SHORT", "secret7")
    with pytest.raises(UsageError, match=why) as caught:
        read_secrets(names, files)
    assert VALUE not in caught.value.message
    assert "secret7" not in caught.value.message
    assert caught.value.message.endswith(".")


def test_a_program_gives_values():
    assert given_secrets({"A": VALUE, "B": VALUE.encode()}) == [
        Secret("A", VALUE.encode()),
        Secret("B", VALUE.encode()),
    ]
    assert given_secrets(None) == []
    with pytest.raises(UsageError, match="too short"):
        given_secrets({"A": "short"})


@pytest.mark.parametrize(
    ("url", "openly"),
    [
        ("http://localhost:8000", False),
        ("http://127.0.0.1:8000", False),
        ("http://[::1]:8000", False),
        ("https://ci.example.com", False),
        ("http://ci.example.com", True),
        ("http://10.0.0.7:8000", True),
    ],
)
def test_where_others_could_listen(url, openly):
    assert goes_openly(url) is openly
