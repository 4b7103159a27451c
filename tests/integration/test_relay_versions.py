"""Nodes of two releases in one cluster, as deploy/upgrading.md says: what goes, and what is refused."""

import msgpack
import pytest

from support.broker import run
from support.wait import until

NEWER = "0123456789abcdef"  # an instance of a later release


def forge(redis, head, *entries):
    """Publishes a message on the channel of partition 0, to which t/… belongs."""
    payload = b"".join(msgpack.packb(part) for part in (head, *entries))
    assert redis.client().publish("fantail:{0}", payload) == 1


@pytest.fixture
def pair(redis, start_node, clients):
    """A node and a client of it that is subscribed."""
    node = start_node(redis.url, "n1")
    client = clients(node)
    client.sub("t/#")
    client.pub("t/1", "before")
    assert client.next_msg()["data"] == "before"
    return node, client


def test_what_a_later_release_adds_to_messages_is_skipped(redis, pair):
    node, client = pair
    forge(redis, [1, 2, NEWER, 2, "added", {"more": [1, 2]}],
          [0, "t/1", b'{"n":1}', 1_800_000_000_000, 0, 0, "added"],
          [0, "t/2", b'{"n":2}', 1_800_000_000_000, 0, 0])
    for topic, data in ("t/1", {"n": 1}), ("t/2", {"n": 2}):
        msg = client.next_msg()
        assert (msg["topic"], msg["data"]) == (topic, data)
    assert node.metric("fantail_relay_rejected_total") == 0


def test_a_message_of_another_relay_version_is_ignored_and_counted(redis, pair):
    node, client = pair
    forge(redis, [2, 2, NEWER, 1], [0, "t/1", b'"misunderstood"', 1_800_000_000_000, 0, 0])
    until(lambda: node.metric("fantail_relay_rejected_total", reason="version") == 1, "it is counted")
    client.pub("t/1", "after")
    assert client.next_msg()["data"] == "after"


def test_a_cluster_of_another_relay_version_is_not_joined(redis):
    theirs = "2 partitions=16 hash_levels=2 server=1/1"
    redis.client().set("fantail:settings", theirs)
    ended = run("--node", "n1", "--listen", "127.0.0.1:0", "--redis", redis.url)
    assert ended.returncode == 1 and "ready at" not in ended.stdout
    assert "the cluster has other settings" in ended.stderr and theirs in ended.stderr
    assert redis.client().keys() == [b"fantail:settings"]
