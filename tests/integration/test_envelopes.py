"""Envelopes: ids and their echo, ping, arrays, what is unknown, what is wrong, and the 16th."""

import pytest

from support.client import encode, everything_since
from support.raw import BINARY, TEXT

BAD_ENVELOPES = {
    "json": [b"", b"x", b"{", b"5", b'"ping"', b"null", b"true", b"[", b'{"op":"ping"', b"[]",
             b"{'op':'ping'}", b'{"op":"ping",}', b'{"op":"ping"}}', b'{"op":"ping"} x',
             b'{"op":"ping"}{"op":"ping"}', b"\xef\xbb\xbf{}", b'{"op" "ping"}', b'{op:"ping"}',
             b'{"op":ping}', b'{"op":"ping","x":01}', b'{"op":"ping","x":"\n"}', b" ",
             b'{"op":"ping","x":"\\x"}', b'{"op":"ping","x":NaN}'],
    "msgpack": [b"", b"\xc0", b"\x05", b"\xa4ping", b"\x81", b"\x81\xa2op", b"\x90", b"\xc1",
                b"\x81\xa2op\xa4pin", b"\x81\xa2op\xa4ping\xc0", b"\xdf\xff\xff\xff\xff",
                b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff\x00",
                b"\x81\xa2op\xdb\xff\xff\xff\xffping", b"\xde\x00", b"\x82\xa2op\xa4ping"],
}
GOOD_IDS = [0, 1, 127, 128, 255, 256, 65535, 65536, 2**31, 2**32, 2**53 - 1, "", "a", "1", "é",
            "x" * 64, "é" * 32, "a\nb", '"', "\\", "\u2028", "\x00", "😀"]
BAD_IDS = [-1, 2**53, 2**63, 1.5, True, False, None, "x" * 65, "é" * 33, [1], {"a": 1}]


@pytest.mark.parametrize("id_", GOOD_IDS, ids=repr)
def test_an_id_comes_back_with_the_same_type_and_value(connect, encoding, id_):
    client = connect(encoding)
    client.send({"op": "ping", "id": id_})
    reply = client.next()
    assert reply == {"op": "ok", "id": id_} and type(reply["id"]) is type(id_)
    client.send({"op": "pub", "topic": "a/#", "data": 1, "id": id_})
    reply = client.next()
    assert (reply["op"], reply["id"], reply["code"]) == ("error", id_, 400)


@pytest.mark.parametrize("id_", BAD_IDS, ids=repr)
def test_an_id_that_may_not_be_is_refused_without_one(connect, encoding, id_):
    client = connect(encoding)
    client.send({"op": "ping", "id": id_})
    assert "id" in client.error(400)
    assert client.ok({"op": "ping"})


def test_the_id_may_come_after_or_before_everything_else(connect):
    client = connect("json")
    client.send_payload(b'{"id":1,"op":"ping"}')
    client.send_payload(b'{"op":"ping","id":2}')
    client.send_payload(b' \t\r\n{ "x" : [ 1 , 2 ] , "id" : 3 , "op" : "ping" } \n')
    assert [client.next() for _ in range(3)] == [{"op": "ok", "id": n} for n in (1, 2, 3)]


def test_an_escaped_key_is_the_key_that_it_stands_for(connect):
    client = connect("json")
    client.send_payload(b'{"\\u006fp":"\\u0070ing","i\\u0064":"\\u00e9"}')
    assert client.next() == {"op": "ok", "id": "é"}


def test_a_ping_without_an_id_gets_a_pong(connect, encoding):
    client = connect(encoding)
    client.send({"op": "ping"})
    assert client.next() == {"op": "pong"}


def test_two_requests_with_one_id_get_two_replies(connect, encoding):
    client = connect(encoding)
    client.send({"op": "ping", "id": 1})
    client.send({"op": "ping", "id": 1})
    assert [client.next() for _ in range(2)] == [{"op": "ok", "id": 1}] * 2


