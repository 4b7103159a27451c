"""POST /v1/publish and /v1/topics: what is accepted, what is refused, and the order of it all."""

import json
import math

import pytest

from support.api import message, publish_message, refusal, topic_path, value_of
from support.broker import Broker
from support.client import b64, decode, encode, everything_since, position
from support.rules import with_rules
from support.suites import json_cases

TEXT = [("Content-Type", "text/plain")]
JSON, MSGPACK = "application/json", "application/msgpack"
BOTH = pytest.mark.parametrize("accept", ["json", "msgpack"], ids=["to_json", "to_msgpack"])


@pytest.fixture
def subscriber(connect, topic):
    """A JSON client that is subscribed to the test's topic, and everything below it."""
    client = connect("json")
    client.sub(f"{topic}/#")
    return client


def results_of(answer, count):
    """The results of a batch: one of the two for each."""
    assert list(answer) == ["results"] and len(answer["results"]) == count, answer
    return answer["results"]


# -- one publication


@BOTH
def test_a_publication_gets_the_position_that_subscribers_see(broker, api, subscriber, topic,
                                                              encoding, accept):
    answer = api(broker).post("/v1/publish", {"topic": topic, "data": {"a": [1, None, "é"]}},
                              encoding, accept)
    got = subscriber.next_msg()
    assert answer == {"pos": got["pos"]}
    assert (got["topic"], got["data"]) == (topic, {"a": [1, None, "é"]})


def test_without_accept_the_answer_is_json(broker, api, topic, encoding):
    for headers in [], [("Accept", "*/*")], [("Accept", JSON)], [("Accept", "text/html, */*;q=0.1")]:
        connection = api(broker)
        sent = publish_message({"topic": topic, "data": 1}, encoding, headers=headers)
        response = connection.ask(sent)
        assert response.headers["content-type"].split(";")[0] == JSON, response
        assert position(json.loads(response.body)["pos"])


@pytest.mark.parametrize("kind", [JSON, "application/json; charset=utf-8",
                                  'Application/JSON;charset="UTF-8"',
                                  " application/json ;charset=utf-8"])
def test_names_of_types_are_taken_as_http_has_them(broker, api, subscriber, topic, kind):
    body = encode("json", {"topic": topic, "data": "é"})
    response = api(broker).request("/v1/publish", "POST", body, [("Content-Type", kind)])
    assert response.status == 200, response
    assert subscriber.next_msg()["data"] == "é"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/html",
                                  "multipart/form-data; boundary=x", "application/jsonx", "json",
                                  "application/json; charset=iso-8859-1", "application/xml"])
def test_another_type_of_a_publish_is_a_415(broker, api, subscriber, connect, topic, kind):
    body = encode("json", {"topic": topic, "data": 1})
    text = api(broker).refused("/v1/publish", 415, method="POST", body=body,
                               headers=[("Content-Type", kind)])
    assert "application/json" in text or "utf-8" in text.lower()
    subscriber.sub("end/415")
    assert everything_since(connect(), subscriber, "end/415") == []


@pytest.mark.parametrize("around", [b" ", b"\r\n", b"\t \n\r "])
def test_white_space_around_json_is_no_part_of_it(broker, api, subscriber, topic, around):
    body = around + encode("json", {"topic": topic, "data": 7}) + around
    response = api(broker).request("/v1/publish", "POST", body, [("Content-Type", JSON)])
    assert response.status == 200, response
    assert subscriber.next_msg()["data"] == 7


