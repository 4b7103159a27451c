"""pub: topics that are taken and refused, what its ok says, and topics that are the broker's."""

import pytest

from support.client import everything_since, position


def test_the_ok_of_a_pub_carries_the_position_of_its_msg(connect, encoding, topic):
    client = connect(encoding)
    client.sub(topic)
    reply = client.ok({"op": "pub", "topic": topic, "data": 1})
    position(reply["pos"])
    assert client.next_msg()["pos"] == reply["pos"]


def test_a_pub_without_an_id_gets_no_reply(connect, encoding, topic):
    client = connect(encoding)
    for n in range(10):
        client.send({"op": "pub", "topic": topic, "data": n})
    assert client.ok({"op": "ping"})
    assert not client.inbox


def test_a_pub_without_subscribers_is_accepted_and_numbered(connect, encoding, topic):
    client = connect(encoding)
    first, second = (position(client.pub(topic, n)) for n in range(2))
    assert first[0] == second[0] and second[1] > first[1]


@pytest.mark.parametrize("bad", [
    "", "a/+", "+", "#", "a/#", "a+b", "a#b", "a\x00", "\n", "a\x1fb", "\x7f", "x" * 256,
    "é" * 128, "/".join("x" * 33), "/" * 32,
])
def test_bad_topics_are_refused(connect, encoding, bad):
    client = connect(encoding)
    client.refused({"op": "pub", "topic": bad, "data": 1}, 400)
    assert client.ok({"op": "ping"})


@pytest.mark.parametrize("good", [
    "a", "/", "//", "a/", "/a", "a//b", " ", "a b", "ä/ö", "日本/東京", "😀", "\u0080", "a$b",
    "a/$b", "x" * 255, "é" * 127, "/".join("x" * 32), "/" * 31, "'", '"', "\\", "\\/", "*", ".",
    "\u2028", "\ufeff", "\uffff", "\U0010ffff", "a%20b", "<script>",
])
def test_good_topics_are_taken_and_come_back_as_they_were(connect, encoding, topic, good):
    for kind in ("json", "msgpack"):
        client = connect(kind)
        client.sub(good)
        connect(encoding).pub(good, topic)
        assert client.take_where(lambda m: m.get("data") == topic)["topic"] == good


def test_an_escaped_topic_is_the_topic_that_it_stands_for(connect, topic):
    publisher, subscriber = connect("json"), connect("msgpack")
    subscriber.sub(f"{topic}/é/😀")
    escaped = topic.replace("/", "\\/")
    publisher.send_payload(
        b'{"op":"pub","topic":"%s\\/\\u00e9/\\ud83d\\ude00","data":1}' % escaped.encode())
    assert subscriber.next_msg()["topic"] == f"{topic}/é/😀"


def test_an_escaped_control_character_in_a_topic_is_refused(connect):
    client = connect("json")
    for text in (b"a\\u0000b", b"a\\nb", b"\\u001f", b"a\\u007f"):
        client.send_payload(b'{"op":"pub","topic":"' + text + b'","data":1}')
        client.error(400)


@pytest.mark.parametrize("wrong", [None, 5, True, ["t"], {"t": 1}, 1.5])
def test_a_topic_must_be_a_string(connect, encoding, wrong):
    connect(encoding).refused({"op": "pub", "topic": wrong, "data": 1}, 400)


def test_a_pub_without_a_topic_is_refused(connect, encoding):
    assert "topic" in connect(encoding).refused({"op": "pub", "data": 1}, 400)


def test_a_refused_topic_is_named(connect, encoding):
    assert "weather/+" in connect(encoding).refused(
        {"op": "pub", "topic": "weather/+", "data": 1}, 400)


@pytest.mark.parametrize("topic_", ["$", "$x", "$sys/n1/stats", "$presence/a", "$SYS/broker"])
def test_topics_that_begin_with_a_dollar_are_the_brokers(connect, encoding, topic_):
    client = connect(encoding)
    client.refused({"op": "pub", "topic": topic_, "data": 1}, 403)
    client.send({"op": "pub", "topic": topic_, "data": 1})
    client.error(403)


def test_a_refused_publication_reaches_nobody_and_takes_no_position(connect, encoding, topic):
    publisher, subscriber = connect(encoding), connect("json")
    subscriber.sub(f"{topic}/#", f"end/{topic}")
    first = position(publisher.pub(f"{topic}/a", 1))
    publisher.refused({"op": "pub", "topic": f"{topic}/+", "data": 1}, 400)
    publisher.refused({"op": "pub", "topic": f"{topic}/a"}, 400)
    second = position(publisher.pub(f"{topic}/a", 2))
    assert second == (first[0], first[1] + 1)
    got = everything_since(publisher, subscriber, f"end/{topic}")
    assert [m["data"] for m in got] == [1, 2]


@pytest.mark.parametrize("more", [
    {"retain": False}, {"ttl": 60}, {"key": "k"}, {"key": "k" * 128},
])
def test_the_other_keys_of_a_pub_are_accepted(connect, encoding, topic, more):
    connect(encoding).pub(f"{topic}/{len(str(more))}", 1, **more)


@pytest.mark.parametrize("more", [
    {"retain": 1}, {"retain": "yes"}, {"ttl": -1}, {"ttl": "60"}, {"ttl": 1.5}, {"key": 5},
    {"key": "k" * 129}, {"key": None},
])
def test_the_other_keys_of_a_pub_are_checked(connect, encoding, topic, more):
    name = next(iter(more))
    assert name in connect(encoding).refused(
        {"op": "pub", "topic": topic, "data": 1, **more}, 400)


def test_a_thousand_pubs_in_flight_are_answered_in_order(connect, encoding, topic):
    client = connect(encoding)
    for n in range(1000):
        client.send({"op": "pub", "id": n, "topic": topic, "data": n})
    replies = [client.next(30) for _ in range(1000)]
    assert [r["id"] for r in replies] == list(range(1000))
    assert {r["op"] for r in replies} == {"ok"}
    offsets = [position(r["pos"])[1] for r in replies]
    assert offsets == sorted(set(offsets))


@pytest.mark.parametrize("size", [0, 1, 100, 125, 126, 127, 1000, 4096, 16384, 60000])
def test_payloads_of_every_size_arrive_whole(connect, encoding, topic, size):
    subscriber, publisher = connect(encoding), connect("msgpack" if encoding == "json" else "json")
    subscriber.sub(topic)
    text = ("0123456789abcdef" * (size // 16 + 1))[:size]
    publisher.pub(topic, text)
    assert subscriber.next_msg()["data"] == text


def test_frame_lengths_around_each_boundary_arrive_whole(connect, encoding, topic):
    client = connect(encoding)
    client.sub(topic)
    for size in list(range(0, 140)) + list(range(65300, 65400)):
        client.send({"op": "pub", "topic": topic, "data": "x" * size})
        assert len(client.next_msg()["data"]) == size
