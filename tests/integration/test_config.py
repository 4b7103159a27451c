"""Configuration and start: options, their precedence, and errors of one line."""

import re
import socket
import time
from pathlib import Path

import pytest

from support.broker import READY, run
from support.client import Client
from support.raw import RawClient, request

ROOT = Path(__file__).resolve().parents[2]
LIMITS = [f"limits.{who}_{what}" for who, whats in (
    ("address", ("connections", "connects", "publishes", "subscriptions", "requests")),
    ("user", ("connections", "publishes", "subscriptions", "requests"))) for what in whats]
NAMES = ["listen", "workers", "node", "log.level", "limits.message", "limits.topics",
         "limits.queue", "limits.connections", "limits.ping", "limits.write_timeout",
         "journal.size", "journal.age", "journal.topics", "journal.retained", "journal.keys",
         "journal.kept", "auth.mode", "auth.secret", "auth.keys", "auth.issuer", "auth.audience",
         "auth.leeway", "auth.grace", "auth.cookie", "auth.api_keys", "auth.anonymous_sub",
         "auth.anonymous_pub", "auth.user_sub", "auth.user_pub", "http.origins",
         "http.allow_no_origin", "http.trusted_proxies", "http.proxy_listen", "http.body",
         "http.body_timeout", "http.metrics_admin", "http.console", "tls.listen", "tls.proxy_listen", "tls.cert",
         "tls.key", *LIMITS]
TOPIC_NAMES = ["retain", "history", "ttl", "slow", "max_message", "ephemeral", "presence"]
LOGFMT = re.compile(r'^[a-z_]+=("([^"\\]|\\.)*"|[^\s"=]*)( [a-z_]+=("([^"\\]|\\.)*"|[^\s"=]*))*$')


def assert_one_line_error(result, *words):
    """A start that fails says why, in one line on stderr, and exits with something else than 0."""
    assert result.returncode not in (0, None) and result.returncode > 0, result
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and result.stdout == "", result
    for word in words:
        assert word in lines[0], lines[0]


# -- questions

def test_version_is_one_line(tmp_path):
    result = run("--version")
    assert result.returncode == 0 and result.stderr == ""
    assert re.fullmatch(r"fantaild \d+\.\d+\.\d+\S*\n", result.stdout), result.stdout


def test_help_names_every_setting_on_stdout():
    result = run("--help")
    assert result.returncode == 0 and result.stderr == ""
    for name in NAMES + TOPIC_NAMES:
        assert f"\n  {name}" in result.stdout, name
    assert "FANTAIL_" in result.stdout
    for option in ("-c", "--listen", "--workers", "--node", "--set", "--check-config", "--topic",
                   "--version"):
        assert option in result.stdout, option


def test_check_config_of_the_defaults_is_fine_and_starts_nothing():
    began = time.monotonic()
    result = run("--check-config")
    assert result.returncode == 0 and result.stderr == "", result
    assert time.monotonic() - began < 5
    assert "ready at" not in result.stdout


def test_the_sample_configuration_is_accepted():
    sample = ROOT / "deploy" / "fantail.conf"
    result = run("-c", str(sample), "--check-config")
    assert result.returncode == 0 and result.stderr == "", result
    text = sample.read_text()
    for name in NAMES + TOPIC_NAMES:
        assert re.search(rf"^#?\s*{name.split('.')[-1]}\s*=", text, re.MULTILINE), name


# -- errors

@pytest.mark.parametrize("args, words", [
    (["--nonsense"], ["--nonsense"]),
    (["-x"], ["-x"]),
    (["something"], ["something"]),
    (["--set", "nonsense=1"], ["nonsense"]),
    (["--set", "limits.nonsense=1"], ["limits.nonsense"]),
    (["--set", "limits.ping"], ["limits.ping"]),
    (["--set", "limits.ping=soon"], ["limits.ping", "soon"]),
    (["--set", "limits.ping=-1"], ["limits.ping", "-1"]),
    (["--set", "limits.ping=0"], ["limits.ping"]),
    (["--set", "limits.ping="], ["limits.ping"]),
    (["--set", "limits.message=99999999999999999999"], ["limits.message"]),
    (["--set", "limits.message=12x"], ["limits.message", "12x"]),
    (["--set", "limits.topics=1.5"], ["limits.topics", "1.5"]),
    (["--set", "log.level=loud"], ["log.level", "loud"]),
    (["--workers", "x"], ["workers", "x"]),
    (["--workers", "-1"], ["workers", "-1"]),
    (["--workers", "100000"], ["workers", "100000"]),
    (["--workers"], ["--workers"]),
    (["--listen", "nonsense"], ["nonsense"]),
    (["--listen", "127.0.0.1:99999"], ["99999"]),
    (["--listen", "127.0.0.1:"], ["127.0.0.1:"]),
    (["--listen", "256.1.1.1:80"], ["256.1.1.1"]),
    (["--listen", "[::1:80"], ["::1"]),
    (["-c", "/nonexistent/fantail.conf"], ["/nonexistent/fantail.conf"]),
    (["-c"], ["-c"]),
], ids=" ".join)
@pytest.mark.parametrize("check", [[], ["--check-config"]], ids=["serve", "check"])
def test_what_is_wrong_on_the_command_line_is_named_in_one_line(args, words, check):
    # What a value is missing for must stay last.
    assert_one_line_error(run(*check, *args), *words)


