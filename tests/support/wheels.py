"""Wheels that tests install without an index."""

from support.archives import zip_bytes

_METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "RECORD": "",
}
NAME = "greeting-1.0-py3-none-any.whl"


def wheel(word):
    """A wheel with one module, whose `WORD` is this."""
    return zip_bytes(
        {
            "greeting.py": f"WORD = {word!r}\n",
            **{f"greeting-1.0.dist-info/{name}": text for name, text in _METADATA.items()},
        }
    )
