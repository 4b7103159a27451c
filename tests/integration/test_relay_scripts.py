"""What the scripts do inside a real Redis: numbers without holes, keys, last values, histories, bounds."""

import random
import re

import msgpack
import pytest
from redis.exceptions import ResponseError

from support.redis import Redis
from support.scripts import (PREFIX, Partition, cleared, entry, historic, keyed, parse, plain, retained,
                             text_of)
from support.wait import until

STREAM = "0adnew2345"


@pytest.fixture(scope="module")
def server():
    """One Redis for all tests of this file."""
    server = Redis()
    yield server
    server.close()


@pytest.fixture
def client(server):
    """A client of an empty Redis."""
    client = server.client()
    client.flushall()
    client.config_set("maxmemory", 0)
    return client


@pytest.fixture
def partition(client):
    """A partition in which nothing was published."""
    return Partition(client)


@pytest.fixture
def heard(client, partition):
    """Returns what was published on the partition's channel, in order, up to now."""
    channel = client.pubsub()
    channel.subscribe(partition.name, "barrier")

    def read():
        client.publish("barrier", "")
        payloads = []
        while True:
            message = channel.get_message(timeout=5)
            assert message, "the barrier did not come"
            if message["type"] != "message":
                continue
            if message["channel"] == b"barrier":
                return payloads
            payloads.append(message["data"])

    yield read
    channel.close()


def test_offsets_have_no_holes_and_the_channel_says_what_the_stream_has(client, partition, heard):
    rng, written, offset = random.Random(1), [], 1
    for _ in range(200):
        parts, expected = [], []
        for _ in range(rng.randint(1, 4)):
            expected.append(offset)
            data = [b"%d" % (offset + i) for i in range(rng.choice([1, 1, 5, 64]))]
            if rng.random() < 0.5:
                parts.append(plain(*[entry("a/b", d) for d in data]))
            else:
                data = data[:1]
                parts.append(rng.choice([retained, lambda t, d: keyed(t, f"k{d}", d),
                                         lambda t, d: historic(t, d, 3)])("a/c", data[0]))
            written += data
            offset += len(data)
        name, ms, results = partition.publish(*parts)
        assert (name, results) == (STREAM, expected)
        assert partition.meta() == (STREAM, offset - 1, ms)
    assert partition.data() == written
    stored = [fields[b"m"] for _, fields in client.xrange(partition.keys[1])]
    assert len(stored) == 200 and heard() == stored


def test_a_run_of_plain_publications_is_one_message(partition):
    entries = [entry(f"t/{i}", b"%d" % i) for i in range(4096)]
    assert partition.publish(plain(*entries)) == (STREAM, partition.meta()[2], [1])
    message, = partition.log()
    assert (message.stream, message.first, message.count) == (STREAM, 1, 4096)
    assert [e.topic for e in message.entries] == [f"t/{i}" for i in range(4096)]
    with pytest.raises(ResponseError, match="more than 4096 publications"):
        partition.publish(plain(*entries), plain(entry("one/more")))
    assert partition.meta()[1] == 4096


def test_a_key_is_taken_once_in_a_batch_across_batches_and_across_streams(client, partition):
    _, _, results = partition.publish(plain(entry("a")), keyed("t", "k", b"1"), keyed("t", "k", b"2"),
                                      keyed("u", "k", b"3"), plain(entry("a"), entry("a")))
    assert results == [1, 2, f"{STREAM}.2", 3, 4]
    _, _, results = partition.publish(keyed("t", "k", b"4"), keyed("t", "other", b"5"))
    assert results == [f"{STREAM}.2", 6]
    assert partition.data() == [b"1", b"1", b"3", b"1", b"1", b"5"]
    assert 110 < client.ttl(partition.key("key:t\0k")) <= 120
    client.delete(partition.keys[0])
    name, _, results = partition.publish(keyed("t", "k"), plain(entry("a")), new="0adnext234")
    assert (name, results) == ("0adnext234", [f"{STREAM}.2", 1])


def test_a_key_with_any_bytes_is_itself(partition):
    keys = ["a:b", "a\0b", " ", "{3}", "ü\n", "x" * 128]
    parts = [keyed("t", key) for key in keys]
    assert partition.publish(*parts)[2] == [1, 2, 3, 4, 5, 6]
    assert partition.publish(*parts)[2] == [f"{STREAM}.{i}" for i in range(1, 7)]
    assert partition.publish(keyed("a", "b\0c"))[2] == [7]


