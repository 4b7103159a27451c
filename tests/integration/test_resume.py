"""since: what was missed comes, in order and once, then what is live; or the ok says otherwise."""

import pytest

from support.client import b64, everything_since, position
from support.flat_out import FlatOut
from support.positions import (Kept, assert_ascending, data_of, flood, moved, offset_of, publish,
                               resume, subscribe, take)


@pytest.fixture
def publisher(connect):
    """Another connection, in JSON, that publishes."""
    return connect("json")


@pytest.fixture
def end(topic):
    """A topic whose publication marks the end of what is looked at."""
    return f"end/{topic}"


@pytest.fixture(params=["{}/a", "{}/+", "{}/#", "+/+/+/a"])
def pattern(request, topic):
    """A filter that matches topic/a: exact, by one level, by all of them."""
    return request.param.format(topic)


@pytest.fixture
def small(start, clients):
    """A broker that forgets soon, and its publisher: three times its journal make it forget."""
    broker = start(settings={"journal.size": "1m"}, workers=2)
    return broker, clients(broker)


@pytest.fixture
def narrow(start, workers):
    """A broker whose queues are far smaller than what there is to replay."""
    return start(settings={"limits.queue": "64k"}, workers=workers)


def test_what_was_missed_comes_and_then_what_is_live(connect, encoding, publisher, topic, pattern,
                                                     end):
    client, kept = connect(encoding), Kept()
    kept.see(client.sub(pattern))
    publisher.pub(f"{topic}/a", 0)
    kept.see(client.next_msg())
    client.socket.close()
    said = publish(publisher, f"{topic}/a", range(1, 40))
    publish(publisher, f"other/{topic}", range(20))
    client = connect(encoding)
    resume(client, kept.since, pattern, end)
    said += publish(publisher, f"{topic}/a", range(40, 50))
    got = everything_since(publisher, client, end)
    assert data_of(got) == list(range(1, 50))
    assert [m["pos"] for m in got] == said
    assert_ascending(got)


def test_a_replayed_msg_is_the_one_that_live_subscribers_got(connect, encoding, topic):
    witness = connect(encoding)
    start = subscribe(witness, f"{topic}/#")["pos"]
    json, packed = connect("json"), connect("msgpack")
    values = [None, True, 0, -1, 1.5, "text", "", [1, [2]], {"a": {"b": None}}, 2**63, "é😀"]
    for n, value in enumerate(values):
        json.pub(f"{topic}/{n}", value)
        packed.pub(f"{topic}/{n}/packed", value)
    packed.pub(f"{topic}/bin", b"\x00\xff" * 40)
    packed.pub(f"{topic}/bin", {"inner": b"\x01"})
    json.ok({"op": "pub", "topic": f"{topic}/bin", "b64": b64(b"raw bytes")})
    live = take(witness, 2 * len(values) + 3)
    client = connect(encoding)
    resume(client, start, f"{topic}/#")
    assert take(client, len(live)) == live


@pytest.mark.parametrize("size", [*range(0, 140, 7), 16_000, 65_200, 65_300, 65_330, 65_370])
def test_replayed_frames_of_every_length_arrive_whole(connect, encoding, publisher, topic, size):
    pos = publisher.pub(topic, "before")
    publish(publisher, topic, ["x" * size, "y" * size])
    client = connect(encoding)
    resume(client, pos, topic)
    assert data_of(take(client, 2)) == ["x" * size, "y" * size]


def test_topics_that_were_born_meanwhile_come_too(connect, encoding, publisher, topic, end):
    start = publisher.pub("before", 1)
    publish(publisher, lambda n: f"{topic}/new/{n}", range(30))
    client = connect(encoding)
    resume(client, start, f"{topic}/#", end)
    publish(publisher, lambda n: f"{topic}/newer/{n}", range(30, 35))
    got = everything_since(publisher, client, end)
    assert data_of(got) == list(range(35))
    assert [m["topic"] for m in got[28:32]] == [
        f"{topic}/new/28", f"{topic}/new/29", f"{topic}/newer/30", f"{topic}/newer/31"]


