"""data: every kind of value, in both encodings and across them, and what cannot be read in both."""

import base64
import json
import math
import struct

import msgpack
import pytest

from support.client import b64, encode

KINDS = ["json", "msgpack"]
VALUES = [
    None, True, False, 0, 1, -1, 127, 128, -32, -33, -128, -129, 255, 256, 65535, 65536, -32769,
    2**31, 2**32, -2**31 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -2**63,
    0.0, 0.5, -1.5, 0.1, 1e300, 5e-324, 1.7976931348623157e308, 3.141592653589793, 1e21, 1e-7,
    "", "a", "ä", "日本", "😀", "\x00", "\x1f\x7f", "\n\t\r\b\f", '"\\/', "\u2028\u2029", "\ufeff",
    "\uffff", "\U0010ffff", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 40000,
    [], [1], [1, "a", None, [True]], list(range(15)), list(range(16)), list(range(5000)),
    {}, {"a": 1}, {"": ""}, {"a": {"b": [{"c": None}]}}, {"é": "é", "op": "pub", "topic": "x"},
    {str(n): n for n in range(15)}, {str(n): n for n in range(16)}, {str(n): n for n in range(900)},
]
NUMBER_TEXTS = [
    "0", "-0", "0.0", "-0.0", "1", "1.0", "1.10", "1e2", "1E2", "1e+2", "1E+02", "1e-2", "0e0",
    "0.1e1", "1.000000000000000000000000000001", "123456789012345678901234567890", "-1e-400",
    "3.14159265358979323846264338327950288", "18446744073709551615", "18446744073709551616",
    "-9223372036854775808", "-9223372036854775809", "1e308", "1e-308", "1e-999999999", "1" * 300,
    "9007199254740993", "4.9e-324", "0." + "0" * 400 + "1",
]


def short(text):
    """Names a case after what it begins with."""
    return repr(text[:24])


@pytest.fixture
def pair(connect, topic):
    """Connects a publisher and a subscriber of one topic, of the kinds that are asked for."""
    def begin(publishing, subscribing):
        publisher, subscriber = connect(publishing), connect(subscribing)
        subscriber.sub(topic)
        return publisher, subscriber
    return begin


def nested(depth, leaf=None):
    """Returns a value that is `depth` deep: [[]] is 2."""
    value = [] if leaf is None else [leaf]
    for n in range(depth - 1):
        value = {"n": value} if n % 2 else [value]
    return value


def pub_json(topic, data):
    """Builds a `pub` around the text of a JSON value, with an id."""
    return b'{"op":"pub","id":"p","topic":"%s","data":%s}' % (topic.encode(), data)


def pub_msgpack(topic, data):
    """Builds a `pub` around the bytes of a MessagePack value, with an id."""
    head = {"op": "pub", "id": "p", "topic": topic}
    return b"\x84" + encode("msgpack", head)[1:] + b"\xa4data" + data


def reply_to(client, payload):
    client.send_payload(payload)
    return client.take_where(lambda e: e["op"] in ("ok", "error"))


@pytest.mark.parametrize("subscribing", KINDS)
@pytest.mark.parametrize("publishing", KINDS)
def test_every_kind_of_value_arrives_as_it_was(pair, topic, publishing, subscribing):
    publisher, subscriber = pair(publishing, subscribing)
    for value in VALUES:
        publisher.pub(topic, value)
        message = subscriber.next_msg()
        assert message["data"] == value
        if not isinstance(value, float):
            assert type(message["data"]) is type(value)
        assert "b64" not in message


@pytest.mark.parametrize("publishing", KINDS)
def test_floats_stay_floats_in_messagepack(pair, topic, publishing):
    publisher, subscriber = pair(publishing, "msgpack")
    for value in (0.5, -1.5, 0.1, 1e300, 5e-324, 1e21, -0.0, 1.0):
        publisher.pub(topic, value)
        data = subscriber.next_msg()["data"]
        assert struct.pack("!d", data) == struct.pack("!d", value) and type(data) is float


@pytest.mark.parametrize("text", NUMBER_TEXTS, ids=short)
def test_the_text_of_a_number_is_not_altered_between_json_clients(pair, topic, text):
    publisher, subscriber = pair("json", "json")
    for data in (text, f'[{text},{{"n":{text}}}]'):
        assert reply_to(publisher, pub_json(topic, data.encode()))["op"] == "ok"
        assert f'"data":{data}'.encode() in subscriber.next_payload()


