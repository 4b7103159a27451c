"""Slow readers are parked: what they did not take comes from the journal, or one gap says how much.

A socket with a small receive buffer makes the kernel hold some 3 MB for a reader that stops.
"""

import time

import pytest

from support.client import Closed, everything_since
from support.positions import (TEXT_60K, Kept, assert_ascending, data_of, flood, offset_of, publish,
                               resume, subscribe, take)
from support.rules import with_rules
from support.wait import until

QUEUE = 64 * 1024
MORE_THAN_BUFFERS_MIB = 8
SMALL = 4096  # bytes of a receive buffer
OTHERS_MAY_WAIT_S = 2.0
WRITE_TIMEOUT_S = 1


@pytest.fixture
def roomy(start, workers):
    """A broker with short queues whose journal holds everything."""
    return start(settings={"limits.queue": QUEUE}, workers=workers)


@pytest.fixture
def tight(start, workers):
    """A broker with short queues that forgets soon."""
    return start(settings={"limits.queue": QUEUE, "journal.size": "1m"}, workers=workers)


@pytest.fixture
def reader(clients):
    """Opens readers that stop when the test does not read: reader(broker, encoding, filter)."""
    def begin(broker, encoding, *filters, **more):
        client = clients(broker, encoding, receive_buffer=SMALL)
        subscribe(client, *filters, **more)
        return client
    return begin


def numbers(messages):
    return [m["data"][0] for m in messages]


def until_topic(client, topic):
    """Returns all envelopes before the first `msg` on `topic`, gaps included."""
    found = []
    while True:
        envelope = client.next()
        assert envelope["op"] in ("msg", "gap"), envelope
        if envelope.get("topic") == topic:
            return found
        found.append(envelope)


# -- what the journal holds is not lost


@pytest.mark.parametrize("pattern", ["t/a", "t/+", "#"])
def test_a_reader_that_reads_on_gets_everything_in_order(roomy, clients, reader, encoding, pattern):
    client = reader(roomy, encoding, pattern, "end")
    publisher = clients(roomy)
    count = flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    got = everything_since(publisher, client, "end")
    assert numbers(got) == list(range(count))
    assert_ascending(got)
    publish(publisher, "t/a", ([n] for n in range(10)))  # and it has caught up
    assert numbers(everything_since(publisher, client, "end")) == list(range(10))


def test_many_small_publications_are_not_lost_either(roomy, clients, reader, encoding):
    client = reader(roomy, encoding, "t/+", "end")
    publisher = clients(roomy)
    publish(publisher, lambda n: f"t/{n[0] % 5}", ([n, "x" * 1000] for n in range(6000)))
    got = everything_since(publisher, client, "end")
    assert numbers(got) == list(range(6000))


def test_what_does_not_match_is_left_out(roomy, clients, reader, encoding):
    client = reader(roomy, encoding, "t/1", "t/3/#", "end")
    publisher = clients(roomy)
    publish(publisher, lambda n: f"t/{n[0] % 4}", ([n, TEXT_60K] for n in range(300)))
    got = everything_since(publisher, client, "end")
    assert numbers(got) == list(range(1, 300, 2))


def test_overlapping_filters_are_fed_once(roomy, clients, reader, encoding):
    client = reader(roomy, encoding, "t/a", "t/+", "t/#", "+/a", "end")
    publisher = clients(roomy)
    count = flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    assert numbers(everything_since(publisher, client, "end")) == list(range(count))


