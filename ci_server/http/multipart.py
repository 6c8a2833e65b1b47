"""Multipart uploads, taken apart as they arrive."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from typing_extensions import override

from ci_common.errors import InvalidPackageError, InvalidUploadError, quoted
from ci_server.submission.upload_body import Framing, upload_too_large

_FORM_OVERHEAD_BYTES = 1 << 20
_EPILOGUE_BYTES = 64 << 10
_LENGTH_DIGITS = 18
_PASSED_OVER_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class FormShape:
    """The parts that a form may have."""

    file: str
    """The part that is the zip. A form has to have it."""
    texts: Mapping[str, int]
    """The other parts, and how many bytes each may have."""
    how: str
    """How to send such a form, for people."""
    ignores_others: bool = False
    """Whether small parts of other names are passed over rather than refused."""
    name_suffix: str = ""
    """How the name of the file has to end, in any case."""


class UploadForm(Framing):
    """A form with a zip as one of its parts, taken apart while it arrives: the parts come in any
    order.

    It takes the parser's callbacks, of which the order is: part begin, headers, data, end.
    """

    def __init__(self, shape: FormShape, headers: Mapping[str, str], max_bytes: int) -> None:
        """`headers`, in lower case, are those of the request, `max_bytes` what the zip may have.

        Raises InvalidUploadError, UploadTooLargeError.
        """
        _check_declared_size(headers, max_bytes)
        self._shape = shape
        self._texts = {name: bytearray() for name in shape.texts}
        self._passed_over = 0
        self._max_bytes = max_bytes
        self._seen: set[str] = set()
        self._received = 0
        self._ended_at: int | None = None
        """Bytes received when the form was whole; what follows means nothing."""
        self._pieces: list[bytes] = []
        """Of the zip, in the chunk that is being parsed."""
        self._field = ""
        self._file_name = ""
        self._header_name = b""
        self._header_value = b""
        with _told(shape):
            self._parser = self._new_parser(_boundary(headers, shape))

    def text(self, name: str) -> bytes | None:
        """A part beside the zip, once the form has ended; `None` when there is none."""
        return bytes(self._texts[name]) if name in self._seen else None

    @override
    def feed(self, chunk: bytes) -> list[bytes]:
        """What of the part `file` is in the chunk."""
        self._received += len(chunk)
        if self._received > self._max_bytes + _FORM_OVERHEAD_BYTES:
            raise upload_too_large(self._max_bytes)
        self._pieces = []
        if self._ended_at is None:
            with _told(self._shape):
                self._parser.write(chunk)
        elif self._received - self._ended_at > _EPILOGUE_BYTES:
            raise InvalidUploadError(
                "the request continues after the end of the form; send it again"
            )
        return self._pieces

    @override
    def end(self) -> None:
        """Raises InvalidUploadError, also when there is no file."""
        with _told(self._shape):
            self._parser.finalize()
        if self._ended_at is None:
            raise InvalidUploadError("the upload ended in the middle of the form; send it again")
        if self._shape.file not in self._seen:
            raise InvalidUploadError(
                f"the form has no part {self._shape.file!r}; {self._shape.how}"
            )

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
        self._field = self._file_name = ""
        self._header_name = self._header_value = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            _, options = parse_options_header(self._header_value)
            self._field = options.get(b"name", b"").decode(errors="replace")
            self._file_name = options.get(b"filename", b"").decode(errors="replace")
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        shape = self._shape
        if self._field not in (shape.file, *shape.texts):
            if shape.ignores_others:
                return
            names = [shape.file, *shape.texts]
            known = f"{', '.join(map(repr, names[:-1]))} and {names[-1]!r}"
            raise InvalidUploadError(
                f"the form has an unknown part {quoted(self._field)}; the parts are {known}"
            )
        if self._field in self._seen:
            raise InvalidUploadError(f"the form has the part {self._field!r} twice")
        self._seen.add(self._field)
        if self._field == shape.file and not self._file_name.lower().endswith(shape.name_suffix):
            raise InvalidPackageError(
                f"the part {shape.file!r} must be a file whose name ends in {shape.name_suffix}, "
                f"not {quoted(self._file_name)}"
            )

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == self._shape.file:
            self._pieces.append(data[start:end])
        elif (most := self._shape.texts.get(self._field)) is not None:
            text = self._texts[self._field]
            text += data[start:end]
            if len(text) > most:
                raise InvalidUploadError(f"the part {self._field!r} is longer than {most} bytes")
        else:
            self._passed_over += end - start
            if self._passed_over > _PASSED_OVER_BYTES:
                raise InvalidUploadError(
                    f"the form has more than {_PASSED_OVER_BYTES >> 10} KiB in unknown parts; the "
                    f"last one is {quoted(self._field)}"
                )

    def _on_end(self) -> None:
        self._ended_at = self._received


@contextmanager
def _told(shape: FormShape) -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise InvalidUploadError(f"the form cannot be read ({error}); {shape.how}") from error


def _check_declared_size(headers: Mapping[str, str], max_bytes: int) -> None:
    """Refuse by the Content-Length what is too large, before reading any of it."""
    declared = headers.get("content-length", "0")
    if not declared.isdecimal():
        raise InvalidUploadError("the Content-Length header is not a number")
    if len(declared) > _LENGTH_DIGITS or int(declared) > max_bytes + _FORM_OVERHEAD_BYTES:
        raise upload_too_large(max_bytes)


def _boundary(headers: Mapping[str, str], shape: FormShape) -> bytes:
    kind, options = parse_options_header(headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidUploadError(f"the request is not a form; {shape.how}")
    return boundary
