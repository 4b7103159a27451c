"""retain: a topic's last value, for whoever subscribes later; set, replaced, cleared, kept."""

import pytest

from support.client import b64, everything_since
from support.flat_out import FlatOut
from support.positions import (assert_ascending, data_of, flood, offset_of, publish, resume,
                               subscribe, take)


@pytest.fixture
def publisher(connect):
    """Another connection, in JSON, that publishes."""
    return connect("json")


@pytest.fixture
def end(topic):
    """A topic whose publication marks the end of what is looked at."""
    return f"end/{topic}"


def newcomer(connect, encoding, publisher, end, *filters, **more):
    """Returns what a new connection gets that subscribes to these filters."""
    client = connect(encoding)
    subscribe(client, *filters, end, **more)
    return everything_since(publisher, client, end)


def test_a_new_subscription_gets_the_last_value_marked(connect, encoding, publisher, topic, end):
    live = connect(encoding)
    live.sub(topic)
    pos = publisher.pub(topic, {"on": True}, retain=True)
    seen = live.next_msg()
    assert "retained" not in seen and seen["pos"] == pos
    publish(publisher, f"other/{topic}", range(5))
    [got] = newcomer(connect, encoding, publisher, end, topic)
    assert got == {**seen, "retained": True}


def test_the_ok_says_where_the_live_feed_starts_and_not_where_the_value_is(connect, encoding,
                                                                           publisher, topic):
    old = publisher.pub(topic, "old", retain=True)
    head = publish(publisher, f"other/{topic}", range(5))[-1]
    client = connect(encoding)
    reply = subscribe(client, topic)
    assert offset_of(reply) >= offset_of({"pos": head}) > offset_of({"pos": old})
    assert client.next_msg()["pos"] == old
    publisher.pub(topic, "live")
    got = client.next_msg()
    assert got["data"] == "live" and "retained" not in got


def test_the_next_one_replaces_it(connect, encoding, publisher, topic, end):
    for n in range(5):
        publisher.pub(topic, n, retain=True)
        assert data_of(newcomer(connect, encoding, publisher, end, topic)) == [n]


def test_one_that_is_not_retained_does_not_replace_it(connect, encoding, publisher, topic, end):
    publisher.pub(topic, "kept", retain=True)
    publisher.pub(topic, "passing")
    publisher.pub(topic, "by", retain=False)
    assert data_of(newcomer(connect, encoding, publisher, end, topic)) == ["kept"]


@pytest.mark.parametrize("clearing", ["json", "msgpack"])
def test_null_clears_it_and_is_delivered_as_usual(connect, encoding, publisher, topic, end,
                                                  clearing):
    live = connect(encoding)
    live.sub(topic)
    publisher.pub(topic, "kept", retain=True)
    connect(clearing).pub(topic, None, retain=True)
    assert data_of(take(live, 2)) == ["kept", None]
    assert newcomer(connect, encoding, publisher, end, topic) == []
    publisher.pub(topic, "again", retain=True)
    assert data_of(newcomer(connect, encoding, publisher, end, topic)) == ["again"]


def test_null_without_retain_clears_nothing(connect, encoding, publisher, topic, end):
    publisher.pub(topic, "kept", retain=True)
    publisher.pub(topic, None)
    assert data_of(newcomer(connect, encoding, publisher, end, topic)) == ["kept"]


def test_clearing_where_nothing_is_retained_is_no_error(connect, encoding, publisher, topic, end):
    connect(encoding).pub(topic, None, retain=True)
    assert newcomer(connect, encoding, publisher, end, topic) == []


@pytest.mark.parametrize("value", [False, 0, "", [], {}, 0.0])
def test_only_null_is_null(connect, encoding, topic, end, value):
    publisher = connect(encoding)
    publisher.pub(topic, value, retain=True)
    for kind in ("json", "msgpack"):
        assert data_of(newcomer(connect, kind, publisher, end, topic)) == [value]


def test_the_text_null_is_a_value(connect, encoding, publisher, topic, end):
    publisher.pub(topic, "null", retain=True)
    assert data_of(newcomer(connect, encoding, publisher, end, topic)) == ["null"]


def test_no_bytes_at_all_are_a_value_too(connect, topic, end):
    packed = connect("msgpack")
    packed.pub(topic, b"", retain=True)
    assert data_of(newcomer(connect, "msgpack", packed, end, topic)) == [b""]
    assert [m["b64"] for m in newcomer(connect, "json", packed, end, topic)] == [""]


