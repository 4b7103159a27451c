"""data from test suites that nobody of this project wrote, each case as a publication."""

import json
import math

import msgpack
import pytest

from support.broker import Broker
from support.client import Closed, b64, decode
from support.suites import json_cases, msgpack_cases, topic_cases, utf8_cases
from test_data import pub_json, pub_msgpack, reply_to


@pytest.fixture(scope="module")
def wide_broker():
    """A broker that takes the suites' largest file."""
    broker = Broker(settings={"limits.message": 1 << 20})
    yield broker
    broker.stop()


def outcome(client, topic, data):
    """Publishes the text of a value and says "ok", the code of the error, or of the close."""
    client.send_payload(pub_json(topic, data))
    try:
        reply = client.take_where(lambda e: e["op"] in ("ok", "error"))
    except Closed as closed:
        return closed.code
    return "ok" if reply["op"] == "ok" else reply["code"]


def is_utf8(data):
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def test_all_that_is_json_is_accepted_and_passed_on_byte_by_byte(wide_broker, clients, topic):
    client = clients(wide_broker, "json")
    client.sub(topic)
    for file in json_cases("y"):
        data = file.read_bytes()
        assert outcome(client, topic, data) == "ok", file.name
        payload = client.next_payload()
        assert b'"data":' + data.strip(b" \t\r\n") in payload, file.name


def test_all_that_is_json_can_be_read_in_messagepack(wide_broker, clients, topic):
    publisher, subscriber = clients(wide_broker, "json"), clients(wide_broker, "msgpack")
    subscriber.sub(topic)
    for file in json_cases("y"):
        data = file.read_bytes()
        assert outcome(publisher, topic, data) == "ok", file.name
        assert subscriber.next_msg()["data"] == json.loads(data), file.name


def test_all_that_is_not_json_is_refused(wide_broker, clients, topic):
    for file in json_cases("n"):
        data = file.read_bytes()
        client = clients(wide_broker, "json")
        client.sub(topic)
        assert outcome(client, topic, data) == (400 if is_utf8(data) else 1007), file.name
        client.socket.close()
    wide_broker.check_running()


def test_what_the_standard_leaves_open_is_decided_by_our_rules(wide_broker, clients, topic):
    for file in json_cases("i"):
        data = file.read_bytes()
        client = clients(wide_broker, "json")
        got = outcome(client, topic, data)
        if not is_utf8(data):
            assert got == 1007, file.name
        elif "surrogate" in file.name or "nested" in file.name or "BOM" in file.name:
            assert got == 400, file.name
        elif file.name.startswith("i_number"):
            value = json.loads(data)[0]
            finite = math.isfinite(float(value)) if abs(value) < 10**308 else False
            assert got == ("ok" if finite else 400), file.name
        client.socket.close()
    wide_broker.check_running()


def test_each_encoding_of_a_messagepack_value_reads_alike(connect, topic):
    publisher, in_json, in_msgpack = connect("msgpack"), connect("json"), connect("msgpack")
    in_json.sub(topic)
    in_msgpack.sub(topic)
    seen = 0
    for name, kind, _, encodings in msgpack_cases():
        if kind in ("ext", "timestamp"):
            continue
        value = msgpack.unpackb(encodings[0])
        for encoded in encodings:
            assert reply_to(publisher, pub_msgpack(topic, encoded))["op"] == "ok", (name, encoded)
            assert in_msgpack.next_msg()["data"] == value, (name, encoded)
            message = in_json.next_msg()
            if kind == "binary":
                assert message["b64"] == b64(value), (name, encoded)
            else:
                assert message["data"] == value, (name, encoded)
            seen += 1
    assert seen > 150


def test_each_ext_of_the_suite_is_refused(connect, topic):
    client = connect("msgpack")
    seen = 0
    for name, kind, _, encodings in msgpack_cases():
        if kind not in ("ext", "timestamp"):
            continue
        for encoded in encodings:
            assert reply_to(client, pub_msgpack(topic, encoded))["code"] == 400, (name, encoded)
            seen += 1
    assert seen > 10


def test_each_encoding_that_is_cut_short_is_refused(connect, topic):
    seen = 0
    for name, _, _, encodings in msgpack_cases():
        client = connect("msgpack")
        for encoded in encodings[-2:]:
            for n in {0, len(encoded) // 2, len(encoded) - 1}:
                client.send_payload(pub_msgpack(topic, encoded[:n]))
                try:
                    reply = client.take_where(lambda e: e["op"] in ("ok", "error"))
                except Closed as closed:  # the 16th in a row
                    assert closed.code == 4400
                    client = connect("msgpack")
                    continue
                assert reply["code"] == 400, (name, encoded, n)
                seen += 1
        client.socket.close()
    assert seen > 200


def test_a_messagepack_string_must_be_utf8(connect, topic):
    client = connect("msgpack")
    client.sub(topic)
    seen = 0
    for name, valid, text in utf8_cases():
        reply = reply_to(client, pub_msgpack(topic, b"\xda" + len(text).to_bytes(2, "big") + text))
        seen += 1
        if valid:
            assert reply["op"] == "ok", (name, text)
            assert client.next_msg()["data"] == text.decode()
        else:
            assert reply["code"] == 400, (name, text)
            client.socket.close()
            client = connect("msgpack")
            client.sub(topic)
    assert seen > 200


def test_a_topic_must_be_utf8_without_control_characters(connect):
    seen = 0
    for name, valid, text in utf8_cases():
        client = connect("msgpack")
        head = b"\x84\xa2op\xa3pub\xa4data\x01\xa2id\x01\xa5topic\xda"
        reply = reply_to(client, head + len(text).to_bytes(2, "big") + text)
        plain = all(c > 0x1F and c not in b"\x7f#+" for c in text)
        right = valid and plain and 0 < len(text) < 256 and text.count(b"/") < 32
        if right and not text.startswith(b"$"):
            assert reply["op"] == "ok", (name, text)
        else:
            assert reply["code"] in (400, 403), (name, text)
        client.socket.close()
        seen += 1
    assert seen > 200


def within_limits(text):
    return 0 < len(text.encode()) <= 255 and text.count("/") < 32


@pytest.mark.deadline(120)
def test_every_row_of_the_topic_table_holds(connect):
    publisher, subscriber = connect("json"), connect("msgpack")
    subscriber.sub("end/of/row")
    checked = 0
    for pattern, name, expected in topic_cases():
        if expected == "INVALID_FILTER" or not within_limits(pattern):
            subscriber.refused({"op": "sub", "topics": [pattern]}, 400)
        elif expected == "INVALID_TOPIC" or not within_limits(name):
            publisher.refused({"op": "pub", "topic": name, "data": 1}, 400)
        elif name.startswith("$"):
            publisher.refused({"op": "pub", "topic": name, "data": 1}, 403)
        else:
            subscriber.sub(pattern)
            publisher.pub(name, 1)
            publisher.pub("end/of/row", "end")
            got = subscriber.next_msg()
            reached = got["data"] != "end"
            if reached:
                subscriber.next_msg()
            assert reached == (expected == "1"), (pattern, name)
            subscriber.unsub(pattern)
            subscriber.sub("end/of/row")
        checked += 1
    assert checked > 170


def test_what_the_broker_sends_can_be_read_by_foreign_decoders(connect, topic):
    for kind in ("json", "msgpack"):
        client = connect(kind)
        client.sub(topic)
        client.pub(topic, {"k": [1, 2.5, "x", None, True]})
        payload = client.next_payload()
        assert decode(kind, payload)["op"] == "msg"
