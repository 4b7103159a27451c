"""SIGHUP: settings change while clients are connected, all of them or none."""

import re
import signal

import pytest

from support.client import Closed, everything_since
from support.raw import assert_refused, upgrade_request
from support.wait import until


class Reloadable:
    """A broker with a configuration file, and what its log says about reading that again."""

    def __init__(self, start, file, text, **kwargs):
        self.file = file
        file.write_text(text)
        self.broker = start(args=["-c", str(file)], **kwargs)

    def events(self, name):
        """The log's lines of one event."""
        return [line for line in self.broker.stderr_lines if f" event={name}" in line]

    def _signal_until(self, name):
        before = len(self.events(name))
        self.broker.process.send_signal(signal.SIGHUP)
        until(lambda: len(self.events(name)) > before, f"the log says {name}")
        return self.events(name)[-1]

    def reload(self, text):
        """Writes a file that is right, and waits until the broker goes by it."""
        self.file.write_text(text)
        return self._signal_until("reloaded")

    def refuse(self, text):
        """Writes a file that is wrong, and returns what the log says."""
        if text is None:
            self.file.unlink()
        else:
            self.file.write_text(text)
        return self._signal_until("config_refused")


@pytest.fixture
def reloadable(start, tmp_path):
    """Starts a broker with a file: reloadable("[limits]\\n…")."""
    return lambda text, **kwargs: Reloadable(start, tmp_path / "fantail.conf", text, **kwargs)


# -- policies

def test_a_new_policy_holds_for_connections_that_are_there(reloadable, clients, encoding, workers):
    it = reloadable("", workers=workers)
    publisher, live, late = (clients(it.broker, encoding) for _ in range(3))
    live.sub("t/#")
    publisher.pub("t/a", 1)
    message = live.next_msg()
    assert message["data"] == 1 and "pos" in message
    line = it.reload('[topic "t/#"]\nephemeral = yes\n[topic "t/kept"]\nretain = yes\n')
    assert "sections=2" in line
    assert "pos" not in publisher.ok({"op": "pub", "topic": "t/a", "data": 2})
    message = live.next_msg()
    assert message["data"] == 2 and "pos" not in message
    publisher.pub("t/kept", 3)
    late.sub("t/kept")
    message = late.next_msg()
    assert message["data"] == 3 and message["retained"] is True


def test_a_policy_that_is_taken_away_holds_no_more(reloadable, clients, encoding, workers):
    it = reloadable('[topic "t/#"]\nmax_message = 100\n', workers=workers)
    client = clients(it.broker, encoding)
    client.refused({"op": "pub", "topic": "t/a", "data": "x" * 200}, 413)
    it.reload('[topic "t/b"]\nmax_message = 300\n')
    client.pub("t/a", "x" * 400)
    client.pub("t/b", "x" * 200)
    client.refused({"op": "pub", "topic": "t/b", "data": "x" * 400}, 413)
    it.reload("")
    client.pub("t/b", "x" * 400)


def test_the_most_specific_section_decides(reloadable, clients, encoding, workers):
    it = reloadable('[topic "#"]\nmax_message = 10\n[topic "a/+"]\nmax_message = 100\n'
                    '[topic "a/b"]\nmax_message = 1000\n', workers=workers)
    client = clients(it.broker, encoding)
    for topic, allowed in ("c", 10), ("a", 10), ("a/c", 100), ("a/b", 1000), ("a/b/c", 10):
        client.pub(topic, "x" * (allowed - 5))
        client.refused({"op": "pub", "topic": topic, "data": "x" * (allowed + 1)}, 413)


# -- what is refused

@pytest.mark.parametrize("text, words", [
    ('[topic "t"]\nmax_message = 500\n\n[limits]\nping = soon\n', [":5:", "limits.ping", "soon"]),
    ('[topic "t"]\nmax_mesage = 500\n', [":2:", "max_mesage", "did you mean max_message?"]),
    ('[limits]\nping = 9\n[topic "t/#/u"]\n', [":3:", "t/#/u"]),
    ('[topic "t"]\n[topic "t"]\n', [":2:", ":1"]),
    ("[limits]\nmessage = 2m\n", [":2:", "limits.queue"]),
    (None, ["fantail.conf: cannot be opened"]),
], ids=["value", "name", "filter", "twice", "contradiction", "gone"])
def test_a_file_that_is_wrong_changes_nothing(reloadable, clients, text, words):
    it = reloadable('[limits]\nping = 11\n[topic "t"]\nmax_message = 100\n')
    client = clients(it.broker)
    line = it.refuse(text)
    assert " level=error " in line and str(it.file) in line
    for word in words:
        assert word in line, line
    assert len(it.events("config_refused")) == 1 and it.events("setting_changed") == []
    client.refused({"op": "pub", "topic": "t", "data": "x" * 200}, 413)
    assert clients(it.broker).welcome["ping"] == 11
    it.reload('[limits]\nping = 12\n[topic "t"]\nmax_message = 300\n')
    client.pub("t", "x" * 200)
    assert clients(it.broker).welcome["ping"] == 12