def test_requests_without_an_id_are_silent_unless_they_fail(connect, encoding, topic):
    client = connect(encoding)
    client.send({"op": "sub", "topics": [topic]})
    client.send({"op": "unsub", "topics": [topic]})
    client.send({"op": "pub", "topic": topic, "data": 1})
    client.send({"op": "sub", "topics": ["bad#"]})
    client.send({"op": "ping", "id": "end"})
    assert "bad#" in client.next()["message"]
    assert client.next() == {"op": "ok", "id": "end"}


@pytest.mark.parametrize("op", ["subscribe", "PING", "", "ping ", "welcome", "msg", "ok", "x" * 900,
                                "né\n\x01"])
def test_an_unknown_op_is_a_400_that_names_it(connect, encoding, op):
    client = connect(encoding)
    message = client.refused({"op": op}, 400)
    assert op[:8].rstrip("\n\x01") in message
    client.send({"op": op})
    client.error(400)


@pytest.mark.parametrize("op", [None, 5, True, ["ping"], {"ping": 1}])
def test_an_op_that_is_not_a_string_is_refused(connect, encoding, op):
    assert "op" in connect(encoding).refused({"op": op}, 400)


def test_an_envelope_without_an_op_is_refused(connect, encoding):
    client = connect(encoding)
    assert "op" in client.refused({}, 400)
    client.send({})
    assert "op" in client.error(400)


def test_unknown_keys_are_ignored(connect, encoding, topic):
    client = connect(encoding)
    more = {"x": 1, "": None, "ops": [[[]]], "Data": 5, "deep": {"a": {"b": [1, {"c": None}]}}}
    client.ok({"op": "sub", "topics": [topic], **more})
    client.ok({"op": "pub", "topic": topic, "data": "d", **more})
    message = client.next_msg()
    assert set(message) == {"op", "topic", "data", "pos", "at"} and message["data"] == "d"


def test_an_array_is_handled_in_order(connect, encoding, topic):
    client = connect(encoding)
    client.send([{"op": "sub", "topics": [topic], "id": 1},
                 {"op": "pub", "topic": topic, "data": "x", "id": 2},
                 {"op": "unsub", "topics": [topic], "id": 3},
                 {"op": "pub", "topic": topic, "data": "y", "id": 4},
                 {"op": "ping", "id": 5}])
    envelopes = [client.next()]
    while envelopes[-1].get("id") != 5:
        envelopes.append(client.next())
    assert [e["id"] for e in envelopes if "id" in e] == [1, 2, 3, 4, 5]
    assert all(e["op"] in ("ok", "msg") for e in envelopes)
    assert [e["data"] for e in envelopes if e["op"] == "msg"] in (["x"], [])


def test_an_array_of_publications_keeps_their_order(connect, encoding, topic):
    publisher, subscriber = connect(encoding), connect("json")
    subscriber.sub(topic)
    publisher.send([{"op": "pub", "topic": topic, "data": n} for n in range(200)])
    assert [subscriber.next_msg()["data"] for _ in range(200)] == list(range(200))


def test_an_array_of_one_is_an_envelope(connect, encoding):
    client = connect(encoding)
    client.send([{"op": "ping", "id": 1}])
    assert client.next() == {"op": "ok", "id": 1}


def test_each_reply_is_a_message_of_its_own(connect, encoding):
    client = connect(encoding)
    client.send([{"op": "ping", "id": n} for n in range(5)])
    assert [client.next() for _ in range(5)] == [{"op": "ok", "id": n} for n in range(5)]


def test_a_refused_element_does_not_stop_the_others(connect, encoding, topic):
    client = connect(encoding)
    client.send([{"op": "ping", "id": 1}, {"op": "nonsense", "id": 2},
                 {"op": "pub", "topic": "+", "data": 1, "id": 3}, {"op": "ping", "id": 4}])
    got = [client.next() for _ in range(4)]
    assert [(e["op"], e["id"]) for e in got] == [("ok", 1), ("error", 2), ("error", 3), ("ok", 4)]


