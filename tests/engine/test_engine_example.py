"""The example model: its generator, its size, and its result, which is the same everywhere."""

import runpy
import shutil
from pathlib import Path

from engine.output.run import Changes, Request, run

EXAMPLE = Path(__file__).parents[2] / "examples" / "term_life"
HASH = "4998e309f9bf92ed48b9dfdf9d4a4f0c3e0a9b576f6ac979695caef592f97a88"


def test_its_tables_are_what_its_generator_makes(tmp_path):
    shutil.copy(EXAMPLE / "make_model.py", tmp_path)
    runpy.run_path(str(tmp_path / "make_model.py"), run_name="__main__")
    for name in ("policies.csv", "mortality.csv", "lapse.csv", "expenses.csv"):
        assert (tmp_path / name).read_bytes() == (EXAMPLE / name).read_bytes(), name


def test_its_result_is_the_one_in_the_documentation():
    result = run(Request(EXAMPLE, Changes()))
    assert len(result.policies) == 10_000
    assert result.document["result_hash"] == HASH
    assert HASH in (EXAMPLE.parents[1] / "docs" / "engine.md").read_text()


def test_it_is_small():
    assert sum(path.stat().st_size for path in EXAMPLE.iterdir()) < 1_000_000
