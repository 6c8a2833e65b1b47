"""The repository that is sent as `.git`: unpacked as in a job, and then asked by git itself."""

import gc
import hashlib
import itertools
import os
import subprocess
import tempfile
import zipfile
from pathlib import Path

import pytest

from ci_client.client import create_project_zip
from ci_client.errors import UsageError
from ci_client.packing import git_history
from ci_client.packing.git_remote import public_address
from ci_controller.executors.shared.project_archive import ProjectArchive

AUTHOR = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"]
DESCRIBE = ("describe", "--tags", "--long", "--dirty")


@pytest.fixture(autouse=True)
def no_configuration(tmp_path_factory, monkeypatch):
    """git as it is without the settings of whoever runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in [name for name in os.environ if name.startswith("GIT_") and "CONFIG" not in name]:
        monkeypatch.delenv(name)


SECONDS = itertools.count(1_600_000_000)
"""Each commit has another: git describe counts by them."""


def git(root, *arguments):
    at = f"{next(SECONDS)} +0000"
    environment = {**os.environ, "GIT_COMMITTER_DATE": at, "GIT_AUTHOR_DATE": at}
    command = ["git", *AUTHOR, *arguments]
    done = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    return done.stdout.decode()


def make(root, *names):
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{name}\n")
        os.utime(file, (1_700_000_001, 1_700_000_001))
    return root


def commit(root, *names):
    make(root, *names)
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", " ".join(names) or "nothing")
    return git(root, "rev-parse", "HEAD").strip()


@pytest.fixture
def root(tmp_path):
    """A repository with a tag, and a commit after it."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    commit(root, "a.py", "pkg/b.py", "with space", "new\nline", "ü.py", ".hidden")
    git(root, "tag", "v1.0")
    commit(root, "c.py")
    return root


@pytest.fixture
def sent(tmp_path):
    """Packs a directory, and unpacks it as a job has it."""
    counter = itertools.count()

    def send(root, *, notes=(), **options):
        with create_project_zip(root, git=True, **options) as project:
            assert project.notes == tuple(notes)
            return unpacked(project, tmp_path / f"job{next(counter)}")

    return send


def unpacked(project, place):
    place.mkdir()
    links_last = []
    with ProjectArchive(open(project, "rb")) as archive:
        for entry in archive.entries():
            path = place / entry.path
            if entry.is_directory:
                path.mkdir()
            elif entry.link_target is not None:
                path.symlink_to(entry.link_target)
                links_last.append((path, entry.modified))
            else:
                path.write_bytes(b"".join(archive.content(entry)))
                path.chmod(entry.mode)
                os.utime(path, (entry.modified, entry.modified))
    for path, at in links_last:
        os.utime(path, (at, at), follow_symlinks=False)
    return place


def status(root):
    return git(root, "status", "--porcelain", "-b", "--no-ahead-behind")


def head(root):
    return git(root, "log", "-1", "--format=%H %an %s")


def assert_same(root, job):
    assert status(job) == status(root)
    assert head(job) == head(root)
    assert git(job, "ls-tree", "-r", "HEAD") == git(root, "ls-tree", "-r", "HEAD")
    assert git(job, "ls-files", "--stage") == git(root, "ls-files", "--stage")
    git(job, "fsck", "--no-dangling")


