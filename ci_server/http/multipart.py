"""Multipart uploads, taken apart as they arrive."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from typing_extensions import override

from ci_common.errors import InvalidUploadError, quoted
from ci_server.submission.upload_body import Framing, upload_too_large

FILE_FIELD = "file"
SPEC_FIELD = "spec"
SECRETS_FIELD = "secrets"

_TEXT_BYTES = {SPEC_FIELD: 64 << 10, SECRETS_FIELD: 256 << 10}
"""What the parts beside the file may have."""
_FORM_OVERHEAD_BYTES = 1 << 20
_EPILOGUE_BYTES = 64 << 10
_LENGTH_DIGITS = 18
_HOW = "send multipart/form-data with the zip as the part 'file', e.g. curl -F file=@project.zip"


class UploadForm(Framing):
    """A form with the zip as its part `file`, taken apart while it arrives: the parts come in any
    order.

    It takes the parser's callbacks, of which the order is: part begin, headers, data, end.
    """

    def __init__(self, headers: Mapping[str, str], max_bytes: int) -> None:
        """`headers`, in lower case, are those of the request, `max_bytes` what the zip may have.

        Raises InvalidUploadError, UploadTooLargeError.
        """
        _check_declared_size(headers, max_bytes)
        self._texts = {name: bytearray() for name in _TEXT_BYTES}
        self._max_bytes = max_bytes
        self._seen: set[str] = set()
        self._received = 0
        self._ended_at: int | None = None
        """Bytes received when the form was whole; what follows means nothing."""
        self._pieces: list[bytes] = []
        """Of the zip, in the chunk that is being parsed."""
        self._field = ""
        self._header_name = b""
        self._header_value = b""
        with _told():
            self._parser = self._new_parser(_boundary(headers))

    @property
    def spec(self) -> bytes:
        """The part `spec`, once the form has ended; empty when there is none."""
        return bytes(self._texts[SPEC_FIELD])

    @property
    def secrets(self) -> bytes:
        """The part `secrets`, likewise."""
        return bytes(self._texts[SECRETS_FIELD])

    @override
    def feed(self, chunk: bytes) -> list[bytes]:
        """What of the part `file` is in the chunk."""
        self._received += len(chunk)
        if self._received > self._max_bytes + _FORM_OVERHEAD_BYTES:
            raise upload_too_large(self._max_bytes)
        self._pieces = []
        if self._ended_at is None:
            with _told():
                self._parser.write(chunk)
        elif self._received - self._ended_at > _EPILOGUE_BYTES:
            raise InvalidUploadError("the form has ended, but the request goes on; send it again")
        return self._pieces

    @override
    def end(self) -> None:
        """Raises InvalidUploadError, also when there is no part `file`."""
        with _told():
            self._parser.finalize()
        if self._ended_at is None:
            raise InvalidUploadError("the upload ended in the middle of the form; send it again")
        if FILE_FIELD not in self._seen:
            raise InvalidUploadError(f"the form has no part 'file'; {_HOW}")

    def _new_parser(self, boundary: bytes) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_end": self._on_end,
            },
        )

    def _on_part_begin(self) -> None:
        self._field = ""
        self._header_name = self._header_value = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_value)
            self._field = options.get(b"name", b"").decode(errors="replace")
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        if self._field not in (FILE_FIELD, *_TEXT_BYTES):
            raise InvalidUploadError(
                f"the form has an unknown part {quoted(self._field)}; "
                "the parts are 'file', 'spec' and 'secrets'"
            )
        if self._field in self._seen:
            raise InvalidUploadError(f"the form has the part {self._field!r} twice")
        self._seen.add(self._field)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if (most := _TEXT_BYTES.get(self._field)) is not None:
            text = self._texts[self._field]
            text += data[start:end]
            if len(text) > most:
                raise InvalidUploadError(f"the part {self._field!r} is longer than {most} bytes")
            return
        self._pieces.append(data[start:end])

    def _on_end(self) -> None:
        self._ended_at = self._received


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise InvalidUploadError(f"the form cannot be read ({error}); {_HOW}") from error


def _check_declared_size(headers: Mapping[str, str], max_bytes: int) -> None:
    """Refuse by the Content-Length what is too large, before reading any of it."""
    declared = headers.get("content-length", "0")
    if not declared.isdecimal():
        raise InvalidUploadError("the Content-Length header is not a number")
    if len(declared) > _LENGTH_DIGITS or int(declared) > max_bytes + _FORM_OVERHEAD_BYTES:
        raise upload_too_large(max_bytes)


def _boundary(headers: Mapping[str, str]) -> bytes:
    kind, options = parse_options_header(headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidUploadError(f"the request is not a form; {_HOW}")
    return boundary
