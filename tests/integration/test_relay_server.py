"""One node and its Redis server: who is refused, what heals, and what is said about it."""

import re
import signal
import time

import pytest

from support.broker import SANITIZER, run
from support.client import Client
from support.cluster import Node
from support.fake_redis import FakeRedis
from support.redis_link import RedisLink
from support.rules import with_rules
from support.wait import until

pytestmark = pytest.mark.slow

REFUSED_S = 15  # a node waits for ten seconds at most before it serves
NOTICED_S = 5.5  # the promise is 5; and a tick


@pytest.fixture
def node():
    """Starts nodes: node(url, name="node1"). Each must end well."""
    started = []

    def begin(url, name="node1", **kwargs):
        started.append(Node(url, name, **kwargs))
        return started[-1]

    yield begin
    try:
        for each in started:
            each.stop()
    finally:
        for each in started:
            if each.process.poll() is None:
                each.kill()


@pytest.fixture
def fake():
    """Starts fake servers: fake(answers={…}, info={…})."""
    started = []

    def begin(**kwargs):
        started.append(FakeRedis(**kwargs))
        return started[-1]

    yield begin
    for each in started:
        each.stop()


def refused(url, *args, name="node1"):
    """Starts a node that must not serve, and returns the line that it ends with."""
    urls = [url] if isinstance(url, str) else url
    done = run("--listen", "127.0.0.1:0", "--node", name, *args,
               *[part for each in urls for part in ("--redis", each)], timeout=REFUSED_S)
    assert done.returncode == 1, done
    assert not done.stdout and not SANITIZER.search(done.stderr), done
    line = done.stderr.splitlines()[-1]
    assert line.startswith("fantaild: "), done.stderr
    return line


def reason(node):
    """Returns why a node says that it is not ready; None: it is."""
    status, body = node.get("/readyz")
    return None if status == 200 else body["reason"]


def wait_reason(node, text, timeout=10):
    """Waits until the node is not ready for a reason that has `text` in it; returns how long that took."""
    begun = time.monotonic()
    until(lambda: text in (reason(node) or ""), f"a reason with {text!r}: {reason(node)}", timeout)
    return time.monotonic() - begun


def lines(node, event):
    return [line for line in node.stderr_lines if f"event={event} " in line]


# ---- what is found at the start ----


def test_what_was_found_is_logged_once(start_redis, node):
    redis = start_redis(aof=True)
    first = node(redis.url)
    assert reason(first) is None
    found = until(lambda: lines(first, "redis"), "a line about the server")
    assert len(found) == 1
    info = redis.client().info()
    for part in (f"url={redis.url}", "product=redis", f"version={info['redis_version']}",
                 f"run_id={info['run_id']}", "aof=yes", "eviction=noeviction"):
        assert part in found[0], found[0]
    redis.cli("client", "kill", "type", "normal")
    until(lambda: first.metric("fantail_relay_reconnects_total") == 1, "it came back")
    first.wait_ready()
    assert len(lines(first, "redis")) == 1
    redis.restart()
    until(lambda: len(lines(first, "redis")) == 2, "the server's next life is another one")


def test_valkey_counts_by_its_own_version(fake, node):
    server = fake(info={"redis_version": "6.0.0", "valkey_version": "8.0.1"})
    first = node(server.url)
    assert reason(first) is None
    assert "product=valkey version=8.0.1" in lines(first, "redis")[0]


@pytest.mark.parametrize("info, why", [
    ({"redis_version": "6.0.16"}, "6.2 or later"),
    ({"redis_version": ""}, "no Redis"),
    ({"redis_mode": "sentinel"}, "Sentinel"),
    ({"redis_mode": "cluster"}, "cluster mode"),
])
def test_an_unsuitable_server_is_refused(fake, info, why):
    server = fake(info=info)
    line = refused(server.url)
    assert why in line and server.url in line


def test_a_server_in_cluster_mode_is_refused(start_redis):
    assert "cluster mode" in refused(start_redis(args=["--cluster-enabled", "yes"]).url)


