"""last: the latest of each topic, in one order, and then what follows them with one cut between."""

import pytest

from support.client import everything_since
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


def by_topic(messages):
    """Returns the data of each topic, in order."""
    found = {}
    for each in messages:
        found.setdefault(each["topic"], []).append(each["data"])
    return found


@pytest.mark.parametrize("count", [1, 3, 10])
def test_the_latest_of_a_topic_come_and_then_what_is_live(connect, encoding, publisher, topic, end,
                                                          count):
    said = publish(publisher, topic, range(10))
    client = connect(encoding)
    reply = subscribe(client, topic, end, last=count)
    assert offset_of(reply) >= offset_of({"pos": said[-1]}) and "recovered" not in reply
    said += publish(publisher, topic, range(10, 15))
    got = everything_since(publisher, client, end)
    assert data_of(got) == list(range(10 - count, 15))
    assert [m["pos"] for m in got] == said[10 - count:]
    assert not any("retained" in m for m in got)


def test_a_rewound_msg_is_the_one_that_live_subscribers_got(connect, encoding, topic):
    witness = connect(encoding)
    witness.sub(f"{topic}/#")
    json, packed = connect("json"), connect("msgpack")
    for n, value in enumerate([None, True, -1, 1.5, "é😀", [1, [2]], {"a": {"b": None}}]):
        json.pub(f"{topic}/{n}", value)
        packed.pub(f"{topic}/{n}/packed", value)
    packed.pub(f"{topic}/bin", b"\x00\xff" * 40)
    live = take(witness, 15)
    client = connect(encoding)
    subscribe(client, f"{topic}/#", last=1)
    assert take(client, 15) == live


def test_more_than_there_are_is_all_there_are(connect, encoding, publisher, topic, end):
    publish(publisher, topic, range(4))
    for count in (5, 1000, 2**53 - 1):
        client = connect(encoding)
        subscribe(client, topic, end, last=count)
        assert data_of(everything_since(publisher, client, end)) == [0, 1, 2, 3]


def test_the_last_none_is_nothing(connect, encoding, publisher, topic, end):
    publish(publisher, topic, range(4))
    client = connect(encoding)
    subscribe(client, topic, end, last=0)
    publisher.pub(topic, "live")
    assert data_of(everything_since(publisher, client, end)) == ["live"]


def test_a_topic_without_publications_has_no_last(connect, encoding, publisher, topic, end):
    client = connect(encoding)
    subscribe(client, topic, f"{topic}/#", end, last=5)
    publisher.pub(topic, "live")
    assert data_of(everything_since(publisher, client, end)) == ["live"]


@pytest.mark.parametrize("pattern", ["{}/#", "{}/+", "+/+/+/+"])
def test_a_wildcard_gets_a_snapshot_of_a_subtree(connect, encoding, publisher, topic, end, pattern):
    publish(publisher, lambda n: f"{topic}/{n % 50}", range(170))
    client = connect(encoding)
    subscribe(client, pattern.format(topic), end, last=1)
    got = [m for m in everything_since(publisher, client, end)
           if m["topic"].startswith(f"{topic}/")]
    assert data_of(got) == list(range(120, 170))
    assert_ascending(got)


def test_a_snapshot_has_so_many_of_each_topic_and_one_order(connect, encoding, publisher, topic,
                                                            end):
    names = ["a"] * 7 + ["b"] + ["c"] * 2 + ["a", "d", "b", "c", "c"]
    publish(publisher, lambda n: f"{topic}/{names[n]}", range(len(names)))
    client = connect(encoding)
    subscribe(client, f"{topic}/#", end, last=3)
    got = everything_since(publisher, client, end)
    assert_ascending(got)
    assert by_topic(got) == {f"{topic}/a": [5, 6, 10], f"{topic}/b": [7, 12],
                             f"{topic}/c": [9, 13, 14], f"{topic}/d": [11]}


def test_overlapping_filters_rewind_once(connect, encoding, publisher, topic, end):
    publish(publisher, lambda n: f"{topic}/{n % 3}", range(12))
    client = connect(encoding)
    subscribe(client, f"{topic}/1", f"{topic}/+", f"{topic}/#", "+/+/+/2", end, last=2)
    publish(publisher, lambda n: f"{topic}/{n % 3}", range(12, 15))
    got = [m for m in everything_since(publisher, client, end)
           if m["topic"].startswith(f"{topic}/")]
    assert data_of(got) == list(range(6, 15))


def test_several_filters_rewind_together(connect, encoding, publisher, topic, end):
    publish(publisher, lambda n: f"{topic}/{'abc'[n % 3]}/x", range(12))
    client = connect(encoding)
    subscribe(client, f"{topic}/a/+", f"{topic}/c/x", "none/such", end, last=2)
    got = everything_since(publisher, client, end)
    assert data_of(got) == [6, 8, 9, 11]


def test_a_snapshot_does_not_hold_what_the_filter_does_not_match(connect, encoding, publisher,
                                                                 topic, end):
    for name in ("a", "a/b", "ab", "a/", "A", ""):
        publisher.pub(f"{topic}/{name}", name)
    client = connect(encoding)
    subscribe(client, f"{topic}/a/#", end, last=1)
    assert data_of(everything_since(publisher, client, end)) == ["a", "a/b", "a/"]


def test_sessions_of_every_worker_rewind_what_any_worker_took(connect, topic, end):
    publishers = [connect(each) for each in ("json", "msgpack") * 3]
    for n in range(60):
        publishers[n % 6].pub(f"{topic}/{n % 7}", n)
    for _ in range(5):
        for encoding in ("json", "msgpack"):
            client = connect(encoding)
            subscribe(client, f"{topic}/+", end, last=2)
            assert data_of(everything_since(publishers[0], client, end)) == list(range(46, 60))


