"""The npm client `ws` as a process: the other foreign implementation of WebSocket."""

import base64
import json
import queue
import subprocess
import threading
from pathlib import Path

from .client import decode, encode
from .raw import DEADLINE_S

SCRIPT = Path(__file__).with_name("ws_client.js")
MODULE = Path(__file__).resolve().parents[2] / "node_modules" / "ws"


class NodeClient:
    """One connection of `ws`, told what to do line by line."""

    def __init__(self, url, encoding=None):
        assert MODULE.is_dir(), f"{MODULE} is missing: deploy/setup installs it (npm ci in tests/)"
        self.encoding = encoding or "json"
        self.process = subprocess.Popen(["node", str(SCRIPT)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        self.events = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        protocols = [f"fantail.v1.{encoding}"] if encoding else []
        self.tell(do="open", url=url, protocols=protocols)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(DEADLINE_S)
        self.reader.join(DEADLINE_S)
        self.process.stdout.close()

    def _read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def tell(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def event(self, kind, timeout=DEADLINE_S):
        """Returns the next event, which must be of this kind."""
        event = self.events.get(timeout=timeout)
        assert event["event"] == kind, event
        return event

    def send(self, envelope):
        payload = encode(self.encoding, envelope)
        if self.encoding == "json":
            self.tell(do="send", text=payload.decode())
        else:
            self.tell(do="send", base64=base64.b64encode(payload).decode())

    def next(self):
        """Returns the next envelope."""
        event = self.event("message")
        if self.encoding == "json":
            return decode("json", event["text"].encode())
        return decode("msgpack", base64.b64decode(event["base64"]))
