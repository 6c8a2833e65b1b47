"""What of a directory arrives in the job; and the example projects."""

import json
import shutil

import pytest

from support import projects
from support.live_server import ROOT

pytestmark = pytest.mark.docker

FIND = ["sh", "-c", "find . -type f -o -type l | sort"]


def arrived(done):
    assert done.code == 0, done.err
    return [name.removeprefix("./") for name in done.text.splitlines()]


def test_options_in_place_of_the_table(user, project, tmp_path):
    table = "[jobs.test]\nmemory = 64\nenv = { A = 'table', B = 'table' }\n"
    (project / "ci.toml").write_text(table)
    (tmp_path / "vars").write_text("C='of the file'\n")
    script = "echo $A $B $C; mkdir kept; echo hello > kept/a.txt"
    options = ["--env", "A=option", "--env-file", tmp_path / "vars", "--memory", "128MB"]
    more = ["--artifacts", "kept/**", f"--download={tmp_path / 'got'}", "--cpu", "100", "--json"]
    done = user.run("submit", "--path", project, *options, *more, "--", "sh", "-c", script)
    assert done.code == 0, done.err
    events = [json.loads(line) for line in done.text.splitlines()]
    assert (events[0]["type"], events[-1]["success"]) == ("job_id", True)
    log = "".join(event["data"] for event in events if event["type"] == "log")
    assert log == "option table of the file\n"
    assert (tmp_path / "got/kept/a.txt").read_text() == "hello\n"
    done = user.run("submit", "--path", project, "--image", "ci-runner:none-such", "--", "true")
    # 3 where no registry can be reached: nothing is known of the image then.
    assert done.code in (2, 3)
    assert "ci-runner:none-such" in done.err


def test_what_git_ignores_stays_behind(user, project):
    projects.write(
        project,
        {
            ".gitignore": "*.log\nbuild/\n!keep.log\n",
            "a.log": "x",
            "keep.log": "x",
            "build/out.txt": "x",
            "src/.gitignore": "/generated.py\n",
            "src/generated.py": "x",
            "src/main.py": "x",
            "src/deep/generated.py": "x",
            ".git/config": "x",
            ".hidden": "x",
            "src/__pycache__/main.pyc": "x",
            "venv/pyvenv.cfg": "x",
            "venv/bin/python": "x",
        },
    )
    done = user.run("submit", "--path", project, "--", *FIND)
    assert arrived(done) == ["keep.log", "readme.txt", "src/deep/generated.py", "src/main.py"]
    assert ".hidden" in done.err


def test_what_is_included_by_hand_arrives(user, project):
    projects.write(project, {".gitignore": "*.log\n", "a.log": "x", ".env": "x"})
    options = ["--include", ".env", "--include", "a.log"]
    done = user.run("submit", *options, "--path", project, "--", *FIND)
    assert arrived(done) == [".env", "a.log", "readme.txt"]


def test_what_the_table_excludes_stays_behind(user, project):
    files = {"ci.toml": 'exclude = ["data/", "*.bin"]\n', "data/a.csv": "x", "b.bin": "x"}
    projects.write(project, files)
    done = user.run("submit", "--path", project, "--", *FIND)
    assert arrived(done) == ["ci.toml", "readme.txt"]
    done = user.run("submit", "--exclude", "!data/", "--path", project, "--", *FIND)
    assert arrived(done) == ["ci.toml", "data/a.csv", "readme.txt"]
    projects.write(project, {"ci.toml": 'exclude = "data/"\n'})
    done = user.run("submit", "--path", project)
    assert (done.code, done.text) == (2, "")
    assert "ci.toml: exclude must be a list of at most 1000 patterns" in done.err


def test_modes_and_links_arrive(user, project):
    projects.write(project, {"run.sh": "#!/bin/sh\necho I run\n", "d/x.txt": "x\n"})
    (project / "run.sh").chmod(0o755)
    (project / "link").symlink_to("d/x.txt")
    (project / "outside").symlink_to("/etc/hostname")
    done = user.run("submit", "--path", project, "--", "sh", "-c", "./run.sh; readlink link; ls")
    assert done.out == b"I run\nd/x.txt\nd\nlink\nreadme.txt\nrun.sh\n"
    assert "outside" in done.err


def test_a_directory_without_anything_to_send(user, tmp_path):
    (tmp_path / "empty").mkdir()
    done = user.run("submit", "--path", "empty")
    assert done.code == 2
    assert "no files" in done.err


@pytest.fixture
def example(tmp_path):
    """A function that copies an example, so that no test run changes it."""

    def copy(name):
        return shutil.copytree(ROOT / "examples" / name, tmp_path / name)

    return copy


def test_example_calculator(user, example):
    done = user.run("submit", "--path", example("calculator"))
    assert done.code == 0, done.text
    assert b"passed" in done.out.splitlines()[-1]


def test_example_failing(user, example):
    done = user.run("submit", "--path", example("failing"))
    assert done.code == 1
    assert b"failed" in done.out.splitlines()[-1]


def test_example_with_requirements(user, example):
    """Needs a package index; the second time there is nothing to install."""
    directory = example("with_requirements")
    first = user.run("submit", "--path", directory)
    assert first.code == 0, first.text
    assert b"humanize" in first.out
    second = user.run("submit", "--path", directory)
    assert second.code == 0
    assert b"humanize==" not in second.out
    assert user.run("submit", "lint", "--path", directory).code == 0
