"""What all tests share. Its place also makes `support` importable from every test directory."""

import signal

import pytest

from support.engine_option import (
    chosen_engine,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_sessionstart,
    pytest_unconfigure,
)

__all__ = [
    "chosen_engine",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_sessionstart",
    "pytest_unconfigure",
]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a shell: what tests start would inherit it, and take no Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"
