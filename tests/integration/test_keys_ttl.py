"""key: the same publication is taken once. ttl: how long a publication is kept."""

import pytest

from support.client import everything_since, position
from support.positions import data_of, offset_of, publish, resume, subscribe, take
from support.wait import until


@pytest.fixture
def publisher(connect):
    """Another connection, in JSON, that publishes."""
    return connect("json")


@pytest.fixture
def end(topic):
    """A topic whose publication marks the end of what is looked at."""
    return f"end/{topic}"


def pub(client, topic, data, **more):
    """Publishes and returns the whole `ok`."""
    return client.ok({"op": "pub", "topic": topic, "data": data, **more})


def first_of(reply):
    assert "duplicate" not in reply, reply
    return reply["pos"]


def again_of(reply):
    assert reply["duplicate"] is True, reply
    return reply["pos"]


# -- key


def test_the_same_key_is_answered_with_the_first_ones_position(connect, encoding, topic):
    client = connect(encoding)
    pos = first_of(pub(client, topic, 1, key="k"))
    for n in range(3):
        assert again_of(pub(client, topic, n, key="k")) == pos


def test_a_duplicate_is_not_delivered_and_takes_no_position(connect, encoding, publisher, topic,
                                                            end):
    client = connect(encoding)
    client.sub(topic, end)
    first = pub(publisher, topic, "first", key="k")["pos"]
    for n in range(5):
        pub(publisher, topic, n, key="k")
    next_ = pub(publisher, topic, "next")["pos"]
    assert position(next_) == (position(first)[0], position(first)[1] + 1)
    got = everything_since(publisher, client, end)
    assert [(m["data"], m["pos"]) for m in got] == [("first", first), ("next", next_)]


def test_a_key_holds_for_every_connection_and_encoding(connect, topic, end):
    subscriber = connect("msgpack")
    subscriber.sub(topic, end)
    pos = first_of(pub(connect("json"), topic, "first", key="é" * 64))
    for n in range(16):  # on whichever worker they are
        assert again_of(pub(connect(("json", "msgpack")[n % 2]), topic, n, key="é" * 64)) == pos
    assert data_of(everything_since(connect(), subscriber, end)) == ["first"]


def test_another_key_or_another_topic_is_another_publication(connect, encoding, topic, end):
    client = connect(encoding)
    client.sub(f"{topic}/#", end)
    first_of(pub(client, f"{topic}/a", 1, key="k"))
    for key in ("K", "k ", "kk", "k\u0301", "1"):
        first_of(pub(client, f"{topic}/a", key, key=key))
    first_of(pub(client, f"{topic}/b", 2, key="k"))
    first_of(pub(client, f"{topic}/a", 3))
    first_of(pub(client, f"{topic}/a", 4))
    assert len(everything_since(connect(), client, end)) == 9


def test_keys_and_topics_do_not_run_together(connect, encoding, topic):
    client = connect(encoding)
    first_of(pub(client, f"{topic}/a", 1, key="bc"))
    first_of(pub(client, f"{topic}/ab", 1, key="c"))
    first_of(pub(client, f"{topic}/", 1, key="abc"))
    first_of(pub(client, topic, 1, key="/abc"))


@pytest.mark.parametrize("key", ["k" * 128, "é" * 64, "\u0000", "\n", "😀", " ", "a/b", "+", "{}"])
def test_keys_of_every_kind_work(connect, encoding, topic, key):
    pos = first_of(pub(connect(encoding), topic, 1, key=key))
    for kind in ("json", "msgpack"):
        assert again_of(pub(connect(kind), topic, 2, key=key)) == pos


def test_long_keys_that_differ_in_the_last_byte_differ(connect, encoding, topic):
    client = connect(encoding)
    first_of(pub(client, topic, 1, key="k" * 127 + "a"))
    first_of(pub(client, topic, 1, key="k" * 127 + "b"))
    first_of(pub(client, topic, 1, key="k" * 127))


