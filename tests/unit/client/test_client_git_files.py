"""What is sent of a git work tree, with real repositories."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from ci_client.client import create_project_zip
from ci_client.packing.project_files import Why
from ci_common.git_facts import GitFacts

AUTHOR = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"]


@pytest.fixture(autouse=True)
def no_configuration(tmp_path_factory, monkeypatch):
    """git as it is without the settings of whoever runs the tests."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in [name for name in os.environ if name.startswith("GIT_") and "CONFIG" not in name]:
        monkeypatch.delenv(name)
    return home


def git(root, *arguments):
    subprocess.run(["git", *AUTHOR, *arguments], cwd=root, check=True, stdout=subprocess.DEVNULL)


def make(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return root


def repository(root: Path, *tracked: str, ignore: str = "") -> Path:
    """A repository in which these files are committed, ignored or not."""
    make(root, *tracked)
    git(root, "init", "-q")
    if ignore:
        (root / ".gitignore").write_text(ignore)
        git(root, "add", ".gitignore")
    if tracked:
        git(root, "add", "-f", "--", *tracked)
    git(root, "commit", "-q", "--allow-empty", "-m", "one")
    return root


def packed(root, include=(), exclude=()):
    """The names in the zip, but for `.gitignore`, and what was left out."""
    with create_project_zip(root, include, exclude) as project:
        names = zipfile.ZipFile(project).namelist()
        assert len(names) == len(set(names))
        assert names == sorted(names)
        assert project.notes == ()
        return [name for name in names if name != ".gitignore"], project.left_out


def test_what_is_tracked_is_sent_whatever_its_name(tmp_path):
    root = repository(
        tmp_path,
        ".coveragerc",
        "data/golden.csv",
        "tests/.netrc",
        ".github/ci.yml",
        ".env",
        "__pycache__/x.py",
        "venv/pyvenv.cfg",
        "a\nb.py",
        "ü.py",
        ignore="*.csv\n",
    )
    make(root, "data/other.csv", "tests/.other", ".env.local", "new.py", ".github/new.yml")
    assert packed(root) == (
        [
            ".coveragerc",
            ".env",
            ".github/ci.yml",
            "__pycache__/x.py",
            "a\nb.py",
            "data/golden.csv",
            "new.py",
            "tests/.netrc",
            "venv/pyvenv.cfg",
            "ü.py",
        ],
        {Why.HIDDEN: [".env.local", "tests/.other"]},
    )


def test_untracked_files_that_no_job_needs(tmp_path):
    root = repository(tmp_path, "a.py")
    make(
        root, "env/pyvenv.cfg", "env/lib/x.py", "p/__pycache__/a.pyc", ".hidden/x", ".tox/y", "b.py"
    )
    assert packed(root) == (["a.py", "b.py"], {Why.HIDDEN: [".hidden/"]})


@pytest.mark.parametrize("where", ["info/exclude", "core.excludesFile", "global ignore"])
def test_every_kind_of_ignore_file(tmp_path, no_configuration, where):
    root = repository(tmp_path, "a.py")
    make(root, "secret-notes.txt", "kept.txt")
    if where == "info/exclude":
        (root / ".git/info/exclude").write_text("secret-*\n")
    elif where == "core.excludesFile":
        (no_configuration / "mine").write_text("secret-*\n")
        git(root, "config", "core.excludesFile", str(no_configuration / "mine"))
    else:
        (no_configuration / ".config/git").mkdir(parents=True)
        (no_configuration / ".config/git/ignore").write_text("secret-*\n")
    assert packed(root)[0] == ["a.py", "kept.txt"]


@pytest.mark.parametrize("known", ["a submodule", "untracked", "without a repository around"])
def test_inner_repositories_have_their_own_rules(tmp_path, known):
    ignore = "build/\n*.dat\n*.log\n"
    inner = ["a.dat", "build/tracked.txt", "own.py"]
    if known == "a submodule":
        source = repository(tmp_path / "source", *inner, ignore="*.tmp\n")
        root = repository(tmp_path / "root", "top.py", ignore=ignore)
        git(root, "submodule", "--quiet", "add", str(source), "sub")
    elif known == "untracked":
        root = repository(tmp_path / "root", "top.py", ignore=ignore)
        repository(root / "sub", *inner, ignore="*.tmp\n")
    else:
        root = make(tmp_path / "root", "top.py")
        repository(root / "sub", *inner, ignore="*.tmp\n")
    make(root, "sub/x.tmp", "sub/new.dat", "sub/.hidden")
    names, left_out = packed(root)
    assert [name for name in names if name.startswith("sub/")] == [
        "sub/.gitignore",
        "sub/a.dat",
        "sub/build/tracked.txt",
        "sub/new.dat",
        "sub/own.py",
    ]
    assert left_out == {Why.HIDDEN: ["sub/.hidden"]}


def test_an_ignored_inner_repository_is_not_sent(tmp_path):
    root = repository(tmp_path, "a.py", ignore="sub/\n")
    repository(root / "sub", "b.py")
    assert packed(root)[0] == ["a.py"]


def test_a_submodule_that_is_not_checked_out_is_empty(tmp_path):
    source = repository(tmp_path / "source", "b.py")
    root = repository(tmp_path / "root", "a.py")
    git(root, "submodule", "--quiet", "add", str(source), "sub")
    git(root, "commit", "-q", "-m", "two")
    git(root, "submodule", "--quiet", "deinit", "-f", "sub")
    assert packed(root)[0] == [".gitmodules", "a.py"]


def test_what_is_not_there_any_more(tmp_path):
    root = repository(tmp_path, "a.py", "gone.py", "was_file", "dir/x.py", "dir/y.py", "keep/z.py")
    (root / "gone.py").unlink()
    (root / "was_file").unlink()
    make(root, "was_file/new.py")
    shutil.rmtree(root / "dir")
    (root / "dir").write_text("a file now")
    assert packed(root)[0] == ["a.py", "dir", "keep/z.py", "was_file/new.py"]


def test_a_sparse_checkout(tmp_path):
    root = repository(tmp_path, "a.py", "big/x.bin", "small/y.py")
    git(root, "sparse-checkout", "set", "small")
    assert packed(root)[0] == ["a.py", "small/y.py"]


def test_a_directory_that_became_a_link_is_not_followed(tmp_path):
    outside = make(tmp_path / "outside", "x.py")
    root = repository(tmp_path / "root", "a.py", "dir/x.py")
    shutil.rmtree(root / "dir")
    (root / "dir").symlink_to(outside)
    assert packed(root) == (["a.py"], {Why.LINK: ["dir"]})


def test_links_that_are_tracked(tmp_path):
    root = make(tmp_path, "a.py")
    (root / "inside").symlink_to("a.py")
    (root / "outside").symlink_to("/etc/hostname")
    repository(root, "a.py")
    git(root, "add", "inside", "outside")
    assert packed(root) == (["a.py", "inside"], {Why.LINK: ["outside"]})


def test_a_merge_that_is_not_resolved(tmp_path):
    root = repository(tmp_path, "a.py", "b.py")
    git(root, "checkout", "-q", "-b", "other")
    (root / "a.py").write_text("other")
    git(root, "commit", "-qam", "other")
    git(root, "checkout", "-q", "-")
    (root / "a.py").write_text("mine")
    git(root, "commit", "-qam", "mine")
    with pytest.raises(subprocess.CalledProcessError):
        git(root, "merge", "-q", "other")
    assert packed(root)[0] == ["a.py", "b.py"]


def test_a_directory_within_a_work_tree(tmp_path):
    root = repository(tmp_path, "top.py", "sub/a.csv", "sub/.h", ignore="*.csv\nout/\n")
    make(root, "sub/b.csv", "sub/c.py")
    assert packed(root / "sub")[0] == [".h", "a.csv", "c.py"]
    make(root, "out/report.csv", "out/.h")
    git(root, "add", "-f", "out/.h")
    assert packed(root / "out")[0] == [".h", "report.csv"], (
        "who names an ignored directory wants it"
    )


def test_another_work_tree_of_the_repository(tmp_path):
    root = repository(tmp_path / "root", "a.py", ".hidden")
    git(root, "worktree", "add", "-q", str(tmp_path / "second"))
    make(tmp_path / "second", "b.py")
    assert packed(tmp_path / "second")[0] == [".hidden", "a.py", "b.py"]


def test_called_from_a_hook_of_another_repository(tmp_path, monkeypatch):
    other = repository(tmp_path / "other", "wrong.py")
    root = repository(tmp_path / "root", "a.py")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    assert packed(root)[0] == ["a.py"]


def test_no_program_that_the_repository_names_is_run(tmp_path):
    root = repository(tmp_path / "root", "a.py")
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    monitor.chmod(0o755)
    git(root, "config", "core.fsmonitor", str(monitor))
    before = (root / ".git/index").read_bytes()
    os.utime(root / "a.py", (1, 1))
    assert packed(root)[0] == ["a.py"]
    assert not (tmp_path / "ran").exists()
    assert (root / ".git/index").read_bytes() == before


@pytest.mark.parametrize(
    ("include", "exclude", "names"),
    [
        ((), ("*.csv",), ["a.py", "data/x.txt"]),
        ((), ("data/",), ["a.py"]),
        ((), ("data/*", "!data/x.txt"), ["a.py", "data/x.txt"]),
        ((), ("/a.py",), ["data/golden.csv", "data/x.txt"]),
        ((".env",), (), [".env", "a.py", "data/golden.csv", "data/x.txt"]),
        (("build/*.whl",), (), ["a.py", "build/a.whl", "data/golden.csv", "data/x.txt"]),
        (("build/",), ("*.whl",), ["a.py", "build/log", "data/golden.csv", "data/x.txt"]),
        (("*.csv",), ("data/*.csv",), ["a.py", "data/x.txt"]),
    ],
)
@pytest.mark.parametrize("kind", ["git", "walk"])
def test_include_and_exclude(tmp_path, include, exclude, names, kind):
    files = ("a.py", "data/golden.csv", "data/x.txt")
    if kind == "git":
        root = repository(tmp_path, *files, ignore="*.csv\nbuild/\n")
    else:
        root = make(tmp_path, *files)
        (root / ".gitignore").write_text("build/\n")
    make(root, ".env", "build/a.whl", "build/log")
    found, left_out = packed(root, include, exclude)
    assert found == names
    assert left_out == ({} if ".env" in include else {Why.HIDDEN: [".env"]})


def with_notes(root):
    with create_project_zip(root) as project:
        return zipfile.ZipFile(project).namelist(), project.notes


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
@pytest.mark.parametrize("inner", [False, True], ids=["outer", "inner"])
def test_a_repository_of_another_user_is_walked_and_that_is_said(tmp_path, inner):
    root = repository(tmp_path, "a.py", ".hidden", "x.csv", ignore="*.csv\n")
    mine = root
    if inner:
        mine = repository(root / "sub", "b.py", ".hidden")
    shutil.chown(mine, 65534)
    shutil.chown(mine / ".git", 65534)
    names, (note,) = with_notes(root)
    assert "dubious ownership" in note
    assert "hidden files are not sent" in note
    expected = [".gitignore", ".hidden", "a.py", "sub/b.py", "x.csv"] if inner else ["a.py"]
    assert names == expected


def test_without_git_the_directory_is_walked_and_that_is_said(tmp_path, monkeypatch):
    root = repository(tmp_path, "a.py", ".hidden", "x.log", ignore="*.log\n")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    names, (note,) = with_notes(root)
    assert names == ["a.py"]
    assert "git cannot be run" in note


def test_no_repository_needs_no_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert packed(make(tmp_path, "a.py", "sub/b.py"))[0] == ["a.py", "sub/b.py"]


def facts(root):
    with create_project_zip(root) as project:
        return project.git


def head(root):
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout[:40]


def test_facts_of_the_work_tree(tmp_path):
    root = repository(tmp_path, "a.py")
    git(root, "checkout", "-q", "-b", "feature/x")
    assert facts(root) == GitFacts(head(root), "feature/x", False, None)
    git(root, "tag", "v1.2")
    assert facts(root) == GitFacts(head(root), "feature/x", False, f"v1.2-0-g{head(root)[:9]}")
    (root / "a.py").write_text("changed")
    changed = facts(root)
    assert (changed.dirty, changed.describe) == (True, f"v1.2-0-g{head(root)[:9]}")
    git(root, "commit", "-qam", "two")
    git(root, "checkout", "-q", "--detach")
    assert facts(root) == GitFacts(head(root), None, False, f"v1.2-1-g{head(root)[:9]}")


def test_labels_of_the_work_tree(tmp_path):
    root = repository(tmp_path, "a.py")
    git(root, "remote", "add", "origin", "https://ann:secret@git.example.com/team/a.git?key=x")
    remote = "https://git.example.com/team/a.git"
    with create_project_zip(root) as project:
        assert project.git.remote == remote
        assert project.labels == project.git.labels
        assert project.labels["git.remote"] == remote
    with create_project_zip(root, git=False) as project:
        assert (project.labels, project.git.remote) == ({}, None)
        assert project.git.commit == head(root)


def test_no_facts_without_a_commit_or_a_repository(tmp_path):
    make(tmp_path / "plain", "a.py")
    assert facts(tmp_path / "plain") is None
    git(make(tmp_path / "new", "a.py"), "init", "-q")
    assert facts(tmp_path / "new") is None


@pytest.mark.parametrize("place", [".hid", "pkg/__pycache__", "env"])
def test_no_directory_below_one_that_is_not_wanted_is_followed_by_links(tmp_path, place):
    outside = make(tmp_path / "outside", "secret.txt")
    root = repository(tmp_path / "root", "a.py", f"{place}/sub/secret.txt", "env/pyvenv.cfg")
    shutil.rmtree(root / place / "sub")
    (root / place / "sub").symlink_to(outside)
    names, _ = packed(root)
    assert not [name for name in names if name.endswith("secret.txt")]


def test_hidden_directories_are_told_of_once_and_only_what_is_not_sent(tmp_path):
    root = repository(tmp_path, "a.py", ".circleci/config.yml")
    make(root, ".circleci/new.yml", ".secrets/a", ".secrets/b/c", "sub/.d/e", ".tox/x", ".env")
    assert packed(root) == (
        [".circleci/config.yml", "a.py"],
        {Why.HIDDEN: [".circleci/new.yml", ".env", ".secrets/", "sub/.d/"]},
    )


def test_a_tag_that_is_no_version_is_passed_over(tmp_path):
    root = repository(tmp_path, "a.py")
    git(root, "tag", "v1.2.3")
    git(root, "commit", "-q", "--allow-empty", "-m", "two")
    git(root, "tag", "nightly")
    assert facts(root).describe == f"v1.2.3-1-g{head(root)[:9]}"


def test_no_facts_for_a_directory_that_git_ignores(tmp_path):
    root = repository(tmp_path, "a.py", ignore="out/\n")
    assert facts(make(root, "out/b.py") / "out") is None
    assert facts(make(root, "sub/b.py") / "sub").commit == head(root)
