"""every: at most one publication of a topic in so many milliseconds, always the newest."""

import time

import pytest

from support.client import everything_since
from support.positions import assert_ascending, data_of, offset_of, publish, subscribe, take

WINDOW_MS = 300
LONG_MS = 3_600_000  # far beyond any test


@pytest.fixture
def publisher(connect):
    """Another connection, in JSON, that publishes."""
    return connect("json")


@pytest.fixture
def end(topic):
    """A topic whose publication marks the end of what is looked at."""
    return f"end/{topic}"


def throttled(connect, encoding, every, *filters, plain=()):
    """Returns a connection with these filters at `every`, and others without."""
    client = connect(encoding)
    if plain:
        client.sub(*plain)
    client.ok({"op": "sub", "topics": list(filters), "every": every})
    return client


def until_data(client, value):
    """Returns the messages up to and with the one that carries `value`."""
    found = [client.next_msg()]
    while found[-1]["data"] != value:
        found.append(client.next_msg())
    return found


def quiet(connect, publisher, topic, window):
    """Lets a whole window go by, as another subscriber sees it."""
    witness = throttled(connect, "json", window, topic)
    for n in range(2):
        publisher.pub(topic, n)
        until_data(witness, n)


def test_the_first_one_comes_at_once(connect, encoding, publisher, topic):
    client = throttled(connect, encoding, LONG_MS, topic)
    pos = publisher.pub(topic, 1)
    message = client.next_msg()
    assert (message["data"], message["pos"]) == (1, pos)


def test_within_the_window_nothing_more_comes(connect, encoding, publisher, topic, end):
    client = throttled(connect, encoding, LONG_MS, topic, plain=[end])
    publisher.pub(topic, "first")
    assert client.next_msg()["data"] == "first"
    publish(publisher, topic, range(50))
    assert everything_since(publisher, client, end) == []


def test_the_last_one_of_a_burst_comes_after_the_window(connect, encoding, publisher, topic):
    client = throttled(connect, encoding, WINDOW_MS, topic)
    said = publish(publisher, topic, range(200))
    got = until_data(client, 199)
    assert got[-1]["pos"] == said[-1]
    assert len(got) <= 3  # a burst may meet the end of a window
    assert_ascending(got)


def test_the_rate_is_what_was_asked_for(connect, encoding, publisher, topic):
    client = throttled(connect, encoding, WINDOW_MS, topic)
    began, count = time.monotonic(), 0
    while time.monotonic() - began < 4 * WINDOW_MS / 1000:
        publisher.pub(topic, count)
        count += 1
    got = until_data(client, count - 1)
    windows = (time.monotonic() - began) * 1000 / WINDOW_MS
    assert 3 <= len(got) <= windows + 1.5, (len(got), windows)
    assert_ascending(got)


def test_what_comes_late_is_the_newest_there_was(connect, encoding, publisher, topic):
    client = throttled(connect, encoding, WINDOW_MS, topic)
    for turn in range(3):
        publish(publisher, topic, [(turn, n) for n in range(20)])
        got = until_data(client, [turn, 19])
        assert len(got) <= 3


def test_after_a_quiet_window_the_next_one_comes_at_once(connect, encoding, publisher, topic):
    window = 3 * WINDOW_MS  # half of it is time enough for a busy machine
    client = throttled(connect, encoding, window, topic)
    publish(publisher, topic, range(3))
    until_data(client, 2)
    quiet(connect, publisher, f"{topic}/other", window)
    began = time.monotonic()
    publisher.pub(topic, "next")
    assert client.next_msg()["data"] == "next"
    assert (time.monotonic() - began) * 1000 < window / 2


def test_each_topic_of_a_wildcard_has_its_own_newest(connect, encoding, publisher, topic):
    client = throttled(connect, encoding, WINDOW_MS, f"{topic}/+")
    publish(publisher, lambda n: f"{topic}/{n % 10}", range(300))
    newest = {}
    while len([n for n in newest.values() if n >= 290]) < 10:
        message = client.next_msg()
        newest[message["topic"]] = message["data"]
    assert sorted(newest.values()) == list(range(290, 300))
    assert client.ok({"op": "ping"}) and not client.inbox


def test_each_topic_keeps_its_order(connect, encoding, publisher, topic):
    client = throttled(connect, encoding, 50, f"{topic}/#")
    publish(publisher, lambda n: f"{topic}/{n % 7}", range(2100))
    seen = {}
    while len([n for n in seen.values() if n >= 2093]) < 7:
        message = client.next_msg()
        assert message["data"] > seen.get(message["topic"], -1)
        seen[message["topic"]] = message["data"]


def test_a_filter_without_it_gets_everything_at_once_and_once(connect, encoding, publisher, topic,
                                                              end):
    client = throttled(connect, encoding, WINDOW_MS, f"{topic}/#", plain=[f"{topic}/a", end])
    publish(publisher, f"{topic}/a", range(40))
    assert data_of(everything_since(publisher, client, end)) == list(range(40))
    publisher.pub(f"{topic}/b", "b")  # a window's end may flush nothing that came already
    assert client.next_msg()["data"] == "b"
    publisher.pub(f"{topic}/b", "bb")
    assert client.next_msg()["data"] == "bb"