def test_the_same_key_twice_in_one_message_is_taken_once(connect, encoding, topic, end):
    client, subscriber = connect(encoding), connect(encoding)
    subscriber.sub(topic, end)
    client.send([{"op": "pub", "id": n, "topic": topic, "data": n, "key": f"k{n % 3}"}
                 for n in range(9)])
    replies = [client.next() for _ in range(9)]
    assert [r["id"] for r in replies] == list(range(9))
    firsts = [first_of(r) for r in replies[:3]]
    assert [again_of(r) for r in replies[3:]] == firsts * 2
    assert data_of(everything_since(client, subscriber, end)) == [0, 1, 2]


def test_many_publishers_with_the_same_keys_at_once_make_one_publication_of_each(connect, topic,
                                                                                 end):
    subscriber = connect("msgpack")
    subscriber.sub(topic, end)
    publishers = [connect(("json", "msgpack")[n % 2]) for n in range(12)]
    for who, each in enumerate(publishers):
        each.send([{"op": "pub", "id": n, "topic": topic, "data": [n, who], "key": f"key {n}"}
                   for n in range(50)])
    replies = [[each.next() for _ in range(50)] for each in publishers]
    got = everything_since(connect(), subscriber, end)
    assert sorted(m["data"][0] for m in got) == list(range(50))
    pos_of = {m["data"][0]: m["pos"] for m in got}
    winner = {m["data"][0]: m["data"][1] for m in got}
    for who, answers in enumerate(replies):
        for n, reply in enumerate(answers):
            assert (reply["op"], reply["id"], reply["pos"]) == ("ok", n, pos_of[n])
            assert reply.get("duplicate", False) is (winner[n] != who)


def test_a_duplicate_without_an_id_is_dropped_without_a_word(connect, encoding, topic, end):
    client, subscriber = connect(encoding), connect(encoding)
    subscriber.sub(topic, end)
    for n in range(5):
        client.send({"op": "pub", "topic": topic, "data": n, "key": "k"})
    assert client.ok({"op": "ping"}) and not client.inbox
    assert data_of(everything_since(client, subscriber, end)) == [0]


def test_a_refused_publication_does_not_use_up_its_key(connect, encoding, topic):
    client = connect(encoding)
    client.refused({"op": "pub", "topic": topic, "key": "k"}, 400)
    client.refused({"op": "pub", "topic": topic, "data": 1, "ttl": -1, "key": "k"}, 400)
    client.refused({"op": "pub", "topic": topic, "b64": "?", "key": "k"}, 400)
    first_of(pub(client, topic, 1, key="k"))


def test_a_duplicate_is_found_when_its_first_left_the_journal(start, clients, encoding):
    broker = start(settings={"journal.size": "1m"}, workers=2)
    client = clients(broker, encoding)
    pos = first_of(pub(client, "t", 1, key="k"))
    publish(client, "other", ["x" * 60_000] * 60)
    assert again_of(pub(clients(broker, encoding), "t", 1, key="k")) == pos


def test_a_publisher_that_repeats_all_it_is_unsure_of_publishes_once(connect, encoding, topic,
                                                                     end):
    subscriber = connect(encoding)
    subscriber.sub(topic, end)
    for turn in range(20):  # it loses its connection at once, and does not know what was taken
        client = connect(encoding)
        client.send([{"op": "pub", "topic": topic, "data": n, "key": f"k{n}"}
                     for n in range(10 * turn, 10 * turn + 10)])
        client.socket.close()
        client = connect(encoding)
        for n in range(10 * turn, 10 * turn + 10):
            pub(client, topic, n, key=f"k{n}")
    got = everything_since(connect(), subscriber, end)
    assert sorted(data_of(got)) == list(range(200))


# -- ttl

def expired(client, topic):
    """Waits until the topic has nothing more to tell."""
    until(lambda: client.ok({"op": "history", "topic": topic})["messages"] == [],
          f"{topic} has expired")


def test_an_expired_publication_is_not_kept_for_anything(connect, encoding, publisher, topic, end):
    start = publisher.pub("before", 1)
    live = connect(encoding)
    live.sub(topic)
    publisher.pub(topic, "short", ttl=1, retain=True)
    assert live.next_msg()["data"] == "short"
    expired(connect(encoding), topic)
    for how in ({}, {"last": 5}):
        client = connect(encoding)
        subscribe(client, topic, end, **how)
        assert everything_since(publisher, client, end) == []
    client = connect(encoding)
    resume(client, start, topic, end)
    assert everything_since(publisher, client, end) == []


