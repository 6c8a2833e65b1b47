"""`ci init`, and then `ci submit`."""

import pytest

from support import projects

pytestmark = pytest.mark.docker

KINDS = {
    "pytest": {
        "calc/__init__.py": "",
        "tests/test_a.py": "import pytest, calc\n\ndef test(): pass\n",
    },
    "unittest": {
        "calc.py": "ONE = 1\n",
        "tests/test_a.py": "import unittest\nimport calc\n\n"
        "class Test(unittest.TestCase):\n    def test_one(self):\n"
        "        self.assertEqual(calc.ONE, 1)\n",
    },
    "make": {"Makefile": "test:\n\t@echo made\n"},
}


@pytest.mark.parametrize("files", KINDS.values(), ids=KINDS)
def test_what_it_writes_can_be_submitted(user, tmp_path, files):
    project = projects.write(tmp_path / "new", files)
    written = user.run("init", cwd=project)
    assert written.code == 0, written.err
    assert (project / "ci.toml").exists()
    done = user.run("submit", cwd=project)
    assert done.code == 0, f"{done.text}{done.err}"
    assert "✓ passed" in done.err
    again = user.run("init", cwd=project)
    assert (again.code, "already" in again.err) == (2, True)