def test_a_batch_of_duplicates_stores_and_says_nothing(client, partition, heard):
    partition.publish(keyed("t", "k"))
    before = {key: client.dump(key) for key in client.keys()}
    assert partition.publish(keyed("t", "k"), keyed("t", "k"))[2] == [f"{STREAM}.1"] * 2
    assert {key: client.dump(key) for key in client.keys()} == before
    assert len(heard()) == 1


def test_a_duplicate_changes_no_last_value(partition):
    partition.publish(retained("t", b"1", key="k"))
    partition.publish(retained("t", b"2", key="k"), plain(entry("x")))
    assert partition.last_values()["t"].entries[0].data == b"1"


def test_last_values_are_kept_replaced_and_cleared(client, partition):
    partition.publish(retained("a", b"1"), plain(entry("x")), retained("b", b"2"))
    values = partition.last_values()
    assert {t: (m.first, m.entries[0].data) for t, m in values.items()} == {
        "a": (1, b"1"), "b": (3, b"2")}
    _, ms, _ = partition.publish(retained("a", b"3"))
    assert partition.last_values()["a"] == parse(client.hget(partition.keys[2], "a"))
    assert partition.last_values()["a"][2:5] == (ms, 4, 1)
    partition.publish(cleared("a"), cleared("never"))
    assert set(partition.last_values()) == {"b"}
    partition.publish(retained("c"), cleared("c"), cleared("d"), retained("d", b"4"))
    assert set(partition.last_values()) == {"b", "d"}


def test_of_too_many_last_values_the_oldest_go(client, partition):
    for i in range(10):
        partition.publish(retained(f"t{i}", b"%d" % i), last_values=4)
        partition.publish(plain(entry("x")), last_values=4)
        client.zadd(partition.keys[3], {f"t{i}": i})  # apart by more than a millisecond
        client.hset(partition.keys[2], f"t{i}", client.hget(partition.keys[2], f"t{i}"))
    assert client.zrange(partition.keys[3], 0, -1) == [b"t6", b"t7", b"t8", b"t9"]
    assert set(client.hkeys(partition.keys[2])) == {b"t6", b"t7", b"t8", b"t9"}
    partition.publish(*[retained(f"u{i}") for i in range(10)], last_values=4)
    assert len(partition.last_values()) == 4


def test_last_values_that_expired_go_when_others_come(client, partition):
    partition.publish(retained("soon", ttl_ms=1), retained("later", ttl_ms=100000), retained("never"))
    assert set(partition.last_values()) == {"soon", "later", "never"}
    assert client.zcard(partition.key("lastx")) == 2
    seconds, microseconds = client.time()
    until(lambda: client.time() > (seconds, microseconds + 2000) or client.time()[0] > seconds, "2 ms")
    partition.publish(plain(entry("x")), retained("later"))
    assert set(partition.last_values()) == {"later", "never"}
    assert client.zcard(partition.key("lastx")) == 0
    partition.publish(retained("more", ttl_ms=100000), cleared("never"), retained("other"))
    partition.publish(cleared("more"))
    assert set(partition.last_values()) == {"later", "other"}
    assert not client.exists(partition.key("lastx"))


def test_histories_are_kept_to_their_length(partition):
    for i in range(10):
        partition.publish(historic("a", b"%d" % i, 4), historic("b", b"%d" % i, 2))
    kept = partition.histories()
    assert [m.entries[0].data for m in kept["a"]] == [b"6", b"7", b"8", b"9"]
    assert [m.first for m in kept["a"]] == [13, 15, 17, 19]
    assert [m.entries[0].data for m in kept["b"]] == [b"8", b"9"]
    partition.publish(historic("a", b"10", 2), retained("b", b"10", history=3), cleared("a", history=2))
    kept = partition.histories()
    assert [m.entries[0].data for m in kept["a"]] == [b"10", b"null"]
    assert [m.entries[0].data for m in kept["b"]] == [b"8", b"9", b"10"]


def test_of_too_many_histories_the_oldest_go(client, partition):
    for i in range(6):
        partition.publish(historic(f"t{i}", b"1", 2), histories=3)
        client.zadd(partition.keys[4], {f"t{i}": i})
    assert list(partition.histories()) == ["t3", "t4", "t5"]
    partition.publish(historic("t3", b"2", 2), historic("new", b"1", 2), histories=3)
    assert set(partition.histories()) == {"t3", "new", "t5"}