@pytest.mark.parametrize("text", NUMBER_TEXTS, ids=short)
def test_a_number_in_messagepack_is_an_integer_of_64_bits_or_a_float(pair, topic, text):
    publisher, subscriber = pair("json", "msgpack")
    assert reply_to(publisher, pub_json(topic, text.encode()))["op"] == "ok"
    data = subscriber.next_msg()["data"]
    if any(c in text for c in ".eE") or not -2**63 <= int(text) < 2**64:
        assert type(data) is float and data == float(text)
    else:
        assert data == int(text)
        assert type(data) is int or text == "-0"


@pytest.mark.parametrize("text", [
    ' { "b" : 1 ,\t"a" : [ 1 , 2 ] } ', '{"a":1,"a":2,"a":3}', '[1,\n\n2]',
    '"\\u00e9\\/\\ud83d\\ude00"',
    '{"\\u0061":1,"a":2}', '"\x7f"', '[ ]', '{ }', '"é"', '{"z":0,"y":0,"x":0}', '"\\u0000"',
    '"<script>&amp;"', '"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"\u2028"', "  null\r\n",
])
def test_data_passes_between_json_clients_byte_by_byte(pair, topic, text):
    publisher, subscriber = pair("json", "json")
    assert reply_to(publisher, pub_json(topic, text.encode()))["op"] == "ok"
    payload = subscriber.next_payload()
    assert b'"data":' + text.strip().encode() in payload.replace(b'"data": ', b'"data":')
    assert json.loads(payload)["op"] == "msg"


def test_of_duplicate_keys_the_last_one_wins_in_messagepack(pair, topic):
    publisher, subscriber = pair("json", "msgpack")
    assert reply_to(publisher, pub_json(topic, b'{"a":1,"b":2,"\\u0061":3}'))["op"] == "ok"
    payload = subscriber.next_payload()
    assert msgpack.unpackb(payload)["data"] == {"a": 3, "b": 2}
    assert payload.count(b"\xa1a") == 1


@pytest.mark.parametrize("text", [
    b"1e400", b"-1e400", b"1" + b"0" * 400, b"NaN", b"Infinity", b"-Infinity", b"+1", b".5", b"1.",
    b"01", b"-", b"0x10", b"'a'", b"undefined", b"[1,]", b"[,1]", b'{"a":1,}', b"{1:2}", b'{"a"}',
    b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\ud800"', b'"\\ud800x"', b'"\\udc00\\ud800"',
    b'{"\\ud800":1}', b'"\\u12"', b'"\\x41"', b'"\n"', b'"\x00"', b'"\x1f"', b"tru", b"nulll",
    b"[1 2]", b"", b"/*x*/1", b"[1]]", b"1 1", b'["\\udfff"]', b'[[[1e999]]]',
], ids=short)
def test_json_that_cannot_be_read_in_both_encodings_is_refused(connect, topic, text):
    client = connect("json")
    client.sub(topic)
    assert reply_to(client, pub_json(topic, text))["code"] == 400
    assert client.ok({"op": "ping"}) and not client.inbox


@pytest.mark.parametrize("data", [
    b"\xd4\x01x", b"\xd5\x01xx", b"\xd6\xff\x00\x00\x00\x00", b"\xd7\x01" + b"x" * 8,
    b"\xd8\x01" + b"x" * 16, b"\xc7\x01\x05x", b"\xc8\x00\x01\x05x", b"\xc9\x00\x00\x00\x01\x05x",
    b"\x91\xd4\x01x", b"\x81\xa1a\xd4\x01x", b"\x81\x01\x01", b"\x81\xc0\x01", b"\x81\xc4\x01a\x01",
    b"\x81\x91\x01\x01", b"\x81\xc3\x01", b"\x91\x81\x01\x01", b"\xc1", b"\xa1\xff",
    b"\xa2\xc3\x28",
    b"\xa3\xed\xa0\x80", b"\xa2\xc0\x80", b"\x81\xa1\xff\x01", b"\x91\xa1\x80",
    b"\xcb" + struct.pack("!d", math.nan), b"\xcb" + struct.pack("!d", math.inf),
    b"\xcb" + struct.pack("!d", -math.inf), b"\xca" + struct.pack("!f", math.nan),
    b"\xca" + struct.pack("!f", math.inf), b"\x91\xcb" + struct.pack("!d", math.nan),
    b"\x92\x01", b"\x82\xa1a\x01", b"\xa5abc", b"\xc4\x05abc", b"\x01\x01", b"",
    b"\xdd\x7f\xff\xff\xff", b"\xdf\x7f\xff\xff\xff\xa1a", b"\xdb\x00\x01\x00\x00x",
], ids=bytes.hex)
def test_messagepack_that_cannot_be_read_in_both_encodings_is_refused(connect, topic, data):
    client = connect("msgpack")
    client.sub(topic)
    assert reply_to(client, pub_msgpack(topic, data))["code"] == 400
    assert client.ok({"op": "ping"}) and not client.inbox