def test_several_filters_are_replayed_together_and_in_order(connect, encoding, publisher, topic,
                                                            end):
    start = publisher.pub("before", 1)
    publish(publisher, lambda n: f"{topic}/{'abcd'[n % 4]}", range(40))
    client = connect(encoding)
    resume(client, start, f"{topic}/a", f"{topic}/c", "no/such/topic", end)
    got = everything_since(publisher, client, end)
    assert data_of(got) == [n for n in range(40) if n % 4 in (0, 2)]
    assert_ascending(got)


def test_overlapping_filters_are_replayed_once(connect, encoding, publisher, topic, end):
    start = publisher.pub("before", 1)
    publish(publisher, lambda n: f"{topic}/{n % 3}", range(30))
    client = connect(encoding)
    resume(client, start, f"{topic}/0", f"{topic}/+", f"{topic}/#", "t/#", "+/+/+/1", end)
    publish(publisher, lambda n: f"{topic}/{n % 3}", range(30, 36))
    mine = [m for m in everything_since(publisher, client, end)
            if m["topic"].startswith(f"{topic}/")]
    assert data_of(mine) == list(range(36))


def test_who_missed_nothing_gets_nothing(connect, encoding, publisher, topic, end):
    publisher.pub(f"{topic}/a", "seen")
    for _ in range(3):
        client = connect(encoding)
        resume(client, publisher.pub(f"{topic}/a", "seen"), f"{topic}/#", end)
        assert everything_since(publisher, client, end) == []
        publisher.pub(f"{topic}/a", "live")
        assert client.next_msg()["data"] == "live"


def test_a_position_from_before_anything_was_published_holds(start, clients, encoding, workers):
    broker = start(workers=workers)
    first, publisher = clients(broker, encoding), clients(broker)
    said = subscribe(first, "#")["pos"]
    assert position(said[0])[1] == 0
    publish(publisher, lambda n: f"t/{n}", range(10))
    second = clients(broker, encoding)
    resume(second, said, "t/+")
    assert take(second, 10) == take(first, 10)


def test_a_position_serves_sessions_of_the_other_encoding(connect, encoding, publisher, topic):
    kept = Kept()
    client = connect(encoding)
    kept.see(client.sub(topic))
    publish(publisher, topic, range(5))
    for n in range(5):
        kept.see(client.next_msg())
        other = connect("msgpack" if encoding == "json" else "json")
        resume(other, kept.since, topic)
        assert data_of(take(other, 4 - n)) == list(range(n + 1, 5))


def test_sessions_of_every_worker_get_what_any_worker_took(connect, topic, end):
    publishers = [connect(each) for each in ("json", "msgpack") * 3]
    start = publishers[0].pub("before", 1)
    for n in range(60):
        publishers[n % 6].pub(f"{topic}/{n % 7}", n)
    resumers = [connect(each) for each in ("json", "msgpack") * 5]
    for each in resumers:
        resume(each, start, f"{topic}/+", end)
    for n in range(60, 90):
        publishers[n % 6].pub(f"{topic}/{n % 7}", n)
    publishers[0].pub(end, "end")
    for each in resumers:
        assert data_of(each.msgs_until(end)) == list(range(90))


def test_the_position_of_a_pub_resumes_as_well_as_that_of_a_msg(connect, encoding, publisher,
                                                                topic):
    said = publish(publisher, topic, range(10))
    for n in (0, 4, 9):
        client = connect(encoding)
        resume(client, said[n], topic)
        assert data_of(take(client, 9 - n)) == list(range(n + 1, 10))