def test_the_log_is_cut_by_length_and_by_age(client, partition):
    for i in range(2000):
        partition.publish(plain(entry("t", b"%d" % i)), length=500)
    assert 500 <= client.xlen(partition.keys[1]) <= 600  # Redis cuts whole nodes of 100
    assert partition.data()[-1] == b"1999"
    # As if all of it had come long ago: the next one is of another second, and cuts what is too old.
    ms = partition.meta()[2]
    client.delete(partition.keys[1])
    for i in range(300):
        client.xadd(partition.keys[1], {"m": b"x"}, id=f"{ms - 600000 + i}-{i + 1}")
    client.hset(partition.keys[0], "t", ms - 5000)
    partition.publish(plain(entry("t")), age_ms=300000)
    assert client.xlen(partition.keys[1]) <= 101


def test_the_log_is_cut_by_its_bytes(client, partition):
    size = 1 << 20
    for length, count in ((100, 20000), (1000, 4000), (9000, 400)):
        data = b'"%s"' % (b"x" * length)
        for i in range(count // 10):
            partition.publish(*[plain(entry("t", data))] * 10, size=size)
            if i % 10 == 0:
                assert client.memory_usage(partition.keys[1], samples=0) < 1.5 * size
        kept = sum(len(fields[b"m"]) for _, fields in client.xrange(partition.keys[1]))
        assert 0.8 * size < kept < 1.2 * size
        assert len(client.hget(partition.keys[0], "c").split()) == 16
    head = partition.meta()[1]
    assert partition.publish(plain(entry("t")), new="0adnext234", seen=(STREAM, head + 1))[2] == [1]
    assert client.hmget(partition.keys[0], "z", "c") == [b"%d" % len(client.xrange(
        partition.keys[1])[0][1][b"m"]), b""]


def test_a_node_says_how_large_its_streams_may_be(redis, start, api):
    broker = start({"node": "n1", "relay.size": "16m", "relay.partitions": 16}, args=["--redis", redis.url])
    until(lambda: api(broker).request("/readyz").status == 200, "the node reaches Redis")
    publisher, size = api(broker), 1 << 20
    for _ in range(60):
        results = publisher.post("/v1/publish", [{"topic": "t", "data": "x" * 450}] * 100)["results"]
        assert all("pos" in result for result in results)
    client = redis.client()
    log, = client.keys(f"{PREFIX}:*:log")
    assert 0.8 * size < client.memory_usage(log, samples=0) < 1.5 * size


def test_time_never_goes_back(client, partition):
    partition.publish(plain(entry("t")))
    future = partition.meta()[2] + 10_000_000
    client.hset(partition.keys[0], "t", future)
    assert partition.publish(plain(entry("t")))[1:] == (future, [2])
    assert partition.publish(plain(entry("t")))[1:] == (future, [3])
    assert partition.join() == (STREAM, 3, future)
    assert [m.id for m in partition.log()][1:] == [f"{future}-2", f"{future}-3"]


def test_a_redis_that_lost_what_was_seen_begins_a_new_stream(client, partition):
    for _ in range(5):
        partition.publish(plain(entry("t")), retained("r"))
    assert partition.publish(plain(entry("t")), seen=(STREAM, 10))[2] == [11]
    assert partition.publish(plain(entry("t")), seen=("0adother23", 99))[2] == [12]
    name, ms, results = partition.publish(plain(entry("new")), new="0adnext234", seen=(STREAM, 13))
    assert (name, results) == ("0adnext234", [1])
    assert partition.meta() == ("0adnext234", 1, ms)
    assert [(m.stream, m.first) for m in partition.log()] == [("0adnext234", 1)]
    assert list(partition.last_values()) == ["r"]
    assert partition.publish(retained("r"), new="0adthird23", seen=("0adnext234", 2))[::2] == (
        "0adthird23", [1])
    assert partition.join() == ("0adthird23", 1, partition.meta()[2])


def test_joining_makes_a_stream_once_and_fences_too(client, partition):
    name, head, ms = partition.join()
    assert (name, head) == ("0adjoin234", 0) and ms > 0
    assert partition.join(new="0adother23") == ("0adjoin234", 0, ms)
    assert partition.publish(plain(entry("a"), entry("b")))[::2] == ("0adjoin234", [1])
    assert partition.join(seen=("0adjoin234", 2)) == ("0adjoin234", 2, partition.meta()[2])
    name, head, _ = partition.join(new="0adother23", seen=("0adjoin234", 3))
    assert (name, head) == ("0adother23", 0)
    assert not client.exists(partition.keys[1])


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "going_on"])
@pytest.mark.parametrize("key, part", [
    ("meta", plain(entry("t"))), ("log", plain(entry("t"))), ("last", retained("t")),
    ("lastz", retained("t")), ("topics", historic("t", b"1", 2)), ("lastx", retained("t", ttl_ms=5)),
    ("topic:t", historic("t", b"1", 2)), ("key:t\0k", keyed("t", "k")),
])
def test_a_key_of_somebody_else_is_named_and_nothing_is_done(client, partition, heard, key, part,
                                                               is_new):
    if not is_new:
        partition.join()
        client.delete(partition.key(key))
    others = part[:3] + ["k2"] + part[4:] if part[0] == "s" else part
    client.sadd(partition.key(key), "foreign")
    before = {k: client.dump(k) for k in client.keys()}
    with pytest.raises(ResponseError) as refused:
        partition.publish(keyed("t", "k1"), others, part)
    assert str(refused.value).startswith("WRONGTYPE ")
    assert partition.key(key).replace("\0", "\\0") in str(refused.value)
    assert {k: client.dump(k) for k in client.keys()} == before
    assert heard() == []


