import threading

import pytest

from setup_steps import locks


@pytest.fixture(autouse=True)
def own_directory(monkeypatch, tmp_path):
    monkeypatch.setattr(locks.tempfile, "gettempdir", lambda: str(tmp_path))


def test_the_second_waits_for_the_first(monkeypatch):
    order, said = [], threading.Event()
    # Not capsys: what a thread prints while it is read may be lost.
    monkeypatch.setattr(locks, "say", lambda text: "waiting" in text and said.set())

    def second():
        with locks.held("thing"):
            order.append("second")

    with locks.held("thing"):
        thread = threading.Thread(target=second)
        thread.start()
        assert said.wait(60)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_different_names_do_not_wait():
    with locks.held("one"), locks.held("other"):
        pass


def test_a_lock_is_free_after_an_error():
    with pytest.raises(RuntimeError), locks.held("thing"):
        raise RuntimeError
    with locks.held("thing"):
        pass