@pytest.mark.parametrize("body", [
    b"", b" ", b"{", b"null", b"1", b'"x"', b"{}x", b'{"topic":"t","data":1}}',
    b'{"topic":"t","data":1} {"topic":"t","data":1}', b'{"topic":"t","data":1,}', b"\xff",
    b'\xef\xbb\xbf{"topic":"t","data":1}', b'{"topic":"t","topic":"t","data":1}', b'[',
    b'{"topic":"t"}', b'{"data":1}', b'{"topic":"t","data":1,"b64":"AA=="}', b'{"topic":5,"data":1}',
    b'{"topic":"t","b64":"AA="}', b'{"topic":"t","b64":5}', b'{"topic":"t","data":1,"retain":1}',
    b'{"topic":"t","data":1,"ttl":"60"}', b'{"topic":"t","data":1,"ttl":-1}',
    b'{"topic":"t","data":1,"ttl":1.5}', b'{"topic":"t","data":1,"key":5}', b'{"topic":"","data":1}',
    b'{"topic":"t/#","data":1}', b'{"topic":"+","data":1}', b'{"topic":"a\\u0000","data":1}',
    b'{"topic":"t","data":NaN}', b'{"topic":"t","data":1e999}', b'{"topic":"t","data":"\\ud800"}',
])
def test_what_is_no_publication_is_a_400_and_the_connection_goes_on(broker, api, body):
    connection = api(broker)
    connection.refused("/v1/publish", 400, method="POST", body=body,
                       headers=[("Content-Type", JSON)])
    assert connection.request("/healthz").status == 200


def test_a_publish_to_the_brokers_own_topics_is_a_403(broker, api):
    connection = api(broker)
    for name in "$sys/n/stats", "$presence/t", "$", "$anything":
        text = refusal(connection.try_publish({"topic": name, "data": 1}), 403)
        assert name in text
        assert name in refusal(connection.request(topic_path(name), "POST", b"x"), 403)


def test_bytes_go_both_ways(broker, api, subscriber, connect, topic):
    binary = connect("msgpack")
    binary.sub(topic)
    data = bytes(range(256))
    connection = api(broker)
    connection.post("/v1/publish", {"topic": topic, "b64": b64(data)})
    connection.post("/v1/publish", {"topic": topic, "data": data}, "msgpack")
    connection.post("/v1/publish", {"topic": topic, "b64": b64(data)}, "msgpack")
    for _ in range(3):
        assert subscriber.next_msg()["b64"] == b64(data)
        assert binary.next_msg()["data"] == data


def test_retain_ttl_and_key_mean_what_they_mean_elsewhere(broker, api, connect, topic, encoding):
    connection = api(broker)
    first = connection.post("/v1/publish", {"topic": topic, "data": 1, "retain": True, "key": "k"},
                            encoding)
    again = connection.post("/v1/publish", {"topic": topic, "data": 2, "key": "k"}, encoding)
    assert again == {"pos": first["pos"], "duplicate": True}
    assert connect().ok({"op": "pub", "topic": topic, "data": 3, "key": "k"})["duplicate"] is True
    late = connect(encoding)
    late.sub(topic)
    got = late.next_msg()
    assert (got["data"], got["retained"], got["pos"]) == (1, True, first["pos"])
    connection.post("/v1/publish", {"topic": topic, "data": None, "retain": True}, encoding)
    latest = connect(encoding)
    latest.sub(topic, f"{topic}/end")
    assert everything_since(connect(), latest, f"{topic}/end") == []
    refusal(connection.try_publish({"topic": topic, "data": 1, "ttl": 0}, encoding), 400)
    connection.post("/v1/publish", {"topic": topic, "data": 1, "ttl": 60}, encoding)


# -- arrays


@BOTH
def test_an_array_gets_a_result_for_each_in_order(broker, api, subscriber, topic, encoding, accept):
    answer = api(broker).post("/v1/publish", [{"topic": f"{topic}/{n % 3}", "data": n}
                                              for n in range(1000)], encoding, accept)
    results = results_of(answer, 1000)
    got = [subscriber.next_msg() for _ in range(1000)]
    assert [m["data"] for m in got] == list(range(1000))
    assert [{"pos": m["pos"]} for m in got] == results