def test_of_several_positions_of_one_stream_the_greatest_counts(connect, encoding, publisher,
                                                                topic, end):
    said = publish(publisher, topic, range(10))
    client = connect(encoding)
    resume(client, [said[2], said[7], said[5]], topic, end)
    assert data_of(everything_since(publisher, client, end)) == [8, 9]


# -- what is not recovered


def test_an_unknown_stream_starts_live(connect, encoding, publisher, topic, end):
    head = publish(publisher, topic, range(3))[-1]
    for stream in ("no-such-stream", "x", "s" * 64, "with.dots.in.it", position(head)[0][:-1]):
        client = connect(encoding)
        reply = resume(client, f"{stream}.1", topic, end, recovered=False)
        stream_now, offset = position(reply["pos"][0])
        assert stream_now == position(head)[0] and offset >= position(head)[1]
        publisher.pub(topic, "live")
        assert data_of(everything_since(publisher, client, end)) == ["live"]


def test_a_broker_that_began_anew_recovers_nothing(start, clients, encoding, workers):
    old = start(workers=workers)
    since = publish(clients(old), "t", range(3))[0]
    new = start(workers=workers)
    publisher, client = clients(new), clients(new, encoding)
    publish(publisher, "t", range(10, 13))
    reply = resume(client, since, "t", recovered=False)
    assert position(reply["pos"][0])[0] != position(since)[0]
    publisher.pub("t", "live")
    assert client.next_msg()["data"] == "live"


def test_a_known_stream_beside_an_unknown_one_is_still_replayed(connect, encoding, publisher,
                                                                topic, end):
    said = publish(publisher, topic, range(5))
    client = connect(encoding)
    resume(client, ["gone.17", said[1]], topic, end, recovered=False)
    assert data_of(everything_since(publisher, client, end)) == [2, 3, 4]


def test_an_offset_ahead_of_the_head_is_not_one_that_can_be_proved(connect, encoding, publisher,
                                                                   topic, end):
    head = publish(publisher, topic, range(3))[-1]
    for far in (1000, 2**63, 2**64 - 1 - position(head)[1]):
        client = connect(encoding)
        reply = resume(client, moved(head, far), topic, end, recovered=False)
        assert offset_of(reply) < position(head)[1] + 1000
        publisher.pub(topic, "live")
        assert data_of(everything_since(publisher, client, end)) == ["live"]


def test_what_fell_out_of_the_journal_is_said_and_the_rest_comes(small, clients, encoding):
    broker, publisher = small
    first = publisher.pub("t/0", "first")
    count = flood(publisher, "t/1", 3)
    client = clients(broker, encoding)
    reply = resume(client, first, "t/#", "end", recovered=False)
    assert position(first)[1] < offset_of(reply)
    got = everything_since(publisher, client, "end")
    numbers = [m["data"][0] for m in got]
    assert 3 <= len(got) < count and numbers == list(range(count - len(got), count))
    assert offset_of(got[0]) == offset_of(reply) + 1


def test_the_oldest_position_that_is_kept_recovers_and_the_one_before_does_not(small, clients,
                                                                               encoding):
    broker, publisher = small
    first = publisher.pub("t", "first")
    flood(publisher, "t", 3)
    tail = resume(clients(broker), first, "other", recovered=False)["pos"][0]
    resume(clients(broker, encoding), tail, "other")
    resume(clients(broker, encoding), moved(tail, -1), "other", recovered=False)
    client = clients(broker, encoding)
    resume(client, tail, "t")
    assert offset_of(client.next_msg()) == position(tail)[1] + 1


def test_who_resumes_from_where_an_unrecovered_ok_pointed_is_recovered(small, clients, encoding):
    broker, publisher = small
    first = publisher.pub("t", "first")
    count = flood(publisher, "t", 3)
    client = clients(broker, encoding)
    reply = resume(client, first, "t", recovered=False)
    left = [client.next_msg()]
    while left[-1]["data"][0] < count - 1:
        left.append(client.next_msg())
    again = clients(broker, encoding)
    resume(again, reply["pos"], "t")
    assert take(again, len(left)) == left


