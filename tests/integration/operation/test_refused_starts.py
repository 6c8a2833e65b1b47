"""A server that cannot start says why, and what to do, and nothing of its code."""

import sqlite3
from contextlib import closing

import pytest

from support.live_server import LiveServer


def other_program(server):
    with closing(sqlite3.connect(server.database)) as rows:
        rows.execute("CREATE TABLE songs (title)")


def no_database(server):
    server.database.write_bytes(b"These are not the rows. " * 400)


@pytest.mark.parametrize("hardened", [True, False], ids=["ci_server", "uvicorn"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_program, "is the SQLite database of another program"),
        (no_database, "the file is not a SQLite database"),
    ],
)
def test_of_a_database_that_cannot_be_used(tmp_path, hardened, spoil, words):
    with LiveServer(tmp_path / "ci", hardened=hardened, controller="external") as server:
        spoil(server)
        with pytest.raises(pytest.fail.Exception, match="did not start"):
            server.start()
        told = server.log_tail()
        assert server.process.returncode != 0
    assert "the server cannot start: " in told
    assert words in told
    assert "Traceback" not in told
