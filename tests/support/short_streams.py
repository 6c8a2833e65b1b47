"""Servers whose streams of job events end soon, so that tests can read them to their end."""

import os

from support.live_server import ROOT

_CUSTOMIZE = """
import ci_server.apis.native.events as events
events.LONGEST_SECONDS = {}
"""


def short_streams(directory, seconds):
    """The environment of such a server."""
    (directory / "sitecustomize.py").write_text(_CUSTOMIZE.format(seconds))
    return {"PYTHONPATH": f"{directory}{os.pathsep}{ROOT}"}