def test_bytes_are_retained_for_both_encodings(connect, topic, end):
    json, packed = connect("json"), connect("msgpack")
    blob = bytes(range(256))
    packed.pub(f"{topic}/1", blob, retain=True)
    json.ok({"op": "pub", "topic": f"{topic}/2", "b64": b64(blob), "retain": True})
    packed.pub(f"{topic}/3", {"inner": blob}, retain=True)
    got = newcomer(connect, "msgpack", json, end, f"{topic}/+")
    assert data_of(got) == [blob, blob, {"inner": blob}]
    got = newcomer(connect, "json", json, end, f"{topic}/+")
    assert [m.get("b64", m.get("data")) for m in got] == [b64(blob)] * 2 + [{"inner": b64(blob)}]
    assert all(m["retained"] is True for m in got)


@pytest.mark.parametrize("publishing", ["json", "msgpack"])
def test_marked_frames_of_every_length_arrive_whole(connect, encoding, topic, end, publishing):
    publisher = connect(publishing)
    sizes = [*range(0, 140), 16_000, *range(65_300, 65_400, 3)]
    for size in sizes:
        publisher.pub(f"{topic}/{size}", "x" * size, retain=True)
    got = newcomer(connect, encoding, publisher, end, f"{topic}/#")
    assert [len(m["data"]) for m in got] == sizes
    assert all(m["retained"] is True for m in got)


@pytest.mark.parametrize("pattern", ["{}/#", "{}/+", "+/+/+/+"])
def test_a_wildcard_gets_the_values_of_all_its_topics(connect, encoding, publisher, topic, end,
                                                      pattern):
    publish(publisher, lambda n: f"{topic}/{n % 40}", range(100), retain=True)
    publish(publisher, lambda n: f"{topic}/{n}", range(100, 120))
    publish(publisher, f"other/{topic}/x", range(3), retain=True)
    got = [m for m in newcomer(connect, encoding, publisher, end, pattern.format(topic))
           if m["topic"].startswith(f"{topic}/")]
    assert data_of(got) == list(range(60, 100))
    assert all(m["retained"] is True for m in got)
    assert_ascending(got)


def test_overlapping_filters_get_it_once(connect, encoding, publisher, topic, end):
    publisher.pub(f"{topic}/x", "kept", retain=True)
    filters = [f"{topic}/x", f"{topic}/+", f"{topic}/#", "+/+/+/x"]
    got = [m for m in newcomer(connect, encoding, publisher, end, *filters)
           if m["topic"] == f"{topic}/x"]
    assert data_of(got) == ["kept"]


def test_what_does_not_match_is_not_given(connect, encoding, publisher, topic, end):
    for name in ("a", "a/b", "ab", "a/", "A", ""):
        publisher.pub(f"{topic}/{name}", name, retain=True)
    got = newcomer(connect, encoding, publisher, end, f"{topic}/a/#")
    assert data_of(got) == ["a", "a/b", "a/"]


def test_sessions_of_every_worker_get_what_any_worker_took(connect, topic, end):
    publishers = [connect(each) for each in ("json", "msgpack") * 3]
    for n in range(30):
        publishers[n % 6].pub(f"{topic}/{n % 7}", n, retain=True)
    for _ in range(5):
        for encoding in ("json", "msgpack"):
            got = newcomer(connect, encoding, publishers[0], end, f"{topic}/+")
            assert data_of(got) == list(range(23, 30))


def test_a_resume_that_recovered_does_not_get_it_again(connect, encoding, publisher, topic, end):
    pos = publisher.pub(topic, "kept", retain=True)
    client = connect(encoding)
    resume(client, pos, topic, f"{end}/1")
    assert everything_since(publisher, client, f"{end}/1") == []
    publisher.pub(topic, "newer", retain=True)
    client = connect(encoding)
    resume(client, pos, topic, f"{end}/2")
    got = everything_since(publisher, client, f"{end}/2")
    assert data_of(got) == ["newer"] and "retained" not in got[0]


def test_a_resume_that_did_not_recover_gets_it_first(connect, encoding, publisher, topic, end):
    publisher.pub(f"{topic}/a", "kept", retain=True)
    client = connect(encoding)
    resume(client, "gone.1", f"{topic}/#", end, recovered=False)
    publisher.pub(f"{topic}/b", "live")
    got = everything_since(publisher, client, end)
    assert data_of(got) == ["kept", "live"]
    assert got[0]["retained"] is True and "retained" not in got[1]


