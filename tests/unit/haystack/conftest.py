"""The synthetic atlas, made once, and runs on it."""

import io

import pytest

from haystack import atlas_generator
from haystack.advisor import Rules
from haystack.atlas import read_atlas, read_knowledge
from haystack.catalogue import read_catalogue
from haystack.progress import Progress
from haystack.run import run
from haystack.settings import read_settings
from haystack.stopping import StopRequest

QUERY = "How do CD4 T cells respond to interferon-beta?"


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("haystack")
    assert atlas_generator.main([str(directory)]) == 0
    return directory


@pytest.fixture(scope="session")
def atlas(data):
    return read_atlas(data)


@pytest.fixture(scope="session")
def knowledge(data):
    return read_knowledge(data)


@pytest.fixture(scope="session")
def catalogue(data):
    return read_catalogue(data)


@pytest.fixture(scope="session")
def run_here(data):
    """A function that does a run in this process and returns its outcome."""

    def run_(output, *, stop=None, **environment):
        given = {"RUN_ID": "run_0123456789ab", "QUERY": QUERY, **environment}
        return run(
            read_settings(given),
            data=data,
            output=output,
            advisor=Rules(),
            progress=Progress(10, io.StringIO()),
            stop=stop or StopRequest(),
        )

    return run_


@pytest.fixture(scope="session")
def usual_run(run_here, tmp_path_factory):
    """The outcome and the directory of a run with the usual settings."""
    directory = tmp_path_factory.mktemp("usual") / "output"
    return run_here(directory), directory