@pytest.mark.parametrize("leaf", [None, 1], ids=["empty", "filled"])
@pytest.mark.parametrize("subscribing", KINDS)
@pytest.mark.parametrize("publishing", KINDS)
def test_nesting_is_taken_to_32_and_refused_at_33(pair, topic, publishing, subscribing, leaf):
    publisher, subscriber = pair(publishing, subscribing)
    publisher.pub(topic, nested(32, leaf))
    assert subscriber.next_msg()["data"] == nested(32, leaf)
    message = publisher.refused({"op": "pub", "topic": topic, "data": nested(33, leaf)}, 400)
    assert "32" in message
    publisher.pub(topic, "after")
    assert subscriber.next_msg()["data"] == "after"


def test_nesting_of_thousands_is_refused_like_any_other(connect, topic):
    assert reply_to(connect("json"), pub_json(topic, b"[" * 20000 + b"]" * 20000))["code"] == 400
    assert reply_to(connect("json"), pub_json(topic, b"[" * 50000))["code"] == 400
    assert reply_to(connect("json"), pub_json(topic, b'{"a":' * 9000))["code"] == 400
    for data in (b"\x91" * 50000 + b"\xc0", b"\x91" * 50000):
        assert reply_to(connect("msgpack"), pub_msgpack(topic, data))["code"] == 400


def test_nesting_of_an_unknown_key_is_bounded_too(connect):
    client = connect("json")
    client.send_payload(b'{"op":"ping","id":1,"x":' + b"[" * 30000 + b"]" * 30000 + b"}")
    assert client.next()["op"] in ("ok", "error")
    client = connect("msgpack")
    client.send_payload(b"\x83\xa2op\xa4ping\xa2id\x01\xa1x" + b"\x91" * 60000 + b"\xc0")
    assert client.next()["op"] in ("ok", "error")


# -- bytes

SAMPLES = [b"", b"\x00", b"a", b"ab", b"abc", b"\xff\xfe", bytes(range(256)), b"x" * 255,
           b"x" * 256, b"\x80" * 40000]


@pytest.mark.parametrize("publishing", KINDS)
def test_bytes_are_bin_in_messagepack_and_b64_in_json(connect, topic, publishing):
    publisher, in_json, in_msgpack = connect(publishing), connect("json"), connect("msgpack")
    in_json.sub(topic)
    in_msgpack.sub(topic)
    for sample in SAMPLES:
        if publishing == "json":
            publisher.ok({"op": "pub", "topic": topic, "b64": b64(sample)})
        else:
            publisher.pub(topic, sample)
        message = in_json.next_msg()
        assert message["b64"] == b64(sample) and "data" not in message
        message = in_msgpack.next_msg()
        assert message["data"] == sample and type(message["data"]) is bytes
        assert "b64" not in message


def test_a_messagepack_publisher_may_send_b64_as_well(connect, topic):
    client = connect("msgpack")
    client.sub(topic)
    client.send({"op": "pub", "topic": topic, "b64": b64(b"\x00\xff")})
    assert client.next_msg()["data"] == b"\x00\xff"


def test_nested_bytes_are_a_base64_string_in_json(pair, topic):
    publisher, subscriber = pair("msgpack", "json")
    for sample in SAMPLES:
        publisher.pub(topic, {"a": [sample, 1], "b": "text"})
        message = subscriber.next_msg()
        assert message["data"] == {"a": [b64(sample), 1], "b": "text"}