@pytest.mark.parametrize("element", [5, "ping", None, True, [], [{"op": "ping"}], 1.5], ids=repr)
def test_an_element_that_is_no_map_is_an_error_of_its_own(connect, encoding, element):
    client = connect(encoding)
    client.send([{"op": "ping", "id": 1}, element])
    client.send({"op": "ping", "id": 2})
    assert client.next() == {"op": "ok", "id": 1}
    assert client.next()["code"] == 400
    assert client.next() == {"op": "ok", "id": 2}


def test_an_array_inside_an_array_is_refused(connect, encoding):
    client = connect(encoding)
    client.send([[{"op": "ping", "id": 1}]])
    client.error(400)


def test_every_bad_envelope_gets_an_error_without_an_id(broker, connect, encoding):
    for bad in BAD_ENVELOPES[encoding]:
        client = connect(encoding)
        client.send_payload(bad)
        client.error(400)
        assert client.ok({"op": "ping"}), bad
        client.close()


def test_fifteen_bad_envelopes_are_tolerated(connect, encoding):
    client = connect(encoding)
    for _ in range(15):
        client.send_payload(b"\xc1" if encoding == "msgpack" else b"{")
        client.error(400)
    assert client.ok({"op": "ping"})


def test_the_sixteenth_bad_envelope_closes_with_4400(connect, encoding):
    client = connect(encoding)
    for _ in range(15):
        client.send_payload(b"\xc1" if encoding == "msgpack" else b"{")
        client.error(400)
        assert client.ok({"op": "ping"})  # a good one between does not start the count again
    client.send_payload(b"\xc1" if encoding == "msgpack" else b"{")
    assert client.wait_closed() == 4400


def test_bad_envelopes_are_counted_for_each_connection(connect, encoding):
    bad = b"\xc1" if encoding == "msgpack" else b"{"
    first, second = connect(encoding), connect(encoding)
    for _ in range(15):
        for client in (first, second):
            client.send_payload(bad)
            client.error(400)
    assert first.ok({"op": "ping"}) and second.ok({"op": "ping"})


def test_a_refused_request_is_not_a_bad_envelope(connect, encoding):
    client = connect(encoding)
    for _ in range(40):
        client.refused({"op": "pub", "topic": "+", "data": 1}, 400)
        client.refused({"op": "sub", "topics": ["#x"]}, 400)
    assert client.ok({"op": "ping"})


COUNTED = {
    "json": [b"{", b"", b'{"op":"ping"} x', b"5", b"[]", b'{"op":"ping","op":"ping"}', b"[5]",
             b'{"op":"ping","x":1e400}', b'{"op":"ping","x":"\\ud800"}'],
    "msgpack": [b"\xc1", b"", b"\x81\xa2op\xa4ping\xc0", b"\x05", b"\x90", b"\x91\x05",
                b"\x82\xa2op\xa4ping\xa2op\xa4ping", b"\x82\xa2op\xa4ping\xa1x\xd4\x01x"],
}


def test_each_kind_of_bad_envelope_counts(connect, encoding):
    for bad in COUNTED[encoding]:
        client = connect(encoding)
        for _ in range(15):
            client.send_payload(bad)
            client.error(400)
        client.send_payload(bad)
        assert client.wait_closed() == 4400, bad


@pytest.mark.parametrize("request_", [
    {"op": "nonsense"}, {"op": 5}, {"op": "sub", "topics": "t"}, {"op": "sub", "topics": ["a#"]},
    {"op": "pub", "topic": "t"}, {"op": "pub", "topic": "t", "b64": "!"}, {"op": "ping", "id": -1},
    {"op": "pub", "topic": "$x", "data": 1},
], ids=str)
def test_an_envelope_that_was_read_well_does_not_count(connect, encoding, request_):
    client = connect(encoding)
    for _ in range(20):
        client.send(request_)
        assert client.next()["op"] == "error"
    assert client.ok({"op": "ping"})


