"""The readers of a soak: threads that read one job's log, each in a way of its own."""

import json
import threading
import time

import httpx

from ci_client.client import Client
from ci_client.library.sse_reader import log_bytes
from support.soak_jobs import same

_PAUSE_SECONDS = 0.2
"""Between attempts to reach a server that is away."""
_FACTS = ("status", "success", "exit_code", "reason", "message", "log_dropped")
_FINISHED = ("completed", "failed", "cancelled")


class Link:
    """The way to the server, and how long it may be away: not at all, unless it is killed."""

    def __init__(self, url, patience=0.0):
        self.url = url
        self.patience = patience
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        options = {"base_url": url, "timeout": 60, "trust_env": False, "limits": limits}
        self.http = httpx.Client(**options)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.http.close()

    def patiently(self, ask):
        """What `ask` returns, which may fail for as long as the server may be away."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return ask()
            except httpx.TransportError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)

    def get(self, path, *good, **options):
        """An answer with one of these codes; 200 by default."""
        answer = self.patiently(lambda: self.http.get(path, **options))
        assert answer.status_code in (good or (200,)), f"{path}: {answer.text[:300]}"
        return answer

    def job(self, job_id):
        return self.get(f"/jobs/{job_id}").json()

    def log(self, job_id):
        """The raw log so far."""
        return self.get(f"/jobs/{job_id}/logs").content

    def log_size(self, job_id):
        """Bytes of the log so far."""
        answer = self.get(f"/jobs/{job_id}/logs", 206, 416, headers={"Range": "bytes=0-0"})
        return int(answer.headers["Content-Range"].rpartition("/")[2])


class Reader(threading.Thread):
    """Reads until it knows the end; `check` compares what it saw with what is stored."""

    stalls = False
    """Whether it may be cut off, because it takes nothing for a while."""

    def __init__(self, link, job_id, dice):
        super().__init__(name=f"{type(self).__name__} {job_id}", daemon=True)
        self.link = link
        self.job_id = job_id
        self.dice = dice
        self.start_at = 0
        self.content = bytearray()
        self.text = None
        """The `data` of the events, one by one; None of a reader of bytes."""
        self.completes = []
        self.drops = 0
        """How often it hung up on purpose."""
        self.cuts = 0
        """How often it was cut off."""
        self.error = None

    def __str__(self):
        return f"{type(self).__name__} from byte {self.start_at}, {self.drops} drops"

    def run(self):
        try:
            self.read()
        except Exception as error:  # noqa: BLE001 - checked by the soak
            self.error = error

    def read(self):
        """Read to the end."""
        raise NotImplementedError

    def cut_off(self, error):
        """The connection broke: go on, if that may be."""
        self.cuts += 1
        if not (self.link.patience or self.stalls):
            raise error
        time.sleep(_PAUSE_SECONDS)

    def check(self, row, log):
        """Compare with the finished job."""
        if self.error is not None:
            raise self.error
        same(bytes(self.content), log[self.start_at :], "what the reader saw")
        if self.text is None:
            return
        expected = log[self.start_at :].decode(errors="replace")
        same("".join(self.text).encode(), expected.encode(), "the text of the events")
        assert len(self.completes) == 1, f"{len(self.completes)} times `complete`"
        told = {fact: self.completes[0][fact] for fact in _FACTS}
        assert told == {fact: row[fact] for fact in _FACTS}, f"{told} is not what the row says"


class EventParser:
    """Takes a stream apart, strictly: what the server sends, and nothing that looks like it."""

    def __init__(self):
        self._rest = b""

    def feed(self, content):
        """The events that are whole now: id and data."""
        *blocks, self._rest = (self._rest + content).split(b"\n\n")
        return [event for block in blocks if (event := self._parsed(block)) is not None]

    def _parsed(self, block):
        assert b"\r" not in block, block[:200]
        fields = [line.partition(b": ")[::2] for line in block.split(b"\n")]
        known = dict(fields)
        assert len(known) == len(fields), f"a field twice: {block[:200]!r}"
        assert known.keys() <= {b"", b"id", b"data", b"retry"}, f"other fields: {block[:200]!r}"
        return (known.get(b"id"), json.loads(known[b"data"])) if b"data" in known else None


class Events(Reader):
    """The event stream from the beginning."""

    def __init__(self, link, job_id, dice):
        super().__init__(link, job_id, dice)
        self.text = []
        self.begin = {"from_beginning": "true"}

    def read(self):
        while not self.completes:
            try:
                self._connection(self.budget())
            except httpx.TransportError as error:
                self.cut_off(error)

    def budget(self):
        """After how many bytes to hang up; None is never."""

    def took(self, size):
        """Called after so many bytes more."""

    def _connection(self, budget):
        headers, params = {"Accept": "text/event-stream"}, self.begin
        if self.content or self.drops or self.cuts:
            position = str(self.start_at + len(self.content))
            if self.dice.random() < 0.7:
                headers["Last-Event-ID"], params = position, {}
            else:
                params = {"offset": position}
        path = f"/jobs/{self.job_id}/stream"
        with self.link.http.stream("GET", path, params=params, headers=headers) as answer:
            if answer.status_code == 503 and self.link.patience:
                raise httpx.ReadError("the server goes down")
            assert answer.status_code == 200, answer.read()
            self._take_all(answer, budget)

    def _take_all(self, answer, budget):
        parser, have = EventParser(), 0
        for content in answer.iter_raw():
            have += len(content)
            for event_id, event in parser.feed(content):
                self._take(event_id, event)
            self.took(len(content))
            if budget is not None and have >= budget and not self.completes:
                self.drops += 1
                return
        if not self.completes:
            raise httpx.ReadError("the stream ended without `complete`")

    def _take(self, event_id, event):
        assert not self.completes, f"after `complete` there is {event}"
        if event["type"] == "complete":
            self.completes.append(event)
            assert event_id.endswith(b":complete"), f"the id of `complete` is {event_id!r}"
            return
        if event["type"] == "log":
            content = log_bytes(event)
            assert content, "an event without a byte"
            assert event["data"] == content.decode(errors="replace")
            self.content += content
            self.text.append(event["data"])
        position = self.start_at + len(self.content)
        assert event_id == b"%d" % position, f"the id is {event_id!r} at {position}"


class DroppingEvents(Events):
    """Hangs up at random places, in the middle of events, too, and goes on with the last id."""

    def budget(self):
        return self.dice.choice([1, 300, 5000, 200_000]) if self.drops < 12 else None


class EventsFromOffset(Events):
    """From somewhere in what is there already, which may be within a character."""

    def read(self):
        self.start_at = self.dice.randint(0, self.link.log_size(self.job_id))
        self.begin = {"offset": str(self.start_at)}
        super().read()


class Stall:
    """Takes nothing for a while, once or twice, wherever that happens to be."""

    stalls = True

    def __init__(self, link, job_id, dice):
        super().__init__(link, job_id, dice)
        self._left = dice.choice([1, 20_000, 1_000_000])
        # The last of these is longer than the server waits, if the reader is far enough behind.
        self._seconds, self._times = dice.choice([(1, 2), (2, 2), (3, 1), (10, 1)])

    def took(self, size):
        self._left -= size
        if self._left <= 0 and self._times:
            self._times -= 1
            self._left = 3_000_000
            time.sleep(self._seconds)


class StallingEvents(Stall, Events):
    """The same for events."""


class Raw(Reader):
    """`/logs?follow=true`. After a cut it goes on where it was, or reads what it knows again."""

    def took(self, size):
        """See Events."""

    def read(self):
        while True:
            try:
                self._connection()
                break
            except httpx.TransportError as error:
                self.cut_off(error)
        row = self.link.job(self.job_id)
        assert row["status"] in _FINISHED, f"the log ended, and the job is {row['status']}"

    def _connection(self):
        known = self.content
        position = len(known) if self.dice.random() < 0.5 else 0
        path = f"/jobs/{self.job_id}/logs"
        params = {"follow": "true", **({"offset": str(position)} if position else {})}
        with self.link.http.stream("GET", path, params=params) as answer:
            if answer.status_code == 503 and self.link.patience:
                raise httpx.ReadError("the server goes down")
            assert answer.status_code == 200, answer.read()
            for content in answer.iter_raw():
                again = known[position : position + len(content)]
                assert content.startswith(again), f"not what was there, from byte {position} on"
                known += content[len(again) :]
                position += len(content)
                self.took(len(content))
        assert position == len(known), f"{position} bytes, where there were {len(known)}"


class StallingRaw(Stall, Raw):
    """The same for the raw log."""


class Whole(Reader):
    """The raw log of a finished job, in one answer."""

    def read(self):
        self.content += self.link.log(self.job_id)


class Ranges(Reader):
    """Parts of the raw log of a finished job, and its last lines."""

    def __init__(self, link, job_id, dice):
        super().__init__(link, job_id, dice)
        self._parts, self._tails = [], {}

    def read(self):
        path, size = f"/jobs/{self.job_id}/logs", self.link.log_size(self.job_id)
        for _ in range(4 if size else 0):
            first = self.dice.randrange(size)
            last = self.dice.randint(first, first + self.dice.choice([0, 99, 1 << 20]))
            wanted = {"Range": f"bytes={first}-{last}"}
            self._parts.append((first, last, self.link.get(path, 206, headers=wanted).content))
        for lines in (0, 1, self.dice.randint(2, 500)):
            self._tails[lines] = self.link.get(path, params={"tail": lines}).content

    def check(self, row, log):
        if self.error is not None:
            raise self.error
        for first, last, content in self._parts:
            same(content, log[first : last + 1], f"the range {first}-{last}")
        lines = log.split(b"\n")
        lines = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
        for count, content in self._tails.items():
            same(content, b"".join(lines[-count:] if count else []), f"the last {count} lines")


class Product(Reader):
    """The product's own client, from the beginning."""

    def read(self):
        patience = self.link.patience or 30
        with Client(self.link.url, patience=patience, on_retry=self._count) as client:
            for event in client.follow(self.job_id, from_beginning=True):
                if event["type"] == "log":
                    self.content += log_bytes(event)
                elif event["type"] == "complete":
                    self.completes.append(event)

    def _count(self, why, seconds):
        self.cuts += 1

    def check(self, row, log):
        super().check(row, log)
        assert len(self.completes) == 1, f"{len(self.completes)} times `complete`"
        assert self.link.patience or not self.cuts, f"the client was cut off {self.cuts} times"


LIVE = (Raw, Raw, Events, Events, DroppingEvents, DroppingEvents, EventsFromOffset, Product)
STALLING = (StallingEvents, StallingRaw)
LATE = (Raw, Events, DroppingEvents, EventsFromOffset, Whole, Ranges, Ranges, Product)