@BOTH
def test_a_bad_publication_of_an_array_harms_none_of_the_others(broker, api, subscriber, topic,
                                                                encoding, accept):
    batch = [
        {"topic": topic, "data": 0},
        {"topic": f"{topic}/#", "data": "bad"},
        {"topic": "$sys/x", "data": "bad"},
        {"topic": topic, "b64": b64(b"1")},
        {"topic": topic},
        5, None, "x",
        {"data": 5},
        {"topic": topic, "data": 2, "unknown": [1]},
        {"topic": topic, "data": "bad", "ttl": "x"},
        {"topic": topic, "data": 3, "key": "k"},
        {"topic": topic, "data": 4, "key": "k"},
    ]
    results = results_of(api(broker).post("/v1/publish", batch, encoding, accept), len(batch))
    codes = [r["error"]["code"] if "error" in r else 200 for r in results]
    assert codes == [200, 400, 403, 200, 400, 400, 400, 400, 400, 200, 400, 200, 200]
    assert all(r["error"]["message"] for r in results if "error" in r)
    assert results[12] == {"pos": results[11]["pos"], "duplicate": True}
    got = [subscriber.next_msg() for _ in range(4)]
    assert [m.get("data", m.get("b64")) for m in got] == [0, b64(b"1"), 2, 3]
    assert [m["pos"] for m in got] == [results[n]["pos"] for n in (0, 3, 9, 11)]


def test_more_than_a_thousand_are_refused_as_a_whole(broker, api, subscriber, connect, topic):
    connection = api(broker)
    batch = [{"topic": topic, "data": n} for n in range(1001)]
    text = refusal(connection.try_publish(batch), 400, 413)
    assert "1000" in text.replace(",", "")
    subscriber.sub("end/1001")
    assert everything_since(connect(), subscriber, "end/1001") == []
    assert connection.request("/healthz").status == 200


@pytest.mark.parametrize("body", [b'[%s,', b'[%s,{]', b'[%s}', b'[%s] x', b'[%s,\xff]',
                                  b'[%s,{"topic":"t","data":"\xff"}]'])
def test_an_array_that_is_broken_publishes_nothing(broker, api, subscriber, connect, topic, body):
    good = encode("json", {"topic": topic, "data": 1})
    api(broker).refused("/v1/publish", 400, method="POST", body=body.replace(b"%s", good),
                        headers=[("Content-Type", JSON)])
    subscriber.sub("end/broken")
    assert everything_since(connect(), subscriber, "end/broken") == []


def test_an_array_in_an_array_is_no_publication(broker, api, subscriber, topic):
    batch = [[{"topic": topic, "data": "bad"}], {"topic": topic, "data": 1}]
    results = results_of(api(broker).post("/v1/publish", batch), 2)
    assert results[0]["error"]["code"] == 400 and "pos" in results[1]
    assert subscriber.next_msg()["data"] == 1


def test_arrays_of_arrays_of_maps_are_read_to_the_end(broker, api, subscriber, topic, encoding):
    nested = {"deep": [[[{"x": ["]", "}", '"']}]]], "text": "[{\"topic\":\"t\"}]"}
    api(broker).post("/v1/publish", [{"topic": topic, "data": nested}] * 3, encoding)
    assert [subscriber.next_msg()["data"] for _ in range(3)] == [nested] * 3


# -- a topic's own path


@pytest.mark.parametrize("kind, body, expected", [
    (JSON, b'{"a": 1.50}', {"data": {"a": 1.5}}),
    (JSON, b" null\r\n", {"data": None}),
    (MSGPACK, b"\x81\xa1a\x01", {"data": {"a": 1}}),
    (MSGPACK, b"\xc4\x02\x00\xff", {"b64": b64(b"\x00\xff")}),
    ("text/plain", "grüß \"dich\"\n".encode(), {"data": "grüß \"dich\"\n"}),
    ("text/plain; charset=utf-8", b"x", {"data": "x"}),
    ("text/plain;charset=us-ascii", b"x", {"data": "x"}),
    ("text/plain", b"", {"data": ""}),
    ("text/plain", b"5", {"data": "5"}),
    ("application/octet-stream", b"\x00\x01", {"b64": b64(b"\x00\x01")}),
    ("image/png", b"\x89PNG", {"b64": b64(b"\x89PNG")}),
    ("text/html", b"<p>", {"b64": b64(b"<p>")}),
    ("application/octet-stream", b"", {"b64": ""}),
    (None, b"\xff", {"b64": b64(b"\xff")}),
])
def test_the_body_is_the_data_after_its_type(broker, api, subscriber, topic, kind, body, expected):
    headers = [("Content-Type", kind)] if kind else []
    response = api(broker).request(topic_path(topic), "POST", body, headers)
    assert response.status == 200, response
    got = subscriber.next_msg()
    assert {k: v for k, v in got.items() if k in ("data", "b64")} == expected
    assert value_of(response) == {"pos": got["pos"]} and got["topic"] == topic


