"""Files of a project that are in memory."""

import posixpath

from ci_controller.executors.shared.manifests import in_directory


class MemoryManifests:
    """Manifests (see there) of a dict of texts or bytes."""

    def __init__(self, files):
        self.files = {
            name: text.encode() if isinstance(text, str) else text for name, text in files.items()
        }

    def read(self, name):
        return self.files.get(name)

    def has(self, name):
        return name in self.files

    def is_package(self, directory):
        names = ("pyproject.toml", "setup.py", "setup.cfg")
        return any(in_directory(directory, name) in self.files for name in names)

    def named(self, name):
        return (path for path in self.files if posixpath.basename(path) == name)

    def matching(self, pattern):
        return (path for path in self.files if pattern.fullmatch(path))
