"""Signed URLs: what they open, and nothing besides."""

from datetime import timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_common.errors import DatabaseError, GrantExpiredError, InvalidGrantError
from ci_persistence.files.signed_url_keys import NAME, SignedUrlKeys
from ci_server.services.grants import Grants
from support.jobs import NOON

JOB = "8a1c1b5e-6a39-4b0f-a3a8-3b8d2a4f7c11"
OTHER = "00000000-6a39-4b0f-a3a8-3b8d2a4f7c11"
PATH = "output/report, final.html"


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keys(tmp_path):
    return SignedUrlKeys(tmp_path)


@pytest.fixture
def grants(keys, clock):
    return Grants(keys.keys, 3600, clock)


def taken_apart(url):
    """Job, path, expiry and signature of a URL, as a server reads them."""
    parts = urlsplit(url)
    _, job_id, path = unquote(parts.path).lstrip("/").split("/", 2)
    query = parse_qs(parts.query)
    return job_id, path, query["expires"][0], query["sig"][0]


def test_a_url_opens_its_file_until_it_expires(grants, clock):
    url = grants.signer("https://ci.example.com", JOB)(PATH)
    assert url.startswith(f"https://ci.example.com/artifacts/{JOB}/output/report%2C%20final.html?")
    grant = taken_apart(url)
    grants.check_artifact(*grant)
    clock.now += timedelta(seconds=3599)
    grants.check_artifact(*grant)
    clock.now += timedelta(seconds=1)
    with pytest.raises(GrantExpiredError):
        grants.check_artifact(*grant)


def altered(value):
    return ("B" if value[0] == "A" else "A") + value[1:]


@pytest.mark.parametrize(
    "change",
    [
        lambda job, path, expires, sig: (OTHER, path, expires, sig),
        lambda job, path, expires, sig: (job, "output/other", expires, sig),
        lambda job, path, expires, sig: (job, f"{path}/", expires, sig),
        lambda job, path, expires, sig: (job, path, str(int(expires) + 1), sig),
        lambda job, path, expires, sig: (job, path, f"0{expires}", sig),
        lambda job, path, expires, sig: (job, path, f"{expires}\n", sig),
        lambda job, path, expires, sig: (job, path, "", sig),
        lambda job, path, expires, sig: (job, path, "١٢", sig),
        lambda job, path, expires, sig: (job, path, "9" * 5000, sig),
        lambda job, path, expires, sig: (job, path, expires, altered(sig)),
        lambda job, path, expires, sig: (job, path, expires, sig[:-1]),
        lambda job, path, expires, sig: (job, path, expires, f"{sig}="),
        lambda job, path, expires, sig: (job, path, expires, ""),
        lambda job, path, expires, sig: (job, path, expires, "ä"),
    ],
)
def test_a_url_that_was_altered_opens_nothing(grants, change):
    grant = taken_apart(grants.signer("", JOB)(PATH))
    grants.check_artifact(*grant)
    with pytest.raises(InvalidGrantError):
        grants.check_artifact(*change(*grant))


@given(path=st.text(min_size=1).filter(lambda path: "\0" not in path), other=st.text(min_size=1))
def test_no_two_files_have_the_same_signature(path, other):
    grants = Grants(lambda: [b"k" * 32], 60, Clock())
    job_id, _, expires, proof = taken_apart(grants.signer("", JOB)("a"))
    proof = parse_qs(urlsplit(grants.signer("", JOB)(path)).query)["sig"][0]
    grants.check_artifact(job_id, path, expires, proof)
    if other != path:
        with pytest.raises(InvalidGrantError):
            grants.check_artifact(job_id, other, expires, proof)


def test_a_line_in_the_path_is_no_expiry(grants):
    """What is signed has one reading only."""
    grant = taken_apart(grants.signer("", JOB)("a\nb"))
    job_id, path, expires, proof = grant
    with pytest.raises(InvalidGrantError):
        grants.check_artifact(f"{job_id}\n{expires}", "b", "1", proof)
    grants.check_artifact(job_id, path, expires, proof)


# ------------------------------------------------------------------ keys


def test_two_keys_are_valid_at_once(grants, keys):
    first = taken_apart(grants.signer("", JOB)(PATH))
    keys.rotate()
    second = taken_apart(grants.signer("", JOB)(PATH))
    assert first != second
    grants.check_artifact(*first)
    grants.check_artifact(*second)
    keys.rotate()
    with pytest.raises(InvalidGrantError):
        grants.check_artifact(*first)
    grants.check_artifact(*second)


def test_a_rotation_is_seen_by_every_server_at_once(tmp_path, clock):
    ours, theirs = SignedUrlKeys(tmp_path), SignedUrlKeys(tmp_path)
    assert ours.keys() == theirs.keys()
    theirs.rotate()
    assert ours.keys() == theirs.keys()
    assert len(ours.keys()) == 2


def test_another_directory_has_another_key(tmp_path):
    assert SignedUrlKeys(tmp_path / "a").keys() != SignedUrlKeys(tmp_path / "b").keys()


def test_the_file_is_for_its_owner_only(tmp_path, keys):
    keys.rotate()
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    (tmp_path / NAME).chmod(0o644)
    with pytest.raises(DatabaseError, match="other users"):
        SignedUrlKeys(tmp_path).keys()


@pytest.mark.parametrize("size", [0, 31, 33, 96, 5000])
def test_a_damaged_file_is_told(tmp_path, keys, size):
    keys.rotate()
    (tmp_path / NAME).write_bytes(b"x" * size)
    with pytest.raises(DatabaseError, match="damaged: delete it"):
        SignedUrlKeys(tmp_path).keys()
