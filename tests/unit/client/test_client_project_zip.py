"""Packing, with git itself as the judge of what is ignored."""

import gc
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_client.client import create_project_zip
from ci_client.errors import ProjectError, ProjectNotFound, ProjectTooLarge
from ci_client.packing import project_files
from ci_client.packing.project_files import Why
from ci_client.packing.upload_limits import UploadLimits

GIT_ENV = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent"}


def make(root: Path, *names: str, **contents: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(contents.get(name, name))
    return root


def packed(root: Path, *include: str) -> list[str]:
    with create_project_zip(root, include) as project, zipfile.ZipFile(project) as archive:
        assert archive.testzip() is None
        assert project.file_count == len(archive.namelist())
        return archive.namelist()


def listed_by_git(root: Path) -> list[str]:
    """The visible files that git would add, in our order."""
    git = ["git", "-c", "core.quotepath=off"]
    env = {**os.environ, **GIT_ENV}
    subprocess.run([*git, "init", "-q"], cwd=root, check=True, env=env)
    out = subprocess.run(
        [*git, "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=root, check=True, env=env, stdout=subprocess.PIPE,
    ).stdout  # fmt: skip
    names = [os.fsdecode(name) for name in out.split(b"\0") if name]
    return sorted(n for n in names if not any(p.startswith(".") for p in n.split("/")))


RULES = [
    ["*.log", "!keep.log", "build/", "/only_top.txt"],
    ["*", "!*/", "!*.py"],
    ["*", "!src/", "!a.py"],
    ["src/*", "!src/keep", "**/deep/b.py"],
    ["src/**", "!src/keep/", "!src/keep/a.py"],
    ["foo/**/a.py", "a/**", "!a/b.py", "**/"],
    ["trailing.txt   ", "with\\ ", "\\#hash", "\\!bang", "# comment", "", "[ab].py", "*.t?t"],
    ["src", "!src/a.py"],
    ["keep/*/", "*/deep", "b.py\r"],
]


@pytest.mark.parametrize("rules", RULES)
def test_ignores_what_git_ignores(tmp_path, rules):
    names = ["a.py", "b.py", "x.log", "keep.log", "only_top.txt", "trailing.txt", "#hash", "!bang"]
    where = [
        "",
        "src/",
        "src/keep/",
        "src/keep/deep/",
        "build/",
        "foo/",
        "foo/a/b/",
        "a/",
        "keep/x/",
    ]
    make(tmp_path, *(base + name for base in where for name in names), "with ")
    (tmp_path / ".gitignore").write_text("\n".join(rules))
    make(tmp_path, "visible.md")
    expected = listed_by_git(tmp_path)
    if expected:
        assert packed(tmp_path) == expected
    else:
        with pytest.raises(ProjectError):
            create_project_zip(tmp_path)


_part = st.sampled_from(["a", "b", "ab", "a.b", "*", "**", "a*", "?", "[ab]", "*.b", "!a"])
_pattern = st.builds(
    lambda bang, root, parts, end: bang + root + "/".join(parts) + end,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(_part, min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
)
_name = st.sampled_from(["a", "b", "ab", "a.b", "c"])
_path = st.lists(_name, min_size=1, max_size=4).map("/".join)


@settings(
    max_examples=60, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    paths=st.sets(_path, min_size=3, max_size=14),
    rules=st.dictionaries(
        st.sampled_from(["", "a", "b", "a/b", "ab"]),
        st.lists(_pattern, min_size=1, max_size=5),
        max_size=3,
    ),
)
def test_nested_rules_against_git(paths, rules):
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "always.txt").touch()
        for path in sorted(paths):
            if not any((root / parent).is_file() for parent in Path(path).parents):
                file = root / path
                file.parent.mkdir(parents=True, exist_ok=True)
                if not file.exists():
                    file.touch()
        for base, lines in rules.items():
            if (root / base).is_dir():
                (root / base / ".gitignore").write_text("\n".join(lines))
        expected = listed_by_git(root)
        if expected:
            assert packed(root) == expected


def test_rules_above_the_directory_count_inside_a_repository(tmp_path):
    make(tmp_path, "sub/a.py", "sub/a.log", "sub/in/b.log", "sub/in/only.txt")
    (tmp_path / ".gitignore").write_text("*.log\n/sub/in/only.txt\nout/\n")
    (tmp_path / ".git").mkdir()
    assert packed(tmp_path / "sub") == ["a.py"]
    make(tmp_path, "out/report.log")
    assert packed(tmp_path / "out") == ["report.log"], "who names an ignored directory wants it"


def test_leaves_out_what_is_no_part_of_a_project(tmp_path):
    make(
        tmp_path, "a.py", ".git/config", ".gitignore", ".env.local", ".github/ci.yml",
        "pkg/__pycache__/a.pyc", "pkg/.hidden", "pkg/b.py", "myenv/pyvenv.cfg", "myenv/lib/x.py",
        "env/settings.py", "venv/bin/python", ".pytest_cache/x", "node_modules/x.js",
    )  # fmt: skip
    with create_project_zip(tmp_path) as project:
        names = zipfile.ZipFile(project).namelist()
        assert names == ["a.py", "env/settings.py", "node_modules/x.js", "pkg/b.py"]
        assert project.left_out == {Why.HIDDEN: [".env.local", "pkg/.hidden"]}


def test_ignored_hidden_files_surprise_nobody(tmp_path):
    make(tmp_path, "a.py", ".secret")
    (tmp_path / ".gitignore").write_text(".secret\n")
    with create_project_zip(tmp_path) as project:
        assert project.left_out == {}


@pytest.mark.parametrize(
    ("include", "more"),
    [
        ([".coveragerc"], [".coveragerc", "sub/.coveragerc"]),
        (["/.coveragerc"], [".coveragerc"]),
        ([".github/"], [".github/ci.yml", ".github/x/.y"]),
        (["out/*.whl"], ["out/a.whl"]),
        (["out/**/deep.txt"], ["out/in/deep.txt"]),
        ([".*"], [".coveragerc", ".github/ci.yml", ".github/x/.y", "sub/.coveragerc"]),
        ([".git"], [".git/HEAD"]),
        (["venv"], ["venv/pyvenv.cfg"]),
    ],
)
def test_include_brings_back(tmp_path, include, more):
    make(
        tmp_path, "a.py", ".coveragerc", "sub/.coveragerc", ".github/ci.yml", ".github/x/.y",
        "out/a.whl", "out/b.txt", "out/in/deep.txt", "venv/pyvenv.cfg", ".git/HEAD",
    )  # fmt: skip
    (tmp_path / ".gitignore").write_text("out/\n")
    found = packed(tmp_path, *include)
    assert [n for n in found if n != ".gitignore"] == sorted(["a.py", *more])


def test_modes_links_times_and_special_files(tmp_path):
    make(tmp_path, "run.sh", "data/x")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "data/x").chmod(0o640)
    os.utime(tmp_path / "run.sh", (0, 0))
    os.utime(tmp_path / "data/x", (2**33, 2**33))
    (tmp_path / "inside").symlink_to("data")
    (tmp_path / "data/up").symlink_to("../run.sh")
    (tmp_path / "absolute").symlink_to("/etc/passwd")
    (tmp_path / "outside").symlink_to("../..")
    (tmp_path / "data/sly").symlink_to("../inside/../../x")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as sock, create_project_zip(tmp_path) as project:
        del sock
        archive = zipfile.ZipFile(project)
        modes = {i.filename: i.external_attr >> 16 for i in archive.infolist()}
        assert modes["run.sh"] == stat.S_IFREG | 0o755
        assert modes["data/x"] == stat.S_IFREG | 0o640
        assert stat.S_ISLNK(modes["inside"])
        assert archive.read("inside") == b"data"
        assert archive.read("data/up") == b"../run.sh"
        assert archive.getinfo("run.sh").date_time[0] == 1980
        assert archive.getinfo("data/x").date_time[0] == 2107
        assert project.left_out == {
            Why.LINK: ["absolute", "data/sly", "outside"],
            Why.SPECIAL: ["pipe"],
        }


def test_same_tree_same_bytes(tmp_path):
    make(tmp_path, "b/c.py", "b.py", "a.py", "b-c.py")
    with create_project_zip(tmp_path) as one, create_project_zip(tmp_path) as two:
        assert one.path.read_bytes() == two.path.read_bytes()
        assert zipfile.ZipFile(one).namelist() == ["a.py", "b-c.py", "b.py", "b/c.py"]


def test_what_shrinks_too_well_is_stored(tmp_path):
    # The server refuses archives that expand by more than 200 to 1.
    (tmp_path / "zeros").write_bytes(bytes(3_000_000))
    (tmp_path / "text.py").write_text("".join(f"value_{n} = {n * n}\n" for n in range(20_000)))
    with create_project_zip(tmp_path) as project, zipfile.ZipFile(project) as archive:
        assert archive.getinfo("zeros").compress_size == 3_000_000
        assert archive.getinfo("text.py").compress_size < archive.getinfo("text.py").file_size / 2


@pytest.mark.parametrize("how", ["with", "forgotten", "error"])
def test_nothing_stays_behind(tmp_path, monkeypatch, how):
    make(tmp_path / "project", "a.py")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    if how == "with":
        with create_project_zip(tmp_path / "project") as project:
            assert project.path.exists()
            assert os.fspath(project) == str(project.path)
    elif how == "forgotten":
        assert create_project_zip(tmp_path / "project").size > 0
        gc.collect()
    else:

        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("ci_client.packing.project_zip._add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            create_project_zip(tmp_path / "project")
    assert list(temporary.iterdir()) == []


def test_no_directory_no_files_too_many_files(tmp_path, monkeypatch):
    with pytest.raises(ProjectNotFound, match="does not exist"):
        create_project_zip(tmp_path / "missing")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ProjectNotFound, match="is a file"):
        create_project_zip(file)
    (tmp_path / "empty/.git").mkdir(parents=True)
    with pytest.raises(ProjectError, match="contains no files"):
        create_project_zip(tmp_path / "empty")
    monkeypatch.setattr(project_files, "_MOST_FILES", 2)
    with pytest.raises(ProjectTooLarge, match="more than 2 files"):
        create_project_zip(make(tmp_path / "many", "a", "b", "c"))


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (UploadLimits(max_files=3), "5 files; the server accepts at most 3."),
        (
            UploadLimits(max_unpacked_bytes=10 << 20),
            "33 MiB; the server accepts at most 10 MiB unpacked",
        ),
        (UploadLimits(max_upload_bytes=20 << 20), "larger than the 20 MiB that the server accepts"),
    ],
)
def test_too_large_projects_are_refused_with_what_is_large(tmp_path, limits, told):
    root = make(tmp_path / "project", "a.py", "data/raw/x/1", "data/raw/2")
    for name, mib in (("data/raw/big.bin", 30), ("model.bin", 3)):
        (root / name).write_bytes(os.urandom(1 << 20) * mib)
    with pytest.raises(ProjectTooLarge) as refused:
        create_project_zip(root, limits=limits)
    assert told in refused.value.message
    assert "data/raw/ (3" in refused.value.message
    assert "--exclude" in refused.value.message
    assert create_project_zip(root, limits=UploadLimits(5, 40 << 20, 40 << 20)).file_count == 5


@pytest.fixture
def unprivileged():
    """A directory of a user who may not read everything."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield directory
    if root:
        os.seteuid(0)
    shutil.rmtree(directory)


def test_an_unreadable_file_is_named(unprivileged):
    if os.getuid() == 0:
        os.seteuid(0)
    make(unprivileged, "a.py", "secret.key", "locked/x")
    (unprivileged / "secret.key").chmod(0)
    if os.getuid() == 0:
        os.seteuid(65534)
    with pytest.raises(ProjectError, match=r"secret\.key \(Permission denied\)"):
        create_project_zip(unprivileged)


def test_a_name_that_is_not_utf8_is_named(tmp_path):
    make(tmp_path, "a.py")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.py")).touch()
    with pytest.raises(ProjectError, match="not UTF-8"):
        create_project_zip(tmp_path)
