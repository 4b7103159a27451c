"""[topic "…"]: what the operator decided for the topics that a filter matches."""

import signal

import pytest

from support.client import encode, everything_since
from support.positions import TEXT_60K, data_of, publish, resume, subscribe, take
from support.rules import text_of, with_rules
from support.wait import until


def newcomer(clients, broker, encoding, publisher, *filters, **more):
    """Returns what a new connection gets that subscribes to these filters."""
    client = clients(broker, encoding)
    subscribe(client, *filters, "end", **more)
    return everything_since(publisher, client, "end")


def history(client, topic, **more):
    return data_of(client.ok({"op": "history", "topic": topic, **more})["messages"])


# -- retain


def test_every_publication_becomes_the_last_value(start, clients, encoding, workers, tmp_path):
    broker = start(workers=workers, args=with_rules(tmp_path, {"state/#": {"retain": "yes"}}))
    publisher = clients(broker, encoding)
    publish(publisher, "state/a", range(5))
    publish(publisher, "other/a", range(5))
    got = newcomer(clients, broker, encoding, publisher, "state/#", "other/#")
    assert [(m["data"], m.get("retained")) for m in got] == [(4, True)]
    publisher.pub("state/a", None)  # null clears, as it does with retain
    assert newcomer(clients, broker, encoding, publisher, "state/#") == []


# -- ttl


def test_a_ttl_holds_whatever_the_publication_brings(start, clients, encoding, tmp_path):
    broker = start(args=with_rules(tmp_path, {"news/#": {"ttl": "1s"}, "old/#": {"ttl": "1h"}}),
                   workers=2)
    publisher = clients(broker, encoding)
    publisher.pub("old/a", "for an hour")
    publisher.pub("old/a", "for a second", ttl=1)
    publisher.pub("news/a", "for a second")
    publisher.pub("news/a", "for an hour", ttl=3600)
    publisher.pub("other/a", "for ever")
    until(lambda: history(publisher, "news/a") == [], "the policy's ttl is over")
    assert history(publisher, "old/a") == ["for an hour"]
    assert history(publisher, "other/a") == ["for ever"]


# -- max_message


def test_a_longer_publication_is_refused_and_nothing_else(start, clients, encoding, workers,
                                                          tmp_path):
    broker = start(workers=workers, args=with_rules(tmp_path, {"tweet/#": {"max_message": 140}}))
    client = clients(broker, encoding)
    client.sub("#")
    client.pub("tweet/a", "x" * 100)
    message = client.refused({"op": "pub", "topic": "tweet/a", "data": "x" * 200}, 413)
    assert "140" in message
    client.pub("tweets", "x" * 200)
    client.pub("tweet/b", "y" * 100)
    got = [m for m in client.inbox if m["op"] == "msg"]
    got += take(client, 3 - len(got))
    assert [m["data"][0] for m in got] == ["x", "x", "y"]


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_the_length_is_that_of_the_data_as_it_was_sent(start, clients, kind, tmp_path):
    broker = start(args=with_rules(tmp_path, {"t": {"max_message": 100}}))
    client = clients(broker, kind)
    overhead = len(encode(kind, "x" * 90)) - 90
    client.pub("t", "x" * (100 - overhead))
    client.refused({"op": "pub", "topic": "t", "data": "x" * (101 - overhead)}, 413)


# -- ephemeral


def test_ephemeral_publications_come_live_and_are_kept_nowhere(start, clients, encoding, workers,
                                                               tmp_path):
    broker = start(workers=workers, args=with_rules(tmp_path, {"cursor/#": {"ephemeral": "yes"}}))
    publisher, live = clients(broker), clients(broker, encoding)
    live.sub("#")
    start_pos = publisher.pub("kept", "before")
    for n in range(3):
        assert "pos" not in publisher.ok({"op": "pub", "topic": "cursor/a", "data": n})
    publisher.pub("kept", "after")
    got = take(live, 5)
    assert data_of(got) == ["before", 0, 1, 2, "after"]
    assert ["pos" in m for m in got] == [True, False, False, False, True]
    for how in ({}, {"last": 9}):
        assert newcomer(clients, broker, encoding, publisher, "cursor/#", **how) == []
    client = clients(broker, encoding)
    resume(client, start_pos, "#")
    assert client.next_msg()["data"] == "after"
    assert history(client, "cursor/a") == []


def test_what_is_kept_nowhere_cannot_be_retained(start, clients, encoding, tmp_path):
    broker = start(args=with_rules(tmp_path, {"cursor/#": {"ephemeral": "yes"}}))
    client = clients(broker, encoding)
    client.sub("cursor/#", "end")
    message = client.refused({"op": "pub", "topic": "cursor/a", "data": 1, "retain": True}, 409)
    assert "cursor/a" in message
    assert everything_since(clients(broker), client, "end") == []


def test_ephemeral_publications_keep_their_order_and_come_once(start, clients, workers, tmp_path):
    broker = start(workers=workers, args=with_rules(tmp_path, {"cursor/#": {"ephemeral": "yes"}}))
    publisher = clients(broker, "msgpack")
    readers = [clients(broker, ("json", "msgpack")[n % 2]) for n in range(6)]
    for each in readers:
        each.sub("#", "cursor/+", "cursor/a")
    for n in range(300):
        publisher.send({"op": "pub", "topic": ("cursor/a", "kept")[n % 2], "data": n})
    for each in readers:
        assert data_of(take(each, 300)) == list(range(300))


