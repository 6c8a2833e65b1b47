import pytest

from setup_steps import debian_mirror

ONE_LINE = """
# deb http://commented.example/debian bookworm main
deb-src http://sources.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] https://tools.example/apt bookworm stable
deb [ arch=amd64 ] http://mirror.example/debian bookworm main contrib # ours
"""

DEB822 = """
Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
"""

DISABLED = DEB822.replace("Types: deb deb-src", "Enabled: no\nTypes: deb")


def apt_directory(tmp_path, name, text):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", ONE_LINE),
        ("sources.list.d/debian.list", ONE_LINE),
        ("sources.list.d/debian.sources", DEB822),
    ],
)
def test_the_configured_mirror_is_used(tmp_path, name, text):
    directory = apt_directory(tmp_path, name, text)
    assert debian_mirror.mirror("bookworm", directory) == "http://mirror.example/debian"


@pytest.mark.parametrize(
    ("suite", "name", "text"),
    [
        ("trixie", "sources.list", ONE_LINE),
        ("bookworm", "sources.list", "deb cdrom:[Debian]/ bookworm main"),
        ("bookworm", "sources.list", "deb\ndeb [broken"),
        ("bookworm", "sources.list.d/debian.sources", DISABLED),
    ],
)
def test_otherwise_the_public_one(tmp_path, suite, name, text):
    directory = apt_directory(tmp_path, name, text)
    assert debian_mirror.mirror(suite, directory) == debian_mirror.DEFAULT_MIRROR


@pytest.mark.parametrize(
    ("text", "suite"),
    [
        ('ID=debian\nVERSION_CODENAME="trixie"\n', "trixie"),
        ("ID=debian\n", debian_mirror.DEFAULT_SUITE),
        ("ID=ubuntu\nVERSION_CODENAME=noble\n", debian_mirror.DEFAULT_SUITE),
        (None, debian_mirror.DEFAULT_SUITE),
    ],
)
def test_suite_is_the_machines_own_on_debian(tmp_path, text, suite):
    if text is not None:
        (tmp_path / "os-release").write_text(text)
    assert debian_mirror.suite(tmp_path / "os-release") == suite
