"""sub and unsub: which publications reach whom, once each, in order, and when they stop."""

import pytest

from support.client import everything_since, position


@pytest.fixture
def publisher(connect):
    """Another connection, in JSON, that publishes."""
    return connect("json")


@pytest.fixture
def end(topic):
    """A topic whose publication marks the end of what is looked at."""
    return f"end/{topic}"


def test_the_ok_of_a_sub_says_where_the_live_feed_starts(connect, encoding, publisher, topic):
    before = position(publisher.pub(topic, 0))
    client = connect(encoding)
    reply = client.sub(topic)
    starts = [position(p) for p in reply["pos"]]
    assert len(starts) == 1 and starts[0][0] == before[0]
    publisher.pub(topic, 1)
    stream, offset = position(client.next_msg()["pos"])
    assert stream == starts[0][0]
    assert before[1] <= starts[0][1] < offset  # `since` this position misses nothing


def test_a_msg_has_topic_data_position_and_time(connect, encoding, publisher, topic):
    client = connect(encoding)
    client.sub(topic)
    pos = publisher.pub(topic, {"a": 1})
    message = client.next_msg()
    assert message == {"op": "msg", "topic": topic, "data": {"a": 1}, "pos": pos,
                       "at": message["at"]}
    assert isinstance(message["at"], int) and 1_600_000_000_000 < message["at"] < 2**42


def test_times_never_run_backwards(connect, encoding, publisher, topic):
    client = connect(encoding)
    client.sub(topic)
    for n in range(50):
        publisher.pub(topic, n)
    times = [client.next_msg()["at"] for _ in range(50)]
    assert times == sorted(times)


def test_positions_grow_by_one_without_holes(start, clients, encoding, workers):
    broker = start(workers=workers)
    subscriber, publishers = clients(broker, encoding), [clients(broker) for _ in range(3)]
    subscriber.sub("#")
    said = [publishers[n % 3].pub(f"topic/{n % 7}", n) for n in range(60)]
    seen = [subscriber.next_msg()["pos"] for _ in range(60)]
    assert seen == said
    streams, offsets = zip(*map(position, seen))
    assert len(set(streams)) == 1
    assert list(offsets) == list(range(offsets[0], offsets[0] + 60))


def test_a_publication_reaches_only_who_subscribed(connect, encoding, publisher, topic, end):
    client = connect(encoding)
    client.sub(f"{topic}/a", end)
    for other in ("b", "a/b", "aa", "A", "", "a/"):
        publisher.pub(f"{topic}/{other}", other)
    publisher.pub(topic, "parent")
    publisher.pub(f"{topic}/a", "mine")
    assert [m["data"] for m in everything_since(publisher, client, end)] == ["mine"]


@pytest.mark.parametrize("pattern, reached", [
    ("+", {"", "a", "b"}),
    ("#", {None, "", "a", "b", "a/b", "a/", "a/b/c", "a//c", "/b"}),
    ("a/#", {"a", "a/b", "a/", "a/b/c", "a//c"}),
    ("+/b", {"a/b", "/b"}),
    ("+/+", {"a/b", "a/", "/b"}),
    ("a/+/c", {"a/b/c", "a//c"}),
    ("+/+/#", {"a/b", "a/", "/b", "a/b/c", "a//c"}),
    ("a/b", {"a/b"}),
    ("a/", {"a/"}),
    ("", {""}),
])
def test_wildcards_match_as_in_mqtt(connect, encoding, publisher, topic, end, pattern, reached):
    client = connect(encoding)
    client.sub(f"{topic}/{pattern}", end)
    for tail in (None, "", "a", "b", "a/b", "a/", "a/b/c", "a//c", "/b"):
        publisher.pub(topic if tail is None else f"{topic}/{tail}", tail)
    got = [m["data"] for m in everything_since(publisher, client, end)]
    assert set(got) == reached and len(got) == len(reached)


def test_a_hash_alone_gets_every_topic_but_the_brokers_own(connect, encoding, publisher, topic):
    client = connect(encoding)
    client.sub("#")
    for name in (topic, "/", "a", "//"):
        publisher.pub(name, topic)
    mine = [client.take_where(lambda m: m.get("data") == topic) for _ in range(4)]
    assert [m["topic"] for m in mine] == [topic, "/", "a", "//"]
    assert not [m for m in client.inbox if m["topic"].startswith("$")]