def test_joining_leaves_alone_what_is_somebody_elses(client, partition):
    client.set(partition.keys[1], "foreign")
    with pytest.raises(ResponseError, match=f"WRONGTYPE {re.escape(partition.keys[1])} is a string"):
        partition.join()
    assert client.keys() == [partition.keys[1].encode()]
    client.rename(partition.keys[1], partition.keys[0])
    with pytest.raises(ResponseError, match=f"WRONGTYPE {re.escape(partition.keys[0])} is a string"):
        partition.join()
    assert client.get(partition.keys[0]) == b"foreign"


def test_a_part_that_is_none_is_refused_whole(client, partition):
    with pytest.raises(ResponseError, match="no part begins at argument 14"):
        partition.publish(plain(entry("t")), ["x", 1, b""])
    assert client.keys() == []


def test_without_memory_nothing_is_done_and_the_reason_is_redis_own(client, partition):
    partition.publish(keyed("t", "k1"))
    before = {k: client.dump(k) for k in client.keys()}
    client.config_set("maxmemory", 1)
    for part in plain(entry("t")), keyed("t", "k2"), retained("t"):
        with pytest.raises(ResponseError, match="^OOM|command not allowed when used memory"):
            partition.publish(part)
    client.config_set("maxmemory", 0)
    assert {k: client.dump(k) for k in client.keys()} == before
    assert partition.publish(keyed("t", "k2"))[2] == [2]


def test_every_key_carries_its_partition(client):
    for number in 0, 7, 255:
        partition = Partition(client, number)
        partition.publish(retained("r", ttl_ms=1000, key="k", history=2), plain(entry("t")),
                          cleared("s"), new="0ab2345678")
        mine = {k for k in client.keys() if f"{{{number}}}".encode() in k}
        assert mine == {partition.key(k).encode() for k in (
            "meta", "log", "last", "lastz", "lastx", "topics", "topic:r", "key:r\0k")}
    assert len(client.keys()) == 24


def test_what_redis_keeps_is_bounded(server, client, partition):
    data = b'"%s"' % (b"x" * 500)

    def fill(rounds):
        for i in range(rounds):
            partition.publish(
                plain(*[entry("t", data)] * 10), retained(f"r{i}", data),
                retained(f"x{i}", data, ttl_ms=1), historic(f"h{i}", data, 3),
                length=100, last_values=50, histories=50)

    fill(400)
    before = server.memory()
    fill(1200)
    assert server.memory() < before + (1 << 20)
    assert len(partition.last_values()) <= 50 and len(partition.histories()) == 50


