"""GET /v1/events: the same feed as over WebSocket, as Server-Sent Events."""

import asyncio
import json
import random
import signal

import aiohttp
import pytest

from support.api import Api, message
from support.client import b64, position
from support.events import Events, events_path, refused_stream
from support.positions import TEXT_60K, flood, moved, publish
from support.raw import Gone
from support.rules import with_rules
from support.wait import until

SMALL = 4096  # bytes of a receive buffer
SLOW = {"limits.queue": 64 << 10}


# -- what comes


def test_the_ok_comes_first_and_then_what_is_published(broker, stream, connect, topic, encoding):
    publisher = connect(encoding)
    before = publisher.pub(topic, "before")
    events = stream(broker, topic)
    assert position(events.ok["pos"][0])[1] >= position(before)[1]
    poses = [publisher.pub(topic, {"n": n}) for n in range(20)]
    for n, pos in enumerate(poses):
        got = events.next()
        assert (got["topic"], got["data"], got["pos"], events.id) == (topic, {"n": n}, pos, pos)
        assert isinstance(got["at"], int)


def test_several_filters_deliver_once_and_in_order(broker, stream, connect, topic):
    events = stream(broker, f"{topic}/+", f"{topic}/#", f"{topic}/1", f"{topic}/a b&c=d%")
    publisher = connect()
    publish(publisher, lambda n: f"{topic}/{n % 3}", range(30))
    publisher.pub(topic, "#")
    publisher.pub(f"{topic}/a b&c=d%", "x")
    publisher.pub("elsewhere", "not this")
    publisher.pub(f"{topic}/end", "end")
    assert events.take(33) == [*range(30), "#", "x", "end"]


def test_what_is_posted_arrives_too(broker, stream, api, topic):
    events, connection = stream(broker, topic), api(broker)
    for n in range(10):
        assert connection.publish(topic, n) == events.next()["pos"]


def test_bytes_come_as_b64(broker, stream, connect, topic):
    events = stream(broker, topic)
    connect("msgpack").pub(topic, b"\x00\n\n\xff")
    connect("msgpack").pub(topic, {"in": b"\n"})
    assert events.next()["b64"] == b64(b"\x00\n\n\xff")
    assert events.next()["data"] == {"in": b64(b"\n")}


def test_line_breaks_in_json_break_no_event(broker, stream, connect, api, topic):
    events = stream(broker, topic)
    client = connect()
    texts = ['{\n"a":\r\n[1,\r2,\n\n\n3]\n}', '"\\n\\r\\n\\ndata: x\\n\\n"', '"\u2028\u2029\x85"',
             '\r\n{"id":\n":", "event"\r:"x"}\r\n', "[\r]", '"data: \\u000a\\u000d"']
    for text in texts:
        client.send_payload(b'{"op":"pub","topic":"%s","data":%s}'
                            % (topic.encode(), text.encode()))
        assert events.next()["data"] == json.loads(text)
    for text in texts:
        response = api(broker).request(f"/v1/topics/{topic}", "POST", text.encode(),
                                       [("Content-Type", "application/json")])
        assert response.status == 200
        assert events.next()["data"] == json.loads(text)
    assert events.fields == {} and events.comments == 0


