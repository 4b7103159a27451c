"""GET /v1/topics: what a node's journal knows of topics, hottest first or by name, in pages, or level by level."""

import socket
import time

import msgpack
import pytest

from support.api import message, topic_path
from support.broker import Broker
from support.rules import with_rules
from support.tokens import claims, hs256
from support.wait import until

SECRET = "a secret of thirty-two characters"
TEXT = [("Content-Type", "text/plain")]


@pytest.fixture(scope="module")
def module_broker(workers):
    """A broker whose topics are bounded, and of which one worker publishes what the other is asked for."""
    broker = Broker(workers=workers, settings={"journal.topics": "5000"})
    yield broker
    broker.stop()


def rows(connection, query=""):
    """Asks, and returns (names, answer)."""
    answer = connection.get(f"/v1/topics{query}")
    assert answer.keys() == {"topics", "total", "more"}
    for row in answer["topics"]:
        assert row.keys() == {"topic", "rate", "publications", "at", "bytes", "retained"}
    return [row["topic"] for row in answer["topics"]], answer


def publish(connection, *topics, data="x", **query):
    for topic in topics:
        response = connection.request(topic_path(topic, **query), "POST", data.encode(), TEXT)
        assert response.status == 200, response


# -- what is told of a topic


def test_a_topic_is_told_with_its_figures(broker, api, topic):
    connection, before = api(broker), time.time() * 1000
    publish(connection, topic, topic, topic, data="four")
    names, answer = rows(connection, f"?filter={topic}")
    assert names == [topic] and answer["total"] == 1 and answer["more"] is False
    row = answer["topics"][0]
    assert row["publications"] == 3
    assert row["bytes"] == 3 * len('"four"')  # a string, as JSON
    assert before - 5000 < row["at"] <= time.time() * 1000 + 5000
    assert row["retained"] is False and 0 < row["rate"] <= 3
    publish(connection, topic, data="kept", retain=1)
    assert rows(connection, f"?filter={topic}")[1]["topics"][0]["retained"] is True


def test_topics_in_messagepack(broker, api, topic):
    connection = api(broker)
    publish(connection, topic)
    response = connection.request(f"/v1/topics?filter={topic}",
                                  headers=[("Accept", "application/msgpack")])
    assert response.headers["content-type"] == "application/msgpack"
    answer = msgpack.unpackb(response.body)
    assert answer["topics"][0]["topic"] == topic and answer["total"] == 1
    assert isinstance(answer["topics"][0]["rate"], float)


def test_what_every_worker_publishes_counts(broker, api, topic):
    connections = [api(broker) for _ in range(8)]  # on whichever worker
    for connection in connections:
        publish(connection, *[topic] * 10)
    assert rows(connections[0], f"?filter={topic}")[1]["topics"][0]["publications"] == 80


def test_a_duplicate_does_not_count(broker, api, topic):
    connection = api(broker)
    for _ in range(3):
        connection.post("/v1/publish", {"topic": topic, "data": 1, "key": "k"})
    assert rows(connection, f"?filter={topic}")[1]["topics"][0]["publications"] == 1


def test_the_rate_follows_and_falls_to_nothing(broker, api, topic):
    """50 a second, for as long as it takes until that shows; then quiet."""
    connection = api(broker)

    def rate():
        return rows(connection, f"?filter={topic}")[1]["topics"][0]["rate"]

    begun, n = time.monotonic(), 0
    while n == 0 or rate() < 35:
        assert time.monotonic() < begun + 20, f"{rate()} a second"
        while n < (time.monotonic() - begun) * 50 + 1:
            publish(connection, topic)
            n += 1
    assert rate() < 70
    until(lambda: rate() == 0, "nothing comes any more", timeout=15)


# -- which topics


def test_the_hottest_come_first(broker, api, topic):
    connection = api(broker)
    for k in range(10):
        publish(connection, *[f"{topic}/{k}"] * (k + 1))
    names, answer = rows(connection, f"?filter={topic}/%2B&limit=3&sort=rate")
    assert names == [f"{topic}/{k}" for k in (9, 8, 7)]
    assert answer["total"] == 10 and answer["more"] is True
    rates = [row["rate"] for row in answer["topics"]]
    assert rates == sorted(rates, reverse=True)
    assert rows(connection, f"?filter={topic}/+&limit=3")[0] == names, "without sort, and + as it is"


def test_pages_by_name_have_every_topic_once(broker, api, topic):
    connection, wanted = api(broker), [f"{topic}/{k}" for k in range(250)] + [f"{topic}/é/ü"]
    publish(connection, *wanted)
    seen, after = [], ""
    while True:
        names, answer = rows(connection, f"?filter={topic}/%23&sort=topic&limit=100{after}")
        assert answer["total"] == len(wanted)
        seen += names
        if not answer["more"]:
            break
        after = "&" + topic_path("", after=names[-1]).partition("?")[2]
    assert seen == sorted(wanted, key=lambda t: t.encode())