def test_a_replica_is_refused(redis, start_redis):
    replica = start_redis(args=["--replicaof", "127.0.0.1", str(redis.port)])
    until(lambda: replica.client().info("replication")["role"] == "slave", "a replica")
    assert "a replica" in refused(replica.url)


def test_a_server_that_throws_keys_away_is_refused(redis):
    redis.config_set("maxmemory-policy", "allkeys-lru")
    assert "noeviction" in refused(redis.url)


def test_a_server_that_becomes_unsuitable_is_away_until_it_is_good_again(redis, start_redis, node):
    other = start_redis()
    first = node(redis.url)
    redis.client().replicaof("127.0.0.1", other.port)
    wait_reason(first, "a replica")
    redis.client().replicaof("no", "one")
    first.wait_ready()


# ---- credentials, database, prefix, sockets ----


def test_a_password_that_is_wrong_or_missing_is_told_without_telling_it(start_redis, node):
    redis = start_redis(password="right+secret")
    wrong = node(f"redis://:wrong+secret@127.0.0.1:{redis.port}")
    none = node(f"redis://127.0.0.1:{redis.port}", name="node2")
    good = node(redis.url, name="node3")
    assert "AUTH: it says" in reason(wrong) and "WRONGPASS" in reason(wrong)
    assert "NOAUTH" in reason(none)
    assert reason(good) is None
    redis.client().config_set("requirepass", "wrong+secret")
    wrong.wait_ready()
    for each in (wrong, none, good):
        assert "+secret" not in each.stderr
    assert len(lines(none, "redis_away")) == 1


def test_a_user_of_its_own(redis, node):
    redis.cli("acl", "setuser", "fan@tail", "on", ">p:a/s%s word", "~fantail:*", "&fantail:*", "+@all")
    first = node(f"redis://fan%40tail:p%3Aa%2Fs%25s%20word@127.0.0.1:{redis.port}")
    assert reason(first) is None
    redis.cli("acl", "setuser", "fan@tail", "resetchannels", "&other:*")
    redis.cli("client", "kill", "type", "pubsub")
    wait_reason(first, "SUBSCRIBE: it says \"NOPERM")
    redis.cli("acl", "setuser", "fan@tail", "&fantail:*", "-evalsha")
    wait_reason(first, "NOPERM")
    redis.cli("acl", "setuser", "fan@tail", "+evalsha")
    first.wait_ready()


def test_a_database_has_keys_and_channels_of_its_own(redis, node):
    first = node(f"{redis.url}/3", name="same")
    second = node(f"{redis.url}", name="same")
    third = node(f"{redis.url}", name="same", settings={"redis.prefix": "other"})
    for each in (first, second, third):
        assert reason(each) is None
    channels = {name.decode().rpartition(":")[0] for name in redis.client().pubsub_channels()
                if b":node:" in name}
    assert channels == {"fantail@3:node", "fantail:node", "other:node"}
    assert redis.client(db=3).exists("fantail:node:same")
    assert redis.client().exists("fantail:node:same") and redis.client().exists("other:node:same")


def test_all_urls_name_the_same_database(start_redis):
    urls = [f"{start_redis().url}/{n}" for n in range(2)]
    assert "the same database" in refused(urls)
    checked = run("--check-config", *[part for url in urls for part in ("--redis", url)])
    assert checked.returncode == 1 and "the same database" in checked.stderr


def test_a_unix_socket(start_redis, node):
    redis = start_redis(password="a b")
    first = node(f"unix://:a%20b@{redis.socket_path}?db=2")
    assert reason(first) is None
    assert redis.client(db=2).exists("fantail:node:node1")
    assert f"unix://{redis.socket_path}?db=2" in lines(first, "redis")[0]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_name_is_found(redis, node, host):
    assert reason(node(f"redis://{host}:{redis.port}")) is None


def test_what_cannot_be_reached_is_no_reason_not_to_start(node, tmp_path):
    first = node(["redis://127.0.0.1:1", f"unix://{tmp_path}/none.sock",
                  "redis://nobody.invalid:6379"])
    assert "redis://127.0.0.1:1: cannot connect: Connection refused" in reason(first)
    away = until(lambda: len(lines(first, "redis_away")) == 3 and lines(first, "redis_away"), "all told")
    assert any("No such file" in line for line in away)
    assert any("cannot find its address" in line for line in away)