def test_nested_bytes_stay_bytes_between_messagepack_clients(pair, topic):
    publisher, subscriber = pair("msgpack", "msgpack")
    publisher.pub(topic, [b"\x00\xff", {"b": b""}])
    assert subscriber.next_msg()["data"] == [b"\x00\xff", {"b": b""}]


@pytest.mark.parametrize("wrong", [
    "a", "ab", "abc", "YQ", "YQ=", "YQ===", "YQ==YQ==", "Y Q=", "YQ==\n", "!!!!", "_-8=", "YR==",
    "YWJjZB==", "=", "====", "é", "YQ=a", 5, None, True, ["YQ=="], {"a": "YQ=="},
], ids=repr)
def test_b64_must_be_canonical_base64(connect, encoding, topic, wrong):
    client = connect(encoding)
    client.refused({"op": "pub", "topic": topic, "b64": wrong}, 400)


def test_b64_may_be_written_with_escapes(connect, topic):
    client = connect("json")
    client.sub(topic)
    client.send_payload(b'{"op":"pub","topic":"%s","b64":"\\u002f\\/8\\u003d"}' % topic.encode())
    assert base64.b64decode(client.next_msg()["b64"]) == b"\xff\xff"


def test_a_pub_with_neither_data_nor_b64_is_refused(connect, encoding, topic):
    client = connect(encoding)
    assert "data" in client.refused({"op": "pub", "topic": topic}, 400)
    client.send({"op": "pub", "topic": topic})
    client.error(400)


def test_null_is_a_value(connect, topic):
    subscribers = [connect(kind) for kind in KINDS]
    for each in subscribers:
        each.sub(topic)
    for kind in KINDS:
        connect(kind).ok({"op": "pub", "topic": topic, "data": None})
    for each in subscribers:
        for _ in KINDS:
            message = each.next_msg()
            assert "data" in message and message["data"] is None


# -- what MessagePack can say in several ways

@pytest.mark.parametrize("data, value", [
    (b"\xca" + struct.pack("!f", 0.5), 0.5), (b"\xca" + struct.pack("!f", 16777216.0), 16777216),
    (b"\xcb" + struct.pack("!d", 3.0), 3), (b"\xcf" + b"\xff" * 8, 2**64 - 1),
    (b"\xd3\x80" + b"\x00" * 7, -2**63), (b"\xcc\x05", 5), (b"\xd3" + b"\xff" * 8, -1),
    (b"\xd9\x01a", "a"), (b"\xda\x00\x01a", "a"), (b"\xdb\x00\x00\x00\x01a", "a"),
    (b"\xdc\x00\x01\x05", [5]), (b"\xdd\x00\x00\x00\x01\x05", [5]),
    (b"\xde\x00\x01\xa1a\x05", {"a": 5}), (b"\xdf\x00\x00\x00\x01\xd9\x01a\x05", {"a": 5}),
    (b"\xe0", -32), (b"\x7f", 127), (b"\xd0\x80", -128), (b"\xd1\x80\x00", -32768),
], ids=repr)
def test_every_form_of_a_value_reads_alike_on_both_sides(connect, topic, data, value):
    publisher, in_json, in_msgpack = connect("msgpack"), connect("json"), connect("msgpack")
    in_json.sub(topic)
    in_msgpack.sub(topic)
    assert reply_to(publisher, pub_msgpack(topic, data))["op"] == "ok"
    assert in_json.next_msg()["data"] == value
    assert in_msgpack.next_msg()["data"] == value


def test_floats_cross_to_json_and_back_without_loss(pair, topic):
    publisher, subscriber = pair("msgpack", "json")
    bits = [1, 2**52, 0x7FEFFFFFFFFFFFFF, 0x3FB999999999999A, 0x4340000000000001]
    bits += [(n * 0x9E3779B97F4A7C15) % 2**64 for n in range(1, 400)]
    for pattern in bits:
        value = struct.unpack("!d", struct.pack("!Q", pattern))[0]
        if not math.isfinite(value):
            continue
        publisher.pub(topic, value)
        assert float(subscriber.next_msg()["data"]) == value
