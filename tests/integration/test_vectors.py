"""protocol/vectors, the rows that every client's tests read too, through the broker itself."""

import json
from pathlib import Path

import pytest

from support.client import Closed
from test_data import pub_json, pub_msgpack, reply_to

VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors"


def rows(file, key):
    """Returns the rows of a file; a run without them is a failure, not a skip."""
    found = json.loads((VECTORS / file).read_text(encoding="utf-8"))[key]
    assert len(found) > 20, (file, key)
    return found


def payload_of(row, key="input"):
    """Returns a row's bytes, from its text or its hexadecimal."""
    return row[key].encode() if key in row else bytes.fromhex(row[f"{key}_hex"])


def is_utf8(data):
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def test_each_value_of_json_becomes_these_bytes_of_messagepack(connect, topic):
    publisher, subscriber = connect("json"), connect("msgpack")
    subscriber.sub(topic)
    for row in rows("data.json", "from_json"):
        assert reply_to(publisher, pub_json(topic, row["json"].encode()))["op"] == "ok", row
        assert b"\xa4data" + bytes.fromhex(row["msgpack_hex"]) in subscriber.next_payload(), row


def test_each_value_of_messagepack_becomes_this_text_of_json(connect, topic):
    publisher, subscriber = connect("msgpack"), connect("json")
    subscriber.sub(topic)
    for row in rows("data.json", "from_msgpack"):
        data = bytes.fromhex(row["msgpack_hex"])
        assert reply_to(publisher, pub_msgpack(topic, data))["op"] == "ok", row
        text = f'"data":{row["json"]}' if "json" in row else f'"b64":"{row["b64"]}"'
        assert text.encode() in subscriber.next_payload(), row


def test_each_refused_value_is_refused(connect, topic):
    for row in rows("data.json", "refused"):
        client = connect(row["encoding"])
        data = payload_of(row)
        message = (pub_json if row["encoding"] == "json" else pub_msgpack)(topic, data)
        if row["encoding"] == "json" and not is_utf8(data):
            client.send_payload(message)
            assert client.wait_closed() == 1007, row
        else:
            assert reply_to(client, message)["code"] == 400, row
        client.socket.close()


def replies_to(client, count):
    """Returns so many replies, each as what a row's outcome says of it."""
    got = []
    for _ in range(count):
        reply = client.next()
        if reply["op"] == "error":
            got.append(("error", reply["code"], reply.get("id")))
        else:
            got.append((reply["op"], None, reply.get("id")))
    return got


def expected_of(outcome):
    """Returns the same of a row, whose envelopes are all pings."""
    if "error" in outcome:
        return "error", outcome["code"], outcome.get("id")
    id_ = outcome["envelope"].get("id")
    return "pong" if id_ is None else "ok", None, id_


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_each_message_has_its_outcome(connect, kind):
    checked = 0
    for row in rows("envelopes.json", "cases"):
        outcomes = row["outcome"]
        if row["encoding"] != kind or any(
                "envelope" in o and o["envelope"].get("op") != "ping" for o in outcomes):
            continue  # what good envelopes of other ops do is for the other files
        client = connect(kind)
        message = payload_of(row)
        client.send_payload(message)
        if kind == "json" and not is_utf8(message):
            assert client.wait_closed() == 1007, row
        else:
            try:
                assert replies_to(client, len(outcomes)) == list(map(expected_of, outcomes)), row
            except Closed as closed:
                raise AssertionError(f"{closed} after {row}") from None
            assert client.ok({"op": "ping"}) and not client.inbox, row
        client.socket.close()
        checked += 1
    assert checked > 50