@pytest.mark.parametrize("text, words", [
    ("nonsense = 1\n", ["nonsense"]),
    ("[limits]\nnonsense = 1\n", ["nonsense"]),
    ("[limits]\nping = soon\n", ["ping", "soon"]),
    ("[limits\nping = 5\n", []),
    ("[limits]\nping\n", []),
    ("[nonsense]\nping = 5\n", ["nonsense"]),
    ("workers = many\n", ["workers", "many"]),
    ("[topic]\nretain = yes\n", [":1:", '[topic "chat/#"]']),
    ('[topic "a/#/b"]\n', [":1:", "a/#/b"]),
    ('[topic "$sys/#"]\n', [":1:", "$sys/#"]),
    ('[topic "a"]\nttl = 1\n\n[topic "a"]\n', [":4:", ":1"]),
    ('[topic "a"]\nhistroy = 1\n', [":2:", "histroy", "did you mean history?"]),
    ('[topic "a"]\nhistory = 100001\n', [":2:", "100001", "100000"]),
    ('[topic "a"]\nslow = drop\n', [":2:", "drop", "park, latest or disconnect"]),
    ('[topic "a"]\nretain = yes\nephemeral = yes\n', [":3:", "ephemeral", "retain"]),
    ('[topic "a"]\nmax_message = 1m\n', [":2:", "max_message", "limits.message"]),
])
def test_what_is_wrong_in_the_file_is_named_with_the_file(tmp_path, text, words):
    file = tmp_path / "wrong.conf"
    file.write_text(text)
    assert_one_line_error(run("-c", str(file), "--check-config"), "wrong.conf", *words)
    assert_one_line_error(run("-c", str(file)), "wrong.conf", *words)


SECTIONS = """
[topic "#"]
ttl = 1h

[topic "chat/+"]  # people
history = 100

[topic "chat/\\"42\\""]
slow = latest

[topic "%s/#"]
ephemeral = yes
""" % ("long" * 60)


@pytest.mark.parametrize("topic, line, filter_, holds", [
    ("elsewhere", 2, "#", "ttl = 1h"),
    ("chat/43", 5, "chat/+", "history = 100"),
    ('chat/"42"', 8, 'chat/\\"42\\"', "slow = latest"),
    ("long" * 60 + "/at last", 11, "long" * 60 + "/#", "ephemeral = yes"),
])
def test_which_section_decides_about_a_topic_can_be_asked(tmp_path, topic, line, filter_, holds):
    file = tmp_path / "sections.conf"
    file.write_text(SECTIONS)
    result = run("-c", str(file), "--check-config", "--topic", topic)
    assert result.returncode == 0 and result.stderr == "", result
    first, header, *settings = result.stdout.splitlines()
    assert first.startswith("# ") and first.endswith(f"{file}:{line}"), first
    assert header == f'[topic "{filter_}"]'
    assert holds in settings and len(settings) == len(TOPIC_NAMES)
    assert sum(s.endswith((" = no", " = 0", " = park")) for s in settings) == len(settings) - 1


def test_a_topic_without_a_section_has_the_defaults(tmp_path):
    file = tmp_path / "sections.conf"
    file.write_text('[topic "chat/+"]\nhistory = 100\n')
    result = run("-c", str(file), "--check-config", "--topic", "chat")
    assert result.returncode == 0 and "no section matches" in result.stdout.splitlines()[0]
    assert result.stdout.splitlines()[1:] == [
        "retain = no", "history = 0", "ttl = 0", "slow = park", "max_message = 0", "ephemeral = no",
        "presence = no"]


@pytest.mark.parametrize("args, words", [
    (["--check-config", "--topic", "a/#"], ["--topic", "a/#"]),
    (["--check-config", "--topic", ""], ["--topic", "empty"]),
    (["--topic", "a"], ["--check-config"]),
], ids=" ".join)
def test_a_question_about_no_topic_is_refused(args, words):
    assert_one_line_error(run(*args), *words)