def test_a_stream_outlives_a_restart_with_aof(start_redis):
    redis = start_redis(aof=True)
    Partition(redis.client()).publish(plain(entry("a", b"1")), retained("r", key="k"))
    redis.restart()
    partition = Partition(redis.client())
    assert partition.publish(keyed("r", "k"), plain(entry("a", b"2")), seen=(STREAM, 2))[::2] == (
        STREAM, [f"{STREAM}.2", 3])
    assert partition.data() == [b"1", b"1", b"2"]
    redis.restart(empty=True)
    partition = Partition(redis.client())
    name, _, results = partition.publish(plain(entry("a")), new="0adnext234", seen=(STREAM, 3))
    assert (name, results) == ("0adnext234", [1])


INSTANCE, OTHER = "i" * 16, "j" * 16
LEASE, NODES, SETTINGS = f"{PREFIX}:node:n1", f"{PREFIX}:nodes", f"{PREFIX}:settings"


def run(client, script, keys, *args):
    """Runs a script by its name."""
    return client.eval(text_of(script), len(keys), *keys, *args)


def register(client, lease, replaceable="", settings="1 partitions=16"):
    """Runs register.lua."""
    return run(client, "register", [LEASE, SETTINGS], settings, lease, replaceable, 30000)


def leave(client, instance, settings=""):
    """Runs leave.lua."""
    return run(client, "leave", [LEASE, NODES, SETTINGS], instance, "n1", settings)


def test_a_name_belongs_to_one_instance(client):
    assert register(client, f"{INSTANCE} 0") == b"OK"
    assert register(client, f"{INSTANCE} 1") == b"OK"
    assert register(client, f"{OTHER} 0") == [b"held", f"{INSTANCE} 1".encode()]
    assert register(client, f"{OTHER} 0", replaceable=f"{INSTANCE} 0") == [
        b"held", f"{INSTANCE} 1".encode()]
    assert client.get(LEASE) == f"{INSTANCE} 1".encode() and 20000 < client.pttl(LEASE) <= 30000
    assert register(client, f"{OTHER} 0", replaceable=f"{INSTANCE} 1") == b"OK"
    assert register(client, f"{INSTANCE} 2") == [b"held", f"{OTHER} 0".encode()]


def test_a_cluster_has_the_settings_of_its_first_node(client):
    assert register(client, f"{INSTANCE} 0") == b"OK"
    assert client.get(SETTINGS) == b"1 partitions=16"
    assert register(client, f"{INSTANCE} 1", settings="1 partitions=8") == [
        b"settings", b"1 partitions=16"]
    assert client.get(LEASE) == f"{INSTANCE} 0".encode()


def test_a_name_is_given_back_by_its_instance_alone(client):
    register(client, f"{INSTANCE} 0")
    client.hset(NODES, "n1", "figures")
    assert leave(client, OTHER) == 0
    assert client.exists(LEASE, NODES) == 2
    assert leave(client, INSTANCE) == 1
    assert client.exists(LEASE, NODES) == 0
    assert leave(client, INSTANCE) == 1
    assert client.get(SETTINGS) == b"1 partitions=16"


def test_settings_by_which_nobody_has_served_go_with_their_node(client):
    register(client, f"{INSTANCE} 0")
    client.hset(NODES, mapping={"n1": "figures", "n2": "figures"})
    assert leave(client, INSTANCE, "1 partitions=16") == 1
    assert client.get(SETTINGS) == b"1 partitions=16", "there is a cluster"
    client.hdel(NODES, "n2")
    assert leave(client, INSTANCE, "1 partitions=8") == 1
    assert client.get(SETTINGS) == b"1 partitions=16", "they are of others"
    assert leave(client, INSTANCE, "1 partitions=16") == 1
    assert not client.exists(SETTINGS)


@pytest.mark.parametrize("value", ["", "foreign", f"{INSTANCE} 1\n", f"{INSTANCE} {'1' * 60}", "i" * 1000])
def test_what_is_no_lease_is_not_taken_for_one(client, value):
    client.set(LEASE, value)
    with pytest.raises(ResponseError, match=f"WRONGTYPE {LEASE} is not the lease of a node"):
        register(client, f"{OTHER} 0", replaceable=value)
    assert client.get(LEASE) == value.encode() and not client.exists(SETTINGS)


def beat(client, lease, number, *partitions, figures="figures"):
    """Runs beat.lua."""
    keys = [LEASE, NODES, *[f"{PREFIX}:{{{k}}}:meta" for k in partitions]]
    return run(client, "beat", keys, "own", lease, 30000, number, "n1", figures, *partitions)


