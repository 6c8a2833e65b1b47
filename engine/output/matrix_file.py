"""A numpy file that is written row block by row block, and is there when it is whole."""

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from engine.errors import EngineError
from engine.numbers.arrays import Floats


class MatrixFile:
    """A float64 matrix of a known shape in numpy's format; memory holds one block at a time."""

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self._path, self._shape = path, shape

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        except OSError as error:
            raise self._failure(error) from error
        self._temporary = Path(name)
        self._file = os.fdopen(handle, "wb")
        header = {"descr": "<f8", "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self

    def append(self, rows: Floats) -> None:
        """Write the next rows."""
        try:
            self._file.write(np.ascontiguousarray(rows, "<f8").data)
        except OSError as error:
            raise self._failure(error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
            if kind is None:
                self._temporary.chmod(0o644)
                self._temporary.replace(self._path)
        except OSError as problem:
            raise self._failure(problem) from problem
        finally:
            self._temporary.unlink(missing_ok=True)

    def _failure(self, error: OSError) -> EngineError:
        return EngineError(f"cannot write {self._path}: {error.strerror}")
