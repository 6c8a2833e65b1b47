"""A project whose files never end: a launch of it is always in the midst of unpacking."""

import itertools
import threading

from ci_controller.executors.shared.manifests import ArchivedManifests
from ci_controller.executors.shared.project_archive import ProjectArchive
from support.waiting import until

_BEGUN_FILES = 2_000


class EndlessProject:
    """Makes every package one whose files never end, while it is switched on."""

    def __init__(self, monkeypatch):
        self.begun = threading.Event()
        """Set when many files have been taken, which is in the midst of it."""
        self.is_on = True
        self.after = None
        """What comes after these files, at the end: an engine that refuses something reads on."""
        entries = ProjectArchive.entries

        def endless(archive):
            (entry,) = entries(archive)
            if not self.is_on:
                yield entry
                return
            for number in itertools.count():
                if number == _BEGUN_FILES:
                    self.begun.set()
                    if self.after is not None:
                        yield entry._replace(path=self.after)
                        return
                yield entry._replace(path=f"file{number}")

        monkeypatch.setattr(ProjectArchive, "entries", endless)
        # What is to be installed is found before, and is nothing.
        for look in ("matching", "named"):
            monkeypatch.setattr(ArchivedManifests, look, lambda *_: iter(()))

    async def in_the_midst(self, launching):
        """Wait until this launch is unpacking."""
        await until(
            lambda: self.begun.is_set() or launching.done(), what="the midst of the unpacking"
        )
        assert not launching.done()