def test_behind_the_last_one_there_is_nothing(broker, api, topic):
    connection = api(broker)
    publish(connection, f"{topic}/a", f"{topic}/b")
    assert rows(connection, f"?filter={topic}/%23&sort=topic&after={topic}/b")[0] == []
    names, answer = rows(connection, f"?filter={topic}/%23&sort=topic&after={topic}/a")
    assert names == [f"{topic}/b"] and answer["more"] is False and answer["total"] == 2


def test_more_topics_than_are_looked_at_in_a_turn(start, api, connect):
    """And all of the time others are served."""
    broker = start(settings={"journal.topics": "30000"})
    connection = api(broker)
    for first in range(0, 20000, 1000):
        connection.post("/v1/publish", [{"topic": f"m/{k:05}", "data": 1}
                                        for k in range(first, first + 1000)])
    answers = [api(broker) for _ in range(5)]
    for each in answers:
        each.send(b"GET /v1/topics?limit=1000&sort=topic HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.request("/healthz").status == 200
    for each in answers:
        assert each.read_response().status == 200
    names, answer = rows(connection, "?limit=1000&sort=topic&after=m/18999")
    assert names == [f"m/{k:05}" for k in range(19000, 20000)]
    assert answer["total"] == 20000 and answer["more"] is False


def test_who_goes_before_the_answer_leaves_nothing_behind(start, api):
    broker = start(settings={"journal.topics": "30000"})
    connection = api(broker)
    for first in range(0, 20000, 1000):
        connection.post("/v1/publish", [{"topic": f"m/{k}", "data": 1}
                                        for k in range(first, first + 1000)])
    for _ in range(20):
        other = api(broker)
        other.send(b"GET /v1/topics HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        other.close()
    assert rows(connection)[1]["total"] == 20000


def test_topics_are_found_by_a_part_of_their_names(broker, api, topic):
    connection = api(broker)
    publish(connection, f"{topic}/Attic/temp", f"{topic}/attics", f"{topic}/cellar")
    names, answer = rows(connection, f"?contains={topic}/ATTIC&sort=topic")
    assert names == [f"{topic}/Attic/temp", f"{topic}/attics"] and answer["total"] == 2
    assert rows(connection, f"?contains=attic&filter={topic}/%2B")[0] == [f"{topic}/attics"]


# -- level by level


def levels(connection, query):
    """Asks, and returns ([(level, topics, publications of all, of its own or None)], more)."""
    answer = connection.get(f"/v1/topics?levels=1{query}")
    assert answer.keys() == {"levels", "more"}
    figures = {"rate", "publications", "bytes", "at"}
    for row in answer["levels"]:
        assert row.keys() - {"topic"} == figures | {"level", "topics"}
        assert "topic" not in row or row["topic"].keys() == figures | {"retained"}
    return [(row["level"], row["topics"], row["publications"],
             row.get("topic", {}).get("publications")) for row in answer["levels"]], answer["more"]


def test_levels_have_the_figures_of_all_below(broker, api, topic):
    connection = api(broker)
    publish(connection, f"{topic}/a", f"{topic}/a/x", f"{topic}/a/x", f"{topic}/b/é ü/y", f"{topic}//z")
    assert levels(connection, f"&under={topic}") == (
        [("", 1, 1, None), ("a", 2, 3, 1), ("b", 1, 1, None)], False)
    assert levels(connection, f"&under={topic}/b") == ([("é ü", 1, 1, None)], False)
    assert levels(connection, f"&under={topic}/") == ([("z", 1, 1, 1)], False)
    assert levels(connection, f"&under={topic}/a/x") == ([], False)
    publish(connection, f"{topic}/a", data="kept", retain=1)
    row = connection.get(f"/v1/topics?levels=1&under={topic}")["levels"][1]
    assert row["topic"]["retained"] is True and 0 < row["topic"]["rate"] <= row["rate"]


def test_levels_come_in_pages(broker, api, topic):
    connection = api(broker)
    publish(connection, *[f"{topic}/{k:03}/x" for k in range(25)])
    seen, after, more = [], "", True
    while more:
        page, more = levels(connection, f"&under={topic}&limit=10{after}")
        seen += [row[0] for row in page]
        after = f"&after={seen[-1]}"
    assert seen == [f"{k:03}" for k in range(25)]


def test_the_first_levels_of_all_topics(start, api):
    connection = api(start(settings={"journal.topics": "30000"}))
    for first in range(0, 20000, 1000):
        connection.post("/v1/publish", [{"topic": f"m{k % 7}/{k}", "data": 1}
                                        for k in range(first, first + 1000)])
    found, more = levels(connection, "")
    assert [row[0] for row in found] == [f"m{k}" for k in range(7)] and more is False
    assert sum(row[1] for row in found) == 20000


# -- what is no topic here


def test_ephemeral_topics_are_not_remembered(start, api, tmp_path):
    broker = start(args=with_rules(tmp_path, {"e/#": {"ephemeral": "yes"}}))
    connection = api(broker)
    publish(connection, "e/a", "a")
    assert rows(connection)[0] == ["a"]


def test_forgotten_topics_are_not_told(start, api):
    connection = api(start(settings={"journal.topics": "10"}))
    publish(connection, *[f"t/{k}" for k in range(30)])
    names, answer = rows(connection, "?sort=topic")
    assert names == [f"t/{k}" for k in range(20, 30)] and answer["total"] == 10


# -- requests


@pytest.mark.parametrize("query", [
    "filter=a/%23/b", "filter=", "filter=a&filter=b", "filter=a+b%2B", "limit=0", "limit=1001",
    "limit=-1", "limit=x", "limit=", "limit=1&limit=1", "sort=name", "sort=", "sort=rate&sort=rate",
    "after=a", "sort=rate&after=a", "sort=topic&after=a&after=b", "sort=topic&after=%23",
    "sort=topic&after=", "filter=%ff", "under=a", "levels=2", "levels=1&levels=1", "contains=a&contains=b",
    "levels=1&filter=a", "levels=1&sort=topic", "levels=1&contains=a", "levels=1&under=a&under=b",
    "contains=" + 256 * "a", "levels=1&under=" + 256 * "a",
])
def test_a_query_that_makes_no_sense_is_a_400(broker, api, query):
    connection = api(broker)
    connection.refused(f"/v1/topics?{query}", 400)
    assert connection.request("/healthz").status == 200


def test_other_methods_are_told_what_there_is(broker, api):
    connection = api(broker)
    response = connection.request("/v1/topics", "POST", b"x", TEXT)
    assert response.status == 405 and response.headers["allow"] == "GET, HEAD, OPTIONS"
    assert b"/v1/topics/" in response.body
    assert connection.request("/v1/topics", "HEAD").status == 200


def test_in_a_cluster_a_node_tells_of_what_it_takes_part_in(redis, start_node, clients, api):
    here, there = start_node(redis.url, "n1"), start_node(redis.url, "n2")
    publisher = clients(there)
    publisher.ok({"op": "pub", "topic": "a/b", "data": "before", "retain": True})
    listener = clients(here)
    listener.sub("a/+")
    assert listener.next_msg()["data"] == "before"
    names, answer = rows(api(here))
    (row,) = answer["topics"]
    assert row["retained"] is True and row["at"] > 0
    assert (row["publications"], row["rate"]) == (0, 0), "that was before this node knew of it"
    for n in range(40):
        publisher.ok({"op": "pub", "topic": "a/b", "data": n})
        assert listener.next_msg()["data"] == n
    (row,) = rows(api(here))[1]["topics"]
    assert row["publications"] == 40 and row["bytes"] == 10 + 2 * 30 and row["rate"] > 0


@pytest.mark.parametrize("query", ["", "?filter=a/%23", "?filter=a/b", "?levels=1"])
def test_in_a_cluster_a_node_that_nobody_listens_at_finds_out_first(redis, start_node, clients, api, query):
    here, there = start_node(redis.url, "n1"), start_node(redis.url, "n2")
    publisher = clients(there)
    topics = [f"a/{n}" for n in range(10)] + ["a/b"]
    for topic in topics:
        publisher.ok({"op": "pub", "topic": topic, "data": topic})
    answer = api(here).get(f"/v1/topics{query}")
    if query == "?levels=1":
        assert [(row["level"], row["topics"]) for row in answer["levels"]] == [("a", 11)]
    else:
        assert {row["topic"] for row in answer["topics"]} == ({"a/b"} if query.endswith("b") else set(topics))
    publisher.ok({"op": "pub", "topic": "a/b", "data": "from now on it counts"})
    until(lambda: api(here).get("/v1/topics?filter=a/b")["topics"][0]["publications"] == 1, "it is counted")


def test_a_list_of_topics_waits_for_redis_no_longer_than_it_may(redis, start_node, api):
    node = start_node(redis.url, "n1", settings={"relay.deadline": "500ms"})
    redis.freeze()
    try:
        began = time.monotonic()
        assert rows(api(node))[0] == []
        assert time.monotonic() - began < 5
        with socket.create_connection(node.address) as gone:
            gone.sendall(message("/v1/topics"))  # and goes while it waits
    finally:
        redis.thaw()
    assert rows(api(node))[0] == []


def test_topics_are_for_admins(start, api):
    broker = start(settings={"auth.mode": "token", "auth.secret": SECRET, "auth.user_sub": "#"})
    api(broker).refused("/v1/topics", 401)
    api(broker, token=hs256(SECRET, **claims("ann"))).refused("/v1/topics", 403)
    assert rows(api(broker, token=hs256(SECRET, **claims("root", admin=True))))[0] == []