# -- requests that are wrong, or less usual


@pytest.mark.parametrize("bad", [
    "", ".", "x", "17", "s.", ".5", "s.-1", "s.+1", "s.1 ", "s. 1", "s.1e3", "s.0x1", "s.1.",
    "s.01", "s.18446744073709551616", "s.99999999999999999999999", "s.١", "s" * 65 + ".1",
])
def test_a_malformed_position_is_refused_and_changes_nothing(connect, encoding, publisher, topic,
                                                             end, bad):
    client = connect(encoding)
    client.sub(f"{topic}/old", end)
    good = publisher.pub(f"{topic}/new", "before")
    for since in ([bad], [good, bad]):
        client.refused({"op": "sub", "topics": [f"{topic}/new"], "since": since}, 400)
    publisher.pub(f"{topic}/new", 1)
    publisher.pub(f"{topic}/old", 2)
    assert data_of(everything_since(publisher, client, end)) == [2]


@pytest.mark.parametrize("wrong", ["s.1", 5, None, True, {"s": 1}, [5], [None], [["s.1"]],
                                   ["s.1", 5]])
def test_since_must_be_a_list_of_positions(connect, encoding, topic, wrong):
    assert "since" in connect(encoding).refused(
        {"op": "sub", "topics": [topic], "since": wrong}, 400)


def test_a_refused_position_is_named(connect, encoding, topic):
    assert "one-two" in connect(encoding).refused(
        {"op": "sub", "topics": [topic], "since": ["one-two"]}, 400)


def test_one_bad_filter_refuses_a_resume_and_replays_nothing(connect, encoding, publisher, topic,
                                                             end):
    said = publish(publisher, topic, range(5))
    client = connect(encoding)
    client.sub(end)
    client.refused({"op": "sub", "topics": [topic, "bad/#/filter"], "since": [said[0]]}, 400)
    assert everything_since(publisher, client, end) == []


def test_recovered_is_said_only_to_who_asked(connect, encoding, topic):
    client = connect(encoding)
    assert "recovered" not in client.sub(topic)
    assert "recovered" not in client.ok({"op": "sub", "topics": [topic], "last": 1})


def test_a_plain_sub_replays_nothing(connect, encoding, publisher, topic, end):
    publish(publisher, topic, range(5))
    client = connect(encoding)
    client.sub(topic, end)
    assert everything_since(publisher, client, end) == []


def test_since_counts_where_last_is_given_too(connect, encoding, publisher, topic, end):
    said = publish(publisher, topic, range(10))
    client = connect(encoding)
    resume(client, said[3], topic, end, last=1)
    assert data_of(everything_since(publisher, client, end)) == [4, 5, 6, 7, 8, 9]


def test_a_filter_that_was_ended_can_be_resumed_on_the_same_connection(connect, encoding,
                                                                       publisher, topic, end):
    client, kept = connect(encoding), Kept()
    kept.see(client.sub(topic, end))
    for turn in range(5):
        publish(publisher, topic, [(turn, n) for n in range(3)])
        for message in everything_since(publisher, client, end):
            kept.see(message)
        client.unsub(topic)
        publish(publisher, topic, ["missed", turn])
        client.send({"op": "sub", "id": "again", "topics": [topic], "since": kept.since})
        assert client.take_where(lambda e: e.get("id") == "again")["recovered"] is True
        got = everything_since(publisher, client, end)
        assert data_of(got) == ["missed", turn]
        for message in got:
            kept.see(message)


