"""A publisher that never rests: what must hold, must hold while it publishes."""

import threading

from .client import Client

BATCH = 20  # publications in one message
IN_FLIGHT = 8  # messages without an answer: enough to keep the broker busy all the time


class FlatOut:
    """Publishes 0, 1, 2, … to its topics in turn, in a thread, until the `with` ends.

    `count` says afterwards how many there were, all of them acknowledged.
    """

    def __init__(self, broker, topics, encoding="json", **more):
        self.client = Client(broker.address, encoding)
        self.topics, self.more = topics, more
        self.count = 0
        self._stopped = threading.Event()
        self._begun = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._begun.wait(15), "the publisher's first publications were not answered"
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self._thread.join(30)
        self.client.socket.close()
        if self._failure:
            raise self._failure

    def _run(self):
        try:
            sent = answered = 0
            while not self._stopped.is_set() or answered < sent:
                if not self._stopped.is_set() and sent - answered < IN_FLIGHT:
                    self._send(sent)
                    sent += 1
                else:
                    reply = self.client.next()
                    assert (reply["op"], reply["id"]) == ("ok", answered), reply
                    answered += 1
                    self._begun.set()
        except (AssertionError, OSError) as failure:
            self._failure = failure
            self._begun.set()

    def _send(self, batch):
        first = batch * BATCH
        envelopes = [{"op": "pub", "topic": self.topics[n % len(self.topics)], "data": n,
                      **self.more} for n in range(first, first + BATCH)]
        envelopes[-1]["id"] = batch
        self.client.send(envelopes)
        self.count = first + BATCH
