"""A user of Redis with the rights that deploy/redis.md gives it, and no others."""

import pathlib
import re

import pytest

from support.client import Client
from support.cluster import Node
from support.rules import with_rules
from support.wait import until

MANUAL = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "redis.md"
RULES = {"room/#": {"presence": "yes"}, "kept/#": {"history": "3"}, "now/#": {"ephemeral": "yes"}}


def rights():
    """The words behind ACL SETUSER, as the manual has them."""
    return re.search(r"ACL SETUSER (.*)", MANUAL.read_text())[1].split()


@pytest.mark.parametrize("database", [0, 1])
def test_the_rights_in_the_manual_are_enough(redis, tmp_path, database):
    words = rights()
    if database:
        words = [word.replace("&fantail:", f"&fantail@{database}:") for word in words]
    client = redis.client()
    client.execute_command("ACL", "SETUSER", *words)
    url = f"redis://fantail:secret@127.0.0.1:{redis.port}/{database}"
    nodes = [Node(url, name, args=with_rules(tmp_path, RULES)) for name in ("a", "b")]
    try:
        use(nodes)
        client.flushall()  # everything begins anew, by the same rights
        use(nodes)
    finally:
        for each in nodes:
            each.stop()
    denied = client.execute_command("ACL", "LOG")
    assert denied == [], denied


def use(nodes):
    """Does a bit of everything that needs Redis."""
    a, b = nodes
    for each in nodes:
        each.wait_ready()
    with Client(a.address) as publisher, Client(b.address) as subscriber:
        subscriber.sub("#", "room/1")
        for number in range(4):
            assert publisher.pub("kept/1", number)
        publisher.pub("last/1", 1, retain=True, ttl=600)
        publisher.pub("last/1", None, retain=True)
        publisher.pub("keyed/1", 1, key="k")
        publisher.ok({"op": "pub", "topic": "now/1", "data": "now"})
        subscriber.take_where(lambda e: e.get("data") == "now")
        until(lambda: publisher.ok({"op": "presence", "topic": "room/1"})["count"] == 1, "present")
        until(lambda: [node["name"] for node in a.get("/v1/nodes")[1]["nodes"]] == ["a", "b"], "listed")
    until(lambda: a.get("/v1/presence?topic=room/1")[1]["count"] == 0, "gone")
