"""What the broker remembers is bounded; at a bound the oldest goes, and nothing else suffers."""

import pytest

from support.broker import ROOT, Broker
from support.client import everything_since
from support.positions import data_of, publish, resume, subscribe

BATCH = 500


@pytest.fixture
def release(monkeypatch):
    """Starts the release build where there is one: what memory costs, it costs there."""
    built = ROOT / "build" / "fantaild"
    if built.exists():
        monkeypatch.setenv("FANTAILD", str(built))
    brokers = []

    def begin(**kwargs):
        brokers.append(Broker(**kwargs))
        return brokers[-1]

    yield begin
    for each in brokers:
        each.stop()


def one_off(client, first, count, **more):
    """Publishes once to each of so many topics that nobody had before."""
    for begin in range(first, first + count, BATCH):
        client.send([{"op": "pub", "topic": f"one/off/{n}", "data": n, **more}
                     for n in range(begin, min(begin + BATCH, first + count))])
    client.ok({"op": "ping"})


@pytest.mark.deadline(120)
def test_a_million_one_off_topics_leave_memory_where_it_was(release, clients):
    broker = release(workers=2, settings={"journal.size": "8m"})
    client = clients(broker)
    million = 100_000 if broker.sanitized else 1_000_000
    one_off(client, 0, million // 4)
    before = broker.rss_bytes()
    one_off(client, million // 4, million)
    grown = broker.rss_bytes() - before
    assert grown < 4 << 20, f"{grown >> 10} KiB more after {million} topics"


@pytest.mark.deadline(120)
@pytest.mark.parametrize("more", [{"retain": True}, {"key": "k"}], ids=["retained", "keys"])
def test_values_and_keys_of_one_off_topics_leave_memory_where_it_was(release, clients, more):
    broker = release(workers=2, settings={"journal.size": "8m", "journal.topics": 10_000,
                                          "journal.retained": 10_000, "journal.keys": 10_000})
    client = clients(broker)
    one_off(client, 0, 50_000, **more)
    before = broker.rss_bytes()
    one_off(client, 50_000, 150_000, **more)
    grown = broker.rss_bytes() - before
    assert grown < 4 << 20, f"{grown >> 10} KiB more"


@pytest.mark.deadline(120)
def test_one_off_subscriptions_leave_memory_where_it_was(release, clients):
    broker = release(workers=2)
    client = clients(broker)

    def come_and_go(first):
        for begin in range(first, first + 50_000, 100):
            topics = [f"one/off/{n}" for n in range(begin, begin + 100)]
            client.send([{"op": "sub", "topics": topics, "last": 1},
                         {"op": "unsub", "topics": topics}])
        client.ok({"op": "ping"})

    come_and_go(0)
    before = broker.rss_bytes()
    come_and_go(50_000)
    assert broker.rss_bytes() - before < 4 << 20


def test_beyond_journal_topics_the_oldest_topics_are_forgotten(start, clients, encoding, workers):
    broker = start(workers=workers, settings={"journal.topics": 100})
    publisher = clients(broker)
    first = publisher.pub("before", 1)
    publish(publisher, lambda n: f"t/{n}", range(300))
    client = clients(broker, encoding)
    subscribe(client, "t/#", "end", last=1)
    kept = data_of(everything_since(publisher, client, "end"))
    assert 50 <= len(kept) <= 101 and kept == list(range(300 - len(kept), 300))
    client = clients(broker, encoding)  # and resuming suffers nothing
    resume(client, first, "t/#", "end")
    assert data_of(everything_since(publisher, client, "end")) == list(range(300))


def test_a_topic_that_is_in_use_is_not_the_oldest(start, clients, encoding):
    broker = start(workers=2, settings={"journal.topics": 100})
    publisher = clients(broker)
    for first in range(0, 300, 50):
        publisher.pub("in/use", first)
        publish(publisher, lambda n: f"t/{n}", range(first, first + 50))
    client = clients(broker, encoding)
    subscribe(client, "in/use", "end", last=1)
    assert data_of(everything_since(publisher, client, "end")) == [250]


def test_beyond_journal_retained_the_oldest_values_go(start, clients, encoding, workers):
    broker = start(workers=workers, settings={"journal.retained": 10})
    publisher = clients(broker)
    publish(publisher, lambda n: f"t/{n}", range(30), retain=True)
    publisher.pub("t/25", "replaced", retain=True)
    client = clients(broker, encoding)
    subscribe(client, "t/#", "end")
    got = everything_since(publisher, client, "end")
    assert data_of(got) == [*range(20, 25), *range(26, 30), "replaced"]
    publish(publisher, lambda n: f"u/{n}", range(6), retain=True)
    client = clients(broker, encoding)
    subscribe(client, "t/#", "end")
    assert data_of(everything_since(publisher, client, "end")) == [27, 28, 29, "replaced"]


def test_clearing_makes_room_for_others(start, clients, encoding):
    broker = start(settings={"journal.retained": 10})
    publisher = clients(broker)
    publish(publisher, lambda n: f"t/{n}", range(10), retain=True)
    for n in range(5, 10):
        publisher.pub(f"t/{n}", None, retain=True)
    publish(publisher, lambda n: f"u/{n}", range(10, 15), retain=True)
    client = clients(broker, encoding)
    subscribe(client, "t/#", "u/#", "end")
    assert data_of(everything_since(publisher, client, "end")) == [0, 1, 2, 3, 4, *range(10, 15)]


def test_beyond_journal_keys_the_oldest_keys_are_forgotten(start, clients, encoding, workers):
    broker = start(workers=workers, settings={"journal.keys": 100})
    client = clients(broker, encoding)
    for n in range(300):
        client.pub("t", n, key=f"key {n}")
    replies = {n: client.ok({"op": "pub", "topic": "t", "data": n, "key": f"key {n}"})
               for n in (299, 280, 250, 0)}
    assert [n for n, r in replies.items() if r.get("duplicate")] == [299, 280, 250]


@pytest.mark.parametrize("name", ["journal.topics", "journal.retained", "journal.keys"])
def test_the_smallest_bound_disturbs_nothing_live(start, clients, encoding, name):
    broker = start(workers=2, settings={name: 1})
    subscriber, publisher = clients(broker, encoding), clients(broker)
    subscriber.sub("t/#", "end")
    for n in range(50):
        publisher.pub(f"t/{n % 7}", n, retain=n % 2 == 0, key=f"k{n}")
    assert data_of(everything_since(publisher, subscriber, "end")) == list(range(50))
