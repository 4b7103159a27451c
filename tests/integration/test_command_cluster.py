"""The command `fantail` with a cluster: it goes on at another node, and shows who and what is there."""

import json
import random
import re
import shutil
import signal

import pytest

from support.broker import run
from support.command import Command
from support.redis import free_port
from support.rules import with_rules
from support.tls import Authority
from support.tokens import claims, hs256
from support.wait import until

DONE, FAILED, USAGE, NO_BROKER, TIMED_OUT = 0, 1, 2, 3, 4
MISSED, WHOLE = "may be missing", "nothing was missed"
SECRET = "a-secret-of-32-bytes-and-some-more"


@pytest.fixture
def pair(redis, start_node):
    """Two nodes of one Redis."""
    return [start_node(redis.url, "n1"), start_node(redis.url, "n2")]


@pytest.fixture
def command():
    """Starts `fantail` against these nodes, the first of them first."""
    running = []

    def begin(nodes, *args, **kwargs):
        running.append(Command(*servers(nodes), *map(str, args), **kwargs))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


@pytest.fixture(params=[[], ["--msgpack"]], ids=["json", "msgpack"])
def speech(request):
    """The option that chooses the encoding."""
    return request.param


def servers(nodes):
    return [part for node in nodes
            for part in ("-s", node if isinstance(node, str) else node.ws_url)]


def fantail(nodes, *args, code=DONE, **kwargs):
    """Runs it to its end, which must be this one."""
    result = run(*servers(nodes), *map(str, args), name="fantail", **kwargs)
    assert result.returncode == code, result
    return result


def nowhere():
    """The URL of a node that is not there."""
    return f"ws://127.0.0.1:{free_port()}/ws"


def kill(node):
    node.process.send_signal(signal.SIGKILL)
    node.process.wait()


def feed(process, lines):
    process.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
    process.process.stdin.close()


# -- another node


