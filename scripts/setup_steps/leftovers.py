"""What a server with a temporary database leaves on the engine for its next start, of which
there will be none: images with projects' requirements installed, and, after a crash, containers.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from docker.errors import APIError

from setup_steps import container_engine
from setup_steps.console import say

LABEL = "ci-runner.instance"


def remove(database: Path) -> None:
    """Remove what carries the label of this database's instance, each by its id."""
    instance_id = _instance_id(database)
    if instance_id is None:
        return
    label = f"{LABEL}={instance_id}"
    client = container_engine.connect()
    try:
        for container in client.containers.list(all=True, filters={"label": label}):
            container.remove(force=True, v=True)
        for image in client.images.list(filters={"label": label}):
            client.images.remove(str(image.id), force=True)
    except APIError as error:
        say(f"    left on the engine (label {label}): {error.explanation}")
    finally:
        client.close()


def _instance_id(database: Path) -> str | None:
    """None when the server never came so far as to make its database."""
    if not database.exists():
        return None
    with closing(sqlite3.connect(database)) as connection:
        try:
            row = connection.execute("SELECT instance_id FROM instance").fetchone()
        except sqlite3.OperationalError:
            return None
    return None if row is None else str(row[0])
