"""Artifacts that cannot be fetched: all others are, and what is missing is told at the end."""

from functools import partial
from urllib.parse import quote

import pytest
from client_scripted_artifacts import LIST, Stored, artifact, run_command, serve, tree
from client_scripted_server import FINISHED, JOB, error, reply, reply_json

from ci_client import client as library
from ci_client.client import Client
from ci_client.errors import (
    ArtifactsIncomplete,
    RequestRefused,
    ServerUnreachable,
    UnexpectedAnswer,
)


@pytest.fixture
def server(server):
    server.on(f"GET /jobs/{JOB}", reply_json(FINISHED))
    return server


@pytest.fixture
def run(server, tmp_path):
    return partial(run_command, server, tmp_path)


def test_an_artifact_that_is_gone(server, target):
    server.on(LIST, reply_json([artifact("a", b"x")]))
    server.on(f"{LIST}/a", error(404, "artifact_not_found", "the artifact is gone"))
    with pytest.raises(ArtifactsIncomplete, match="is gone") as caught:
        library.download_artifacts(JOB, target, server.url)
    assert isinstance(caught.value.failures["a"], RequestRefused)


@pytest.mark.parametrize(
    "path", ["../evil", "/etc/evil", "a/../../evil", "", ".", "a//b", "a/", "a\0b", "..", "./a"]
)
def test_hostile_paths_are_never_written_and_keep_no_other_from_being_fetched(server, target, path):
    serve(server, {"good": b"x"})
    server.on(LIST, reply_json([artifact(path, b"y"), artifact("good", b"x")]))
    with pytest.raises(ArtifactsIncomplete) as caught:
        library.download_artifacts(JOB, target, server.url)
    assert isinstance(caught.value.failures[path], UnexpectedAnswer)
    assert [asked.path.rpartition("/")[2] for asked in server.requests[1:]] == ["good"]
    assert tree(target.parent.parent) == {"made/here/good": b"x"}


def test_a_path_below_that_leads_out_is_never_written(server, target):
    server.on(LIST, reply_json([artifact("output//../evil", b"y")]))
    with Client(server.url) as client, pytest.raises(ArtifactsIncomplete):
        client.download_artifacts(JOB, target, below="output")
    assert tree(target.parent.parent) == {}


REFUSALS = {
    "gone": error(404, "artifact_not_found", "the artifact is gone"),
    "damaged": Stored(b"evil"),
    "failing": error(500, "internal_error", "no"),
    "short": Stored(b"x", [0] * 1000),
}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_refusal_keeps_no_other_from_being_fetched(server, target, refusal, at):
    files = {"a": b"first", "b": b"second", "c": b"third"}
    bad = list(files)[at]
    serve(server, files)
    server.on(f"{LIST}/{bad}", REFUSALS[refusal])
    with Client(server.url, patience=0.2) as client, pytest.raises(ArtifactsIncomplete) as caught:
        client.download_artifacts(JOB, target)
    assert list(caught.value.failures) == [bad]
    assert tree(target) == {path: files[path] for path in files if path != bad}
    assert caught.value.message.startswith(f"1 of 3 artifacts could not be fetched:\n  '{bad}': ")


def test_a_server_that_goes_away_is_not_waited_for_again_and_again(server, target):
    serve(server, dict.fromkeys("abcdef", b"x"))
    for name in "bcdef":
        server.on(f"{LIST}/{name}", error(503, "not_ready", "later"))
    with Client(server.url, patience=0.1) as client, pytest.raises(ServerUnreachable):
        client.download_artifacts(JOB, target)
    assert not server.asked(f"{LIST}/d")
    assert tree(target) == {"a": b"x"}


# ------------------------------------------------------------------ the command


def test_what_could_not_be_fetched_is_told_after_all_the_others(server, run, tmp_path):
    serve(server, {"a\nb": b"12", "c": b"345", "\x1b[31m": b""})
    server.on(f"{LIST}/{quote(chr(27))}%5B31m", error(404, "artifact_not_found", "it is gone"))
    code, out, err = run("artifacts", JOB, "--download", "got")
    assert code == 2
    assert out.splitlines() == ["got/a\\nb", "got/c"]
    assert err.splitlines() == [
        "2 artifacts (5 B) in got",
        "Error: 1 of 3 artifacts could not be fetched:",
        "  '\\x1b[31m': it is gone",
        "Downloaded files are kept; repeat the command to fetch only what is missing.",
    ]
    assert tree(tmp_path / "got") == {"a\nb": b"12", "c": b"345"}


def test_a_directory_that_cannot_be_made(server, run, tmp_path):
    serve(server, {"a": b"12"})
    (tmp_path / "got").write_bytes(b"")
    code, out, err = run("artifacts", JOB, "--download", "got")
    assert (code, out) == (2, "")
    assert "Cannot create got: " in err


def test_a_name_that_cannot_be_had_is_replaced_and_told(server, run, tmp_path):
    serve(server, {"a": b"12", "b": b"3"})
    (tmp_path / "got/a").mkdir(parents=True)
    code, out, err = run("artifacts", JOB, "--download", "got")
    assert code == 0
    assert out.splitlines() == ["got/a~022a6979e6", "got/b"]
    assert "'a' was saved as 'got/a~022a6979e6': this file system cannot hold its name." in err
    assert run("artifacts", JOB, "--download", "got")[:2] == (code, out)
    assert tree(tmp_path / "got") == {"a~022a6979e6": b"12", "b": b"3"}


def test_a_damaged_download_fails(server, run, tmp_path):
    server.on(LIST, reply_json([artifact("a", b"good")]))
    server.on(f"{LIST}/a", reply(200, b"evil"))
    code, _, err = run("artifacts", JOB, "--download", "got")
    assert code == 3
    assert "damaged" in err
    assert list((tmp_path / "got").iterdir()) == []