def test_a_beat_tells_the_heads_behind_what_was_published(client, partition):
    channel = client.pubsub()
    channel.subscribe(partition.name, "own")
    partition.publish(plain(entry("t"), entry("t")))
    told = beat(client, f"{INSTANCE} 7", 7, 3, 4)
    messages = [m for m in iter(lambda: channel.get_message(timeout=1), None) if m["type"] == "message"]
    channel.close()
    assert [m["channel"] for m in messages] == [partition.name.encode(), b"own"]
    assert messages[1]["data"] == told
    assert msgpack.unpackb(told) == [1, 7, [[3, *partition.meta(), 0], [4, "", 0, 0, 0]]]
    assert client.get(LEASE) == f"{INSTANCE} 7".encode() and client.pttl(LEASE) > 20000
    assert client.hexists(NODES, "n1")


def test_a_beat_without_partitions_or_figures_is_a_beat(client):
    assert msgpack.unpackb(beat(client, f"{INSTANCE} 1", 2**40, figures="")) == [1, 2**40, []]
    assert not client.exists(NODES)


def test_an_instance_does_not_beat_for_another(client):
    register(client, f"{OTHER} 0")
    assert beat(client, f"{INSTANCE} 1", 1) == [b"held", f"{OTHER} 0".encode()]
    assert client.get(LEASE) == f"{OTHER} 0".encode() and not client.exists(NODES)


def test_a_full_redis_takes_names_and_beats(client, partition):
    partition.publish(plain(entry("t")))
    client.config_set("maxmemory", 1)
    assert register(client, f"{INSTANCE} 0") == b"OK"
    told = msgpack.unpackb(beat(client, f"{INSTANCE} 1", 1, 3))
    assert told == [1, 1, [[3, *partition.meta(), 0]]]
    assert client.get(LEASE) == f"{INSTANCE} 1".encode() and client.hexists(NODES, "n1")
    assert register(client, f"{INSTANCE} 2") == b"OK"
    assert register(client, f"{OTHER} 0") == [b"held", f"{INSTANCE} 2".encode()]
    client.config_set("maxmemory", 0)


def test_one_key_of_somebody_else_does_not_end_the_beats(client, partition):
    partition.publish(plain(entry("t")))
    client.set(f"{PREFIX}:{{4}}:meta", "foreign")
    client.set(NODES, "foreign")
    told = msgpack.unpackb(beat(client, f"{INSTANCE} 1", 1, 3, 4))
    assert told == [1, 1, [[3, *partition.meta(), 0], [4, "", 0, 0, 0]]]
    assert client.get(NODES) == b"foreign"


@pytest.mark.parametrize("key", [LEASE, SETTINGS])
def test_a_lease_or_settings_of_somebody_else_are_named(client, key):
    client.rpush(key, "foreign")
    with pytest.raises(ResponseError, match=f"WRONGTYPE {re.escape(key)} is a list"):
        register(client, f"{INSTANCE} 0")
    if key == LEASE:
        with pytest.raises(ResponseError, match=f"WRONGTYPE {re.escape(key)} "):
            beat(client, f"{INSTANCE} 0", 1)
    assert client.keys() == [key.encode()]


def life_of(client):
    """Names the life of Redis as a node does."""
    info = client.info("all")
    return info["run_id"][:16] + info["master_replid"][:16]


def lives_of(client, partition):
    """Returns what the heads of all messages say that they follow, and where their lives begin."""
    found = []
    for _, fields in client.xrange(partition.keys[1]):
        unpacker = msgpack.Unpacker()
        unpacker.feed(fields[b"m"])
        head = unpacker.unpack()
        found.append(tuple(head[6:]))
    return found


