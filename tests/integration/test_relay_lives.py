"""Lives of Redis as clients see them: each is a stream of its own, from 1 on and without holes, and the next one goes
on where it ends. Nobody who resumes over a change loses anything, or gets anything twice."""

import pytest

from support.client import Client, position
from support.cluster import Node
from support.events import Events

TOPIC = "lives/t"
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # of streams' names
LIVES = [3, 2, 0, 2]  # publications of each; of one there are none

pytestmark = pytest.mark.deadline(120)


class Lived:
    """Two nodes over some lives of one Redis, a client that was there all the time, and what was published."""

    def __init__(self, redis):
        self.redis = redis
        self.nodes = [Node(redis.url, name) for name in ("one", "two")]
        self.positions = []  # as acknowledged
        try:
            self._live()
        except BaseException:
            self.kill()
            raise

    def _live(self):
        for node in self.nodes:
            node.wait_ready()
        self.witness = Client(self.nodes[0].address)
        [self.before] = self.witness.sub(TOPIC)["pos"]
        self.events = Events(self.nodes[1].address, TOPIC)
        for life, count in enumerate(LIVES):
            if life > 0:
                self.redis.kill()
                for node in self.nodes:
                    node.wait_ready(False)
                self.redis.start()
                for node in self.nodes:
                    node.wait_ready()
            for _ in range(count):
                self.publish()

    def publish(self, **more):
        n = len(self.positions)
        with Client(self.nodes[n % 2].address) as client:
            self.positions.append(client.pub(TOPIC, n, key=f"key-{n}", retain=True, **more))

    def fresh(self):
        """Starts one more node, which knows nothing."""
        self.nodes.append(Node(self.redis.url, f"fresh{len(self.nodes)}"))
        self.nodes[-1].wait_ready()
        return self.nodes[-1]

    def kill(self):
        for node in self.nodes:
            if node.process.poll() is None:
                node.kill()


@pytest.fixture
def lived(start_redis):
    made = Lived(start_redis(aof=True, args=["--appendfsync", "always"]))
    try:
        yield made
        made.witness.close()
        made.events.socket.close()
        for node in made.nodes:
            node.stop()
    finally:
        made.kill()


def names_of(positions):
    """Returns the streams, in the order in which they come."""
    return list(dict.fromkeys(position(text)[0] for text in positions))


def resumed(node, *since):
    """Returns the `ok` of one that resumes, and the data and positions that it gets until a last one."""
    with Client(node.address) as client:
        ok = client.ok({"op": "sub", "topics": [TOPIC, "lives/end"], "since": list(since)})
        client.pub("lives/end", "end")
        got = client.msgs_until("lives/end")
    return ok, [(m["data"], m["pos"]) for m in got if "retained" not in m]


def test_each_life_is_a_stream_from_1_on(lived):
    offsets = [position(text)[1] for text in lived.positions]
    assert offsets == [1, 2, 3, 1, 2, 1, 2]
    names = names_of(lived.positions)
    assert len(names) == 3 and len({name[:3] for name in names}) == 1
    assert position(lived.before) == (names[0], 0)
    assert [lived.witness.next_msg()["pos"] for _ in lived.positions] == lived.positions
    events = [lived.events.next_event() for _ in lived.positions]
    assert [event.data["pos"] for event in events] == lived.positions
    assert [event.id for event in events] == lived.positions


@pytest.mark.parametrize("which", ["one", "two", "fresh"])
def test_who_resumes_from_anywhere_gets_the_rest_and_no_more(lived, which):
    node = lived.fresh() if which == "fresh" else lived.nodes[which == "two"]
    everything = list(enumerate(lived.positions))
    names = names_of(lived.positions)
    for n, since in [(0, f"{names[0]}.0"), (3, f"{names[1]}.0"), (5, f"{names[2]}.0"),
                     *((n + 1, text) for n, text in everything)]:
        ok, got = resumed(node, since)
        # Where both lives stand at the same place, either name is good.
        assert ok["recovered"] is True and since in ok["pos"], (since, ok)
        assert got == everything[n:], since
        stream = Events(node.address, TOPIC, last_event_id=since)
        assert stream.ok["recovered"] is True
        events = [stream.next_event() for _ in everything[n:]]
        assert [(e.data["data"], e.data["pos"]) for e in events] == everything[n:]
        assert all(e.data["pos"] in e.id.split(",") for e in events)
        stream.take_ready()
        stream.socket.close()
    # Of several lives the greatest place counts, in whichever order they are named.
    ends = [lived.positions[2], lived.positions[3], lived.positions[5]]
    for since, n in [(ends, 6), (ends[::-1], 6), (ends[:2], 4), ([ends[2], f"{names[0]}.1"], 6)]:
        ok, got = resumed(node, *since)
        assert ok["recovered"] is True and got == everything[n:], since
    # What a life has never come to was lost, or is another's.
    for since in (f"{names[0]}.4", f"{names[1]}.3", f"{names[1]}.{1 << 49}", f"{names[2]}.3"):
        assert resumed(node, since)[0]["recovered"] is False


@pytest.mark.parametrize("which", ["one", "fresh"])
def test_what_is_kept_shows_the_place_that_it_always_had(lived, which):
    node = lived.fresh() if which == "fresh" else lived.nodes[0]
    with Client(node.address) as client:
        [here] = client.sub(TOPIC)["pos"]
        assert here == lived.positions[-1]
        retained = client.next_msg()
        assert retained["retained"] is True and retained["pos"] == lived.positions[-1]
        history = client.ok({"op": "history", "topic": TOPIC})["messages"]
        assert [m["pos"] for m in history] == lived.positions
        rest = client.ok({"op": "history", "topic": TOPIC, "since": lived.positions[1]})
        assert rest["recovered"] is True and [m["pos"] for m in rest["messages"]] == lived.positions[2:]
        for n in (0, 2, 3, 6):
            again = client.ok({"op": "pub", "topic": TOPIC, "data": n, "key": f"key-{n}", "retain": True})
            assert again["duplicate"] is True and again["pos"] == lived.positions[n]
        with Client(lived.nodes[1].address) as other:
            after = other.pub(TOPIC, 7)
        assert client.next_msg()["pos"] == after
        name, offset = position(lived.positions[-1])
        assert after == f"{name}.{offset + 1}"


def test_a_life_that_was_never_heard_of_is_not_recovered(lived):
    names = names_of(lived.positions)
    forgotten = names[1][:3] + "".join("b" if c == "a" else "a" for c in names[1][3:5]) + names[1][5:]
    assert resumed(lived.nodes[0], f"{forgotten}.1")[0]["recovered"] is False
    ok, got = resumed(lived.nodes[0], f"{forgotten}.1", lived.positions[-1])
    assert ok["recovered"] is True and got == []


def test_who_has_seen_a_later_life_is_not_recovered_by_what_it_has_of_an_earlier_one(lived):
    names = names_of(lived.positions)
    order = int("".join(f"{ALPHABET.index(c):05b}" for c in names[-1][5:8]), 2) + 5
    later = "".join(ALPHABET[order >> shift & 31] for shift in (10, 5, 0))
    ahead = names[-1][:3] + "ab" + later + names[-1][8:]
    for also in ([], lived.positions[:1], lived.positions[-1:], lived.positions):
        assert resumed(lived.nodes[0], f"{ahead}.1", *also)[0]["recovered"] is False
