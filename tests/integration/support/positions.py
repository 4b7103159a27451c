"""What a client keeps of positions, and what tests do with them: publish, come back, compare."""

from .client import position

TEXT_60K = "q" * 60_000


class Kept:
    """For each stream the greatest offset that was seen: all that a client needs to come back."""

    def __init__(self):
        self.offsets = {}

    def see(self, envelope):
        """Takes note of a `msg`, a `gap` or the `ok` of a `sub`, and returns it."""
        found = envelope.get("pos", [])
        for text in [found] if isinstance(found, str) else found:
            stream, offset = position(text)
            self.offsets[stream] = max(offset, self.offsets.get(stream, 0))
        return envelope

    @property
    def since(self):
        return [f"{stream}.{offset}" for stream, offset in self.offsets.items()]


def moved(text, by):
    """Returns the position that is `by` further on in the same stream."""
    stream, offset = position(text)
    return f"{stream}.{offset + by}"


def offset_of(envelope):
    """Returns the offset of a `msg`, or of the only position of an `ok` or a `gap`."""
    found = envelope["pos"]
    if not isinstance(found, str):
        [found] = found
    return position(found)[1]


def publish(client, topic, values, **more):
    """Publishes all values without waiting between them; returns their positions, in order."""
    values = list(values)
    for n, value in enumerate(values):
        name = topic(value) if callable(topic) else topic
        client.send({"op": "pub", "id": f"pub-{n}", "topic": name, "data": value, **more})
    replies = [client.take_where(lambda e, n=n: e.get("id") == f"pub-{n}")
               for n in range(len(values))]
    assert all(reply["op"] == "ok" for reply in replies), replies
    return [reply["pos"] for reply in replies]


def flood(client, topic, mebibytes):
    """Publishes [n, 60 KB] until that much has been published; returns how many there were."""
    count = (mebibytes << 20) // len(TEXT_60K)
    publish(client, topic, ([n, TEXT_60K] for n in range(count)))
    return count


def subscribe(client, *filters, **more):
    """Subscribes on a connection that has nothing else to say: its `ok` comes first."""
    client.send({"op": "sub", "id": "sub", "topics": list(filters), **more})
    reply = client.next()
    assert (reply["op"], reply.get("id")) == ("ok", "sub"), reply
    return reply


def resume(client, since, *filters, recovered=True, **more):
    """Subscribes with `since`, and checks what the `ok`, which comes first, says of it."""
    since = since if isinstance(since, list) else [since]
    reply = subscribe(client, *filters, since=since, **more)
    assert reply["recovered"] is recovered, reply
    if recovered:
        assert max(map(offset_of, [{"pos": p} for p in since])) == offset_of(reply), (since, reply)
    return reply


def take(client, count):
    """Returns the next `count` envelopes, each of which must be a `msg`."""
    return [client.next_msg() for _ in range(count)]


def data_of(messages):
    return [m["data"] for m in messages]


def assert_ascending(messages):
    """Positions grow, and times do not run backwards."""
    offsets = [offset_of(m) for m in messages]
    assert offsets == sorted(set(offsets)), offsets
    times = [m["at"] for m in messages]
    assert times == sorted(times)
