"""The keys that secrets are encrypted with, and the encryption: AES-256-GCM.

A key comes from `CI_SECRET_KEY`, or else from a file of the data directory, which is made when
the first secret is stored. Several keys rotate: the first encrypts, all of them decrypt.
"""

import base64
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ci_common.errors import SecretKeyError
from ci_common.secret import KEY_BYTES, WHAT_A_KEY_IS, decoded_key
from ci_persistence.files.key_files import make_key_file, read_key_file

KEY_FILE = "secret.key"

_FILE = f"the key file ({KEY_FILE} in the data directory)"
"""Without its path, because clients are told, too."""

_NONCE_BYTES = 12
_ID_BYTES = 8
_FORMAT = b"\x01"
_HEADER_BYTES = len(_FORMAT) + _ID_BYTES + _NONCE_BYTES


class SecretKeys:
    """The keys of one instance. For any thread, and for several processes at once."""

    def __init__(self, data_path: Path, setting: str | None) -> None:
        """`setting` is the value of `CI_SECRET_KEY`. Raises SecretKeyError when it is none."""
        self._path = data_path / KEY_FILE
        self._set = [_decoded(text) for text in setting.split(",")] if setting else []

    def encrypt(self, plain: bytes, context: str) -> bytes:
        """Encrypt for this context: in another one, the result is of no use.

        Raises SecretKeyError, or OSError when the key file cannot be made.
        """
        key = self._set[0] if self._set else self._from_file() or self._make_file()
        nonce = os.urandom(_NONCE_BYTES)
        header = _FORMAT + _key_id(key) + nonce
        return header + AESGCM(key).encrypt(nonce, plain, context.encode())

    def decrypt(self, content: bytes, context: str) -> bytes:
        """What was encrypted for this context. Raises SecretKeyError."""
        key_id = content[len(_FORMAT) : len(_FORMAT) + _ID_BYTES]
        nonce = content[len(_FORMAT) + _ID_BYTES : _HEADER_BYTES]
        from_file = self._from_file()
        for key in [*self._set, *([from_file] if from_file else [])]:
            if _key_id(key) == key_id and content.startswith(_FORMAT):
                try:
                    return AESGCM(key).decrypt(nonce, content[_HEADER_BYTES:], context.encode())
                except InvalidTag:
                    raise SecretKeyError("what is stored of it is damaged") from None
        raise SecretKeyError(
            "it was encrypted with a key that this server does not have: the operator must add "
            f"the key to CI_SECRET_KEY, put the file {KEY_FILE} back, or set the secret again"
        )

    def _from_file(self) -> bytes | None:
        try:
            found = read_key_file(self._path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SecretKeyError(f"{_FILE} cannot be read: {error.strerror}") from error
        if not found.is_private:
            raise SecretKeyError(
                f"{_FILE} can be read by other users, so secrets encrypted with it are not safe: "
                "the operator must run `chmod 600` on it, and change the secrets if it may have "
                "been read"
            )
        try:
            return _decoded(found.content.decode("ascii", "replace"))
        except SecretKeyError:
            raise SecretKeyError(f"{_FILE} does not hold a key; {WHAT_A_KEY_IS}") from None

    def _make_file(self) -> bytes:
        """Several processes may do this at once: the first one's key is everybody's."""
        make_key_file(self._path, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        key = self._from_file()
        if key is None:
            raise SecretKeyError(f"{_FILE} was removed while it was being created; try again")
        return key


def _decoded(text: str) -> bytes:
    try:
        return decoded_key(text)
    except ValueError as error:
        raise SecretKeyError(f"CI_SECRET_KEY is not usable: {error}") from None


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"ci-runner key id" + key).digest()[:_ID_BYTES]
