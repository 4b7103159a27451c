"""history: what a topic had to say, oldest first, without a subscription."""

import pytest

from support.client import b64, encode, everything_since
from support.flat_out import FlatOut
from support.positions import assert_ascending, data_of, flood, moved, publish, take
from support.rules import with_rules

AT_MOST = 1000


@pytest.fixture
def publisher(connect):
    """Another connection, in JSON, that publishes."""
    return connect("json")


def history(client, topic, **more):
    """Asks, and returns the publications; each has the keys that it must have."""
    return ask(client, topic, **more)["messages"]


def ask(client, topic, **more):
    reply = client.ok({"op": "history", "topic": topic, **more})
    for each in reply["messages"]:
        assert set(each) in ({"topic", "data", "pos", "at"}, {"topic", "b64", "pos", "at"}), each
        assert each["topic"] == topic
    assert_ascending(reply["messages"])
    assert ("recovered" in reply) == ("since" in more)
    return reply


def test_it_is_what_live_subscribers_got(connect, encoding, topic):
    witness = connect(encoding)
    witness.sub(topic)
    json, packed = connect("json"), connect("msgpack")
    for value in [None, True, -1, 1.5, "é😀", [1, [2]], {"a": {"b": None}}, 2**63]:
        json.pub(topic, value)
        packed.pub(topic, value)
    packed.pub(topic, b"\x00\xff" * 40)
    packed.pub(topic, {"inner": b"\x01"})
    json.ok({"op": "pub", "topic": topic, "b64": b64(b"raw")})
    live = [{k: v for k, v in m.items() if k != "op"} for m in take(witness, 19)]
    assert history(connect(encoding), topic) == live


def test_numbers_keep_their_text_between_json_and_json(connect, topic):
    json = connect("json")
    json.send_payload(b'{"op":"pub","topic":"%s","data":[1.00, 1e2,-0]}' % topic.encode())
    json.send_payload(b'{"op":"history","id":1,"topic":"%s"}' % topic.encode())
    assert b'"data":[1.00, 1e2,-0]' in json.next_payload()


@pytest.mark.parametrize("count", [1, 3, 10, 11, 1000])
def test_the_last_so_many(connect, encoding, publisher, topic, count):
    publish(publisher, topic, range(10))
    assert data_of(history(connect(encoding), topic, last=count)) == list(range(10))[-count:]


def test_without_a_number_it_is_the_last_hundred(connect, encoding, publisher, topic):
    publish(publisher, topic, range(130))
    assert data_of(history(connect(encoding), topic)) == list(range(30, 130))


def test_it_is_never_more_than_a_thousand(connect, encoding, publisher, topic):
    said = publish(publisher, topic, range(AT_MOST + 200))
    client = connect(encoding)
    for count in (AT_MOST, AT_MOST + 1, 2**53 - 1):
        assert data_of(history(client, topic, last=count)) == list(range(200, AT_MOST + 200))
    for limit in ({}, {"limit": AT_MOST + 1}):
        got = history(client, topic, since=said[49], **limit)
        assert 100 <= len(got) <= AT_MOST
        assert data_of(got) == list(range(50, 50 + len(got)))


def test_the_last_none_is_nothing(connect, encoding, publisher, topic):
    publish(publisher, topic, range(3))
    assert history(connect(encoding), topic, last=0) == []


def test_since_is_what_came_after(connect, encoding, publisher, topic):
    said = publish(publisher, topic, range(10))
    client = connect(encoding)
    for n in range(10):
        reply = ask(client, topic, since=said[n])
        assert reply["recovered"] is True and data_of(reply["messages"]) == list(range(n + 1, 10))


def test_since_and_limit_go_through_all_of_it_page_by_page(connect, encoding, publisher, topic):
    since = publisher.pub(topic, "before")
    publish(publisher, lambda n: topic if n % 2 else f"other/{topic}", range(50))
    client, seen = connect(encoding), []
    while page := history(client, topic, since=since, limit=7):
        assert len(page) <= 7
        seen += data_of(page)
        since = page[-1]["pos"]
    assert seen == list(range(1, 50, 2))


def test_since_a_position_of_another_topic_holds_as_well(connect, encoding, publisher, topic):
    publish(publisher, topic, range(3))
    since = publisher.pub(f"other/{topic}", "elsewhere")
    publish(publisher, topic, range(3, 6))
    assert data_of(history(connect(encoding), topic, since=since)) == [3, 4, 5]