@pytest.mark.parametrize("kind, body", [
    (JSON, b""), (JSON, b"{"), (JSON, b"1 2"), (JSON, b"\xff"), (JSON, b"'x'"),
    (JSON, b"[" * 33 + b"]" * 33),
    (MSGPACK, b""), (MSGPACK, b"\x01\x01"), (MSGPACK, b"\xc1"), (MSGPACK, b"\x81\x01\x01"),
    (MSGPACK, b"\xd4\x01\x01"), (MSGPACK, b"\xa1\xff"), ("text/plain", b"\xff\xfe"),
    ("text/plain", b"\xed\xa0\x80"),
])
def test_data_that_is_not_what_its_type_says_is_a_400(broker, api, topic, kind, body):
    connection = api(broker)
    connection.refused(topic_path(topic), 400, method="POST", body=body,
                       headers=[("Content-Type", kind)])
    assert connection.request("/healthz").status == 200


@pytest.mark.parametrize("kind", ["application/json; charset=utf-16", "text/plain; charset=latin1"])
def test_a_charset_that_is_not_utf8_is_a_415(broker, api, topic, kind):
    api(broker).refused(topic_path(topic), 415, method="POST", body=b'"x"',
                        headers=[("Content-Type", kind)])


@pytest.mark.parametrize("path, name", [
    ("a/b", "a/b"), ("a%2Fb", "a/b"), ("%61%2f%62", "a/b"), ("a%20b", "a b"), ("a%C3%A9", "aé"),
    ("/a", "/a"), ("a//b/", "a//b/"), ("a/../b", "a/../b"), ("a/./b", "a/./b"), ("a%25b", "a%b"),
    ("a&b=c;d,e!~*'()@:", "a&b=c;d,e!~*'()@:"), ("a%3Fb", "a?b"), ("%2E%2e/etc", "../etc"),
    ("x" * 255, "x" * 255), ("%E2%82%AC" * 85, "€" * 85), ("/".join("a" * 32), "/".join("a" * 32)),
])
def test_a_topic_in_the_path_is_percent_decoded_once(broker, api, connect, path, name):
    client = connect()
    client.sub(name)
    response = api(broker).request(f"/v1/topics/{path}", "POST", b"x", TEXT)
    assert response.status == 200, response
    got = client.next_msg()
    assert (got["topic"], got["data"], got["pos"]) == (name, "x", value_of(response)["pos"])


@pytest.mark.parametrize("path", [
    "%", "a%2", "a%zz", "a%00", "a%1f", "a%7F", "a%ff", "a%C3", "a%ED%A0%80", "+", "a/+", "a/%23",
    "a%2B", "x" * 256, "%E2%82%AC" * 86, "/".join("a" * 33),
])
def test_what_is_no_topic_in_the_path_is_a_400(broker, api, path):
    connection = api(broker)
    connection.refused(f"/v1/topics/{path}", 400, method="POST", body=b"x")
    assert connection.request("/healthz").status == 200


@pytest.mark.parametrize("path", ["/v1/topics", "/v1/topics/", "/v1/topicsx/a", "/v1/Topics/a",
                                  "/v1/topics?topic=a"])
def test_no_topic_is_no_topic(broker, api, path):
    api(broker).refused(path, 400, 404, 405, method="POST", body=b"x")


