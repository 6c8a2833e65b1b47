"""Real rows in a database of their own."""

import pytest

from support.rows import Rows


@pytest.fixture
async def rows(tmp_path):
    rows = await Rows().open(tmp_path / "ci.db")
    yield rows
    await rows.database.close()