def test_what_check_config_prints_is_a_file_that_says_the_same(tmp_path):
    first, second = tmp_path / "first.conf", tmp_path / "second.conf"
    first.write_text("[limits]\nping = 11\n" + SECTIONS)
    printed = run("-c", str(first), "--check-config")
    second.write_text(printed.stdout)
    again = run("-c", str(second), "--check-config")
    assert (again.returncode, again.stdout) == (0, printed.stdout)
    assert printed.stdout.count("[topic ") == 4 and "ping = 11" in printed.stdout


def test_an_error_in_the_file_names_the_line(tmp_path):
    file = tmp_path / "wrong.conf"
    file.write_text("# a comment\n\n[limits]\ntopics = 5\nping = soon\n")
    assert_one_line_error(run("-c", str(file), "--check-config"), "5")


@pytest.mark.parametrize("name, value", [
    ("FANTAIL_LIMITS_PING", "soon"), ("FANTAIL_WORKERS", "x"), ("FANTAIL_LOG_LEVEL", "loud"),
    ("FANTAIL_LISTEN", "nowhere"),
])
def test_what_is_wrong_in_the_environment_is_named(name, value):
    assert_one_line_error(run("--check-config", env={name: value}), name, value)


def test_an_address_in_use_is_an_error_of_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert_one_line_error(run("--listen", address), address)


def test_an_address_that_another_broker_serves_is_an_error(start, workers):
    first = start(workers=workers)
    address = f"127.0.0.1:{first.port}"
    assert_one_line_error(run("--listen", address, "--workers", str(workers)), address)
    with Client(first.address) as client:
        assert client.ok({"op": "ping"})


def test_an_address_that_is_not_here_is_an_error_of_one_line():
    assert_one_line_error(run("--listen", "192.0.2.1:0"), "192.0.2.1")


# -- precedence

def welcome_of(broker):
    with Client(broker.address) as client:
        return client.welcome


def test_the_file_is_read(start, tmp_path):
    file = tmp_path / "fantail.conf"
    file.write_text("node = heron\n\n[limits]\nping = 11\ntopics = 12 \n; a comment\n# another\n"
                    "message = 2000\n")
    welcome = welcome_of(start(args=["-c", str(file)]))
    assert (welcome["node"], welcome["ping"]) == ("heron", 11)
    assert welcome["limits"]["topics"] == 12 and welcome["limits"]["message"] == 2000


def test_the_environment_is_read(start):
    env = {"FANTAIL_LIMITS_PING": "11", "FANTAIL_NODE": "heron", "FANTAIL_LIMITS_MESSAGE": "2000"}
    welcome = welcome_of(start(env=env))
    assert (welcome["node"], welcome["ping"]) == ("heron", 11)
    assert welcome["limits"]["message"] == 2000


def test_the_environment_goes_before_the_file_and_the_command_line_before_both(start, tmp_path):
    file = tmp_path / "fantail.conf"
    file.write_text("node = file\n[limits]\nping = 11\ntopics = 11\nqueue = 111000\n")
    env = {"FANTAIL_LIMITS_TOPICS": "22", "FANTAIL_LIMITS_QUEUE": "222000", "FANTAIL_NODE": "env"}
    welcome = welcome_of(start(
        args=["-c", str(file), "--node", "line"], env=env, settings={"limits.queue": 333000}))
    assert welcome["ping"] == 11
    assert welcome["limits"]["topics"] == 22
    assert welcome["limits"]["queue"] == 333000
    assert welcome["node"] == "line"


@pytest.mark.parametrize("args, name", [
    (["--set", "limits.ping=5", "--set", "limits.ping=6"], "limits.ping"),
    (["--node", "a", "--node", "b"], "node"),
    (["--workers", "1", "--set", "workers=2"], "workers"),
])
def test_a_setting_that_is_given_twice_is_an_error(args, name):
    assert_one_line_error(run("--check-config", *args), name, "twice")


def test_listen_may_come_from_the_file_and_the_environment(start, tmp_path):
    file = tmp_path / "fantail.conf"
    file.write_text("listen = 127.0.0.1:0\n")
    assert welcome_of(start(listen=(), args=["-c", str(file)], ready_lines=1))
    assert welcome_of(start(listen=(), env={"FANTAIL_LISTEN": "127.0.0.1:0"}, ready_lines=1))