def test_options_of_a_publication_come_in_the_query(broker, api, connect, topic):
    connection = api(broker)
    first = connection.request(topic_path(topic, retain=1, ttl=60, key="a b+ü"), "POST", b"1",
                               [("Content-Type", JSON)])
    assert first.status == 200, first
    again = connect().ok({"op": "pub", "topic": topic, "data": 2, "key": "a b+ü"})
    assert again["duplicate"] is True and again["pos"] == value_of(first)["pos"]
    late = connect()
    late.sub(topic)
    assert late.next_msg()["retained"] is True
    unretained = connection.request(topic_path(f"{topic}/x", retain=0, other="x"), "POST", b"1",
                                    [("Content-Type", JSON)])
    assert unretained.status == 200, unretained
    late = connect()
    late.sub(f"{topic}/x", f"{topic}/end")
    assert everything_since(connect(), late, f"{topic}/end") == []


@pytest.mark.parametrize("query", ["retain=maybe", "ttl=0", "ttl=-1", "ttl=x", "ttl=1.5", "ttl=",
                                   "key=" + "k" * 129, "key=%zz", "key=%ff",
                                   "ttl=99999999999999999999"])
def test_options_that_make_no_sense_are_a_400(broker, api, topic, query):
    api(broker).refused(f"{topic_path(topic)}?{query}", 400, method="POST", body=b"1")


# -- the same way as over WebSocket


def test_a_post_and_a_pub_make_the_same_msg(broker, api, connect, topic):
    both = connect("json"), connect("msgpack")
    for each in both:
        each.sub(topic)
    values = [None, True, 0, -1, 2**63, 1.5, "é\u2028", [], {}, [[]], {"": {"a": [None]}},
              "x" * 5000]
    sender, connection = connect("msgpack"), api(broker)
    for value in values:
        sender.pub(topic, value)
        connection.post("/v1/publish", {"topic": topic, "data": value}, "msgpack")
        for each in both:
            first, second = each.next_msg(), each.next_msg()
            assert position(second["pos"])[1] == position(first["pos"])[1] + 1
            assert {k: first[k] for k in first if k not in ("pos", "at")} == {
                k: second[k] for k in second if k not in ("pos", "at")}


def test_policies_hold_over_http_too(start, api, clients, encoding, workers, tmp_path):
    broker = start(workers=workers, args=with_rules(tmp_path, {
        "short/#": {"max_message": 20}, "gone/#": {"ephemeral": "yes"},
        "state/#": {"retain": "yes"}}))
    connection, client = api(broker), clients(broker)
    client.sub("#")
    refusal(connection.try_publish({"topic": "short/a", "data": "x" * 50}, encoding), 413)
    answer = connection.post("/v1/publish", [{"topic": "short/a", "data": "x"},
                                             {"topic": "short/a", "data": "x" * 50}], encoding)
    assert "pos" in answer["results"][0] and answer["results"][1]["error"]["code"] == 413
    assert connection.post("/v1/publish", {"topic": "gone/a", "data": 1}, encoding) == {}
    refusal(connection.try_publish({"topic": "gone/a", "data": 1, "retain": True}, encoding), 409)
    assert results_of(connection.post("/v1/publish", [{"topic": "gone/a", "data": 2}]), 1) == [{}]
    connection.post("/v1/publish", {"topic": "state/a", "data": 3}, encoding)
    assert [client.next_msg()["data"] for _ in range(4)] == ["x", 1, 2, 3]
    late = clients(broker)
    late.sub("state/a")
    assert late.next_msg()["retained"] is True


