"""Finds a text in the bytes of a log, piece by piece, in lines of any length."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, takewhile

from ci_server.streams.escape_sequences import LONGEST_SEQUENCE
from ci_server.streams.plain_text import PlainText
from ci_server.streams.search_term import SearchTerm

_BEFORE, _AFTER = 120, 240
"""Characters of the line that are told with a hit."""

_LONG_LINE = 1 << 20
"""What has no line end so far is looked through in parts of this length."""

_OVERLAP = 64 << 10
"""Of a part so much comes once more in the next: a term with its escape sequences that is longer,
in a line of more than a part, is not found.
"""

_CONTEXT = 2 * LONGEST_SEQUENCE
"""Before what is new in a part: text to tell with a hit, and the escape sequence that is cut."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a term is. Numbers of bytes are those of the log."""

    offset: int
    length: int
    """With the escape sequences in it."""
    line: int
    """The number of its line, from 1."""
    line_offset: int
    before: str
    """The text of the line before it, without escape sequences, or the end of that."""
    match: str
    after: str
    before_cut: bool
    """Whether there is more before it."""
    after_cut: bool


class LogScan:
    """One search through one log. `feed` it with the log's bytes one after the other, `finish` it
    at the end: both give the hits that are certain by then.

    A term is not found across line ends. Carriage returns divide a line into versions, each of
    which replaced the one before on a terminal; of these only the last one counts that has the
    term.
    """

    def __init__(
        self, term: SearchTerm, most: int, start: int = 0, line: int = 1, line_offset: int = 0
    ) -> None:
        """The search is over when `most` hits are found. It begins at the offset `start`, in the
        line of this number, which begins at `line_offset`: the first byte is the one at
        `first_offset`.
        """
        self._term = term
        self._most = most
        self._start = max(line_offset, start - _CONTEXT)
        """Of the buffer."""
        self._buffer = b""
        self._line = line
        """Of the buffer's first byte."""
        self._line_offset = line_offset
        self._version = line_offset
        """Where the version begins that the buffer's first byte is in."""
        self._since = start
        """Hits before this are known, or not wanted."""
        self._pending: tuple[int, list[Hit]] = (0, [])
        """The version of the line that has the last hits of it, and these."""

    @property
    def first_offset(self) -> int:
        """Of the first byte that it wants to have, before anything was fed."""
        return self._start

    def feed(self, content: bytes) -> list[Hit]:
        """The hits that the next bytes make certain."""
        self._buffer += content
        end = self._buffer.rfind(b"\n") + 1
        if end:
            return list(islice(self._whole_lines(end), self._most))
        if len(self._buffer) > _LONG_LINE:
            self._part_of_line()
        return []

    def finish(self) -> list[Hit]:
        """The hits in the last line, which has no end."""
        self._look(self._buffer, self._start + len(self._buffer))
        return self._end_line()

    def _whole_lines(self, end: int) -> Iterator[Hit]:
        """Look through the buffer up to its last line end."""
        first = self._buffer.index(b"\n") + 1
        if self._start > self._line_offset or self._since > self._start:
            # A line of which something was looked through before.
            self._look(self._buffer[: first - 1], self._start + first - 1)
            yield from self._end_line()
            self._drop(first, 1)
            end -= first
        content = self._buffer[:end]
        find = self._term.finder(content)
        at = counted = lines = 0
        while (found := find(at)) >= 0:
            begin = content.rfind(b"\n", 0, found) + 1
            at = content.index(b"\n", found) + 1
            lines += content.count(b"\n", counted, begin)
            counted = begin
            yield from self._hits_in_line(content[begin : at - 1], begin, self._line + lines)
        self._drop(end, lines + content.count(b"\n", counted))

    def _drop(self, end: int, lines: int) -> None:
        """Go on at the beginning of a line."""
        self._buffer = self._buffer[end:]
        self._start += end
        self._line += lines
        self._line_offset = self._version = self._start

    def _hits_in_line(self, line: bytes, begin: int, number: int) -> list[Hit]:
        line_offset = self._start + begin
        for version, content in self._versions(line):
            plain = PlainText(content)
            if self._term.pattern.search(plain.text):
                hits = self._hits(plain, line_offset + version, number, line_offset, 0)
                return list(islice(hits, self._most))
        return []

    def _versions(self, part: bytes, begin: int = 0) -> Iterator[tuple[int, bytes]]:
        """Of the versions in a part of a line, which begins there, those that may have the term,
        with where they begin. The last one comes first. A line may have so many that most have to
        be left out without a look at each.
        """
        if not self._term.may_be_in(part):
            return
        middle = len(part) // 2
        cut = part.rfind(b"\r", 0, middle)
        if cut < 0:
            cut = part.find(b"\r", middle)
        if cut < 0:
            yield begin, part
            return
        yield from self._versions(part[cut + 1 :], begin + cut + 1)
        yield from self._versions(part[:cut], begin)

    # ------------------------------------------------------------------ lines in parts

    def _part_of_line(self) -> None:
        limit = len(self._buffer) - _OVERLAP
        self._look(self._buffer, self._start + limit)
        self._since = max(self._since, self._start + limit)
        kept = limit - _CONTEXT
        if (carriage_return := self._buffer.rfind(b"\r", 0, kept)) >= 0:
            self._version = self._start + carriage_return + 1
        self._buffer = self._buffer[kept:]
        self._start += kept

    def _look(self, part: bytes, limit: int) -> None:
        """Note the hits in a part of a line that begin before this offset."""
        for begin, content in self._versions(part):
            offset = self._start + begin
            version = offset if begin else self._version
            hits = self._hits(
                PlainText(content), offset, self._line, self._line_offset, offset - version
            )
            wanted = list(islice(takewhile(lambda hit: hit.offset < limit, hits), self._most))
            if wanted:
                self._note(version, wanted)
                return

    def _note(self, version: int, hits: list[Hit]) -> None:
        last, earlier = self._pending
        self._pending = (version, [*earlier, *hits][: self._most] if last == version else hits)
        self._since = hits[-1].offset + hits[-1].length

    def _end_line(self) -> list[Hit]:
        _, hits = self._pending
        self._pending = (0, [])
        return hits

    def _hits(
        self, plain: PlainText, offset: int, line: int, line_offset: int, cut: int
    ) -> Iterator[Hit]:
        """The hits in a version of a line, of which so many bytes are not here any more."""
        text = plain.text
        first = plain.index_from(max(self._since - offset, 0))
        for match in self._term.pattern.finditer(text, first):
            begin, end = match.span()
            place = plain.place_of(begin)
            before = text[max(begin - 4 * (_BEFORE + 1), 0) : begin].decode(errors="replace")
            after = text[end : end + 4 * (_AFTER + 1)].decode(errors="replace")
            yield Hit(
                offset=offset + place,
                length=plain.place_of(end - 1) + 1 - place,
                line=line,
                line_offset=line_offset,
                before=before[-_BEFORE:],
                match=match[0].decode(errors="replace"),
                after=after[:_AFTER],
                before_cut=len(before) > _BEFORE or cut > 0,
                after_cut=len(after) > _AFTER,
            )