@pytest.mark.deadline(120)
def test_a_killed_node_costs_no_line_and_doubles_none(pair, redis, start_node, command, clients,
                                                      speech):
    total, kills, dice = 6000, 3, random.Random(5)
    ports = [node.port for node in pair]
    sub = command(pair, *speech, "sub", "-v", "k/#")
    until(lambda: clients(pair[1]).pub("k/0", "there?") and sub.out, "it listens")
    pubs = [command(pair[n % 2:] + pair[:n % 2], *speech, "pub", f"k/{n}", "-l", "--key", f"key{n}",
                    "--rate", 600, stdin=True) for n in range(3)]
    for pub in pubs:
        feed(pub, range(total // 3))
    nodes = list(pair)
    for n in range(kills):
        seen = len(sub.lines) + dice.randrange(100, 500)
        until(lambda: len(sub.lines) >= seen, "more lines", 30)
        at = n % 2
        kill(nodes[at])
        until(lambda: sub.errors.count(WHOLE) > n, "the subscriber is on the other node", 30)
        nodes[at] = start_node(redis.url, f"again{n}", listen=(f"127.0.0.1:{ports[at]}",))
    assert [pub.wait(60) for pub in pubs] == [DONE] * 3, [pub.errors for pub in pubs]
    wanted = [f"k/{n} {i}" for n in range(3) for i in range(total // 3)]
    until(lambda: len([line for line in sub.lines if "there?" not in line]) >= total, "all", 30)
    assert sub.interrupt() == DONE
    got = [line for line in sub.lines if "there?" not in line]
    assert sorted(got) == sorted(wanted)
    for n in range(3):
        assert [line for line in got if line.startswith(f"k/{n} ")] == \
            [line for line in wanted if line.startswith(f"k/{n} ")]
    assert MISSED not in sub.errors and "gap" not in sub.errors
    assert sub.errors.count("connected to") == kills


def test_the_first_that_is_there_is_taken(pair, command, clients):
    sub = command([nowhere(), pair[1]], "sub", "t")
    sub.listening(clients(pair[0]), "t")
    assert "Unable to connect" in sub.errors or "refused" in sub.errors.lower()
    assert fantail([nowhere(), nowhere(), pair[0]], "pub", "t", "1").returncode == DONE
    sub.expect_lines("1")
    assert sub.interrupt() == DONE


def test_none_that_is_there_is_no_connection(command):
    failed = fantail([nowhere(), nowhere()], "pub", "t", "1", code=NO_BROKER)
    assert failed.stderr.count("trying again") == 1 and "cannot connect" in failed.stderr


def test_the_variable_takes_several(pair):
    env = {"FANTAIL_URL": f"{nowhere()} {pair[1].ws_url}"}
    assert fantail([], "pub", "t", "1", env=env).returncode == DONE
    assert "there is no" not in fantail([], "nodes", env=env).stderr


def test_a_url_that_is_none_is_a_usage_error(pair):
    for args in (["sub", "t"], ["pub", "t", "1"], ["presence", "t"], ["nodes"], ["sessions"]):
        failed = fantail([pair[0], "http://x"], *args, code=USAGE)
        assert "http://x" in failed.stderr and failed.stdout == ""


@pytest.mark.deadline(60)
def test_a_file_of_resume_keeps_every_stream_and_goes_on_at_the_other_node(pair, command, clients,
                                                                          tmp_path, speech):
    place = tmp_path / "place"
    publisher = clients(pair[0])
    first = command(pair[:1], *speech, "sub", "r/#", "--resume", place)
    until(place.exists, "its first positions")
    topics = [f"r/{n}/{m}" for n in range(8) for m in range(8)]
    for n, topic in enumerate(topics):
        publisher.pub(topic, n)
    until(lambda: len(first.lines) == len(topics), "all of them")
    assert first.interrupt() == DONE
    streams = [line.rpartition(".")[0] for line in place.read_text().splitlines()]
    assert len(streams) == len(set(streams)) == 16
    for n, topic in enumerate(topics):
        publisher.pub(topic, n + 100)
    second = command(pair[1:], *speech, "sub", "r/#", "--resume", place)
    until(lambda: len(second.lines) >= len(topics), "what came meanwhile")
    publisher.pub("r/0/0", "end")
    until(lambda: "end" in second.lines, "news")
    assert second.interrupt() == DONE
    assert sorted(map(int, second.lines[:-1])) == [n + 100 for n in range(len(topics))]
    assert second.errors == ""


@pytest.mark.deadline(60)
def test_a_redis_that_lost_everything_is_reported_and_its_streams_forgotten(redis, start_node,
                                                                            command, tmp_path):
    node = start_node(redis.url, "n1")
    place = tmp_path / "place"
    first = command([node], "sub", "r/#", "--resume", place)
    until(place.exists, "its first positions")
    assert first.interrupt() == DONE
    node.stop()
    before = set(place.read_text().split())
    redis.restart(empty=True)
    node = start_node(redis.url, "n1")
    second = command([node], "sub", "r/#", "--resume", place)
    until(lambda: MISSED in second.errors, "it says so")
    until(lambda: fantail([node], "pub", "r/1", "x") and second.lines, "it goes on")
    assert second.interrupt() == DONE
    after = set(place.read_text().split())
    assert len(after) == 16
    assert not {p.rpartition(".")[0] for p in before} & {p.rpartition(".")[0] for p in after}


@pytest.mark.deadline(90)
def test_a_gap_of_the_relay_names_the_new_streams_and_they_are_gone_on_from(pair, redis, command,
                                                                            clients, speech):
    sub = command(pair, *speech, "sub", "g/#")
    publisher = clients(pair[1])
    sub.listening(publisher, "g/0")
    redis.restart(empty=True)
    for node in pair:
        node.wait_ready()
    until(lambda: sub.errors.count("reason \"relay\"") >= 16, "each partition is told of", 30)
    assert all(re.search(r"goes on after (\S+\.\d+ ){4}and 12 more$", line)
               for line in sub.errors.splitlines()), sub.errors
    topics = [f"g/{n}/{m}" for n in range(5) for m in range(5)]
    for n, topic in enumerate(topics):
        until(lambda: publisher.request({"op": "pub", "topic": topic, "data": n,
                                         "key": "once"})["op"] == "ok", "it is taken")
    until(lambda: len(sub.lines) == len(topics), "all of it")
    kill(pair[0])
    until(lambda: WHOLE in sub.errors, "it has gone on at the other node", 30)
    for n, topic in enumerate(topics):
        publisher.pub(topic, n + 100)
    until(lambda: len(sub.lines) == 2 * len(topics), "and all that comes then")
    assert sub.interrupt() == DONE
    assert sorted(map(int, sub.lines)) == [n + m for m in (0, 100) for n in range(len(topics))]
    assert MISSED not in sub.errors


# -- publishing again


def outcomes(node, outcome):
    return node.metric("fantail_relay_publishes_total", outcome=outcome) or 0


@pytest.mark.deadline(90)
def test_what_has_a_key_is_published_again_until_redis_answers(redis, start_node, command, speech):
    node = start_node(redis.url, "n1", settings={"relay.deadline": "300ms"})
    sub = command([node], *speech, "sub", "t")
    until(lambda: fantail([node], "pub", "t", "there?") and sub.out, "it listens")
    pub = command([node], *speech, "pub", "t", "-l", "--key", "k", "--rate", 200, stdin=True)
    feed(pub, range(600))
    until(lambda: "20" in sub.lines, "it is under way")
    redis.freeze()
    until(lambda: outcomes(node, "unanswered") > 20, "for some there was no answer", 20)
    redis.thaw()
    assert pub.wait(60) == DONE, pub.errors
    assert pub.errors == ""
    until(lambda: len([line for line in sub.lines if "there?" not in line]) >= 600, "all of them")
    numbers = [line for line in sub.lines if "there?" not in line]
    assert sorted(map(int, numbers)) == list(range(600))
    assert sub.interrupt() == DONE


@pytest.mark.deadline(60)
def test_what_has_no_key_is_reported(redis, start_node, command):
    node = start_node(redis.url, "n1", settings={"relay.deadline": "300ms"})
    fantail([node], "pub", "t", "0")
    redis.freeze()
    failed = fantail([node], "pub", "t", "1", code=FAILED)
    redis.thaw()
    assert re.search(r"1 of 1 publications failed with 50[34]: ", failed.stderr), failed.stderr


# -- presence


@pytest.fixture
def rooms(redis, start_node, tmp_path):
    """Two nodes with presence on p/#."""
    args = with_rules(tmp_path, {"p/#": {"presence": "yes"}})
    return [start_node(redis.url, name, args=args) for name in ("n1", "n2")]


def test_presence_lists_who_is_there_on_any_node(rooms, clients, speech):
    there = [clients(node) for node in rooms for _ in range(2)]
    for each in there:
        each.sub("p/1")
    sessions = {each.welcome["session"] for each in there}
    for node in rooms:
        lines = fantail([node], *speech, "presence", "p/1").stdout.splitlines()
        assert lines[0].split() == ["SESSION", "USER", "SINCE"]
        assert {line.split()[0] for line in lines[1:]} == sessions
        for line in lines[1:]:
            assert re.fullmatch(r"\S+ +- +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line), line
        whole = fantail([node], *speech, "presence", "p/1", "--json").stdout
        assert whole.count("\n") == 1
        answer = json.loads(whole)
        asked = there[0].ok({"op": "presence", "topic": "p/1"})
        assert answer == {key: asked[key] for key in ("count", "clients")}
        assert answer["count"] == 4 and {c["session"] for c in answer["clients"]} == sessions
        assert all(isinstance(c["since"], int) and c["user"] is None for c in answer["clients"])


def test_presence_of_nobody_and_of_a_topic_without_it(rooms):
    assert fantail(rooms, "presence", "p/2").stdout == "SESSION  USER  SINCE\n"
    assert json.loads(fantail(rooms, "presence", "p/2", "--json").stdout) == \
        {"count": 0, "clients": []}
    refused = fantail(rooms, "presence", "q", code=FAILED)
    assert "404" in refused.stderr and refused.stdout == ""


def test_presence_is_refused_while_redis_is_away(rooms, redis):
    redis.stop()
    rooms[0].wait_ready(False)
    refused = fantail(rooms[:1], "presence", "p/1", code=FAILED)
    assert "503" in refused.stderr or "504" in refused.stderr


# -- nodes


def test_nodes_shows_all_of_them(pair):
    for node in pair:
        until(lambda: fantail([node], "nodes").stdout.count("\n") == 3, "both are listed")
        title, *rows = [line.split() for line in fantail([node], "nodes").stdout.splitlines()]
        assert title == ["NAME", "VERSION", "UPTIME", "CONNECTIONS", "PARTITIONS", "LAG", "SEEN",
                         "INSTANCE"]
        assert [row[0] for row in rows] == ["n1", "n2"] and all(len(row) == 8 for row in rows)
        listed = {n["name"]: n for n in json.loads(fantail([node], "nodes", "--json").stdout)["nodes"]}
        assert listed.keys() == {"n1", "n2"} and listed[node.name]["self"]
        assert [row[7] for row in rows] == [listed[name]["instance"] for name in ("n1", "n2")]


def test_nodes_shows_partitions_and_lag(pair, clients):
    clients(pair[0]).sub("#")
    until(lambda: fantail(pair[1:], "nodes").stdout.splitlines()[1].split()[4:6] == ["16", "0"],
          "it takes part in all, and is behind in none")


def test_a_node_of_its_own_lists_itself(broker):
    rows = fantail([broker], "nodes").stdout.splitlines()
    assert len(rows) == 2


def test_nodes_asks_the_next_where_one_is_away(pair):
    dead = nowhere()
    result = fantail([dead, pair[1]], "nodes")
    assert dead in result.stderr and "n2" in result.stdout
    failed = fantail([dead, nowhere()], "nodes", code=NO_BROKER)
    assert failed.stdout == "" and failed.stderr.count("\n") == 2


def test_nodes_is_for_admins(start, tmp_path):
    broker = start({"auth.mode": "token", "auth.secret": SECRET})
    admin, other = (hs256(SECRET, **claims(admin=admin)) for admin in (True, None))
    token = tmp_path / "token"
    token.write_text(f"{admin}\n")
    assert "401" in fantail([broker], "nodes", code=FAILED).stderr
    assert "403" in fantail([broker], "nodes", "--token", other, code=FAILED).stderr
    assert fantail([broker], "nodes", "--token", admin).stdout
    assert fantail([broker], "nodes", env={"FANTAIL_TOKEN": admin}).stdout
    assert fantail([broker], "nodes", "--token-file", token).stdout
    assert fantail([f"{broker.ws_url}?token={admin}"], "nodes").stdout
    assert "space" in fantail([broker], "nodes", "--token", "a b", code=NO_BROKER).stderr


def test_nodes_over_tls(start, tmp_path):
    authority = Authority(tmp_path)
    cert, key = (shutil.copy(each, tmp_path / name)
                 for each, name in zip(authority.issue("first"), ("server.pem", "server.key")))
    broker = start(ready_lines=2, settings={"tls.listen": "127.0.0.1:0", "tls.cert": cert,
                                            "tls.key": key})
    url = f"wss://127.0.0.1:{broker.address_of(1)[1]}/ws"
    assert "trusted" in fantail([url], "nodes", code=NO_BROKER).stderr
    assert fantail([url], "--ca", authority.cert, "nodes").stdout
    assert fantail([url], "nodes", "--insecure").stdout


# -- sessions


def session_rows(result):
    title, *rows = [line.split() for line in result.stdout.splitlines()]
    assert title == ["SESSION", "USER", "NODE", "ADDRESS", "ENCODING", "SINCE", "TOPICS", "WAITING",
                     "STATE"]
    return {row[0]: row for row in rows}


def test_sessions_shows_who_is_connected_to_any_node(pair, clients, speech):
    there = [clients(pair[0]), clients(pair[1], "msgpack")]
    there[1].sub("a", "b/#")
    ids = [each.welcome["session"] for each in there]
    for node in pair:
        rows = until(lambda: len(r := session_rows(fantail([node], *speech, "sessions"))) == 2 and r,
                     "both are listed")
        assert rows.keys() == set(ids)
        assert rows[ids[0]][1:5] == ["-", "n1", "127.0.0.1", "json"]
        assert rows[ids[1]][1:5] == ["-", "n2", "127.0.0.1", "msgpack"]
        assert rows[ids[1]][6:] == ["2", "0", "-"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", rows[ids[0]][5])
    answer = json.loads(fantail(pair, "sessions", "--json").stdout)
    assert {each["session"] for each in answer["sessions"]} == set(ids) and answer["nodes"] == 2
    assert session_rows(fantail(pair, "sessions", "--node", "n2")).keys() == {ids[1]}
    assert session_rows(fantail(pair, "sessions", "--session", ids[0])).keys() == {ids[0]}
    some = fantail(pair, "sessions", "-n", 1)
    assert len(session_rows(some)) == 1 and "1 of 2 sessions" in some.stderr


def test_sessions_of_a_user_with_a_strange_name(start, clients):
    broker = start({"auth.mode": "token", "auth.secret": SECRET})
    name = "a b&c=d/é+%#"
    token = hs256(SECRET, **claims(name))
    mine = clients(broker, token=token).welcome["session"]
    clients(broker, token=hs256(SECRET, **claims("ann")))
    admin = hs256(SECRET, **claims("root", admin=True))
    url = f"{broker.ws_url}?token={admin}"
    answer = json.loads(fantail([url], "sessions", "--user", name, "--json").stdout)
    assert [each["session"] for each in answer["sessions"]] == [mine]
    assert "401" in fantail([broker], "sessions", code=FAILED).stderr
    refused = fantail([url], "sessions", "--node", "n9", code=FAILED)
    assert "404" in refused.stderr and refused.stdout == ""


def test_sessions_says_which_node_has_not_answered(pair, clients):
    mine = clients(pair[0]).welcome["session"]
    until(lambda: fantail(pair, "nodes").stdout.count("\n") == 3, "both are listed")
    pair[1].process.send_signal(signal.SIGSTOP)
    try:
        failed = fantail(pair[:1], "sessions", code=FAILED)
    finally:
        pair[1].process.send_signal(signal.SIGCONT)
    assert session_rows(failed).keys() == {mine} and "n2" in failed.stderr


def test_what_is_no_broker_is_a_failure(redis):
    failed = fantail([f"ws://127.0.0.1:{redis.port}/ws"], "nodes", code=NO_BROKER)
    assert failed.stdout == "" and failed.stderr


@pytest.mark.parametrize("args", [
    ["presence"], ["presence", "a/#"], ["presence", "a", "b"], ["presence", "a", "--json=1"],
    ["nodes", "x"], ["nodes", "--nothing"], ["sessions", "x"], ["sessions", "--limit", "0"],
    ["sessions", "--user", "x" * 5000],
], ids=" ".join)
def test_a_wrong_command_line_is_a_usage_error(broker, args):
    result = fantail([broker], *args, code=USAGE)
    assert result.stderr and result.stdout == ""


@pytest.mark.parametrize("name", ["presence", "nodes", "sessions"])
def test_help_says_what_it_does(name):
    text = run(name, "--help", name="fantail").stdout
    assert text.startswith(f"usage: fantail {name}") and "exit codes" in text and "--json" in text
    assert name in run("--help", name="fantail").stdout
