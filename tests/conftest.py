"""What all tests share. Its place also makes `support` importable from every test directory."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"