# -- settings

def test_limits_change_for_connections_that_are_there(reloadable, clients, encoding, workers):
    it = reloadable("[limits]\nmessage = 1k\ntopics = 1\n", workers=workers)
    client, other = clients(it.broker, encoding), clients(it.broker, encoding)
    client.sub("t")
    client.refused({"op": "sub", "topics": ["u"]}, 429)
    it.reload("[limits]\nmessage = 4k\ntopics = 2\n")
    assert len(it.events("setting_changed")) == 2
    client.sub("u")
    client.pub("t", "x" * 3000)
    assert client.next_msg()["data"] == "x" * 3000
    assert clients(it.broker).welcome["limits"]["message"] == 4096
    it.reload("[limits]\nmessage = 1k\n")
    client.send({"op": "pub", "topic": "u", "data": "x" * 3000})
    with pytest.raises(Closed) as closed:
        client.next()
    assert closed.value.code == 1009
    assert other.ok({"op": "ping"})


def test_the_number_of_connections_can_change(reloadable, clients, raw, workers):
    it = reloadable("[limits]\nconnections = 2\n", workers=workers)
    held = [clients(it.broker) for _ in range(2)]
    assert_refused(raw(it.broker).ask(upgrade_request()), 503)
    it.reload("[limits]\nconnections = 4\n")
    held += [clients(it.broker) for _ in range(2)]
    assert_refused(raw(it.broker).ask(upgrade_request()), 503)
    it.reload("[limits]\nconnections = 1\n")
    assert_refused(raw(it.broker).ask(upgrade_request()), 503)
    for each in held:
        assert each.ok({"op": "ping"})


def test_the_log_level_can_change(reloadable, clients):
    it = reloadable("[log]\nlevel = warn\n")
    client = clients(it.broker)
    it.reload("[log]\nlevel = info\n")
    it.reload("[log]\nlevel = error\n[limits]\nping = 9\n")
    assert client.ok({"op": "ping"})
    it.broker.stop()
    assert it.events("stopped") == [] and len(it.events("setting_changed")) == 3


def test_what_needs_a_restart_is_named_and_the_rest_applies(reloadable, clients):
    it = reloadable("node = heron\n[limits]\nping = 11\n")
    client = clients(it.broker)
    it.reload("node = egret\nworkers = 3\n[limits]\nping = 12\n[http]\npath = /other\n"
              "[journal]\nsize = 32m\ntopics = 5\n")
    named = {re.search(r" setting=(\S+) running=(\S+)", line).groups()
             for line in it.events("restart_needed")}
    # The command line goes before the file: `workers` and `listen` have not changed.
    assert named == {("node", "heron"), ("http.path", "/ws"), ("journal.size", "64m"),
                     ("journal.topics", "100000")}
    welcome = clients(it.broker).welcome
    assert (welcome["node"], welcome["ping"]) == ("heron", 12)
    assert client.ok({"op": "ping"})


def test_more_connections_than_open_files_need_a_restart(reloadable, clients):
    it = reloadable("[limits]\nconnections = 20\n", descriptors=128)
    it.reload("[limits]\nconnections = 2000\nping = 9\n")
    assert ["setting=limits.connections running=20" in line
            for line in it.events("restart_needed")] == [True]
    assert clients(it.broker).welcome["ping"] == 9


def test_what_contradicts_a_setting_that_needs_a_restart_is_refused(reloadable, clients):
    it = reloadable("[limits]\nflush = 128k\n")
    line = it.refuse("[limits]\nflush = 1k\nqueue = 100k\n")
    assert "limits.queue = 100k must be at least 128k, that is limits.flush" in line
    assert clients(it.broker).welcome["limits"]["queue"] == 1 << 20


# -- the signal

def test_without_a_file_it_goes_on_and_says_so(start, clients, workers):
    broker = start(workers=workers)
    client = clients(broker)
    for count in 1, 2:
        broker.process.send_signal(signal.SIGHUP)
        until(lambda: broker.stderr.count(" event=reloaded file=none ") == count, "it says so")
    assert client.ok({"op": "ping"})


def test_nothing_is_lost_or_doubled_while_it_reloads(reloadable, clients, encoding, workers):
    it = reloadable("", workers=workers)
    publisher, subscriber = clients(it.broker, "json"), clients(it.broker, encoding)
    subscriber.sub("feed/#", "end")
    for n in range(40):
        for i in range(20):
            publisher.send({"op": "pub", "topic": f"feed/{i}", "data": n * 20 + i})
        it.reload(f'[topic "feed/{n % 20}"]\nretain = yes\n[topic "feed/#"]\nhistory = {n}\n')
    got = everything_since(publisher, subscriber, "end")
    assert [message["data"] for message in got] == list(range(800))