@pytest.mark.parametrize("count", [2, 5])
def test_overlapping_filters_deliver_once(connect, encoding, publisher, topic, end, count):
    client = connect(encoding)
    filters = [f"{topic}/x", f"{topic}/#", f"{topic}/+", "+/+/+/x", "t/#"][:count]
    for each in filters:
        client.sub(each)
    client.sub(*filters)
    client.sub(end)
    publisher.pub(f"{topic}/x", 1)
    mine = [m for m in everything_since(publisher, client, end) if m["topic"] == f"{topic}/x"]
    assert len(mine) == 1


def test_the_same_filter_twice_in_one_request_is_one_subscription(connect, encoding, publisher,
                                                                  topic, end):
    client = connect(encoding)
    client.sub(topic, topic, end)
    publisher.pub(topic, 1)
    assert len(everything_since(publisher, client, end)) == 1
    client.unsub(topic)
    publisher.pub(topic, 2)
    assert everything_since(publisher, client, end) == []


def test_subscribing_again_replaces(connect, encoding, publisher, topic, end):
    client = connect(encoding)
    for _ in range(10):
        client.sub(topic, end)
    publisher.pub(topic, 1)
    assert len(everything_since(publisher, client, end)) == 1
    client.unsub(topic)
    publisher.pub(topic, 2)
    assert everything_since(publisher, client, end) == []


def test_unsub_stops_the_feed(connect, encoding, publisher, topic, end):
    client = connect(encoding)
    client.sub(f"{topic}/a", f"{topic}/b", end)
    client.unsub(f"{topic}/a")
    publisher.pub(f"{topic}/a", "a")
    publisher.pub(f"{topic}/b", "b")
    assert [m["data"] for m in everything_since(publisher, client, end)] == ["b"]


def test_unsub_takes_the_filter_and_not_what_it_matches(connect, encoding, publisher, topic, end):
    client = connect(encoding)
    client.sub(f"{topic}/#", f"{topic}/a", end)
    client.unsub(f"{topic}/a")
    publisher.pub(f"{topic}/a", "a")
    assert [m["data"] for m in everything_since(publisher, client, end)] == ["a"]
    client.unsub(f"{topic}/#")
    publisher.pub(f"{topic}/a", "a")
    assert everything_since(publisher, client, end) == []


def test_unsub_of_what_was_not_subscribed_is_no_error(connect, encoding, topic):
    assert connect(encoding).unsub(topic)["op"] == "ok"


def test_one_bad_filter_refuses_the_whole_sub(connect, encoding, publisher, topic, end):
    client = connect(encoding)
    client.sub(end)
    message = client.refused({"op": "sub", "topics": [topic, "bad/#/filter", f"{topic}/x"]}, 400)
    assert "bad/#/filter" in message
    publisher.pub(topic, 1)
    publisher.pub(f"{topic}/x", 1)
    assert everything_since(publisher, client, end) == []


def test_one_bad_filter_refuses_the_whole_unsub(connect, encoding, publisher, topic, end):
    client = connect(encoding)
    client.sub(topic, end)
    client.refused({"op": "unsub", "topics": [topic, "bad+"]}, 400)
    publisher.pub(topic, 1)
    assert len(everything_since(publisher, client, end)) == 1


@pytest.mark.parametrize("bad", [
    "", "a#", "#a", "a/#/b", "#/", "##", "a+", "+a", "a/b+/c", "++", "a\x00b", "a\nb", "\x1f",
    "a\x7fb", "x" * 256, "/".join("x" * 33), "é" * 128, "#/#",
])
def test_bad_filters_are_refused(connect, encoding, bad):
    client = connect(encoding)
    client.refused({"op": "sub", "topics": [bad]}, 400)
    client.refused({"op": "unsub", "topics": [bad]}, 400)
    assert client.ok({"op": "ping"})


@pytest.mark.parametrize("good", [
    "a", "/", "//", "a/", "/a", " ", "a b", "ä/ö/ü", "日本", "😀", "\u0080", "$x", "$share/g/t",
    "x" * 255, "/".join("x" * 32), "é" * 127, "+", "#", "+/#", "/#", "+/+", "a/+", "/" * 31,
    "'", '"', "\\", "a%2Fb", "*", ">", ".", "\ufeff", "\ufffe",
])
def test_good_filters_are_taken(connect, encoding, good):
    client = connect(encoding)
    client.sub(good)
    client.unsub(good)