def test_bad_data_does_not_count(connect, encoding):
    bad = {"json": b'{"op":"pub","topic":"t","data":1e400}',
           "msgpack": b"\x83\xa2op\xa3pub\xa5topic\xa1t\xa4data\xd4\x01x"}[encoding]
    client = connect(encoding)
    for _ in range(20):
        client.send_payload(bad)
        client.error(400)
    assert client.ok({"op": "ping"})


def test_what_was_sent_before_a_bad_envelope_holds(connect, encoding, topic):
    client, publisher = connect(encoding), connect("json")
    client.sub(topic, f"end/{topic}")
    client.send_payload(b"\xc1" if encoding == "msgpack" else b"{")
    client.error(400)
    publisher.pub(topic, 1)
    assert len(everything_since(publisher, client, f"end/{topic}")) == 1


@pytest.mark.parametrize("key", ["op", "id", "topic", "data", "unknown"])
def test_a_duplicate_key_of_the_envelope_is_refused(connect, topic, key):
    client = connect("json")
    value = {"op": b'"pub"', "id": b"1", "topic": b'"t"', "data": b"1", "unknown": b"1"}[key]
    client.send_payload(b'{"op":"pub","topic":"%s","data":1,"id":1,"unknown":1,"%s":%s}'
                        % (topic.encode(), key.encode(), value))
    envelope = client.next()
    if key == "unknown":  # unknown keys are ignored: a broker may not remember their names
        assert envelope["op"] in ("ok", "error")
    else:
        assert (envelope["op"], envelope["code"]) == ("error", 400)


def test_a_duplicate_key_of_a_messagepack_envelope_is_refused(connect):
    client = connect("msgpack")
    client.send_payload(b"\x82\xa2op\xa4ping\xa2op\xa4ping")
    client.error(400)
    client.send_payload(b"\x82\xa2op\xa4ping\xa2op\xa5other")
    client.error(400)


def test_a_key_that_is_escaped_differently_is_a_duplicate_all_the_same(connect):
    client = connect("json")
    client.send_payload(b'{"op":"ping","\\u006fp":"ping"}')
    client.error(400)


def test_a_messagepack_envelope_may_use_any_form_of_its_lengths(connect):
    client = connect("msgpack")
    for payload in (b"\x82\xa2op\xa4ping\xa2id\x01",
                    b"\xde\x00\x02\xa2op\xa4ping\xa2id\x01",
                    b"\xdf\x00\x00\x00\x02\xd9\x02op\xda\x00\x04ping\xdb\x00\x00\x00\x02id\xcc\x01",
                    b"\x82\xa2op\xa4ping\xa2id\xcf\x00\x00\x00\x00\x00\x00\x00\x01",
                    b"\x82\xa2op\xa4ping\xa2id\xd3\x00\x00\x00\x00\x00\x00\x00\x01",
                    b"\xdc\x00\x01\x82\xa2op\xa4ping\xa2id\xd0\x01"):
        client.send_payload(payload)
        assert client.next() == {"op": "ok", "id": 1}


def test_text_on_a_messagepack_connection_closes_with_1003(broker, raw):
    connection = raw(broker)
    connection.upgrade("fantail.v1.msgpack")
    connection.read_message()
    connection.send_frame(TEXT, b'{"op":"ping"}')
    assert connection.read_close()[0] == 1003
    connection.wait_gone()


@pytest.mark.parametrize("protocol", [None, "fantail.v1.json"])
def test_binary_on_a_json_connection_closes_with_1003(broker, raw, protocol):
    connection = raw(broker)
    connection.upgrade(protocol)
    connection.read_message()
    connection.send_frame(BINARY, encode("msgpack", {"op": "ping"}))
    assert connection.read_close()[0] == 1003
    connection.wait_gone()


@pytest.mark.parametrize("op", ["history", "presence", "auth"])
def test_an_op_that_is_not_served_yet_is_an_error_and_not_a_silence(connect, encoding, op):
    reply = connect(encoding).request({"op": op, "topic": "t", "token": "x", "last": 1})
    assert reply["op"] in ("ok", "error")
