"""An event stream, read as the HTML standard says (section 9.2), from a raw connection."""

import json
import re
import select
import time
from collections import namedtuple
from urllib.parse import urlencode

from .api import Api, message, refusal
from .client import position

Event = namedtuple("Event", "kind id data")

LINE_END = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)  # a CR alone may still get its LF


def events_path(*topics, **query):
    """Returns the path of a stream; `since` may be a list."""
    pairs = [("topic", topic) for topic in topics]
    for name, value in query.items():
        pairs += [(name, each) for each in (value if isinstance(value, list) else [value])]
    return "/v1/events?" + urlencode(pairs)


class Events(Api):
    """One stream. `id` is what a browser would send as Last-Event-ID."""

    def __init__(self, address, *topics, last_event_id=None, token=None, headers=(), welcome=True,
                 receive_buffer=None, tls=None, source=None, **query):
        super().__init__(address, token=token, receive_buffer=receive_buffer, tls=tls, source=source)
        self.id = last_event_id or ""
        self.comments = 0
        self.ids_alone = 0
        self.fields = {}
        self.ok = None
        if last_event_id is not None:
            headers = [*headers, ("Last-Event-ID", last_event_id)]
        self.send(message(events_path(*topics, **query), headers=[*self.headers, *headers]))
        self.response = self._read_head()
        if welcome:
            self.ok = self.next("ok")
            assert self.ok["op"] == "ok" and self.id == ",".join(self.ok["pos"]), (self.ok, self.id)

    def _read_head(self):
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {n.lower(): v.strip() for n, _, v in (x.partition(":") for x in lines[1:-2])}
        assert status == 200, (status, headers, bytes(self.buffer))
        assert headers["content-type"].split(";")[0] == "text/event-stream", headers
        assert "no-store" in headers["cache-control"] and headers["x-accel-buffering"] == "no"
        assert "content-length" not in headers and "transfer-encoding" not in headers
        return headers

    def parse(self):
        """Returns the next event that is whole in the buffer, or None."""
        while found := LINE_END.search(self.buffer):
            line = bytes(self.buffer[:found.start()]).decode("utf-8")
            del self.buffer[:found.end()]
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if name == "id":
                    assert "\0" not in value
                    self.fields["id"] = value
                elif name == "data":
                    self.fields.setdefault("data", []).append(value)
                else:
                    assert name in ("event", "retry"), line
                    self.fields[name] = value
            elif self.fields:
                fields, self.fields = self.fields, {}
                self.id = fields.get("id", self.id)
                if "data" in fields:
                    return Event(fields.get("event", "message"), fields.get("id"),
                                 json.loads("\n".join(fields["data"])))
                self.ids_alone += 1
        return None

    def take_ready(self):
        """Takes what has come, in which there must be no event; only the id may change."""
        while select.select([self.socket], [], [], 0)[0]:
            self._fill(time.monotonic() + self.deadline)
        event = self.parse()
        assert event is None, event

    def next_event(self, timeout=None):
        """Returns the next event, whatever it is."""
        until = time.monotonic() + (timeout or self.deadline)
        while (event := self.parse()) is None:
            self._fill(until)
        return event

    def wait_comments(self, count):
        """Waits until so many comments have come, and nothing else."""
        until = time.monotonic() + self.deadline
        while self.comments < count:
            event = self.parse()
            assert event is None, event
            if self.comments < count:
                self._fill(until)

    def next(self, kind="message", timeout=None):
        """Returns the data of the next event, which must be of this kind."""
        event = self.next_event(timeout)
        assert event.kind == kind, event
        if kind == "message":
            assert event.data["op"] == "msg", event
            pos = event.data.get("pos")
            # What lies before the ok does not move the place from which a browser would go on.
            is_old = pos and position(pos)[1] <= position(self.ok["pos"][0])[1]
            assert event.id == pos or is_old and event.id is None, event
        return event.data

    def take(self, count):
        """Returns the data of the next `count` messages."""
        return [self.next()["data"] for _ in range(count)]

    def msgs_until(self, topic):
        """Returns the messages before the first on `topic`."""
        found = []
        while (got := self.next())["topic"] != topic:
            found.append(got)
        return found


def refused_stream(api, status, *topics, headers=(), **query):
    """Asks for a stream that must be refused and returns the message."""
    return refusal(api.request(events_path(*topics, **query), headers=headers), status)