def test_a_loss_right_after_the_start_is_logged_at_once(redis, node):
    first = node(redis.url)
    first.wait_ready()
    redis.kill()
    begun = time.monotonic()
    until(lambda: lines(first, "redis_away"), "a line")
    assert time.monotonic() - begun < 3
    redis.start()
    first.wait_ready()
    taken_ms = (time.monotonic() - begun) * 1000
    until(lambda: len(lines(first, "redis_up")) == 2, "it is told")
    assert int(lines(first, "redis_up")[1].rpartition("after_ms=")[2]) < taken_ms + 100


# ---- names and settings ----


def test_a_name_that_a_live_node_has_is_refused(redis, node):
    first = node(redis.url, name="twin")
    begun = time.monotonic()
    assert 'another node is there with the name "twin"' in refused(redis.url, name="twin")
    assert time.monotonic() - begun < 5
    assert reason(first) is None


def test_the_name_of_a_killed_node_is_taken_over(redis, node):
    first = node(redis.url, name="phoenix")
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    begun = time.monotonic()
    second = node(redis.url, name="phoenix")
    assert 2.4 < time.monotonic() - begun < 8
    assert reason(second) is None
    first.stop = lambda: None


def test_the_name_of_a_node_that_ended_is_free_at_once(redis, node):
    first = node(redis.url, name="quick")
    assert redis.client().exists("fantail:node:quick")
    first.stop()
    assert not redis.client().exists("fantail:node:quick")
    begun = time.monotonic()
    assert reason(node(redis.url, name="quick")) is None
    assert time.monotonic() - begun < 2.4


def test_of_two_that_find_out_late_the_later_one_ends(redis, node):
    redis.stop()
    first = node(redis.url, name="twin")
    second = node(redis.url, name="twin")
    redis.start()
    assert second.process.wait(15) == 1
    assert lines(second, "expelled") and not lines(first, "expelled")
    first.wait_ready()
    assert redis.client().get("fantail:node:twin")
    second.stop = lambda: None


@pytest.mark.parametrize("setting", ["relay.partitions=8", "relay.hash_levels=1"])
def test_other_settings_than_the_cluster_s_are_refused(redis, node, setting):
    first = node(redis.url)
    line = refused(redis.url, "--set", setting, name="node2")
    assert "partitions=16 hash_levels=2 server=1/1" in line
    assert setting.split(".")[1] in line
    assert reason(first) is None


def test_the_same_server_twice_is_refused(redis):
    assert "other settings" in refused([redis.url, redis.unix_url])
    assert redis.client().keys() == [], "who mends it is not refused because of that"


def test_a_start_that_is_refused_leaves_nothing_behind(redis, start_redis, node):
    replica = start_redis(args=["--replicaof", "127.0.0.1", str(redis.port)])
    assert "a replica" in refused([redis.url, replica.url])
    assert redis.client().keys() == []
    assert reason(node(redis.url)) is None


def test_a_key_of_somebody_else_where_the_lease_belongs_is_named(redis, node):
    redis.client().set("fantail:node:node1", "x" * 1000)
    first = node(redis.url)
    wait_reason(first, "fantail:node:node1 is not the lease of a node")
    redis.client().delete("fantail:node:node1")
    first.wait_ready()


def test_servers_in_another_order_are_refused(start_redis, node):
    one, two = start_redis(), start_redis()
    assert reason(node([one.url, two.url])) is None
    assert "server=2/2" in refused([two.url, one.url], name="node2")


def test_one_server_of_two_that_is_away_is_named(start_redis, node):
    one, two = start_redis(), start_redis()
    first = node([one.url, two.url])
    two.kill()
    wait_reason(first, two.url)
    until(lambda: first.metric("fantail_relay_servers_up") == 1, "it is counted")
    two.start()
    first.wait_ready()