@pytest.mark.parametrize("size", [1, 100, 4000, 17_000, 60_000])
def test_events_of_any_size_come_whole(broker, stream, connect, topic, size):
    events, publisher = stream(broker, topic), connect("msgpack")
    for n in range(20):
        publisher.pub(topic, [n, "é" * (size // 2)])
    assert events.take(20) == [[n, "é" * (size // 2)] for n in range(20)]


def test_without_a_position_there_is_no_id(start, stream, clients, tmp_path):
    broker = start(args=with_rules(tmp_path, {"gone/#": {"ephemeral": "yes"}}))
    events, publisher = stream(broker, "#"), clients(broker)
    kept = publisher.pub("kept", 1)
    publisher.ok({"op": "pub", "topic": "gone/a", "data": 2})
    assert events.next()["data"] == 1
    event = events.next_event()
    assert event.id is None and event.data["data"] == 2 and "pos" not in event.data
    assert events.id == kept


def test_many_streams_get_the_same(broker, connect, topic):
    opened = [Events(broker.address, f"{topic}/#") for _ in range(50)]
    publish(connect(), f"{topic}/a", range(100))
    for each in opened:
        assert each.take(100) == list(range(100))
        each.close()


# -- coming back


def test_last_event_id_goes_on_where_the_stream_ended(broker, stream, connect, topic):
    publisher = connect()
    events = stream(broker, f"{topic}/#")
    publish(publisher, f"{topic}/a", range(10))
    assert events.take(5) == list(range(5))
    events.close()
    publish(publisher, f"{topic}/b", range(10, 20))
    again = stream(broker, f"{topic}/#", last_event_id=events.id)
    assert again.ok["recovered"] is True
    assert again.take(15) == list(range(5, 20))


def test_who_is_cut_off_before_the_first_message_misses_nothing(broker, stream, connect, topic):
    events = stream(broker, topic)
    events.close()
    connect().pub(topic, "meanwhile")
    again = stream(broker, topic, last_event_id=events.id)
    assert again.ok["recovered"] is True and again.take(1) == ["meanwhile"]


def test_since_in_the_query_does_the_same_and_the_header_wins(broker, stream, connect, topic):
    poses = publish(connect(), topic, range(10))
    assert stream(broker, topic, since=poses[4]).take(5) == [5, 6, 7, 8, 9]
    assert stream(broker, topic, since=[poses[2], poses[6]]).take(3) == [7, 8, 9]
    assert stream(broker, topic, since=f"{poses[2]},{poses[7]}").take(2) == [8, 9]
    assert stream(broker, topic, since=poses[2], last_event_id=poses[8]).take(1) == [9]
    assert stream(broker, topic, last_event_id=f"{poses[3]},{poses[5]}").take(4) == [6, 7, 8, 9]
    # The page's own `since` stays in its address for ever; what it names may be long gone.
    again = stream(broker, topic, since="nobodys-stream.7", last_event_id=poses[8])
    assert again.ok["recovered"] is True and again.take(1) == [9]


def test_a_position_that_is_unknown_is_not_recovered(broker, stream, connect, topic):
    events = stream(broker, topic, last_event_id="nobodys-stream.7")
    assert events.ok["recovered"] is False
    connect().pub(topic, 1)
    assert events.take(1) == [1]
    ahead = stream(broker, topic, last_event_id=moved(events.id, 1000))
    assert ahead.ok["recovered"] is False


def test_an_empty_last_event_id_is_none(broker, stream, topic):
    assert "recovered" not in stream(broker, topic, last_event_id="").ok


def test_fifty_breaks_at_any_byte_lose_and_double_nothing(broker, connect, topic, workers):
    dice = random.Random(workers)
    publisher, last, sent, got = connect("msgpack"), None, 0, []
    for _ in range(50):
        events = Events(broker.address, f"{topic}/#", last_event_id=last)
        assert events.ok.get("recovered", True) is True
        count = dice.randrange(40)
        publish(publisher, lambda n: f"{topic}/{n % 5}", range(sent, sent + count))
        sent += count
        left = dice.randrange(4000)
        while left > 0 and len(got) < sent:
            while (event := events.parse()) is not None:
                got.append(event.data["data"])
            if len(got) < sent:
                data = events.socket.recv(min(left, dice.randrange(1, 600)))
                events.buffer += data
                left -= len(data)
        while (event := events.parse()) is not None:
            got.append(event.data["data"])
        last = events.id
        events.reset()
    with Events(broker.address, f"{topic}/#", last_event_id=last) as events:
        got += events.take(sent - len(got))
    assert got == list(range(sent)) and sent > 500


def test_last_and_retained_look_back(broker, stream, connect, topic):
    publisher = connect()
    publish(publisher, lambda n: f"{topic}/{n % 2}", range(10))
    publisher.pub(f"{topic}/r", "kept", retain=True)
    assert stream(broker, f"{topic}/+", last=2).take(5) == [6, 7, 8, 9, "kept"]
    events = stream(broker, f"{topic}/#")
    got = events.next()
    assert got["data"] == "kept" and got["retained"] is True
    until(lambda: events.take_ready() or events.id == events.ok["pos"][0], "its place is the ok's")
    again = stream(broker, f"{topic}/#", last_event_id=events.id)
    publisher.pub(f"{topic}/a", "new")
    assert again.take(1) == ["new"]


def test_an_id_alone_says_that_all_of_the_past_has_come(broker, stream, connect, topic):
    publisher = connect()
    poses = publish(publisher, topic, range(10))
    publisher.pub(f"{topic}/r", "kept", retain=True)
    looks = (({}, 1), ({"last": 3}, 5), ({"since": poses[4]}, 8), ({"since": "nobodys.7"}, 1))
    for query, count in looks:
        events = stream(broker, f"{topic}/#", **query)
        assert len(events.take(count)) == count and events.ids_alone == 0
        until(lambda: events.take_ready() or events.ids_alone, "all has come")
        publisher.pub(f"{topic}/b", "new")
        assert events.take(1) == ["new"]
    for query in {}, {"last": 5}, {"since": publisher.pub("elsewhere", 1)}:
        events = stream(broker, f"{topic}/nothing", **query)
        until(lambda: events.take_ready() or events.ids_alone, "there was nothing")
        assert events.ids_alone == 1


def test_every_thins_a_burst_to_its_ends(broker, stream, connect, topic):
    events = stream(broker, topic, every=500)
    publish(connect(), topic, range(50))
    seen = events.take(1)
    while seen[-1] != 49:
        seen += events.take(1)
    assert seen == sorted(seen) and len(seen) <= 3  # a busy machine may need a second window


# -- slow, silent, over


def test_a_stream_without_news_is_kept_alive_and_stays(start, stream, clients):
    broker = start(settings={"limits.ping": 1})
    events = stream(broker, "t")
    events.wait_comments(4)  # a WebSocket that is mute for so long is closed
    assert events.fields == {}
    clients(broker).pub("t", 1)
    assert events.take(1) == [1]


def test_slow_readers_are_parked_and_get_everything(start, stream, clients, workers):
    broker = start(settings=SLOW, workers=workers)
    slow, *mute = [stream(broker, "t/#", receive_buffer=SMALL) for _ in range(60)]
    quick, publisher = clients(broker, "msgpack"), clients(broker)
    quick.sub("t/#")
    before = broker.rss_bytes()
    count = flood(publisher, "t/a", 8)
    assert [quick.next_msg()["data"][0] for _ in range(count)] == list(range(count))
    # What is published is there in each form that somebody reads, and not once more for each.
    assert broker.rss_bytes() - before < 150 << 20
    publisher.pub("t/b", ["live again", ""])
    assert [n for n, _ in slow.take(count + 1)] == [*range(count), "live again"]
    for each in mute:
        each.reset()


def test_where_the_journal_has_forgotten_there_is_a_gap(start, stream, clients, workers):
    broker = start(settings={**SLOW, "journal.size": "1m"}, workers=workers)
    slow, publisher = stream(broker, "t/#", receive_buffer=SMALL), clients(broker)
    count, seen, lost = flood(publisher, "t/a", 12), 0, 0
    while seen + lost < count:
        event = slow.next_event()
        if event.kind == "gap":
            assert event.data["op"] == "gap" and event.data["reason"] == "slow"
            assert event.id == ",".join(event.data["pos"])
            lost += event.data["lost"]
        else:
            assert event.data["data"] == [seen + lost, TEXT_60K]
            seen += 1
    assert lost > 0 < seen


def test_a_slow_stream_is_closed_where_the_policy_says_so(start, stream, clients, tmp_path):
    broker = start(settings=SLOW, args=with_rules(tmp_path, {"#": {"slow": "disconnect"}}))
    slow, publisher = stream(broker, "t", receive_buffer=SMALL), clients(broker)
    held = broker.descriptors()
    flood(publisher, "t", 12)
    until(lambda: broker.descriptors() < held, "the stream is closed")
    seen = []
    with pytest.raises(Gone):
        while (event := slow.next_event()).kind == "message":
            seen.append(event.data["data"][0])
        assert event.kind == "bye" and event.data["code"] == 4508
        slow.next_event()
    assert seen == list(range(len(seen)))


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])
def test_the_end_of_the_broker_is_told(start, stream, sign, workers):
    broker = start(workers=workers)
    opened = [stream(broker, "t") for _ in range(20)]
    broker.process.send_signal(sign)
    for each in opened:
        assert each.next("bye")["code"] == 1001
        assert each.read_to_end() == (b"", "eof")
    assert broker.wait_gone() == 0


def test_a_reader_that_goes_leaves_nothing_behind(start, stream, api):
    broker = start(workers=2)
    opened = [stream(broker, "t/#", f"t/{n}") for n in range(50)]
    connection = api(broker)
    assert connection.metrics()["fantail_subscriptions"] == 100
    for n, each in enumerate(opened):
        each.close() if n % 2 else each.reset()
    until(lambda: connection.metrics()["fantail_subscriptions"] == 0, "the streams are gone")


def test_what_is_sent_behind_the_request_is_ignored(broker, raw, connect, topic):
    connection = raw(broker)
    connection.send(message(events_path(topic)) + message("/healthz") + b"\x00" * 100_000)
    connection.read_until(b"event: ok")
    connect().pub(topic, "x")
    data = connection.read_until(b'"x"')
    assert b"HTTP/1" not in data


def test_a_stream_may_come_behind_other_requests(broker, raw, topic):
    connection = raw(broker)
    connection.send(message("/healthz") * 3 + message(events_path(topic)))
    assert [connection.read_response().status for _ in range(3)] == [200] * 3
    assert connection.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    connection.read_until(b"event: ok")


def test_head_says_what_get_would(broker, api, topic):
    connection = api(broker)
    response = connection.request(events_path(topic), "HEAD")
    assert response.status == 200
    assert response.headers["content-type"].split(";")[0] == "text/event-stream"
    assert "content-length" not in response.headers
    assert connection.request("/healthz").status == 200


def test_a_plus_may_be_typed_as_it_is(api, broker, topic):
    connection = api(broker)
    connection.send(message(f"/v1/events?topic={topic}/+/b"))
    connection.read_until(b"event: ok")
    api(broker).publish(f"{topic}/a/b", 1)
    connection.read_until(b'"data":1')


# -- refusals


@pytest.mark.parametrize("query", [
    "", "topic=", "topic=a%23", "topic=%23/a", "topic=a&topic=", "topic=%ff", "topic=%zz",
    "topic=a%00", "topic=" + "x" * 256, "topic=a&since=x", "topic=a&since=a.b", "topic=a&since=.5",
    "topic=a&since=a.01", "topic=a&since=a.-1", "topic=a&last=x", "topic=a&last=-1",
    "topic=a&last=1.5", "topic=a&every=x", "topic=a&every=3600001",
    "topic=a&last=99999999999999999999",
])
def test_a_stream_that_makes_no_sense_is_a_400_and_no_stream(broker, api, query):
    api(broker).refused(f"/v1/events?{query}", 400)


def test_a_malformed_last_event_id_is_a_400(broker, api):
    for bad in "x", "a.b", "a.5,b", "a.18446744073709551616":
        refused_stream(api(broker), 400, "t", headers=[("Last-Event-ID", bad)])


def test_more_filters_than_a_session_may_have_are_refused(start, api, stream):
    broker = start(settings={"limits.topics": 5})
    stream(broker, *"abcde")
    refused_stream(api(broker), 429, *"abcdef")


# -- a client that nobody here wrote


def test_aiohttp_reads_a_stream(broker, connect, topic):
    async def read(count):
        seen, publisher = [], None
        url = f"http://{broker.host}:{broker.port}"
        async with aiohttp.ClientSession() as session:
            async with session.get(url + events_path(f"{topic}/#")) as response:
                assert response.status == 200 and response.content_type == "text/event-stream"
                async for line in response.content:
                    if line.startswith(b"data: "):
                        seen.append(json.loads(line[6:]))
                        if publisher is None:
                            publisher = connect()
                            publish(publisher, f"{topic}/a", range(count))
                    if len(seen) == count + 1:
                        return seen
        return seen

    seen = asyncio.run(asyncio.wait_for(read(100), 20))
    assert seen[0]["op"] == "ok" and [m["data"] for m in seen[1:]] == list(range(100))


def test_http_1_0_gets_a_stream_too(broker, connect, topic):
    with Api(broker.address) as connection:
        connection.send(message(events_path(topic)).replace(b"HTTP/1.1", b"HTTP/1.0"))
        connection.read_until(b"event: ok")
        connect().pub(topic, "x")
        connection.read_until(b'"x"')