def objects(job):
    listed = git(job, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return set(listed.split())


def test_a_clean_tree_is_clean_and_knows_its_version(root, sent):
    job = sent(root)
    assert_same(root, job)
    assert status(job) == "## main\n"
    assert git(job, *DESCRIBE) == git(root, *DESCRIBE)
    assert git(job, "describe", "--tags", "--long").startswith("v1.0-1-g")
    assert git(job, "show", "--stat", "HEAD") == git(root, "show", "--stat", "HEAD")


def test_git_need_not_read_unchanged_files(root, sent):
    job = sent(root)
    git(job, "diff-files", "--quiet")  # which looks at sizes and times only
    at = (job / "a.py").stat().st_mtime
    (job / "a.py").write_text("b.py\n")
    os.utime(job / "a.py", (at + 2, at + 2))
    assert status(job) == "## main\n M a.py\n"


def test_what_is_not_committed_is_seen_in_the_job(root, sent):
    commit(root, "gone.py", "staged.py", "both.py", "old.py", "mode.sh", "dropped.py")
    (root / "a.py").write_text("x")
    (root / "gone.py").unlink()
    (root / "staged.py").write_text("staged")
    (root / "both.py").write_text("in the index")
    git(root, "add", "staged.py", "both.py")
    (root / "both.py").write_text("and after")
    git(root, "mv", "old.py", "renamed.py")
    git(root, "rm", "-q", "--cached", "dropped.py")
    (root / "mode.sh").chmod(0o755)
    make(root, "untracked.py", "added.py", "intended.py")
    git(root, "add", "added.py")
    git(root, "add", "-N", "intended.py")
    job = sent(root)
    assert_same(root, job)
    assert len(status(job).splitlines()) == 12
    for options in ([], ["--cached"]):
        assert git(job, "diff", *options) == git(root, "diff", *options)


def test_an_unresolved_merge(root, sent):
    git(root, "checkout", "-q", "-b", "other")
    (root / "a.py").write_text("theirs")
    commit(root)
    git(root, "checkout", "-q", "main")
    (root / "a.py").write_text("ours")
    commit(root)
    with pytest.raises(subprocess.CalledProcessError):
        git(root, "merge", "-q", "other")
    job = sent(root)
    assert status(job) == status(root) == "## main\nUU a.py\n"


def test_links_and_modes(root, sent):
    (root / "link").symlink_to("a.py")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    commit(root)
    assert_same(root, sent(root))


def test_a_detached_head(root, sent):
    git(root, "checkout", "-q", "HEAD~1")
    job = sent(root)
    assert status(job) == status(root) == "## HEAD (no branch)\n"
    assert head(job) == head(root)
    assert git(job, "describe", "--tags") == "v1.0\n"


def test_a_detached_head_without_tags(root, sent):
    git(root, "tag", "-d", "v1.0")
    git(root, "checkout", "-q", "--detach")
    job = sent(root)
    assert_same(root, job)
    assert (job / ".git/refs").is_dir()


def test_a_work_tree_beside_the_repository(root, sent, tmp_path):
    git(root, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = tmp_path / "side"
    commit(side, "d.py")
    assert (side / ".git").is_file()
    job = sent(side)
    assert_same(side, job)
    assert status(job) == "## side\n"
    assert git(job, "describe", "--tags").startswith("v1.0-2-g")


def test_submodules(root, sent, tmp_path):
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q", "-b", "main")
    git(outer, "submodule", "--quiet", "add", str(root), "inner")
    commit(outer, "top.py")
    job = sent(outer)
    assert (job / "inner/a.py").is_file()
    assert not (job / "inner/.git").exists()
    assert_same(outer, job)
    inner = sent(outer / "inner")
    assert (outer / "inner/.git").is_file()
    assert head(inner).split()[0] == git(root, "rev-parse", "HEAD").strip()
    assert status(inner) == "## main\n"


def test_a_shallow_clone(root, sent, tmp_path):
    commit(root, "d.py")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth", "1", root.as_uri(), str(clone))
    job = sent(clone)
    assert git(job, "log", "--format=%s") == "d.py\n"
    assert status(job) == "## main\n"
    git(job, "fsck", "--connectivity-only")


def test_a_partial_and_sparse_clone(root, sent, tmp_path):
    git(root, "config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--filter=blob:none", "--sparse", root.as_uri(), str(clone))
    before = objects_there(clone)
    job = sent(clone)
    assert objects_there(clone) == before
    assert not (job / "pkg").exists()
    assert status(job) == "## main\n"


def objects_there(root):
    listed = git(root, "rev-list", "--objects", "--all", "--missing=print")
    return {line for line in listed.splitlines() if line.startswith("?")}


@pytest.mark.parametrize("kind", ["files", "loose"])
def test_objects_with_sha256(sent, tmp_path, kind):
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q", "-b", "main", "--object-format=sha256")
    commit(root, "a.py", "d/b.py")
    git(root, "tag", "-a", "-m", "t", "v2.0")
    commit(root, "c.py")
    if kind == "files":
        git(root, "gc", "-q")
    job = sent(root)
    assert_same(root, job)
    assert len(head(job).split()[0]) == 64
    assert git(job, "describe") == git(root, "describe")


# ------------------------------------------------------------------ tags and history


def test_the_commits_back_to_the_nearest_tags_of_each_kind(root, sent):
    git(root, "tag", "-a", "-m", "x", "release-2")
    commit(root, "d.py")
    git(root, "tag", "nightly")
    commit(root, "e.py")
    git(root, "branch", "unsent")
    job = sent(root)
    for question in (("describe",), ("describe", "--tags"), ("describe", "--match", "release*")):
        assert git(job, *question) == git(root, *question)
    assert git(job, "tag").split() == ["nightly", "release-2"]
    assert git(job, "branch", "--format=%(refname:short)") == "main\n"
    assert len(git(job, "rev-list", "HEAD").split()) == 3
    assert (job / ".git/shallow").read_text() == git(root, "rev-parse", "HEAD~2")
    git(job, "fsck")


def test_a_history_that_is_too_long_is_not_sent_and_told(root, sent, monkeypatch):
    monkeypatch.setattr(git_history, "_MOST_COMMITS", 2)
    for number in range(3):
        commit(root, f"{number}.py")
    with create_project_zip(root, git=True) as project:
        (note,) = project.notes
    assert "git describe finds no tag" in note
    job = sent(root, notes=[note])
    assert git(job, "rev-list", "HEAD").split() == [git(root, "rev-parse", "HEAD").strip()]
    assert_same(root, job)


def test_a_history_that_is_too_large_is_not_sent_and_told(root, sent, monkeypatch):
    monkeypatch.setattr(git_history, "_MOST_BYTES", 10_000)
    (root / "noise").write_bytes(os.urandom(20_000))
    commit(root)
    (root / "noise").unlink()
    commit(root)
    with create_project_zip(root, git=True) as project:
        assert len(project.notes) == 1
        assert project.size < 20_000


def test_a_branch_from_before_the_tag(root, sent):
    commit(root, "d.py")
    git(root, "tag", "v2.0")
    git(root, "checkout", "-q", "-b", "topic", "v1.0")
    commit(root, "t1.py")
    git(root, "merge", "-q", "--no-edit", "main")
    commit(root, "t2.py")
    job = sent(root)
    assert git(job, *DESCRIBE) == git(root, *DESCRIBE)
    assert "v2.0-3-g" in git(job, *DESCRIBE)
    assert_same(root, job)


def test_commits_that_would_be_miscounted_are_not_sent(root, sent):
    """A merge has one parent from before the tag, which is not sent, and another from after it."""
    commit(root, "d.py")
    git(root, "tag", "v2.0")
    git(root, "checkout", "-q", "-b", "topic", "v1.0")
    commit(root, "t1.py")
    git(root, "merge", "-q", "--no-edit", "main~1")
    git(root, "merge", "-q", "--no-edit", "main")
    with create_project_zip(root, git=True) as project:
        (note,) = project.notes
    job = sent(root, notes=[note])
    assert git(job, "tag") == ""
    assert_same(root, job)


# ------------------------------------------------------------------ what is not sent


def test_nothing_but_the_commit_is_sent(root):
    make(root, "stashed.py")
    git(root, "stash", "-q", "-u")
    git(root, "config", "http.extraHeader", "Authorization: token-1")
    git(root, "remote", "add", "origin", "https://user:token-2@example.com/a/b.git?k=token-3")
    git(root, "remote", "add", "fork", "https://token-4@example.com/a/b.git")
    git(root, "config", "url.https://token-5@example.com/.insteadOf", "https://example.com/")
    hook = root / ".git/hooks/post-index-change"
    hook.write_text("#!/bin/sh\ntouch token-6\n")
    hook.chmod(0o755)
    with create_project_zip(root, include=[".git"], git=True) as project:
        archive = zipfile.ZipFile(project)
        own = {name: archive.read(name) for name in archive.namelist() if name.startswith(".git/")}
    known = [name for name in own if "pack-" not in name]
    assert known == [
        ".git/HEAD", ".git/config", ".git/index", ".git/packed-refs", ".git/refs/",
    ]  # fmt: skip
    assert b"token" not in b"".join(own.values())
    assert b'url = "https://example.com/a/b.git"' in own[".git/config"]
    assert not (root / "token-6").exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://user:secret@example.com:8443/a/b.git", "https://example.com:8443/a/b.git"),
        ("https://secret@[::1]/a", "https://[::1]/a"),
        ("https://a@b:secret@example.com/a", "https://example.com/a"),
        ("https://example.com/a?token=secret#secret", "https://example.com/a"),
        ("ssh://git@example.com/a/b", "ssh://example.com/a/b"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("secret@github.com:a/b.git", "github.com:a/b.git"),
        ("/home/me/secret", None),
        ("../secret", None),
        ("file:///home/secret", None),
        ("C:\\secret", None),
        ("https://[secret", None),
        ('https://example.com/"\n[secret]', None),
        ("ext::secret %S foo", None),
        ("", None),
    ],
)
def test_the_address_of_a_remote(url, told):
    assert public_address(url) == told


def test_what_is_excluded_is_in_the_repository_neither(root, sent):
    commit(root, "data/big.csv", "data/sub/x.csv", "keep/same.csv")
    (root / "keep/same.csv").write_bytes((root / "data/sub/x.csv").read_bytes())
    commit(root)
    big = git(root, "rev-parse", "HEAD:data/big.csv").strip()
    same = git(root, "rev-parse", "HEAD:data/sub/x.csv").strip()
    for patterns in (["data"], ["data/"], ["*.csv", "!same.csv"]):
        job = sent(root, exclude=patterns)
        assert not (job / "data").exists()
        assert status(job) == "## main\n"
        assert (big in objects(job), same in objects(job)) == (False, True)


def test_filters_of_the_client_do_not_make_files_look_changed(root, sent):
    git(root, "config", "filter.upper.clean", "tr a-z A-Z")
    (root / ".gitattributes").write_text("*.up filter=upper\n*.crlf text eol=crlf\n")
    make(root, "x.up")
    (root / "y.crlf").write_bytes(b"a\r\nb\r\n")
    os.utime(root / "y.crlf", (1_700_000_000, 1_700_000_000))
    commit(root)
    os.utime(root / "x.up", (1_700_000_000, 1_700_000_000))
    assert status(root) == "## main\n"
    assert status(sent(root)) == "## main\n"


def test_the_zip_is_the_same_each_time_and_the_repository_untouched(root):
    before = states(root)
    digests = set()
    for _ in range(2):
        with create_project_zip(root, git=True) as project:
            digests.add(hashlib.sha256(Path(project).read_bytes()).hexdigest())
    assert len(digests) == 1
    assert states(root) == before


def states(root):
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in root.rglob("*")}