def test_what_fell_out_of_the_journal_is_not_rewound(start, clients, encoding):
    broker = start(settings={"journal.size": "1m"}, workers=2)
    publisher = clients(broker)
    publish(publisher, lambda n: f"old/{n}", range(10))
    count = flood(publisher, "new", 3)
    client = clients(broker, encoding)
    subscribe(client, "old/#", "new", "end", last=2)
    got = everything_since(publisher, client, "end")
    assert [m["data"][0] for m in got] == [count - 2, count - 1]


@pytest.mark.parametrize("receive_buffer", [None, 4096])
def test_a_snapshot_may_be_larger_than_the_queue(start, clients, encoding, workers, receive_buffer):
    broker = start(settings={"limits.queue": "64k"}, workers=workers)
    publisher = clients(broker)
    publish(publisher, lambda n: f"t/{n[0] % 100}", ([n, "x" * 50_000] for n in range(160)))
    client = clients(broker, encoding, receive_buffer=receive_buffer)
    subscribe(client, "t/#", "end", last=1)
    publish(publisher, lambda n: f"t/{n[0] % 100}", ([n] for n in range(160, 170)))
    got = everything_since(publisher, client, "end")
    assert [m["data"][0] for m in got] == list(range(60, 170))


def test_last_works_on_a_connection_with_other_filters(connect, encoding, publisher, topic, end):
    publish(publisher, lambda n: f"{topic}/{'ab'[n % 2]}", range(8))
    client = connect(encoding)
    client.sub(f"{topic}/a", end)
    client.ok({"op": "sub", "topics": [f"{topic}/b"], "last": 2})
    publish(publisher, lambda n: f"{topic}/{'ab'[n % 2]}", range(8, 12))
    assert data_of(everything_since(publisher, client, end)) == [5, 7, 8, 9, 10, 11]


def test_it_asks_for_the_past_once_more(connect, encoding, publisher, topic, end):
    client = connect(encoding)
    client.sub(f"{topic}/#", end)
    publish(publisher, f"{topic}/a", range(5))
    assert data_of(take(client, 5)) == list(range(5))
    for _ in range(2):
        client.ok({"op": "sub", "topics": [f"{topic}/a"], "last": 2})
        assert data_of(everything_since(publisher, client, end)) == [3, 4]


def test_a_retained_publication_that_is_also_among_the_last_comes_once(connect, encoding,
                                                                       publisher, topic, end):
    publish(publisher, topic, range(3))
    publisher.pub(topic, "kept", retain=True)
    publish(publisher, topic, range(3, 5))
    client = connect(encoding)
    subscribe(client, topic, end, last=4)
    got = everything_since(publisher, client, end)
    assert sorted(data_of(got), key=str) == [2, 3, 4, "kept"]
    assert [m["data"] for m in got if m.get("retained")] == ["kept"]


def test_a_retained_publication_comes_before_younger_last_ones(connect, encoding, publisher, topic,
                                                               end):
    publisher.pub(topic, "kept", retain=True)
    publish(publisher, topic, range(6))
    client = connect(encoding)
    subscribe(client, topic, end, last=2)
    got = everything_since(publisher, client, end)
    assert data_of(got) == ["kept", 4, 5]
    assert [m.get("retained") for m in got] == [True, None, None]


@pytest.mark.parametrize("wrong", [-1, "1", 1.5, None, True, [1], 2**53])
def test_last_must_be_a_number(connect, encoding, topic, wrong):
    assert "last" in connect(encoding).refused({"op": "sub", "topics": [topic], "last": wrong}, 400)


@pytest.mark.parametrize("count", [1, 3])
def test_the_cut_is_exact_while_publications_never_cease(broker, connect, encoding, topic, count):
    topics = [f"{topic}/{n}" for n in range(10)]
    with FlatOut(broker, topics):
        for _ in range(15):
            client = connect(encoding)
            cut = offset_of(subscribe(client, f"{topic}/+", last=count))
            got = take(client, 10 * count + 40)
            client.socket.close()
            assert_ascending(got)
            snapshot = [m for m in got if offset_of(m) <= cut]
            assert len(snapshot) <= 10 * count
            for name, numbers in by_topic(got).items():
                first = numbers[0]
                assert numbers == list(range(first, first + 10 * len(numbers), 10)), name
            if min(data_of(got)) > 0:  # each topic had enough when the snapshot was taken
                assert {len(v) for v in by_topic(snapshot).values()} == {count}


def test_a_snapshot_resumes_from_its_last_message(connect, encoding, publisher, topic, end):
    publish(publisher, lambda n: f"{topic}/{n % 4}", range(20))
    client = connect(encoding)
    subscribe(client, f"{topic}/#", last=1)
    since = take(client, 4)[-1]["pos"]
    client.socket.close()
    publish(publisher, lambda n: f"{topic}/{n % 4}", range(20, 25))
    client = connect(encoding)
    resume(client, since, f"{topic}/#", end)
    assert data_of(everything_since(publisher, client, end)) == list(range(20, 25))


@pytest.mark.parametrize("between", [[], [{"op": "unsub", "topics": ["t"]}]], ids=["again", "anew"])
def test_asking_again_and_again_for_the_past_costs_no_more_each_time(start, clients, between):
    broker = start()
    client = clients(broker)
    client.pub("t", 1)
    client.sub("other")
    asked = ([{"op": "sub", "topics": ["t"], "last": 1}] + between) * 400
    before = broker.cpu_seconds()
    for _ in range(200):
        client.send(asked)
    client.ok({"op": "ping"})
    assert broker.cpu_seconds() - before < 4
