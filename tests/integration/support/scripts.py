"""The scripts that run inside Redis, called as the relay calls them, and what they leave there."""

import struct
from collections import namedtuple

import msgpack

from .broker import ROOT

PREFIX = "fantail"
RETAINED, CLEARS = 16, 32  # flags of an entry

Message = namedtuple("Message", "id stream ms first count entries")
Entry = namedtuple("Entry", "flags topic data at expires history")


def text_of(name):
    """Returns a script's text."""
    return (ROOT / "broker" / "relay" / "scripts" / f"{name}.lua").read_text()


def entry(topic, data=b"1", flags=0, history=0):
    """Packs a publication as a node does."""
    return msgpack.packb([flags, topic, data, 1763700000000, 0, history], use_bin_type=True)


def plain(*entries):
    """A part: plain publications."""
    return ["p", len(entries), b"".join(entries)]


def keyed(topic, key, data=b"1"):
    """A part: one publication that has a key."""
    return ["s", "-", topic, key, 0, 0, entry(topic, data)]


def retained(topic, data=b"1", ttl_ms=0, key="", history=0):
    """A part: one publication that is its topic's last value."""
    return ["s", "r", topic, key, history, ttl_ms, entry(topic, data, RETAINED, history)]


def cleared(topic, history=0):
    """A part: one publication that clears the last value."""
    return ["s", "c", topic, "", history, 0, entry(topic, b"null", CLEARS, history)]


def historic(topic, data, history):
    """A part: one publication of which a history is kept."""
    return ["s", "-", topic, "", history, 0, entry(topic, data, 0, history)]


def parse(payload, message_id=None):
    """Takes a message apart, to its last byte."""
    unpacker = msgpack.Unpacker()
    unpacker.feed(payload)
    version, kind, stream, ms, first, count, *life = unpacker.unpack()
    assert (version, kind) == (1, 1)
    entries = [Entry(*e) for e in unpacker]
    assert unpacker.tell() == len(payload) and len(entries) == count
    # The head has one form, whatever is in it: what the broker reads is what is measured here.
    head = struct.pack(">4B10sBQBQBH", 0x98 if life else 0x96, 1, 1, 0xAA, stream.encode(), 0xCF, ms,
                       0xCF, first, 0xCD, count)
    head += struct.pack(">BQBQ", 0xCF, life[0], 0xCF, life[1]) if life else b""
    assert payload.startswith(head)
    return Message(message_id, stream, ms, first, count, entries)


class Partition:
    """One partition of a cluster in Redis."""

    def __init__(self, client, number=3):
        self.client = client
        self.name = f"{PREFIX}:{{{number}}}"
        self.keys = [self.key(k) for k in ("meta", "log", "last", "lastz", "topics")]
        self.scripts = {name: client.register_script(text_of(name)) for name in ("publish", "join")}

    def key(self, rest):
        """Returns a key of the partition."""
        return f"{self.name}:{rest}"

    def publish(self, *parts, new="0adnew2345", seen=("", 0), length=1000, age_ms=300000,
                size=1 << 30, last_values=1000, histories=1000, life=""):
        """Runs publish.lua and returns (name, ms, [result, …])."""
        args = [self.name, new, *seen, length, age_ms, size, last_values, histories,
                life]
        for part in parts:
            args += part
        name, ms, _, _, *results = self.scripts["publish"](keys=self.keys, args=args)
        return name.decode(), ms, [r if isinstance(r, int) else r.decode() for r in results]

    def join(self, new="0adjoin234", seen=("", 0), life="", born=0):
        """Runs join.lua and returns (name, head, ms)."""
        name, head, ms, _, _ = self.scripts["join"](keys=self.keys[:2],
                                              args=[new, life, born, *seen])
        return name.decode(), head, ms

    def meta(self):
        """Returns (name, head, ms), or None."""
        found = self.client.hgetall(self.keys[0])
        return found and (found[b"s"].decode(), int(found[b"o"]), int(found[b"t"]))

    def log(self):
        """Returns the messages of the stream, checked against their ids."""
        messages = []
        for message_id, fields in self.client.xrange(self.keys[1]):
            assert list(fields) == [b"m"]
            message = parse(fields[b"m"], message_id.decode())
            assert message.id == f"{message.ms}-{message.first + message.count - 1}"
            messages.append(message)
        return messages

    def last_values(self):
        """Returns {topic: message} of what is retained; the bookkeeping beside it must agree."""
        values = {t.decode(): parse(m) for t, m in self.client.hgetall(self.keys[2]).items()}
        by_age = {t.decode(): ms for t, ms in self.client.zrange(self.keys[3], 0, -1, withscores=True)}
        assert by_age == {topic: message.ms for topic, message in values.items()}
        assert {t.decode() for t in self.client.zrange(self.key("lastx"), 0, -1)} <= set(values)
        return values

    def histories(self):
        """Returns {topic: [message, …]}; the bookkeeping beside it must agree."""
        topics = [t.decode() for t in self.client.zrange(self.keys[4], 0, -1)]
        lists = {k.decode() for k in self.client.keys(self.key("topic:*"))}
        assert lists == {self.key(f"topic:{topic}") for topic in topics}
        return {t: [parse(m) for m in self.client.lrange(self.key(f"topic:{t}"), 0, -1)]
                for t in topics}

    def data(self):
        """Returns the data of everything in the stream, whose offsets must have no hole."""
        everything, following = [], None
        for message in self.log():
            assert following in (None, message.first)
            following = message.first + message.count
            everything += [e.data for e in message.entries]
        return everything