def test_a_topic_without_publications_has_none(connect, encoding, publisher, topic):
    since = publisher.pub(f"other/{topic}", 1)
    client = connect(encoding)
    assert history(client, topic) == []
    assert history(client, topic, last=5) == []
    reply = ask(client, topic, since=since)
    assert reply["messages"] == [] and reply["recovered"] is True


def test_only_the_topic_itself_counts(connect, encoding, publisher, topic):
    for name in ("a", "a/b", "ab", "a/", "A", ""):
        publisher.pub(f"{topic}/{name}", name)
    client = connect(encoding)
    for name in ("a", "a/b", "ab", "a/", "A", ""):
        assert data_of(history(client, f"{topic}/{name}")) == [name]


def test_since_an_unknown_stream_is_all_there_is_and_no_claim(connect, encoding, publisher, topic):
    publish(publisher, topic, range(5))
    reply = ask(connect(encoding), topic, since="gone.3")
    assert reply["recovered"] is False and data_of(reply["messages"]) == [0, 1, 2, 3, 4]


def test_since_what_fell_out_is_the_rest_and_no_claim(start, clients, encoding, workers):
    broker = start(settings={"journal.size": "1m", "limits.queue": "16m"}, workers=workers)
    publisher = clients(broker)
    first = publisher.pub("t", "first")
    count = flood(publisher, "t", 3)
    reply = ask(clients(broker, encoding), "t", since=first)
    numbers = [m["data"][0] for m in reply["messages"]]
    assert reply["recovered"] is False and 3 <= len(numbers) < count
    assert numbers == list(range(count - len(numbers), count))


def test_since_the_head_is_nothing_and_recovered(connect, encoding, publisher, topic):
    head = publish(publisher, topic, range(5))[-1]
    reply = ask(connect(encoding), topic, since=head)
    assert reply["recovered"] is True and reply["messages"] == []


def test_an_answer_is_bounded_by_the_queue(start, clients, encoding, workers):
    broker = start(settings={"limits.queue": "64k"}, workers=workers)
    publisher, client = clients(broker), clients(broker, encoding)
    said = publish(publisher, "t", ([n, "x" * 4000] for n in range(60)))
    latest = history(client, "t", last=60)
    assert 3 <= len(latest) and len(encode(encoding, latest)) <= 65536
    assert [m["data"][0] for m in latest] == list(range(60 - len(latest), 60))
    oldest = history(client, "t", since=moved(said[0], -1))
    assert 3 <= len(oldest) and len(encode(encoding, oldest)) <= 65536
    assert [m["data"][0] for m in oldest] == list(range(len(oldest)))


def test_pages_bounded_by_the_queue_miss_nothing(start, clients, encoding):
    broker = start(settings={"limits.queue": "64k"})
    publisher, client = clients(broker), clients(broker, encoding)
    since, seen = publisher.pub("t", [-1]), []
    publish(publisher, "t", ([n, "x" * (n * 331 % 9000)] for n in range(100)))
    while page := history(client, "t", since=since):
        seen += [m["data"][0] for m in page]
        since = page[-1]["pos"]
    assert seen == list(range(100))


def test_one_publication_of_the_greatest_length_is_answered(connect, encoding, publisher, topic):
    publisher.pub(topic, "x" * 65_000)
    assert [len(m["data"]) for m in history(connect(encoding), topic, last=1)] == [65_000]


@pytest.mark.parametrize("bad", ["+", "#", "a/+", "a/#", "", "a+b", "a\x00", "x" * 256])
def test_only_topics_have_a_history(connect, encoding, bad):
    client = connect(encoding)
    client.refused({"op": "history", "topic": bad}, 400)
    client.refused({"op": "history", "topic": bad, "last": 1}, 400)


@pytest.mark.parametrize("wrong", [
    {"last": -1}, {"last": "1"}, {"last": 1.5}, {"last": None}, {"since": 5}, {"since": ["s.1"]},
    {"since": "x"}, {"since": "s.-1"}, {"since": "s.1", "limit": -1},
    {"since": "s.1", "limit": "1"},
])
def test_what_is_asked_for_is_checked(connect, encoding, topic, wrong):
    message = connect(encoding).refused({"op": "history", "topic": topic, **wrong}, 400)
    assert list(wrong)[-1] in message or str(list(wrong.values())[-1]) in message


def test_a_history_without_a_topic_is_refused(connect, encoding):
    assert "topic" in connect(encoding).refused({"op": "history"}, 400)
    assert "topic" in connect(encoding).refused({"op": "history", "topic": 5}, 400)


def test_without_an_id_there_is_no_answer(connect, encoding, publisher, topic):
    publisher.pub(topic, 1)
    client = connect(encoding)
    client.send({"op": "history", "topic": topic})
    assert client.ok({"op": "ping"}) and not client.inbox


