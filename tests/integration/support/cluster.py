"""Several nodes and the Redis servers between them."""

import json
import time
import urllib.error
import urllib.request

from .broker import Broker


class Node(Broker):
    """A broker that is a node of a cluster."""

    def __init__(self, redis, name, settings=None, args=(), **kwargs):
        urls = [redis] if isinstance(redis, str) else list(redis)
        more = [part for url in urls for part in ("--redis", url)]
        super().__init__(settings=settings, args=["--node", name, *more, *args], **kwargs)
        self.name = name

    def get(self, path, timeout=5):
        """Returns status and body of a GET, JSON decoded where it is JSON."""
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.port}{path}",
                                        timeout=timeout) as answer:
                return answer.status, _decode(answer.read())
        except urllib.error.HTTPError as refused:
            return refused.code, _decode(refused.read())

    def is_ready(self):
        return self.get("/readyz")[0] == 200

    def wait_ready(self, ready=True, seconds=10):
        """Waits until /readyz says so; returns how long that took."""
        begun = time.monotonic()
        while self.is_ready() is not ready:
            assert time.monotonic() < begun + seconds, (
                f"/readyz of {self.name} is not {ready} within {seconds} s:\n{self.stderr}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def metric(self, name, **labels):
        """Returns the sum of a metric's samples that have these labels; None: there are none."""
        status, text = self.get("/metrics")
        assert status == 200, text
        found = [float(line.rpartition(" ")[2]) for line in text.splitlines()
                 if line.partition("{")[0].partition(" ")[0] == name
                 and all(f'{key}="{value}"' in line for key, value in labels.items())]
        return sum(found) if found else None


def _decode(body):
    text = body.decode()
    try:
        return json.loads(text)
    except ValueError:
        return text