@pytest.mark.parametrize("topics", [None, "t", 5, {}, {"t": 1}, [5], [None], [["t"]], ["t", 5],
                                    True, []])
def test_topics_must_be_a_list_of_filters(connect, encoding, topics):
    client = connect(encoding)
    client.refused({"op": "sub", "topics": topics}, 400)
    client.refused({"op": "unsub", "topics": topics}, 400)


def test_a_sub_without_topics_is_refused(connect, encoding):
    client = connect(encoding)
    assert "topics" in client.refused({"op": "sub"}, 400)
    assert "topics" in client.refused({"op": "unsub"}, 400)


def test_more_filters_than_the_limit_are_a_429_and_change_nothing(start, clients, encoding):
    broker = start(settings={"limits.topics": 5})
    client, publisher = clients(broker, encoding), clients(broker)
    client.sub("a", "b", "end")
    assert "5" in client.refused({"op": "sub", "topics": ["c", "d", "e"]}, 429)
    publisher.pub("c", 1)
    assert everything_since(publisher, client, "end") == []
    client.sub("c", "d")
    client.refused({"op": "sub", "topics": ["e"]}, 429)
    client.sub("a", "b", "c", "d", "end")  # what is there already does not count again
    client.unsub("a")
    client.sub("e")
    publisher.pub("a", 1)
    publisher.pub("e", 2)
    assert [m["topic"] for m in everything_since(publisher, client, "end")] == ["e"]


def test_the_limit_of_filters_is_for_each_session(start, clients, encoding):
    broker = start(settings={"limits.topics": 2})
    for _ in range(3):
        client = clients(broker, encoding)
        client.sub("a", "b")
        client.refused({"op": "sub", "topics": ["c"]}, 429)


def test_a_thousand_filters_fit_by_default(connect, encoding, publisher, topic):
    client = connect(encoding)
    for begin in range(0, 1000, 100):
        client.sub(*[f"{topic}/{n}" for n in range(begin, begin + 100)])
    for n in (0, 500, 999):
        publisher.pub(f"{topic}/{n}", n)
    assert [client.next_msg()["data"] for _ in range(3)] == [0, 500, 999]
    client.sub(*[f"{topic}/more/{n}" for n in range(24)])
    client.refused({"op": "sub", "topics": [f"{topic}/last"]}, 429)


def test_own_publications_come_back_to_a_subscriber(connect, encoding, topic):
    client = connect(encoding)
    client.sub(topic)
    pos = client.pub(topic, "mine")
    message = client.next_msg()
    assert (message["data"], message["pos"]) == ("mine", pos)


def test_every_subscriber_sees_the_same_order(connect, topic):
    subscribers = [connect(each) for each in ("json", "msgpack") * 5]
    publishers = [connect(each) for each in ("json", "msgpack", "json")]
    for each in subscribers:
        each.sub(topic)
    for n in range(40):
        for who, each in enumerate(publishers):
            each.send({"op": "pub", "topic": topic, "data": [who, n]})
    feeds = [[(m["pos"], m["data"]) for m in (s.next_msg() for _ in range(120))]
             for s in subscribers]
    assert all(feed == feeds[0] for feed in feeds)
    for who in range(3):
        assert [n for _, (w, n) in feeds[0] if w == who] == list(range(40))


def test_a_sub_is_in_force_when_its_ok_has_come(connect, encoding, publisher, topic):
    for n in range(30):
        client = connect(encoding)
        client.sub(f"{topic}/{n}")
        publisher.pub(f"{topic}/{n}", n)
        assert client.next_msg()["data"] == n


def test_nothing_comes_after_the_ok_of_an_unsub(connect, encoding, publisher, topic, end):
    client = connect(encoding)
    client.sub(end)
    for n in range(20):
        client.sub(topic)
        for k in range(10):
            publisher.send({"op": "pub", "topic": topic, "data": [n, k]})
        client.unsub(topic)
        client.inbox.clear()
        client.payloads.clear()
        publisher.pub(topic, "after")
        assert everything_since(publisher, client, end) == []


def test_a_session_that_ends_takes_its_subscriptions_with_it(connect, encoding, publisher, topic):
    for _ in range(20):
        client = connect(encoding)
        client.sub(topic, f"{topic}/#")
        client.close()
    client = connect(encoding)
    client.sub(topic)
    publisher.pub(topic, 1)
    assert client.next_msg()["data"] == 1
