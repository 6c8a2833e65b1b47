"""Uploads as forms: streamed, cut anywhere, and refused without a trace."""

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_common.errors import InvalidUploadError, RunnerError, UploadTooLargeError
from ci_persistence.files.packages import FilePackageStore
from ci_server.apis.native.submitted import FORM
from ci_server.http.multipart import UploadForm
from ci_server.submission.upload_body import receive_body

pytestmark = pytest.mark.anyio

BOUNDARY = "----boundary1234"
HEADERS = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
CONTENT = b"PK\x03\x04 zip \r\n--not the boundary\r\n------boundary123\r\n\x00\xff" * 3


def part(name, content, extra=b'; filename="project.zip"\r\nContent-Type: application/zip'):
    head = b'--%s\r\nContent-Disposition: form-data; name="%s"' % (BOUNDARY.encode(), name.encode())
    return head + extra + b"\r\n\r\n" + content + b"\r\n"


def form(*parts):
    return b"".join(parts) + b"--%s--\r\n" % BOUNDARY.encode()


FILE = part("file", CONTENT)
SPEC = part("spec", b'{"job": "lint"}', extra=b"")


async def pieces(content, size):
    for at in range(0, len(content), size):
        yield content[at : at + size]


class Receiver:
    """Receives forms into a real package store, the way the server does."""

    def __init__(self, path):
        self.path = path
        self.store = FilePackageStore(path, 0)
        self.stored = b""

    async def receive(self, body, headers=HEADERS, size=65536, most=1 << 20):
        staged = self.store.stage()
        try:
            form = UploadForm(FORM, headers, most)
            await receive_body(pieces(body, size), form, staged, most)
            self.stored = staged.path.read_bytes()
            assert staged.size == len(self.stored)
            self.secrets = form.text("secrets") or b""
            return form.text("spec") or b""
        finally:
            staged.discard()

    async def refusal(self, body, kind=InvalidUploadError, **options):
        with pytest.raises(kind) as caught:
            await self.receive(body, **options)
        assert self.left() == []
        return caught.value.message

    def left(self):
        return [path.name for path in self.path.rglob("*") if path.is_file()]


@pytest.fixture
def receiver(tmp_path):
    return Receiver(tmp_path)


async def test_a_form_is_received(receiver):
    assert await receiver.receive(form(FILE)) == b""
    assert receiver.stored == CONTENT
    assert receiver.left() == []


@pytest.mark.parametrize("parts", [(FILE, SPEC), (SPEC, FILE)])
async def test_the_spec_is_handed_out(receiver, parts):
    assert await receiver.receive(form(*parts)) == b'{"job": "lint"}'
    assert receiver.stored == CONTENT


async def test_a_form_cut_at_every_boundary(receiver):
    body = form(SPEC, FILE)
    for size in range(1, len(body) + 1):
        assert await receiver.receive(body, size=size) == b'{"job": "lint"}'
        assert receiver.stored == CONTENT


async def test_an_empty_file_part(receiver):
    await receiver.receive(form(part("file", b"")))
    assert receiver.stored == b""


async def test_header_names_in_any_case_and_other_headers(receiver):
    odd = FILE.replace(b"Content-Disposition", b"X-Other: 1\r\ncontent-DISPOSITION")
    await receiver.receive(form(odd))
    assert receiver.stored == CONTENT


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (form(SPEC), "no part 'file'"),
        (form(), "part 'file'"),
        (form(FILE, FILE), "'file' twice"),
        (form(SPEC, SPEC, FILE), "'spec' twice"),
        (form(part("other", b"x"), FILE), "unknown part 'other'"),
        (form(part("", b"x")), "unknown part ''"),
        (form(FILE.replace(b"Content-Disposition", b"X-Nothing")), "unknown part ''"),
        (form(part("spec", b"x" * 70_000), FILE), "'spec' is longer"),
        (b"", "in the middle"),
        (b"this is no form at all", "cannot be read"),
        (FILE, "in the middle"),
        (CONTENT, "cannot be read"),
    ],
)
async def test_broken_forms(receiver, body, what):
    assert what in await receiver.refusal(body)


async def test_forms_truncated_anywhere(receiver):
    body = form(SPEC, FILE)
    last = len(body) - len(b"\r\n")  # the line end after the last boundary is optional
    for length in range(last):
        message = await receiver.refusal(body[:length])
        assert "in the middle" in message or "cannot be read" in message


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "application/zip",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=x",
        "application/x-www-form-urlencoded; boundary=x",
        ";;;",
    ],
)
async def test_wrong_content_types(receiver, kind):
    message = await receiver.refusal(form(FILE), headers={"content-type": kind})
    assert "curl -F file=@project.zip" in message
    await receiver.refusal(form(FILE), headers={})


async def test_an_absurd_boundary(receiver):
    headers = {"content-type": f"multipart/form-data; boundary={'x' * 100_000}"}
    await receiver.refusal(form(FILE), headers=headers)


def test_too_large_by_its_own_word():
    headers = {**HEADERS, "content-length": str((3 << 20) + 1)}
    with pytest.raises(UploadTooLargeError, match="2 MiB"):
        UploadForm(FORM, headers, 2 << 20)


async def test_a_form_around_the_largest_file_is_accepted(receiver):
    content = b"x" * 5000
    body = form(part("file", content))
    headers = {**HEADERS, "content-length": str(len(body))}
    await receiver.receive(body, headers=headers, most=5000)
    assert receiver.stored == content


async def test_too_large_in_fact(receiver):
    body = form(part("file", b"x" * 5001))
    for headers in (HEADERS, {**HEADERS, "content-length": "10"}):
        message = await receiver.refusal(body, UploadTooLargeError, headers=headers, most=5000)
        assert "CI_MAX_UPLOAD_MB" in message


async def test_no_more_than_the_limit_is_written(receiver):
    staged = receiver.store.stage()
    body = form(part("file", b"x" * 100_000))
    with pytest.raises(UploadTooLargeError):
        await receive_body(pieces(body, 1000), UploadForm(FORM, HEADERS, 5000), staged, 5000)
    assert staged.size <= 5000
    staged.discard()


@pytest.mark.parametrize("length", ["many", "-1", "1.5", "", "١٢", "²", "9" * 5000])
async def test_content_lengths_that_are_none(receiver, length):
    headers = {**HEADERS, "content-length": length}
    try:
        await receiver.receive(form(FILE), headers=headers)
    except RunnerError:
        assert receiver.left() == []


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_forms_are_received_or_refused(tmp_path_factory, data):
    """Fuzz: never another exception, and nothing left."""
    body = bytearray(form(SPEC, FILE))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    receiver = Receiver(tmp_path_factory.mktemp("upload"))
    with contextlib.suppress(RunnerError):
        asyncio.run(receiver.receive(bytes(body), size=data.draw(st.integers(1, 200))))
    assert receiver.left() == []