def test_it_subscribes_to_nothing(connect, encoding, publisher, topic):
    client = connect(encoding)
    publisher.pub(topic, 1)
    assert len(history(client, topic)) == 1
    client.sub(f"end/{topic}")
    publisher.pub(topic, 2)
    assert everything_since(publisher, client, f"end/{topic}") == []


def test_sessions_of_every_worker_are_told_what_any_worker_took(connect, topic):
    publishers = [connect(each) for each in ("json", "msgpack") * 3]
    for n in range(60):
        publishers[n % 6].pub(topic, n)
    for _ in range(5):
        for encoding in ("json", "msgpack"):
            assert data_of(history(connect(encoding), topic)) == list(range(60))


def test_it_has_no_holes_while_publications_never_cease(broker, connect, encoding, topic):
    client = connect(encoding)
    with FlatOut(broker, [topic, f"other/{topic}"]):
        for _ in range(40):
            got = data_of(history(client, topic, last=50))
            assert got == list(range(got[0], got[0] + 2 * len(got), 2))
            assert len(got) == 50 or got[0] == 0


def test_retained_values_are_publications_like_others(connect, encoding, publisher, topic):
    publisher.pub(topic, 1, retain=True)
    publisher.pub(topic, 2)
    publisher.pub(topic, None, retain=True)
    assert data_of(history(connect(encoding), topic)) == [1, 2, None]


def test_a_history_that_is_kept_outlives_the_journal(start, clients, encoding, workers, tmp_path):
    broker = start(settings={"journal.size": "1m"}, workers=workers,
                   args=with_rules(tmp_path, {"chat/#": {"history": 5}}))
    publisher, live = clients(broker), clients(broker, encoding)
    live.sub("chat/#")
    said = publish(publisher, lambda n: f"chat/{n % 2}", range(20))
    clients(broker, "msgpack").pub("chat/1", b"\x00\xff")
    seen = [{k: v for k, v in m.items() if k != "op"} for m in take(live, 21)]
    flood(publisher, "other", 4)
    client = clients(broker, encoding)
    assert history(client, "chat/0", last=10) == seen[0:20:2][-5:]
    assert history(client, "chat/1", last=10) == [*seen[1:20:2], seen[20]][-5:]
    assert data_of(history(client, "chat/0", last=2)) == [16, 18]
    reply = ask(client, "chat/0", since=said[14])
    assert data_of(reply["messages"]) == [16, 18]
    assert history(client, "other", last=10) != []


def test_a_history_that_is_kept_is_no_longer_than_that(start, clients, encoding, tmp_path):
    broker = start(workers=2, args=with_rules(tmp_path, {"chat/#": {"history": 5}}))
    publisher, client = clients(broker), clients(broker, encoding)
    publish(publisher, "chat/a", range(20))
    publish(publisher, "talk/a", range(20))
    assert data_of(history(client, "chat/a", last=10)) == [15, 16, 17, 18, 19]
    assert data_of(history(client, "talk/a", last=10)) == list(range(10, 20))


def test_it_takes_no_more_memory_than_its_answer(start, clients, encoding):
    broker = start()
    client = clients(broker, encoding)
    for n in range(400):
        client.pub("large", f"{n:060000}")
    held = broker.rss_bytes()
    found = []
    peak = broker.peak_bytes(lambda: found.extend(history(client, "large", last=AT_MOST)))
    assert 2 <= len(found) < 20 and found[-1]["data"].endswith("0399")
    assert peak - held < 12 << 20, (peak - held) >> 10


@pytest.mark.parametrize("together", [True, False], ids=["one_message", "many_messages"])
def test_answers_that_are_not_read_are_few(start, clients, encoding, together):
    broker = start()
    one = clients(broker)
    for n in range(20):
        one.pub("large", f"{n:060000}")
    deaf = clients(broker, encoding, receive_buffer=4096)
    asked = [{"op": "history", "id": n, "topic": "large"} for n in range(200)]
    held = broker.rss_bytes()

    def ask():
        for envelopes in [asked] if together else asked:
            deaf.send(envelopes)
        for _ in range(3):
            one.ok({"op": "ping"})

    assert broker.peak_bytes(ask) - held < 16 << 20
    replies = [deaf.next() for _ in asked]
    assert [r["id"] for r in replies] == list(range(200))
    refused = [r for r in replies if r["op"] == "error"]
    assert all(r["code"] == 429 for r in refused)
    assert 1 <= len(replies) - len(refused) and (together or not refused)
    assert deaf.ok(asked[0])["messages"]
