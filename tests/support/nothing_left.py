"""The last promise: whatever happened, nothing of a server's work is left behind."""

import os
import sqlite3
import time
from contextlib import closing

from support.engine import LABEL_INSTANCE, engine

_LONG_AGO_SECONDS = 7200
"""Longer than anything half-done may lie about before it is swept."""

_SECONDS = 40.0


def assert_nothing_left(server, layers=0, volumes=False):
    """Nothing of the instance is there but finished jobs and at most so many cached layers.

    What a kill leaves half-done on disk is swept when it is old, so it is made old, and the
    server started again. With `volumes` the engine is the test's own, and has none.
    """
    server.until(lambda: _live(server), lambda found: not found, "no work left", _SECONDS)
    if half_done(server):
        _age(server)
        server.terminate()
        server.start()

    def look():
        return _live(server) + half_done(server) + _on_engine(server, layers, volumes)

    server.until(look, lambda found: not found, "nothing left", _SECONDS)


def half_done(server):
    """Files that belong to no finished job."""
    data, known = server.data, _rows(server)
    kept = _kept_packages(server)
    found = [path for path in data.glob("packages/*") if path.stem not in kept]
    found += data.glob("staging/*.part")
    found += [*data.glob("staging/artifacts/*"), *data.glob("logs/*/*.part")]
    found += [path for path in data.glob("artifacts/??/*") if path.name not in known]
    found += [path for path in data.glob("logs/??/*") if path.name.partition(".")[0] not in known]
    temporary = server.directory / "tmp"
    found += temporary.iterdir() if temporary.exists() else []
    return sorted(str(path) for path in found)


def _kept_packages(server):
    with closing(sqlite3.connect(server.database, timeout=30)) as connection:
        rows = connection.execute("SELECT job_id FROM jobs WHERE package_kept = 1").fetchall()
    return {job_id for (job_id,) in rows}


def _age(server):
    then = time.time() - _LONG_AGO_SECONDS
    for path in half_done(server):
        os.utime(path, (then, then))


def _live(server):
    finished = ("completed", "failed", "cancelled")
    live = [
        f"row {job}: {status}" for job, status in _rows(server).items() if status not in finished
    ]
    with engine() as client:
        label = f"{LABEL_INSTANCE}={server.instance_id()}"
        containers = client.api.containers(all=True, filters={"label": label})
    return live + [f"container {one['Names']}: {one['Status']}" for one in containers]


def _rows(server):
    with closing(sqlite3.connect(server.database, timeout=30)) as connection:
        return dict(connection.execute("SELECT job_id, status FROM jobs"))


def _on_engine(server, layers, volumes):
    label = {"label": f"{LABEL_INSTANCE}={server.instance_id()}"}
    with engine() as client:
        images = client.api.images(filters=label)
        found = client.api.volumes()["Volumes"] or [] if volumes else []
    left = [f"volume {volume['Name']}" for volume in found]
    tagged = [tag for image in images for tag in image["RepoTags"] or [] if tag != "<none>:<none>"]
    cached = [tag for tag in tagged if tag.startswith("ci-runner-deps:")]
    if len(images) > layers or len(images) != len(cached):
        left += [f"image {image['Id']} {image['RepoTags']}" for image in images]
    return left