def test_a_slow_reader_of_an_ephemeral_topic_gets_the_rest_of_its_other_topics(start, clients,
                                                                               encoding, tmp_path):
    broker = start(settings={"limits.queue": "64k"}, workers=2,
                   args=with_rules(tmp_path, {"cursor/#": {"ephemeral": "yes"}}))
    slow, publisher = clients(broker, encoding, receive_buffer=4096), clients(broker)
    slow.sub("#")
    publish_both(publisher, 140)
    publisher.pub("kept", "end")
    got = [slow.next_msg()]
    while got[-1]["data"] != "end":
        got.append(slow.next_msg())
    kept = [m["data"][0] for m in got[:-1] if m["topic"] == "kept"]
    passing = [m["data"][0] for m in got if m["topic"] == "cursor/a"]
    assert kept == list(range(1, 140, 2))
    assert passing == sorted(set(passing)) and len(passing) < 70


def publish_both(client, count):
    """Publishes [n, 60 KB], by turns to a topic that is kept nowhere and to one that is."""
    for n in range(count):
        client.ok({"op": "pub", "topic": ("cursor/a", "kept")[n % 2], "data": [n, TEXT_60K]})


# -- which rule holds


RULES = {"#": {"history": 1}, "chat/#": {"history": 2}, "chat/+": {"history": 3},
         "chat/42": {"history": 4}, "+/42": {"history": 5}}


@pytest.mark.parametrize("topic, kept", [
    ("chat/42", 4), ("chat/41", 3), ("chat/41/x", 2), ("chat", 2), ("talk/42", 5), ("talk/41", 1),
    ("x", 1),
])
def test_the_most_specific_rule_holds(start, clients, encoding, tmp_path, topic, kept):
    broker = start(args=with_rules(tmp_path, RULES))
    client = clients(broker, encoding)
    publish(client, topic, range(10))
    assert history(client, topic, last=10) == list(range(10 - kept, 10))


def test_a_rule_holds_whole(start, clients, encoding, tmp_path):
    broker = start(args=with_rules(tmp_path, {"#": {"retain": "yes"}, "chat/#": {"history": 5}}))
    publisher = clients(broker, encoding)
    publisher.pub("chat/a", 1)
    publisher.pub("talk/a", 2)
    got = newcomer(clients, broker, encoding, publisher, "chat/#", "talk/#")
    assert data_of(got) == [2]


# -- reloading


def reload(broker, file, rules, extra=""):
    """Writes the file anew and asks the broker to read it."""
    file.write_text(extra + text_of(rules))
    broker.process.send_signal(signal.SIGHUP)


def test_new_rules_hold_without_dropping_a_connection(start, clients, encoding, workers, tmp_path):
    broker = start(workers=workers, args=with_rules(tmp_path, {"a/#": {"retain": "yes"}}))
    publisher, live = clients(broker), clients(broker, encoding)
    live.sub("#")
    publisher.pub("a/1", 1)
    publisher.pub("b/1", 2)
    reload(broker, tmp_path / "fantail.conf", {"b/#": {"retain": "yes"}})

    def holds():
        publisher.pub("b/2", 3)
        return newcomer(clients, broker, encoding, publisher, "b/2")

    got = until(holds, "the new rule holds")
    assert (got[0]["data"], got[0]["retained"]) == (3, True)
    publisher.pub("a/2", 4)
    assert newcomer(clients, broker, encoding, publisher, "a/2") == []
    assert data_of(newcomer(clients, broker, encoding, publisher, "a/1")) == [1]  # it was retained
    assert data_of(take(live, 3)) == [1, 2, 3] and live.ok({"op": "ping"})


@pytest.mark.parametrize("bad", ["history = many", "nonsense = 1", "slow = sometimes"])
def test_a_bad_new_file_is_refused_whole_with_its_line(start, clients, encoding, tmp_path, bad):
    broker = start(args=with_rules(tmp_path, {"a/#": {"retain": "yes"}}))
    client = clients(broker, encoding)
    reload(broker, tmp_path / "fantail.conf", {"b/#": {"retain": "yes"}},
           extra=f'[topic "c/#"]\n{bad}\n')
    until(lambda: any("fantail.conf" in line and "2" in line for line in broker.stderr_lines),
          "the refusal is logged with the line")
    client.pub("a/1", 1)
    client.pub("b/1", 2)
    assert data_of(newcomer(clients, broker, encoding, client, "a/#", "b/#")) == [1]


def test_a_limit_of_sessions_that_are_there_changes_too(start, clients, encoding, tmp_path):
    file = tmp_path / "fantail.conf"
    file.write_text("[limits]\ntopics = 5\n")
    broker = start(args=["-c", str(file)], workers=2)
    client = clients(broker, encoding)
    client.sub(*"abcde")
    client.refused({"op": "sub", "topics": ["f"]}, 429)
    file.write_text("[limits]\ntopics = 6\n")
    broker.process.send_signal(signal.SIGHUP)
    until(lambda: client.request({"op": "sub", "topics": ["f"]})["op"] == "ok", "one more fits")
    client.refused({"op": "sub", "topics": ["g"]}, 429)