def test_a_filter_that_joins_others_brings_its_own_past_and_doubles_nothing(connect, encoding,
                                                                            publisher, topic, end):
    start = publisher.pub(f"{topic}/x", "before")
    publish(publisher, lambda n: f"{topic}/{'xy'[n % 2]}", range(6))
    client = connect(encoding)
    client.sub(f"{topic}/y", f"{topic}/+/deep", end)
    client.ok({"op": "sub", "topics": [f"{topic}/x"], "since": [start]})
    publish(publisher, lambda n: f"{topic}/{'xy'[n % 2]}", range(6, 12))
    got = everything_since(publisher, client, end)
    assert data_of([m for m in got if m["topic"] == f"{topic}/x"]) == [0, 2, 4, 6, 8, 10]
    assert data_of([m for m in got if m["topic"] == f"{topic}/y"]) == [7, 9, 11]
    assert len(got) == 9


def test_what_another_filter_delivered_is_not_replayed(connect, encoding, publisher, topic, end):
    client = connect(encoding)
    start = client.sub(f"{topic}/#", end)["pos"]
    publish(publisher, f"{topic}/x", range(5))
    assert data_of(take(client, 5)) == list(range(5))
    client.ok({"op": "sub", "topics": [f"{topic}/x"], "since": start})
    publish(publisher, f"{topic}/x", range(5, 8))
    assert data_of(everything_since(publisher, client, end)) == [5, 6, 7]


def test_what_is_live_for_other_filters_waits_behind_a_replay(narrow, clients, encoding):
    publisher = clients(narrow)
    start = publisher.pub("before", 1)
    count = flood(publisher, "t/a", 8)
    client = clients(narrow, encoding, receive_buffer=4096)
    subscribe(client, "u", "end")
    assert client.ok({"op": "sub", "topics": ["t/#"], "since": [start]})["recovered"] is True
    publish(publisher, "u", ([n] for n in range(10)))
    got = everything_since(publisher, client, "end")
    assert [m["topic"] for m in got] == ["t/a"] * count + ["u"] * 10
    assert_ascending(got)


def test_resumes_in_one_message_are_each_answered(connect, encoding, publisher, topic, end):
    said = publish(publisher, lambda n: f"{topic}/{n % 3}", range(30))
    client = connect(encoding)
    client.send([{"op": "sub", "id": n, "topics": [f"{topic}/{n}"], "since": [said[0]]}
                 for n in range(3)] + [{"op": "sub", "id": 3, "topics": [end]}])
    for n in range(4):
        assert client.take_where(lambda e, n=n: e.get("id") == n)["op"] == "ok"
    got = everything_since(publisher, client, end)
    assert sorted(data_of(got)) == list(range(1, 30))
    for n in range(3):
        assert_ascending([m for m in got if m["topic"] == f"{topic}/{n}"])


def test_others_notice_nothing_of_a_resume(connect, encoding, publisher, topic, end):
    witness = connect(encoding)
    witness.sub(f"{topic}/#", end)
    said = publish(publisher, f"{topic}/a", range(20))
    for _ in range(5):
        resume(connect(encoding), said[0], f"{topic}/#")
    assert data_of(everything_since(publisher, witness, end)) == list(range(20))


# -- a lot to replay


@pytest.mark.parametrize("receive_buffer", [None, 4096])
def test_a_replay_may_be_larger_than_the_queue(narrow, clients, encoding, receive_buffer):
    publisher = clients(narrow)
    start = publisher.pub("before", 1)
    count = flood(publisher, "t/a", 8)
    client = clients(narrow, encoding, receive_buffer=receive_buffer)
    resume(client, start, "t/#", "end")
    publish(publisher, "t/b", range(count, count + 10))
    got = everything_since(publisher, client, "end")
    assert [m["data"][0] for m in got[:count]] == list(range(count))
    assert data_of(got[count:]) == list(range(count, count + 10))


def test_an_unsub_ends_a_replay(narrow, clients, encoding):
    publisher = clients(narrow)
    start = publisher.pub("before", 1)
    flood(publisher, "t/a", 8)
    client = clients(narrow, encoding, receive_buffer=4096)
    client.sub("end")
    client.ok({"op": "sub", "topics": ["t/#"], "since": [start]})
    client.next_msg()
    client.unsub("t/#")
    came = len(client.inbox)
    publisher.pub("t/a", "after")
    assert len(everything_since(publisher, client, "end")) == came