def test_a_publication_is_bounded_as_a_message_is(start, api, clients, encoding):
    broker = start(settings={"limits.message": "1k", "limits.queue": "64k"})
    connection, client = api(broker), clients(broker)
    client.sub("#")
    fits, not_fits = {"topic": "t", "data": "x" * 900}, {"topic": "t", "data": "x" * 1100}
    connection.post("/v1/publish", fits, encoding)
    refusal(connection.try_publish(not_fits, encoding), 413)
    refusal(connection.request(topic_path("t"), "POST", b"x" * 1100), 413)
    results = connection.post("/v1/publish", [fits, not_fits] * 5, encoding)["results"]
    assert ["pos" in r for r in results] == [True, False] * 5
    assert {r["error"]["code"] for r in results[1::2]} == {413}
    assert [len(client.next_msg()["data"]) for _ in range(6)] == [900] * 6


def test_singles_arrays_and_sockets_are_one_order(broker, api, connect, topic, encoding):
    watchers = [connect("json"), connect("msgpack")]
    for each in watchers:
        each.sub(topic)
    senders = [api(broker) for _ in range(4)]
    socket = connect(encoding)
    for n in range(50):
        for k, sender in enumerate(senders):
            value = {"topic": topic, "data": [k, n]}
            sender.send(publish_message([value, value] if k % 2 else value, encoding))
        socket.send({"op": "pub", "topic": topic, "data": ["ws", n]})
    told = {}
    for k, sender in enumerate(senders):
        for n in range(50):
            response = sender.read_response()
            assert response.status == 200, response
            answer = value_of(response)
            for result in answer.get("results", [answer]):
                told.setdefault((k, n), []).append(result["pos"])
    orders = [[(m["pos"], m["data"]) for m in (each.next_msg() for _ in range(50 * 7))]
              for each in watchers]
    assert orders[0] == orders[1]
    seen = {}
    for pos, (k, n) in orders[0]:
        seen.setdefault((k, n), []).append(pos)
    assert all(seen[key] == told[key] for key in told)
    offsets = [position(pos)[1] for pos, _ in orders[0]]
    assert offsets == sorted(set(offsets))
    for k in range(4):
        mine = [n for _, (who, n) in orders[0] if who == k]
        assert mine == sorted(mine)


# -- test suites


@pytest.fixture(scope="module")
def wide_broker():
    """A broker that takes the suites' largest file."""
    broker = Broker(settings={"limits.message": 1 << 20})
    yield broker
    broker.stop()


def is_utf8(data):
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def ways(topic, data):
    """The two ways to publish the text of a value."""
    head = [("Content-Type", JSON)]
    yield message(topic_path(topic), "POST", data, head)
    yield message("/v1/publish", "POST", b'{"topic":"%s","data":%s}' % (topic.encode(), data), head)


def test_all_that_is_json_is_passed_on_byte_by_byte(wide_broker, api, clients, topic):
    client, connection = clients(wide_broker, "json"), api(wide_broker)
    client.sub(topic)
    for file in json_cases("y"):
        data = file.read_bytes()
        for sent in ways(topic, data):
            response = connection.ask(sent)
            assert response.status == 200, (file.name, response)
            payload = client.next_payload()
            assert b'"data":' + data.strip(b" \t\r\n") in payload, file.name
            assert decode("json", payload)["pos"] == value_of(response)["pos"]


def test_all_that_is_not_json_is_a_400(wide_broker, api, clients, topic):
    connection, client = api(wide_broker), clients(wide_broker)
    client.sub(topic)
    for file in json_cases("n"):
        for sent in ways(topic, file.read_bytes()):
            response = connection.ask(sent)
            assert response.status == 400, (file.name, response)
    client.sub("end/n")
    assert everything_since(clients(wide_broker), client, "end/n") == []


def test_what_the_standard_leaves_open_is_decided_as_over_websocket(wide_broker, api, topic):
    connection = api(wide_broker)
    for file in json_cases("i"):
        data = file.read_bytes()
        for sent in ways(topic, data):
            got = connection.ask(sent).status
            ours = any(word in file.name for word in ("surrogate", "nested", "BOM"))
            if not is_utf8(data) or ours:
                assert got == 400, file.name
            elif file.name.startswith("i_number"):
                value = json.loads(data)[0]
                finite = math.isfinite(float(value)) if abs(value) < 10**308 else False
                assert got == (200 if finite else 400), file.name
