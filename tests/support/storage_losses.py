"""The files of a running server go away for a while: each of these brings them back at its end."""

import shutil
from contextlib import contextmanager

from support.immutable import immutable


@contextmanager
def database_moved(server):
    moved = [path for path in server.directory.glob("ci.db*") if path.is_file()]
    away = server.directory / "away"
    away.mkdir()
    for path in moved:
        path.rename(away / path.name)
    yield
    for path in moved:
        (away / path.name).rename(path)


@contextmanager
def database_immutable(server):
    with immutable(server.database):
        yield


@contextmanager
def database_replaced(server):
    """By one that has the same content, as an operator's careless copy has."""
    kept = server.directory / "kept"
    server.database.rename(kept)
    shutil.copy(kept, server.database)
    yield
    kept.rename(server.database)


@contextmanager
def data_moved(server):
    server.data.rename(server.directory / "away")
    yield
    (server.directory / "away").rename(server.data)


@contextmanager
def data_unmounted(server):
    """What is left is an empty mount point."""
    server.data.rename(server.directory / "away")
    server.data.mkdir()
    yield
    assert list(server.data.iterdir()) == []
    server.data.rmdir()
    (server.directory / "away").rename(server.data)


@contextmanager
def data_deleted(server):
    """And restored from a copy."""
    away, doomed = server.directory / "away", server.directory / "doomed"
    shutil.copytree(server.data, away, ignore=shutil.ignore_patterns("*.sock"))
    server.data.rename(doomed)  # at once, or the server makes a file while others are deleted
    shutil.rmtree(doomed)
    yield
    assert not server.data.exists()
    away.rename(server.data)


@contextmanager
def data_read_only(server):
    with immutable(server.data):
        yield