def test_of_two_filters_that_overlap_each_publication_comes_once(connect, encoding, publisher,
                                                                 topic):
    client = throttled(connect, encoding, WINDOW_MS, f"{topic}/#", f"{topic}/a")
    client.ok({"op": "sub", "topics": [f"{topic}/+"], "every": WINDOW_MS // 2})
    publish(publisher, f"{topic}/a", range(50))
    got = [client.next_msg()]
    while got[-1]["data"] != 49:
        got.append(client.next_msg())
    publisher.pub(f"{topic}/b", "b")
    got += until_data(client, "b")
    offsets = [offset_of(m) for m in got]
    assert len(set(offsets)) == len(offsets)


def test_zero_means_everything(connect, encoding, publisher, topic, end):
    client = throttled(connect, encoding, 0, topic, end)
    publish(publisher, topic, range(40))
    assert data_of(everything_since(publisher, client, end)) == list(range(40))


def test_subscribing_again_without_it_ends_it(connect, encoding, publisher, topic, end):
    client = throttled(connect, encoding, LONG_MS, topic, plain=[end])
    publish(publisher, topic, range(10))
    assert len(everything_since(publisher, client, end)) == 1
    client.sub(topic)
    client.inbox.clear()
    client.payloads.clear()
    publish(publisher, topic, range(10, 30))
    got = data_of(everything_since(publisher, client, end))
    assert [n for n in got if n >= 10] == list(range(10, 30))


def test_subscribing_again_with_it_begins_it(connect, encoding, publisher, topic, end):
    client = connect(encoding)
    client.sub(topic, end)
    publish(publisher, topic, range(10))
    assert len(everything_since(publisher, client, end)) == 10
    client.ok({"op": "sub", "topics": [topic], "every": LONG_MS})
    publish(publisher, topic, range(10, 30))
    assert len(everything_since(publisher, client, end)) <= 1


def test_of_two_windows_the_shorter_holds(connect, encoding, publisher, topic):
    client = throttled(connect, encoding, LONG_MS, f"{topic}/#")
    client.ok({"op": "sub", "topics": [f"{topic}/a"], "every": WINDOW_MS})
    publish(publisher, f"{topic}/a", range(50))
    assert len(until_data(client, 49)) <= 3


def test_a_window_ends_early_when_subscriptions_change(connect, encoding, publisher, topic, end):
    client = throttled(connect, encoding, LONG_MS, topic, plain=[end])
    publisher.pub(topic, "first")
    assert client.next_msg()["data"] == "first"
    said = publish(publisher, topic, range(10))
    assert everything_since(publisher, client, end) == []
    client.sub("other")
    message = client.next_msg()
    assert (message["data"], message["pos"]) == (9, said[-1])


def test_a_window_that_holds_too_much_ends_early(start, clients, encoding, workers):
    broker = start(settings={"limits.queue": "64k"}, workers=workers)
    client, publisher = clients(broker, encoding), clients(broker)
    client.ok({"op": "sub", "topics": ["t/#"], "every": LONG_MS})
    publish(publisher, lambda n: f"t/{n[0]}", ([n, "x" * 4000] for n in range(100)))
    numbers = [m["data"][0] for m in take(client, 80)]
    assert numbers == list(range(80))


def test_an_unsub_ends_what_was_waiting(connect, encoding, publisher, topic):
    client = throttled(connect, encoding, WINDOW_MS, topic)
    publish(publisher, topic, range(10))
    client.next_msg()
    client.unsub(topic)
    client.inbox.clear()
    client.payloads.clear()
    quiet(connect, publisher, f"{topic}/other", WINDOW_MS)
    assert client.ok({"op": "ping"}) and not client.inbox


def test_who_leaves_while_something_waits_disturbs_nobody(broker, connect, encoding, publisher,
                                                          topic):
    leaving = [throttled(connect, encoding, WINDOW_MS // (1 + n % 3), f"{topic}/#")
               for n in range(9)]
    staying = throttled(connect, encoding, WINDOW_MS, f"{topic}/#")
    publish(publisher, lambda n: f"{topic}/{n % 5}", range(100))
    for each in leaving:
        each.socket.close()
    newest = set()
    while len(newest) < 5:
        newest |= {m for m in [client_data(staying)] if m >= 95}
    assert newest == set(range(95, 100))
    broker.check_running()


def client_data(client):
    return client.next_msg()["data"]


def test_others_get_everything(connect, encoding, publisher, topic, end):
    slow = throttled(connect, encoding, LONG_MS, topic)
    fast = connect(encoding)
    fast.sub(topic, end)
    publish(publisher, topic, range(100))
    assert data_of(everything_since(publisher, fast, end)) == list(range(100))
    slow.next_msg()
    assert slow.ok({"op": "ping"}) and not slow.inbox


def test_a_snapshot_comes_whole_before_it(connect, encoding, publisher, topic):
    publish(publisher, lambda n: f"{topic}/{n % 20}", range(60))
    client = connect(encoding)
    subscribe(client, f"{topic}/#", last=2, every=LONG_MS)
    assert data_of(take(client, 40)) == list(range(20, 60))


@pytest.mark.parametrize("wrong", [-1, LONG_MS + 1, 2**53 - 1, "100", 1.5, None, True, [1]])
def test_it_is_checked(connect, encoding, publisher, topic, end, wrong):
    client = connect(encoding)
    client.sub(end)
    assert "every" in client.refused({"op": "sub", "topics": [topic], "every": wrong}, 400)
    publisher.pub(topic, 1)
    assert everything_since(publisher, client, end) == []


def test_a_throttled_msg_is_the_one_that_live_subscribers_got(connect, encoding, topic):
    witness = connect(encoding)
    witness.sub(topic)
    client = throttled(connect, encoding, 100, topic)
    packed = connect("msgpack")
    for _ in range(3):
        packed.pub(topic, b"\x00\xff" * 40)
        packed.pub(topic, {"inner": b"\x01"})
    live = take(witness, 6)
    got = [client.next_msg()]
    while got[-1]["pos"] != live[-1]["pos"]:
        got.append(client.next_msg())
    assert all(m in live for m in got)
