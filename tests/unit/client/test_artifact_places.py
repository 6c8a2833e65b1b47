"""Names of artifacts that a file system cannot hold, or takes for another's."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_client.errors import DownloadError
from ci_client.library.artifact_places import Places


class ManyNames(Places):
    """Places in a file system that takes several names for the same, as that of macOS does."""

    def __init__(self, directory, same, windows=False):
        super().__init__(directory, windows)
        self._same = same

    def of(self, path):
        place = super().of(path)
        return self._as_stored(place)

    def _as_stored(self, place):
        """The name of a file that is there, and is the same to this file system."""
        for other in place.parent.iterdir():
            if self._same(other.name) == self._same(place.name):
                return other
        return place

    def _is_free(self, place, path):
        return super()._is_free(self._as_stored(place), path)


def put(places, *paths):
    """Where files of these paths come to lie, relative to the directory; each is written."""
    found = {}
    for path in paths:
        place = places.of(path)
        place.write_bytes(path.encode())
        places.take(place, path)
        found[path] = place
    return found


def assert_whole(found):
    """Each is still there, and none was put over another."""
    for path, place in found.items():
        assert place.read_bytes() == path.encode(), path


def test_on_linux_names_are_as_they_are(tmp_path):
    names = ["a\nb", "CON", "a.", " a ", "a\\b", "A", "a", "c:", "é", "e\u0301", "...", "-rf", "~"]
    found = put(Places(tmp_path), *names)
    assert {path: place.name for path, place in found.items()} == {name: name for name in names}
    assert_whole(found)


WINDOWS = {
    "CON": "CON~",
    "aux.txt": "aux~",
    "nul .tar.gz": "nul_tar~",
    "COM1": "COM1~",
    "lpt\u00b9.x": "lpt_~",
    "end.": "end~",
    "end ": "end_~",
    "a:b": "a_b~",
    "a\\b": "a_b~",
    'a"b': "a_b~",
    "a\nb": "a_b~",
    "what?": "what_~",
    "CONIN$": "CONIN_~",
    "..\\..\\evil": "_~",
    "C:\\evil": "C_evil~",
}


@pytest.mark.parametrize("name", WINDOWS)
def test_what_windows_cannot_hold_has_another_name(tmp_path, name):
    places = Places(tmp_path, windows=True)
    place = places.of(f"output/{name}")
    assert place.parent == tmp_path / "output"
    assert place.name.startswith(WINDOWS[name])
    assert not places.is_own(place, f"output/{name}")
    below = places.of(f"{name}/x")
    assert (below.name, below.parent.parent) == ("x", tmp_path)
    assert below.parent.name.startswith(WINDOWS[name])


@pytest.mark.parametrize(
    "name", ["console", "auxiliary.txt", "COM10", "com", ".con", "a.con", "a b"]
)
def test_what_windows_can_hold_is_as_it_is(tmp_path, name):
    places = Places(tmp_path, windows=True)
    assert places.is_own(places.of(name), name)


def test_endings_stay(tmp_path):
    places = Places(tmp_path, windows=True)
    assert places.of("aux.txt").suffix == ".txt"
    assert places.of("a:b.tar.gz").suffix == ".gz"
    assert places.of("a.x:y").suffix == ".x_y"


@pytest.mark.parametrize(
    ("same", "names"),
    [
        (str.casefold, ["a", "A", "b/x", "B/X", "b/y"]),
        (lambda name: unicodedata.normalize("NFD", name), ["\u00e9", "e\u0301", "x"]),
    ],
    ids=["case", "normalization"],
)
def test_two_names_that_are_one_file_here(tmp_path, same, names):
    places = ManyNames(tmp_path, same)
    (tmp_path / "b").mkdir()
    found = put(places, *[name.replace("B/", "b/") for name in names])
    assert len(set(found.values())) == len(names)
    assert_whole(found)
    again = put(ManyNames(tmp_path, same), *found)
    assert again == found


def test_a_file_where_a_directory_should_be_and_the_other_way_round(tmp_path):
    found = put(Places(tmp_path), "a", "a/b", "a/b/c", "d/e", "d")
    assert len(set(found.values())) == 5
    assert found["a"] == tmp_path / "a"
    assert found["a/b"].parent == tmp_path
    assert_whole(found)


def test_paths_that_are_too_long_here(tmp_path):
    directory = tmp_path / ("d" * 200)
    directory.mkdir()
    longest = "/".join(["n" * 200] * 20)
    found = put(Places(directory), longest, f"{longest[:-1]}m", "ü" * 255)
    assert len(set(found.values())) == 3
    assert {place.parent for place in found.values()} == {directory}
    assert_whole(found)


def test_a_name_that_fits_though_that_of_its_part_does_not(tmp_path):
    """While it is written it has another name, which may be longer."""
    room = os.pathconf(tmp_path, "PC_PATH_MAX") - len(os.fsencode(tmp_path)) - 20
    names = ["n" * 200] * (room // 201) + ["n" * (room % 201 or 1)] + ["x"]
    places = Places(tmp_path)
    path = "/".join(names)
    place = places.of(path)
    places.part(place).write_bytes(b"1")
    places.part(place).replace(place)


def test_nothing_is_left_to_be_tried(tmp_path):
    places = Places(tmp_path)
    taken = places.of("x")
    taken.mkdir()
    other = places.of("x")
    other.mkdir()
    with pytest.raises(DownloadError, match="'x' cannot be saved in"):
        places.of("x")


def test_a_name_that_another_artifact_was_given(tmp_path):
    (tmp_path / "x").mkdir()
    places = Places(tmp_path)
    given = places.of("x")
    found = put(places, "x", given.name)
    assert len(set(found.values())) == 2
    assert_whole(found)


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=30
) | st.sampled_from([*WINDOWS, "a", "A", "...", "\u00e9", "e\u0301"])
PATHS = (
    st.lists(NAMES, min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda path: not {".", ".."} & set(path.split("/")))
)


@given(paths=st.lists(PATHS, min_size=1, max_size=8, unique=True), windows=st.booleans())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_names_have_places_of_their_own_within_the_directory(tmp_path_factory, paths, windows):
    directory = tmp_path_factory.mktemp("places")
    found = put(Places(directory, windows), *paths)
    for place in found.values():
        assert Path(os.path.realpath(place)).is_relative_to(os.path.realpath(directory))
        if windows:
            assert not set('\\:<>"|?*\n') & set(str(place.relative_to(directory)))
    assert_whole(found)