# ---- errors, while it runs ----


@pytest.mark.parametrize("answer", [
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"-READONLY You can't write against a read only replica.\r\n",
    b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    b"-MISCONF Redis is configured to save RDB snapshots\r\n",
    b"-NOAUTH Authentication required.\r\n",
    b"-BUSY Redis is busy running a script.\r\n",
])
def test_errors_are_told_and_outlived(fake, node, answer):
    server = fake()
    first = node(server.url)
    assert reason(first) is None
    server.answers.update(beat=answer, register=answer)
    wait_reason(first, answer.split()[0].decode()[1:])
    until(lambda: server.connections > 6, "more attempts")
    server.answers.clear()
    first.wait_ready()
    assert len(lines(first, "redis_away")) <= 2, first.stderr


def test_a_full_redis_refuses_publications_and_nothing_else(redis, node, tmp_path):
    args = with_rules(tmp_path, {"now/#": {"ephemeral": "yes"}})
    first, second = (node(redis.url, name, args=args) for name in ("node1", "node2"))
    with Client(first.address) as publisher, Client(second.address) as subscriber:
        subscriber.sub("#")
        assert publisher.pub("t", "before")
        assert subscriber.next_msg()["data"] == "before"
        redis.config_set("maxmemory", 1)
        for _ in range(20):
            assert "OOM" in publisher.refused({"op": "pub", "topic": "t", "data": 0}, 503)
        publisher.ok({"op": "pub", "topic": "now/t", "data": "ephemeral"})
        assert subscriber.next_msg()["data"] == "ephemeral"
        redis.client().client_kill_filter(_type="pubsub")
        until(lambda: second.metric("fantail_relay_reconnects_total") >= 1, "it has come back")
        first.wait_ready()
        second.wait_ready()
        assert len(lines(first, "relay_publish_refused")) == 1, first.stderr
        redis.config_set("maxmemory", 0)
        publisher.pub("t", "after")
        assert subscriber.next_msg()["data"] == "after"
    assert lines(first, "relay_gap") == []


def test_a_server_that_loads_is_waited_for(fake, node):
    server = fake(info={"loading": "1"})
    first = node(server.url)
    wait_reason(first, "loading its data")
    server.info["loading"] = "0"
    first.wait_ready()


@pytest.mark.parametrize("garbage", [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x00\xff\x80",
    b"+OK\r\n",
    b":1\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*2147483647\r\n$1\r\na\r\n",
    b"*1048577\r\n$1\r\na\r\n",
    b"*1\r\n" * 12,
    b"$99999999999999999999\r\n",
    b"$-5\r\n",
    b"*3\r\n$7\r\nmessage\r\n:1\r\n:2\r\n",
    b"*3\r\n$7\r\nmessage\r\n$-1\r\n$-1\r\n",
    b"*3\r\n:1\r\n:2\r\n:3\r\n",
    b"-ERR max number of clients reached\r\n",
], ids=repr)
def test_garbage_costs_a_connection_and_no_more(fake, node, garbage):
    server = fake()
    first = node(server.url)
    for n in range(1, 4):
        server.say(garbage)
        until(lambda: first.metric("fantail_relay_reconnects_total") >= n, "it connected again")
        first.wait_ready()
    first.check_running()


def test_what_is_no_redis_is_told(fake, node):
    server = fake(answers={"INFO": b"HTTP/1.1 400 Bad Request\r\n"})
    first = node(server.url)
    wait_reason(first, "does not speak Redis' protocol")
    server.answers["INFO"] = b""
    wait_reason(first, "no connection and greeting within 3 s")
    server.answers["INFO"] = b"-NOPERM this user has no permissions to run the 'info' command\r\n"
    wait_reason(first, 'INFO: it says "NOPERM')
    server.answers["INFO"] = b"+OK\r\n"
    wait_reason(first, "no Redis")
    server.answers = {"SCRIPT": b"+OK\r\n"}
    wait_reason(first, "cannot load a script")
    server.answers = {"register": b":5\r\n"}
    wait_reason(first, "something else")
    server.answers = {"register": b"*2\r\n$4\r\nheld\r\n:5\r\n"}
    wait_reason(first, "something else")
    server.answers = {"SUBSCRIBE": b"+OK\r\n"}
    wait_reason(first, "something else")
    server.answers = {}
    first.wait_ready()