def test_an_unsub_of_one_filter_leaves_the_replay_of_the_others(narrow, clients, encoding):
    publisher = clients(narrow)
    start = publisher.pub("before", 1)
    big = flood(publisher, "big", 8)
    publish(publisher, lambda n: f"small/{n % 2}", range(40))
    client = clients(narrow, encoding, receive_buffer=4096)
    resume(client, start, "big", "small/0", "small/1", "end")
    client.next_msg()
    client.unsub("small/1")
    got = everything_since(publisher, client, "end")
    assert len([m for m in got if m["topic"] == "big"]) == big - 1
    assert data_of([m for m in got if m["topic"] == "small/0"]) == list(range(0, 40, 2))
    assert not [m for m in got if m["topic"] == "small/1"]


def test_who_leaves_in_the_middle_of_a_replay_can_go_on_from_there(narrow, clients, encoding):
    publisher = clients(narrow)
    kept = Kept()
    kept.see({"pos": publisher.pub("before", 1)})
    count = flood(publisher, "t/a", 8)
    seen = []
    while len(seen) < count:
        client = clients(narrow, encoding, receive_buffer=4096)
        resume(client, kept.since, "t/+")
        seen += [kept.see(m)["data"][0] for m in take(client, min(25, count - len(seen)))]
        client.socket.close()
    assert seen == list(range(count))
    narrow.check_running()


def test_requests_during_a_replay_are_answered(narrow, clients, encoding):
    publisher = clients(narrow)
    start = publisher.pub("before", 1)
    count = flood(publisher, "t/a", 8)
    client = clients(narrow, encoding, receive_buffer=4096)
    resume(client, start, "t/#", "end")
    client.next_msg()
    assert client.ok({"op": "ping"})
    client.pub("t/a", [count, "mine"])
    client.sub("u")
    client.pub("u", "u")
    got = everything_since(publisher, client, "end")
    assert [m["data"][0] for m in got] == [*range(1, count + 1), "u"]


# -- the cut, while publications never cease


@pytest.mark.parametrize("every_topic", [False, True], ids=["one_topic", "all_topics"])
def test_the_cut_is_exact_while_the_publisher_is_flat_out(broker, connect, encoding, topic,
                                                          every_topic):
    topics = [f"{topic}/{n}" for n in range(5)]
    pattern = f"{topic}/#" if every_topic else topics[2]
    kept, seen = Kept(), []
    kept.see(subscribe(connect(encoding), pattern))
    with FlatOut(broker, topics) as publisher:
        for turn in range(25):
            client = connect(encoding)
            resume(client, kept.since, pattern)
            seen += [kept.see(m)["data"] for m in take(client, 7 * turn % 50)]
            client.socket.close()
    expected = [n for n in range(publisher.count) if every_topic or n % 5 == 2]
    client = connect(encoding)
    resume(client, kept.since, pattern)
    seen += data_of(take(client, len(expected) - len(seen)))
    assert seen == expected


def test_subscriptions_that_come_and_go_beside_a_resumed_one_disturb_nothing(broker, connect,
                                                                             encoding, topic):
    client = connect(encoding)
    start = client.sub("nothing/yet")["pos"]
    with FlatOut(broker, [f"{topic}/{n}" for n in range(3)]) as publisher:
        client.send({"op": "sub", "topics": [f"{topic}/#"], "since": start})
        for n in range(12):
            client.send({"op": "sub", "topics": [f"{topic}/{n % 3}", f"{topic}/+"]})
            client.send({"op": "unsub", "topics": [f"{topic}/{n % 3}"]})
            client.ok({"op": "ping"})
    assert data_of(take(client, publisher.count)) == list(range(publisher.count))
    assert client.ok({"op": "ping"}) and not client.inbox