def test_each_life_of_redis_leaves_out_offsets_once(redis):
    client = redis.client()
    partition, life = Partition(client), life_of(client)
    name, _, results = partition.publish(plain(entry("a"), entry("b")), life=life)
    assert (name, results) == ("0adnew2345", [1])
    assert partition.publish(plain(entry("c")), life=life)[2] == [3]
    client.hset(partition.keys[0], "l", "another" + life[7:])
    _, _, [fourth] = partition.publish(plain(entry("d")), life=life, new="0adnew2346")
    assert 3 + (1 << 32) < fourth <= 4 + (1 << 32) + (1 << 36)
    assert partition.publish(plain(entry("e")), life=life)[2] == [fourth + 1]
    assert lives_of(client, partition) == [(), (), (3, fourth - 1), (fourth, fourth - 1)]
    # A replication id that has changed since the node read it is not another life of this Redis …
    assert partition.publish(plain(entry("f")), life=life[:16] + "0" * 16)[2] == [fourth + 2]
    # … and a node that does not know makes no difference.
    assert partition.publish(plain(entry("g")), life="")[2] == [fourth + 3]


def test_all_that_is_kept_says_where_its_life_begins(redis):
    client = redis.client()
    partition, life = Partition(client), life_of(client)
    partition.publish(plain(entry("a")), life=life)
    client.hset(partition.keys[0], "l", "another" + life[7:])
    parts = [keyed("k", "once"), retained("r", history=3)]
    name, _, [keyed_at, retained_at] = partition.publish(*parts, life=life)
    base = keyed_at - 1
    assert client.hget(partition.keys[0], "h") == f"1-{base}".encode()
    assert partition.publish(parts[0], life=life)[2] == [f"{name}.{keyed_at}.{base}"]
    for kept in (client.hget(partition.keys[2], "r"), client.lindex(partition.key("topic:r"), 0)):
        unpacker = msgpack.Unpacker()
        unpacker.feed(kept)
        assert unpacker.unpack()[2:] == [name, partition.meta()[2], retained_at, 1, retained_at - 1, base]
    told = msgpack.unpackb(beat(client, f"{INSTANCE} 1", 1, 3))
    assert told == [1, 1, [[3, *partition.meta(), base]]]
    found = run(client, "join", partition.keys[:2], "0adother23", life, 0, name, retained_at)
    assert found[4] == f"1-{base}".encode()


def test_who_has_seen_what_is_left_out_has_a_new_stream_begun(redis):
    client = redis.client()
    partition, life = Partition(client), life_of(client)
    name, _, _ = partition.publish(plain(*[entry("a")] * 5), life=life)
    client.hset(partition.keys[0], "l", "another life")
    _, _, [sixth] = partition.publish(plain(entry("b")), life=life)
    for seen in (0, 3, 5, sixth - 1, sixth):
        assert partition.join(seen=(name, seen), life=life)[:2] == (name, sixth)
        assert partition.join(seen=("0adother23", 9, name, seen), life=life)[:2] == (name, sixth)
    assert partition.publish(plain(entry("c")), seen=(name, sixth), life=life)[0] == name
    for seen in (6, 7, sixth - 2):
        copy = client.dump(partition.keys[0])
        assert partition.join(new="0adnewer23", seen=("0adother23", 1, name, seen))[:2] == ("0adnewer23", 0)
        client.restore(partition.keys[0], 0, copy, replace=True)
    fresh, _, results = partition.publish(plain(entry("d")), seen=(name, 6), new="0adnewest2", life=life)
    assert (fresh, results) == ("0adnewest2", [1])


def test_holes_are_told_from_each_other_as_far_as_there_is_room(redis):
    client = redis.client()
    partition, life = Partition(client), life_of(client)
    name, _, _ = partition.publish(plain(entry("a")), life=life)
    ends = [1]
    for n in range(70):
        client.hset(partition.keys[0], "l", f"life {n}")
        ends += partition.publish(plain(entry("b")), life=life, new=f"0adnew{n:04}")[2]
    holes = client.hget(partition.keys[0], "h").split()
    assert len(holes) == 64 and holes[0].startswith(b"1-")
    for seen in ends[7:]:
        assert partition.join(seen=(name, seen), life=life)[0] == name
    assert partition.join(new="0adnewer23", seen=(name, ends[-3] + 1))[0] == "0adnewer23"


def test_a_stream_that_came_before_one_that_was_seen_is_not_taken_for_the_latest(redis):
    partition, client = Partition(redis.client()), redis.client()
    name, _, _ = partition.publish(plain(entry("a")))
    born = int(client.hget(partition.keys[0], "b"))
    assert partition.join(seen=(name, 1), born=born)[0] == name
    assert partition.join(new="0adlater23", seen=(name, 1), born=born + 1)[0] == "0adlater23"
    assert int(client.hget(partition.keys[0], "b")) > born + 1