def test_in_a_hook_of_another_repository(root, sent, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "nowhere/index"))
    job = sent(root)
    monkeypatch.undo()
    assert (job / ".git/HEAD").read_text() == "ref: refs/heads/main\n"


# ------------------------------------------------------------------ the key, and refusals


def test_the_key_of_the_table_and_the_option(root):
    def has_git(**options):
        with create_project_zip(root, **options) as project:
            return ".git/HEAD" in zipfile.ZipFile(project).namelist()

    assert not has_git()
    (root / "ci.toml").write_text("git = true\n")
    assert has_git()
    assert not has_git(git=False)
    (root / "ci.toml").write_text("git = 1\n")
    with pytest.raises(UsageError, match=r"ci\.toml: git must be true or false"):
        has_git()


def test_without_a_repository(tmp_path):
    make(tmp_path, "a.py")
    with pytest.raises(UsageError, match="is not in a git work tree"):
        create_project_zip(tmp_path, git=True)


def test_without_a_commit(tmp_path):
    make(tmp_path, "a.py")
    git(tmp_path, "init", "-q")
    with pytest.raises(UsageError, match=r"has no commits yet; create one\. Use --no-git"):
        create_project_zip(tmp_path, git=True)


def test_below_the_top(root):
    with pytest.raises(UsageError, match=f"not the top .* use --path {root} to send"):
        create_project_zip(root / "pkg", git=True)


def test_where_git_fails(root):
    (root / ".git/HEAD").write_text("nonsense")
    with pytest.raises(UsageError, match="git cannot copy the commit"):
        create_project_zip(root, git=True)


def test_limits_count_the_repository(root):
    from ci_client.errors import ProjectTooLarge
    from ci_client.packing.upload_limits import UploadLimits

    with create_project_zip(root) as project:
        limits = UploadLimits(max_files=project.file_count)
    with pytest.raises(ProjectTooLarge, match=r"\.git/"):
        create_project_zip(root, limits=limits, git=True)


def test_ctrl_c_while_the_copy_is_removed_leaves_no_zip(root, tmp_path, monkeypatch):
    cleanup = tempfile.TemporaryDirectory.cleanup

    def interrupted(directory):
        cleanup(directory)
        raise KeyboardInterrupt

    commit(root, "a.py")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", interrupted)
    with pytest.raises(KeyboardInterrupt):
        create_project_zip(root, git=True)
    gc.collect()
    assert not list((tmp_path / "tmp").glob("*.zip"))
