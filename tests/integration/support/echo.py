"""An echo made of publish and subscribe, on a raw connection: what it says comes back."""

import itertools
import os

from .client import SUBPROTOCOL, decode, encode
from .raw import BINARY, CLOSE, TEXT, Gone, RawClient, close_code, frame

_numbers = itertools.count(1)


class Echo(RawClient):
    """A raw connection that is subscribed to a topic of its own and can publish to it."""

    def __init__(self, address, encoding="json", **kwargs):
        super().__init__(address, **kwargs)
        self.encoding = encoding
        self.opcode = TEXT if encoding == "json" else BINARY
        self.topic = f"echo/{os.getpid()}/{next(_numbers)}"
        self.upgrade(SUBPROTOCOL[encoding])
        self.session = self.next()["session"]
        self.say({"op": "sub", "topics": [self.topic], "id": "sub"})
        assert self.next()["op"] == "ok"

    def say(self, envelope):
        """Sends an envelope in one frame."""
        self.send_frame(self.opcode, encode(self.encoding, envelope))

    def pub(self, data):
        """Returns the payload of a message that publishes `data` to this client's own topic."""
        return encode(self.encoding, {"op": "pub", "topic": self.topic, "data": data})

    def pub_frame(self, data, **kwargs):
        """Returns that payload as one frame."""
        return frame(self.opcode, self.pub(data), **kwargs)

    def next(self, timeout=None):
        """Returns the next envelope, skipping control frames."""
        opcode, payload = self.read_message(timeout)
        assert opcode == self.opcode
        return decode(self.encoding, payload)

    def expect(self, *values):
        """Waits for these values, in this order, and nothing between them."""
        for value in values:
            envelope = self.next()
            assert (envelope["op"], envelope.get("data")) == ("msg", value), envelope

    def still_works(self):
        """Publishes once more and sees it come back: the barrier."""
        self.send(self.pub_frame("still here"))
        self.expect("still here")

    def control_frames_until(self, opcode):
        """Returns the frames that come before and with the first one of this opcode."""
        found = []
        while True:
            found.append(self.read_frame())
            if found[-1].opcode == opcode:
                return found

    def expect_closed(self, *codes):
        """Waits for a CLOSE frame with one of these codes, answers it, and sees the end."""
        code, _ = self.read_close()
        assert code in codes, code
        try:
            self.send_frame(CLOSE, b"" if code == 1005 else code.to_bytes(2, "big"))
        except Gone:
            pass  # after its CLOSE a broker may hang up at once
        self.wait_gone()

    def expect_failed(self):
        """Sees the connection fail (RFC 6455 section 7.1.7): a CLOSE 1002, or just the end."""
        try:
            while (got := self.read_frame()).opcode != CLOSE:
                pass
        except Gone:
            return
        assert close_code(got.payload) == 1002

    def outcome(self):
        """Says what became of what was sent: "msg", "ok", "error", or the code of the close."""
        while True:
            got = self.read_frame()
            if got.opcode == CLOSE:
                return close_code(got.payload)
            if got.opcode == self.opcode:
                return decode(self.encoding, got.payload)["op"]