# What a setting needs beside it, and values where 7 is none.
BESIDE = {"auth.mode": ["auth.secret=" + 32 * "x"], "auth.issuer": ["auth.mode=none"],
          "auth.audience": ["auth.mode=none"], "auth.user_sub": ["auth.mode=none"],
          "auth.user_pub": ["auth.mode=none"]}
VALUES = {"listen": "127.0.0.1:0", "node": "n", "log.level": "warn", "journal.size": "2097152",
          "journal.kept": "2097152", "limits.queue": "100000", "limits.message": "10000",
          "auth.mode": "token", "auth.secret": 32 * "x", "http.origins": "https://a.example",
          "http.allow_no_origin": "no", "http.trusted_proxies": "10.0.0.0/8",
          "http.proxy_listen": "127.0.0.1:0", "http.body": "64k", "http.metrics_admin": "yes",
          "http.console": "no",
          "tls.listen": "none", "tls.proxy_listen": "none"}


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"auth.keys", "auth.api_keys", "tls.cert",
                                                      "tls.key"}))
def test_every_promised_name_can_be_set(name):
    beside = [part for setting in BESIDE.get(name, []) for part in ("--set", setting)]
    result = run("--check-config", "--set", f"{name}={VALUES.get(name, '7')}", *beside)
    assert (result.returncode, result.stderr) == (0, "")


# -- serving

def test_the_ready_line_has_the_version_and_the_address(start):
    broker = start()
    version = run("--version").stdout.split()[1]
    assert broker.ready[0]["version"] == version
    assert broker.ready[0]["address"] == "127.0.0.1" and broker.port > 0
    assert broker.ready[0]["path"] == "/ws"
    assert broker.command[1:3] == ["--listen", "127.0.0.1:0"]


def test_the_ready_line_is_all_that_stdout_gets(start):
    broker = start()
    with Client(broker.address) as client:
        client.sub("t")
        client.pub("t", 1)
    broker.stop()
    assert broker.next_line(5) is None


def test_it_serves_when_the_line_is_there(start, workers):
    for _ in range(5):
        broker = start(workers=workers)
        with RawClient(broker.address) as connection:
            assert connection.ask(request("/healthz")).status == 200


def test_two_listeners_have_two_lines_and_one_feed(start, workers):
    broker = start(listen=("127.0.0.1:0", "127.0.0.1:0"), workers=workers)
    ports = [int(ready["port"]) for ready in broker.ready]
    assert len(set(ports)) == 2
    with Client(("127.0.0.1", ports[0])) as one, Client(("127.0.0.1", ports[1])) as two:
        one.sub("t")
        two.pub("t", "across")
        assert one.next_msg()["data"] == "across"


def test_an_ipv6_address_works(start, workers):
    broker = start(listen=("[::1]:0",), workers=workers)
    assert broker.ready[0]["address"] == "[::1]"
    with Client(broker.address) as client:
        client.sub("t")
        client.pub("t", 6)
        assert client.next_msg()["data"] == 6


def test_only_the_given_address_is_served(start):
    broker = start()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", broker.port), 5)


def test_workers_default_to_the_cores(start):
    broker = start(workers=None)
    with Client(broker.address) as client:
        assert client.ok({"op": "ping"})


def test_logs_are_logfmt_on_stderr(start):
    broker = start(settings={"log.level": "debug"}, args=["--node", "kingfisher"])
    with Client(broker.address) as client:
        client.refused({"op": "pub", "topic": "bad #", "data": 1}, 400)
    broker.stop()
    assert broker.stderr_lines
    for line in broker.stderr_lines:
        assert LOGFMT.match(line), line
        assert line.startswith("ts=") and " level=" in line and " event=" in line, line


def test_the_log_level_is_obeyed(start):
    broker = start(settings={"log.level": "error"})
    with Client(broker.address) as client:
        client.ok({"op": "ping"})
    broker.stop()
    assert broker.stderr == ""


def test_payloads_never_reach_the_log(start, encoding):
    broker = start(settings={"log.level": "debug"})
    with Client(broker.address, encoding) as client:
        client.sub("t")
        client.pub("t", "payload-31337")
        client.next_msg()
        client.refused({"op": "pub", "topic": "t", "data": "payload-31337", "ttl": -1}, 400)
    broker.stop()
    assert "31337" not in broker.stderr


def test_the_ready_pattern_is_strict():
    assert READY.match("fantaild 0.1.0 ready at http://127.0.0.1:80/ (ws://127.0.0.1:80/ws)")
    assert not READY.match("fantaild 0.1.0 ready at http://127.0.0.1:80/ (ws://127.0.0.2:80/ws)")