def test_it_outlives_the_journal(start, clients, encoding, workers):
    broker = start(settings={"journal.size": "1m"}, workers=workers)
    publisher, live = clients(broker), clients(broker, encoding)
    live.sub("t/#")
    publisher.pub("t/a", {"k": [1, "é"]}, retain=True)
    clients(broker, "msgpack").pub("t/b", b"\x00\x01", retain=True)
    seen = take(live, 2)
    flood(publisher, "other", 4)
    client = clients(broker, encoding)
    first = seen[0]["pos"]
    resume(client, first, "t/#", "end", recovered=False)
    got = everything_since(publisher, client, "end")
    assert got == [{**m, "retained": True} for m in seen]


def test_one_that_is_kept_and_replayed_comes_once_in_its_place(start, clients, encoding):
    broker = start(settings={"journal.size": "1m"})
    publisher = clients(broker)
    publisher.pub("t/c", "left the journal", retain=True)
    first = publisher.pub("t/a", "old")
    flood(publisher, "other", 3)
    publisher.pub("t/a", "before")
    publisher.pub("t/b", "kept", retain=True)
    publisher.pub("t/b", "passing")
    client = clients(broker, encoding)
    resume(client, first, "t/#", "end", recovered=False)
    got = everything_since(publisher, client, "end")
    assert [(m["data"], m.get("retained")) for m in got] == [
        ("left the journal", True), ("before", None), ("kept", None), ("passing", None)]


def test_subscribing_again_gets_it_again(connect, encoding, publisher, topic, end):
    publisher.pub(topic, "kept", retain=True)
    client = connect(encoding)
    client.sub(end)
    for _ in range(3):
        client.sub(topic)
        got = everything_since(publisher, client, end)
        assert [(m["data"], m["retained"]) for m in got] == [("kept", True)]


def test_a_duplicate_by_key_replaces_nothing(connect, encoding, publisher, topic, end):
    publisher.pub(topic, "first", retain=True, key=topic)
    publisher.pub(topic, "second", retain=True, key=topic)
    assert data_of(newcomer(connect, encoding, publisher, end, topic)) == ["first"]


def test_a_refused_publication_replaces_nothing(connect, encoding, publisher, topic, end):
    publisher.pub(topic, "kept", retain=True)
    publisher.refused({"op": "pub", "topic": topic, "retain": True}, 400)
    publisher.refused({"op": "pub", "topic": topic, "data": 1, "retain": True, "ttl": -1}, 400)
    assert data_of(newcomer(connect, encoding, publisher, end, topic)) == ["kept"]


def test_the_cut_is_exact_while_values_never_rest(broker, connect, encoding, publisher, topic):
    quiet = [f"{topic}/quiet/{n}" for n in range(5)]
    for each in quiet:
        publisher.pub(each, each, retain=True)
    with FlatOut(broker, [f"{topic}/{n}" for n in range(5)], retain=True):
        for _ in range(20):
            client = connect(encoding)
            cut = offset_of(subscribe(client, f"{topic}/#"))
            got = take(client, 35)
            client.socket.close()
            assert_ascending(got)
            kept = [m for m in got if m.get("retained")]
            live = [m for m in got if offset_of(m) > cut]
            assert kept + live == got
            assert [m["data"] for m in kept if m["topic"] in quiet] == quiet
            # What was replaced since the cut may be left out: the newer one comes live.
            assert offset_of(live[0]) == cut + 1
            assert data_of(live) == list(range(live[0]["data"], live[0]["data"] + len(live)))


@pytest.mark.parametrize("receive_buffer", [None, 4096])
def test_values_may_be_more_than_the_queue_holds(start, clients, encoding, receive_buffer):
    broker = start(settings={"limits.queue": "64k"}, workers=2)
    publisher = clients(broker)
    publish(publisher, lambda n: f"t/{n[0]}", ([n, "x" * 50_000] for n in range(100)), retain=True)
    client = clients(broker, encoding, receive_buffer=receive_buffer)
    subscribe(client, "t/#", "end")
    publish(publisher, lambda n: f"t/{n[0]}", ([n] for n in range(100, 110)))
    got = everything_since(publisher, client, "end")
    assert [m["data"][0] for m in got] == list(range(110))
    assert [m.get("retained", False) for m in got] == [True] * 100 + [False] * 10