def test_a_publication_that_has_not_expired_is_kept_for_everything(connect, encoding, publisher,
                                                                   topic, end):
    start = publisher.pub("before", 1)
    publisher.pub(topic, "long", ttl=3600, retain=True)
    for how, marked in (({}, True), ({"last": 5}, True), ({"since": [start]}, None)):
        client = connect(encoding)
        subscribe(client, topic, end, **how)
        got = everything_since(publisher, client, end)
        assert [(m["data"], m.get("retained")) for m in got] == [("long", marked)]
    assert data_of(connect(encoding).ok({"op": "history", "topic": topic})["messages"]) == ["long"]


def test_only_what_has_expired_is_gone(connect, encoding, publisher, topic, end):
    start = publisher.pub("before", 1)
    for n in range(8):
        publisher.pub(topic, n, **({"ttl": 1} if n % 2 else {"ttl": 600} if n % 4 else {}))
    publisher.pub(f"{topic}/last", 1, ttl=1)
    client = connect(encoding)
    expired(client, f"{topic}/last")
    for how in ({"last": 10}, {"since": [start]}):
        late = connect(encoding)
        subscribe(late, topic, end, **how)
        assert data_of(everything_since(publisher, late, end)) == [0, 2, 4, 6]
    assert data_of(client.ok({"op": "history", "topic": topic})["messages"]) == [0, 2, 4, 6]


def test_what_expired_does_not_count_among_the_last(connect, encoding, publisher, topic, end):
    publish(publisher, topic, range(4))
    publish(publisher, topic, range(4, 8), ttl=1)
    client = connect(encoding)
    until(lambda: len(client.ok({"op": "history", "topic": topic})["messages"]) == 4,
          "four publications have expired")
    late = connect(encoding)
    subscribe(late, topic, end, last=2)
    assert data_of(everything_since(publisher, late, end)) == [2, 3]
    assert data_of(client.ok({"op": "history", "topic": topic, "last": 3})["messages"]) == [1, 2, 3]


def test_an_expired_publication_comes_live_all_the_same(connect, encoding, publisher, topic):
    clients = [connect(each) for each in ("json", "msgpack") * 4]
    for each in clients:
        each.sub(topic)
    publish(publisher, topic, range(20), ttl=1)
    for each in clients:
        assert data_of(take(each, 20)) == list(range(20))


def test_an_expired_value_leaves_the_one_before_it_cleared(connect, encoding, publisher, topic,
                                                           end):
    publisher.pub(topic, "old", retain=True)
    publisher.pub(topic, "short", retain=True, ttl=1)
    expires = connect(encoding)
    until(lambda: data_of(expires.ok({"op": "history", "topic": topic})["messages"]) == ["old"],
          "the value has expired")
    client = connect(encoding)
    subscribe(client, topic, end)
    assert everything_since(publisher, client, end) == []


def test_a_key_outlives_its_publication(connect, encoding, publisher, topic):
    pos = first_of(pub(publisher, topic, 1, key="k", ttl=1))
    expired(connect(encoding), topic)
    assert again_of(pub(connect(encoding), topic, 1, key="k")) == pos


def test_positions_go_on_over_what_has_expired(connect, encoding, publisher, topic, end):
    said = publish(publisher, topic, range(3), ttl=1)
    expired(connect(encoding), topic)
    client = connect(encoding)
    reply = resume(client, said[0], topic, end)
    assert offset_of(reply) == position(said[0])[1]
    publisher.pub(topic, "live")
    assert data_of(everything_since(publisher, client, end)) == ["live"]


@pytest.mark.parametrize("ttl", [1, 60, 10**6, 2**32, 2**53 - 1])
def test_every_ttl_is_taken(connect, encoding, publisher, topic, end, ttl):
    publisher.pub(topic, "kept", retain=True, ttl=ttl)
    client = connect(encoding)
    subscribe(client, topic, end)
    assert data_of(everything_since(publisher, client, end)) == ["kept"]


def test_no_time_at_all_is_refused(connect, encoding, publisher, topic, end):
    client = connect(encoding)
    client.sub(topic, end)
    assert "ttl" in client.refused({"op": "pub", "topic": topic, "data": 1, "ttl": 0}, 400)
    assert everything_since(publisher, client, end) == []
