"""Slow readers of topics whose policy is `disconnect`: bounded by limits.queue, closed with 4508,
and no burden to anybody else.
"""

import time

import pytest

from support.client import everything_since
from support.echo import Echo
from support.raw import Gone, close_code
from support.rules import with_rules
from support.wait import until

QUEUE = 256 * 1024
TEXT_60K = "q" * 60_000
MORE_THAN_BUFFERS = 400  # 24 MB: the kernel buffers at most some 10 of it for one loopback socket
OTHERS_MAY_WAIT_S = 2.0


@pytest.fixture
def strict(tmp_path):
    """The arguments of a broker that disconnects the slow readers of every topic."""
    return with_rules(tmp_path, {"#": {"slow": "disconnect"}})


@pytest.fixture
def bounded(start, workers, strict):
    """A broker with a short queue and a small journal."""
    return start(settings={"limits.queue": QUEUE, "journal.size": 4 << 20}, workers=workers,
                 args=strict)


def flood(publisher, healthy, topic, count, first=0):
    """Publishes 60 KB at a time; each must reach the healthy reader at once and in order."""
    worst = 0
    for n in range(first, first + count):
        began = time.monotonic()
        publisher.pub(topic, [n, TEXT_60K])
        message = healthy.next_msg()
        worst = max(worst, time.monotonic() - began)
        assert message["data"] == [n, TEXT_60K]
    assert worst < OTHERS_MAY_WAIT_S
    return worst


def how_it_ended(reader):
    """Reads what is left and says the code of the CLOSE frame, or "eof" or "reset"."""
    taken = 0
    while True:
        try:
            got = reader.read_frame()
        except Gone as gone:
            return gone.how, taken
        if got.opcode == 8:
            return close_code(got.payload), taken
        taken += len(got.payload)


def test_a_reader_that_stops_is_let_go_and_nobody_else_waits(bounded, clients, encoding):
    slow = Echo(bounded.address, encoding, receive_buffer=4096)
    healthy, publisher = clients(bounded, "json"), clients(bounded, "json")
    healthy.sub(slow.topic)
    held = bounded.descriptors()
    flood(publisher, healthy, slow.topic, MORE_THAN_BUFFERS)
    until(lambda: bounded.descriptors() < held, "the slow reader's connection is gone")
    ended, taken = how_it_ended(slow)
    assert ended in (4508, "eof", "reset")
    assert taken < MORE_THAN_BUFFERS * len(TEXT_60K) * 3 // 4
    flood(publisher, healthy, slow.topic, 5)
    slow.close()


def test_what_a_slow_reader_got_has_no_holes(bounded, clients):
    slow = Echo(bounded.address, "json", receive_buffer=4096)
    healthy, publisher = clients(bounded, "msgpack"), clients(bounded, "json")
    healthy.sub(slow.topic)
    flood(publisher, healthy, slow.topic, MORE_THAN_BUFFERS)
    seen = []
    try:
        while True:
            seen.append(slow.next()["data"][0])
    except (Gone, AssertionError):
        pass  # the close, or the end of the connection
    assert seen == list(range(len(seen))) and seen
    slow.close()


def test_a_queue_that_outlasts_the_journal_ends_in_a_gap(start, clients, encoding, workers, strict):
    settings = {"limits.queue": 64 << 20, "journal.size": 1 << 20}
    broker = start(settings=settings, workers=workers, args=strict)
    slow = Echo(broker.address, encoding, receive_buffer=4096)
    publisher = clients(broker, "json")
    for n in range(200):  # 12 MB: within the queue's bound, far beyond the journal's
        publisher.pub(slow.topic, [n, TEXT_60K])
    due, told = 0, 0
    while due < 200:
        envelope = slow.next()
        if envelope["op"] == "gap":
            due += envelope["lost"]
            told += 1
        else:
            assert envelope["data"][0] == due
            due += 1
    assert told >= 1
    slow.still_works()
    slow.close()


def test_a_reader_that_pauses_within_its_bound_loses_nothing(bounded, clients, encoding):
    slow = Echo(bounded.address, encoding, receive_buffer=4096)
    publisher = clients(bounded, "json")
    for n in range(3):
        publisher.pub(slow.topic, [n, TEXT_60K])
    slow.expect(*[[n, TEXT_60K] for n in range(3)])
    slow.still_works()
    slow.close()


@pytest.mark.deadline(120)
def test_memory_does_not_grow_with_what_slow_readers_leave(bounded, clients, encoding):
    healthy, publisher = clients(bounded, "json"), clients(bounded, "json")
    healthy.sub("feed")
    flood(publisher, healthy, "feed", 150)
    before = bounded.rss_bytes()
    for turn in range(5):
        readers = [Echo(bounded.address, encoding, receive_buffer=4096) for _ in range(20)]
        for each in readers:
            each.say({"op": "sub", "topics": ["feed"], "id": 1})
            assert each.next()["op"] == "ok"
        flood(publisher, healthy, "feed", 100, first=turn)
        for each in readers:
            each.reset()
    flood(publisher, healthy, "feed", 50)
    grown = bounded.rss_bytes() - before
    assert grown < 48 << 20, f"{grown >> 20} MiB more after 30 MB for 100 slow readers"


def test_the_policy_holds_for_its_own_topics_only(start, clients, encoding, workers, tmp_path):
    broker = start(settings={"limits.queue": QUEUE}, workers=workers,
                   args=with_rules(tmp_path, {"strict/#": {"slow": "disconnect"}}))
    readers = {}
    for topic in ("strict/a", "lax/a"):
        readers[topic] = clients(broker, encoding, receive_buffer=4096)
        readers[topic].sub(topic)
    publisher = clients(broker)
    held = broker.descriptors()
    for n in range(MORE_THAN_BUFFERS):
        publisher.pub(f"{('strict', 'lax')[n % 2]}/a", [n, TEXT_60K])
    until(lambda: broker.descriptors() == held - 1, "one of the two is let go")
    for n in range(1, MORE_THAN_BUFFERS, 2):
        assert readers["lax/a"].next_msg()["data"][0] == n
    assert readers["lax/a"].ok({"op": "ping"})


def test_one_publication_larger_than_the_queue_still_fits_the_message_limit(start, clients, strict):
    broker = start(settings={"limits.queue": 65536, "limits.message": 60000}, args=strict)
    client = clients(broker, "json")
    client.sub("t", "end")
    for n in range(20):
        client.pub("t", "x" * 59000)
        assert len(client.next_msg()["data"]) == 59000
    assert everything_since(clients(broker), client, "end") == []


def test_a_publisher_that_does_not_read_its_replies_is_bounded_too(bounded, encoding, clients):
    publisher = Echo(bounded.address, encoding, receive_buffer=4096)
    publisher.socket.settimeout(1)
    before = bounded.rss_bytes()
    burst = b"".join(publisher.pub_frame("x" * 4000) for _ in range(100))
    try:
        for _ in range(100):  # 40 MB, each of which would come back
            publisher.send(burst)
    except (Gone, OSError):
        pass  # let go, or no longer read from: both bound what the broker holds
    assert bounded.rss_bytes() - before < 48 << 20
    healthy = clients(bounded, encoding)
    healthy.sub("other")
    healthy.pub("other", 1)
    assert healthy.next_msg()["data"] == 1
    publisher.reset()