def test_a_reply_without_an_end_is_given_up(fake, node):
    server = fake()
    first = node(server.url)
    before = first.rss_bytes()
    server.say(b"*2\r\n$100000000\r\n")
    for _ in range(70):
        server.say(b"x" * (1 << 20))
    until(lambda: first.metric("fantail_relay_reconnects_total") >= 1, "it connected again", 60)
    first.wait_ready()
    assert first.rss_bytes() - before < 600 << 20


def test_a_node_without_redis_is_quiet(redis, node):
    first = node(redis.url)
    redis.kill()
    wait_reason(first, "cannot connect")
    spent, begun = first.cpu_seconds(), time.monotonic()
    until(lambda: time.monotonic() - begun > 4, "some attempts", 5)
    assert first.cpu_seconds() - spent < 0.8
    assert len(lines(first, "redis_away")) <= 2, first.stderr
    redis.start()
    assert first.wait_ready() < 3


def test_scripts_that_are_gone_are_loaded_again(redis, node):
    first = node(redis.url)
    beats = lambda: int(redis.client().get("fantail:node:node1").split()[2])
    redis.cli("script", "flush")
    seen = beats()
    until(lambda: beats() >= seen + 2, "beats go on")
    assert reason(first) is None
    assert first.metric("fantail_relay_reconnects_total") == 0


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
def test_connections_that_are_killed_come_back(redis, node, kind):
    first = node(redis.url)
    for n in range(1, 4):
        redis.cli("client", "kill", "type", kind)
        until(lambda: first.metric("fantail_relay_reconnects_total") == n, "it came back", 3)
        assert first.wait_ready() < 2


# ---- silence ----


@pytest.mark.parametrize("way", ["to_redis", "from_redis", "both"])
def test_a_link_that_swallows_everything_is_noticed(redis, node, way):
    link = RedisLink(redis)
    try:
        first = node(link.url)
        link.swallow(to_redis=way != "from_redis", from_redis=way != "to_redis")
        assert wait_reason(first, "3 s") < NOTICED_S
        assert first.metric("fantail_relay_beats_missed_total") > 0
        link.restore()
        assert first.wait_ready() < 5
    finally:
        link.stop()


def test_pubsub_that_is_deaf_is_noticed(fake, node):
    server = fake()
    first = node(server.url)
    server.is_deaf = True
    assert wait_reason(first, "Pub/Sub is deaf") < NOTICED_S
    server.is_deaf = False
    first.wait_ready()


def test_a_beat_of_somebody_else_is_not_believed(redis, node):
    first = node(redis.url)
    channel = next(name for name in redis.client().pubsub_channels() if b":node:" in name)
    for payload in (b"\x93\x01\x01\x90", b"\x93\x01\xcd\xff\xff\x91\x94\x00\xaaaaaaaaaaaa\x05\x05"):
        assert redis.client().publish(channel, payload) == 1
    until(lambda: first.metric("fantail_relay_rejected_total", reason="spoofed") == 2, "counted")
    assert reason(first) is None


def test_a_node_that_was_held_up_itself_does_not_blame_redis(redis, node):
    first = node(redis.url)
    first.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    until(lambda: time.monotonic() - begun > 5, "some seconds", 6)
    first.process.send_signal(signal.SIGCONT)
    assert reason(first) is None
    assert first.metric("fantail_relay_reconnects_total") == 0


def test_logs_are_lines_of_logfmt(redis, node):
    first = node(redis.url)
    redis.kill()
    until(lambda: lines(first, "redis_away"), "a line")
    redis.start()
    first.wait_ready()
    for line in first.stderr_lines:
        assert re.fullmatch(r'(?:[a-z_]+=(?:"(?:[^"\\]|\\.)*"|[^ "=]*)(?: |$))+', line), line