def test_a_reader_may_stop_again_and_again(roomy, clients, reader, encoding):
    client = reader(roomy, encoding, "t/#", "end")
    publisher = clients(roomy)
    for _ in range(3):
        count = flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
        assert numbers(take(client, count // 2)) == list(range(count // 2))
        flood(publisher, "t/b", 1)
        got = everything_since(publisher, client, "end")
        assert numbers([m for m in got if m["topic"] == "t/a"]) == list(range(count // 2, count))


def test_a_reader_that_reads_less_than_is_published_falls_behind_and_catches_up(roomy, clients,
                                                                                reader, encoding):
    client = reader(roomy, encoding, "t/#", "end")
    publisher, got = clients(roomy), []
    for first in range(0, 300, 20):
        publish(publisher, "t/a", ([n, TEXT_60K] for n in range(first, first + 20)))
        got += take(client, 7)
    got += everything_since(publisher, client, "end")
    assert numbers(got) == list(range(300))


def test_many_parked_readers_each_get_everything(roomy, clients, reader):
    readers = [reader(roomy, ("json", "msgpack")[n % 2], ("t/a", "t/+", "#")[n % 3], "end")
               for n in range(12)]
    publisher = clients(roomy, "msgpack")
    count = flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    publisher.pub("end", "end")
    for each in readers:
        assert numbers(each.msgs_until("end")) == list(range(count))


def test_bytes_and_values_are_fed_as_they_were(roomy, clients, reader, encoding):
    witness, slow = clients(roomy, encoding), reader(roomy, encoding, "t/#", "end")
    witness.sub("t/#", "end")
    publisher = clients(roomy, "msgpack")
    publish(publisher, "t/a", ((bytes(range(256)) * 200, {"n": 1.5, "b": b"\x01" * 9000})[n % 2]
                               for n in range(300)))
    publisher.pub("end", "end")
    assert slow.msgs_until("end") == witness.msgs_until("end")


def test_others_do_not_wait_for_a_parked_reader(roomy, clients, reader, encoding):
    slow = reader(roomy, encoding, "t/#", "end")
    healthy, publisher = clients(roomy, encoding), clients(roomy)
    healthy.sub("t/#")
    worst = 0
    for n in range(150):
        began = time.monotonic()
        publisher.pub("t/a", [n, TEXT_60K])
        assert healthy.next_msg()["data"][0] == n
        worst = max(worst, time.monotonic() - began)
    assert worst < OTHERS_MAY_WAIT_S
    assert numbers(everything_since(publisher, slow, "end")) == list(range(150))


def test_who_drops_while_parked_resumes_without_loss(roomy, clients, reader, encoding):
    kept = Kept()
    client = reader(roomy, encoding, "t/#")
    publisher = clients(roomy)
    count = flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    seen = [kept.see(m)["data"][0] for m in take(client, 10)]
    client.socket.close()
    client = clients(roomy, encoding)
    resume(client, kept.since, "t/#", "end")
    seen += numbers(everything_since(publisher, client, "end"))
    assert seen == list(range(count))


def test_a_resume_can_be_parked_and_reads_on(roomy, clients, reader, encoding):
    publisher = clients(roomy)
    start = publisher.pub("before", 1)
    count = flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    client = reader(roomy, encoding, "t/#", "end", since=[start])
    flood(publisher, "t/b", MORE_THAN_BUFFERS_MIB)
    got = everything_since(publisher, client, "end")
    assert [m["topic"] for m in got] == ["t/a"] * count + ["t/b"] * count
    assert numbers(got) == list(range(count)) * 2


# -- requests of a parked session


def test_requests_of_a_parked_session_are_answered_once(roomy, clients, reader, encoding):
    client = reader(roomy, encoding, "t/#", "end")
    publisher = clients(roomy)
    count = flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    client.send({"op": "ping", "id": "ping"})
    client.send({"op": "pub", "id": "pub", "topic": "t/b", "data": [count, "mine"]})
    client.send({"op": "ping", "id": "again"})
    assert client.take_where(lambda e: e.get("id") == "ping")["op"] == "ok"
    assert "pos" in client.take_where(lambda e: e.get("id") == "pub")
    assert client.take_where(lambda e: e.get("id") == "again")["op"] == "ok"
    got = everything_since(publisher, client, "end")
    assert sorted(numbers(got)) == list(range(count + 1))
    assert numbers([m for m in got if m["topic"] == "t/a"]) == list(range(count))


def test_nothing_comes_after_an_unsub_of_a_parked_session(roomy, clients, reader, encoding):
    client = reader(roomy, encoding, "t/a", "end")
    publisher = clients(roomy)
    flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    client.unsub("t/a")
    came = len(client.inbox)
    assert numbers(client.inbox) == list(range(came))
    assert len(everything_since(publisher, client, "end")) == came


def test_a_parked_session_keeps_the_filters_that_it_did_not_end(roomy, clients, reader, encoding):
    client = reader(roomy, encoding, "t/a", "t/b", "end")
    publisher = clients(roomy)
    publish(publisher, lambda n: f"t/{'ab'[n[0] % 2]}", ([n, TEXT_60K] for n in range(140)))
    client.unsub("t/a")
    publish(publisher, lambda n: f"t/{'ab'[n[0] % 2]}", ([n, TEXT_60K] for n in range(140, 160)))
    got = everything_since(publisher, client, "end")
    assert numbers([m for m in got if m["topic"] == "t/b"]) == list(range(1, 160, 2))
    mine = numbers([m for m in got if m["topic"] == "t/a"])
    assert mine == list(range(0, 2 * len(mine), 2))


def test_a_filter_that_joins_while_parked_starts_there(roomy, clients, reader, encoding):
    client = reader(roomy, encoding, "t/a", "end")
    publisher = clients(roomy)
    publish(publisher, "u", ([n] for n in range(5)))
    count = flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    client.sub("u")
    publish(publisher, "u", ([n] for n in range(5, 10)))
    got = everything_since(publisher, client, "end")
    assert numbers([m for m in got if m["topic"] == "t/a"]) == list(range(count))
    assert numbers([m for m in got if m["topic"] == "u"]) == list(range(5, 10))


def test_a_parked_session_can_close(roomy, clients, reader, encoding):
    publisher = clients(roomy)
    held = roomy.descriptors()
    client = reader(roomy, encoding, "t/#")
    flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    assert client.close() in (1000, 1006)  # what was under way may be cut off with the connection
    until(lambda: roomy.descriptors() <= held, "its connection is gone")
    publisher.pub("t/a", "all is well")


def test_parked_sessions_that_vanish_leave_nothing(roomy, clients, reader, encoding):
    publisher = clients(roomy)
    held = roomy.descriptors()
    readers = [reader(roomy, encoding, "t/#") for _ in range(10)]
    flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    for each in readers:
        each.socket.close()
    until(lambda: roomy.descriptors() <= held, "their connections are gone")
    flood(publisher, "t/a", 1)
    roomy.check_running()


@pytest.mark.deadline(120)
def test_memory_does_not_grow_with_parked_readers(tight, clients, reader, encoding):
    publisher = clients(tight)
    flood(publisher, "t/a", 20)
    before = tight.rss_bytes()
    readers = [reader(tight, encoding, "t/#") for _ in range(60)]
    for _ in range(4):
        flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    grown = tight.rss_bytes() - before
    assert grown < (16 << 20) + len(readers) * 2 * QUEUE, f"{grown >> 20} MiB for 60 readers"


# -- what the journal does not hold any more


def overflow(publisher, topic):
    """Publishes more than buffers and journal hold, one after the other: sockets fill once."""
    count = (MORE_THAN_BUFFERS_MIB << 20) // len(TEXT_60K)
    for n in range(count):
        publisher.pub(topic(n) if callable(topic) else topic, [n, TEXT_60K])
    return count


def assert_admitted(envelopes, expected):
    """All of `expected` came in order, or a gap stands there and says how many did not.

    Returns the publications after the last gap. A kernel may take a little more now and then from
    who does not read, so there can be more than one; not many.
    """
    at, gaps, told, after = 0, [], [], []  # `told`: the gaps since the last publication
    for each in envelopes:
        if each["op"] == "gap":
            assert each["reason"] == "slow"
            gaps.append(each)
            told.append(each)
            after = []
            continue
        n = each["data"][0]
        skipped = expected.index(n) - at
        assert skipped >= 0, f"{n} again"
        if told:
            assert skipped > 0 and sum(gap.get("lost", 0) for gap in told) <= skipped, told
            if all("lost" in gap for gap in told):
                assert sum(gap["lost"] for gap in told) == skipped, told
            offsets = [offset_of(gap) for gap in told] + [offset_of(each)]
            assert offsets == sorted(set(offsets)), told
        else:
            assert skipped == 0, f"{expected[at]} … {n} are lost without a gap"
        told = []
        after.append(each)
        at += skipped + 1
    assert at == len(expected), f"{expected[at:]} are lost"
    assert 1 <= len(gaps) <= 4, gaps
    return gaps, after


@pytest.mark.parametrize("pattern", ["t/a", "t/+", "#"])
def test_a_gap_says_what_is_lost_and_then_comes_what_is_kept(tight, clients, reader, encoding,
                                                             pattern):
    client = reader(tight, encoding, pattern, "end")
    publisher = clients(tight)
    count = overflow(publisher, "t/a")
    publisher.pub("end", "end")
    gaps, after = assert_admitted(until_topic(client, "end"), list(range(count)))
    assert len(after) >= 3
    assert all("lost" in gap for gap in gaps)  # everything in the journal matches: it is known
    assert offset_of(gaps[-1]) == offset_of(after[0]) - 1
    publish(publisher, "t/a", ([n] for n in range(5)))
    assert numbers(everything_since(publisher, client, "end")) == list(range(5))


def test_lost_counts_what_would_have_come_or_is_left_out(tight, clients, reader, encoding):
    client = reader(tight, encoding, "t/1", "end")
    publisher = clients(tight)
    count = overflow(publisher, lambda n: f"t/{n % 4 > 0:d}")
    publisher.pub("end", "end")
    assert_admitted(until_topic(client, "end"), [n for n in range(count) if n % 4])


def test_a_gap_is_where_a_resume_can_go_on(tight, clients, reader, encoding):
    client = reader(tight, encoding, "t/#", "end")
    publisher = clients(tight)
    count = overflow(publisher, "t/a")
    publisher.pub("end", "end")
    gaps, after = assert_admitted(until_topic(client, "end"), list(range(count)))
    again = clients(tight, encoding)
    reply = subscribe(again, "t/#", "end", since=gaps[-1]["pos"])
    gone = [m for m in after if offset_of(m) <= offset_of(reply)]  # the journal moved on since
    assert reply["recovered"] is (not gone)
    assert take(again, len(after) - len(gone)) == after[len(gone):]


def test_who_lost_nothing_is_told_of_no_gap(tight, clients, reader, encoding):
    client = reader(tight, encoding, "t/#", "end")
    publisher = clients(tight)
    count = 5  # so few that the journal holds them in both encodings
    publish(publisher, "t/a", ([n, TEXT_60K] for n in range(count)))
    assert numbers(take(client, count)) == list(range(count))
    overflow(publisher, "other")  # the journal holds nothing for this reader any more
    publisher.pub("t/a", ["on"])
    assert data_of(everything_since(publisher, client, "end")) == [["on"]]


def test_who_stops_again_is_told_again(tight, clients, reader, encoding):
    client = reader(tight, encoding, "t/#", "end")
    publisher = clients(tight)
    for _ in range(3):
        count = overflow(publisher, "t/a")
        publisher.pub("end", "end")
        assert_admitted(until_topic(client, "end"), list(range(count)))


def test_a_queue_that_outlasts_the_journal_ends_in_a_gap_too(start, clients, reader, encoding,
                                                             workers):
    broker = start(settings={"limits.queue": "64m", "journal.size": "1m"}, workers=workers)
    client = reader(broker, encoding, "t/#", "end")
    publisher = clients(broker)
    count = overflow(publisher, "t/a")
    publisher.pub("end", "end")
    assert_admitted(until_topic(client, "end"), list(range(count)))


def test_others_see_no_gap(tight, clients, reader, encoding):
    slow = reader(tight, encoding, "t/#")
    healthy, publisher = clients(tight, encoding), clients(tight)
    healthy.sub("t/#")
    for n in range(140):
        publisher.pub("t/a", [n, TEXT_60K])
        assert healthy.next_msg()["data"][0] == n
    assert slow.next_msg()["data"][0] == 0


# -- latest


@pytest.fixture
def ticker(start, workers, tmp_path):
    """A broker whose ticks are worth nothing when a newer one is there."""
    return start(settings={"limits.queue": QUEUE}, workers=workers,
                 args=with_rules(tmp_path, {"tick/#": {"slow": "latest"}}))


def flood_ticks(publisher, count, first=0):
    publish(publisher, lambda n: f"tick/{n[0] % 5}",
            ([n, TEXT_60K] for n in range(first, first + count)))


def assert_latest(got, count):
    """Each topic ascends to its newest; what was not worth sending is missing without a word."""
    for k in range(5):
        mine = [n for n in numbers(got) if n % 5 == k]
        assert mine == sorted(set(mine)) and mine[-1] >= count - 5
    assert len(got) < count


@pytest.mark.parametrize("pattern", ["tick/+", "#"])
def test_latest_keeps_only_the_newest_of_each_topic(ticker, clients, reader, encoding, pattern):
    client = reader(ticker, encoding, pattern)
    publisher = clients(ticker)
    flood_ticks(publisher, 140)
    got = []
    while len([n for n in numbers(got) if n >= 135]) < 5:
        got.append(client.next_msg())
    assert_latest(got, 140)
    assert client.ok({"op": "ping"}) and not client.inbox
    for n in range(140, 160):  # who reads gets each of them
        flood_ticks(publisher, 1, first=n)
        assert client.next_msg()["data"][0] == n


def test_latest_and_park_hold_for_their_own_topics_in_one_session(ticker, clients, reader,
                                                                  encoding):
    def is_complete(got):
        newest = [m for m in got if m["topic"].startswith("tick/") and m["data"][0] >= 135]
        return len(newest) == 5 and any(m["topic"] == "log/end" for m in got)

    client = reader(ticker, encoding, "tick/#", "log/#")
    publisher = clients(ticker)
    for first in range(0, 140, 10):
        flood_ticks(publisher, 10, first=first)
        publish(publisher, "log/a", ([n, TEXT_60K] for n in range(first, first + 10)))
    publisher.pub("log/end", "end")
    got = []
    while not is_complete(got):
        got.append(client.next_msg())
    ticks = [m for m in got if m["topic"].startswith("tick/")]
    assert_latest(ticks, 140)
    assert numbers([m for m in got if m["topic"] == "log/a"]) == list(range(140))


def test_others_get_every_tick(ticker, clients, reader, encoding):
    slow = reader(ticker, encoding, "tick/#")
    healthy, publisher = clients(ticker, encoding), clients(ticker)
    healthy.sub("tick/#")
    for n in range(140):
        publisher.pub("tick/0", [n, TEXT_60K])
        assert healthy.next_msg()["data"][0] == n
    got = [slow.next_msg()]
    while got[-1]["data"][0] != 139:
        got.append(slow.next_msg())
    assert len(got) < 140


# -- readers that take next to nothing


@pytest.fixture
def impatient(start, workers):
    """A broker that lets go of who takes too little."""
    return start(settings={"limits.queue": QUEUE, "limits.write_timeout": f"{WRITE_TIMEOUT_S}s"},
                 workers=workers)


def test_a_reader_that_trickles_is_let_go(impatient, clients, reader):
    idle = clients(impatient, "msgpack")
    idle.sub("t/b")
    publisher = clients(impatient)
    client = reader(impatient, "msgpack", "t/a")
    held = impatient.descriptors()
    flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    began = time.monotonic()
    until(lambda: client.socket.recv(1) and impatient.descriptors() < held, "it is let go")
    assert time.monotonic() - began >= WRITE_TIMEOUT_S / 2
    publisher.pub("t/b", "all is well")  # who has nothing to take is not slow
    assert idle.next_msg()["data"] == "all is well"


def test_a_reader_that_takes_nothing_is_let_go_and_says_so(impatient, clients, reader):
    client = reader(impatient, "json", "t/a")
    publisher = clients(impatient)
    held = impatient.descriptors()
    count = flood(publisher, "t/a", MORE_THAN_BUFFERS_MIB)
    until(lambda: impatient.descriptors() < held, "it is let go")
    seen = []
    with pytest.raises((Closed, AssertionError)):
        while True:
            seen.append(client.next_msg()["data"][0])
    assert seen == list(range(len(seen))) and len(seen) < count
    assert client.protocol.close_code in (4508, 1006, None)


def test_a_reader_that_takes_enough_is_kept(impatient, clients, reader):
    publisher = clients(impatient)
    start = publisher.pub("before", 1)
    count = flood(publisher, "t/a", 24)
    client = reader(impatient, "json", "t/a", since=[start])
    seen = []

    def one_more():
        seen.append(client.next_msg()["data"][0])
        return len(seen) == count

    began = time.monotonic()
    until(one_more, "all of it", 30)
    assert seen == list(range(count))
    assert time.monotonic() - began > 2 * WRITE_TIMEOUT_S  # it was slow all that time
