"""The array types the engine's signatures speak of."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint64]
Bytes: TypeAlias = NDArray[np.uint8]
Booleans: TypeAlias = NDArray[np.bool_]
AnyArray: TypeAlias = NDArray[Any]
