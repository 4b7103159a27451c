"""Load: many publishers and subscribers at once, and a ledger in which nothing may be missing."""

import pytest

from support.ledger import Churn, Feed, Publisher, run

KINDS = ("json", "msgpack")


@pytest.fixture
def loaded(start, workers):
    """A broker whose queues outlast a Python reader that lags."""
    return start(settings={"limits.queue": 64 << 20}, workers=workers)


def close_all(clients):
    for each in clients:
        each.raw.close()


@pytest.mark.deadline(120)
def test_fifty_publishers_reach_fifty_subscribers_once_and_in_order(loaded):
    feeds = [Feed(loaded.address, KINDS[n % 2], ["load/#"]) for n in range(50)]
    publishers = [Publisher(loaded.address, KINDS[n // 2 % 2], n, [f"load/{n % 10}"], 60)
                  for n in range(50)]
    assert run(feeds, publishers, 50 * 60, 60) == []
    close_all(feeds + publishers)


@pytest.mark.deadline(120)
def test_overlapping_filters_deliver_once_under_load(loaded):
    filters = ["load/#", "load/+", "+/1", "#", "load/1", "load/2"]
    feeds = [Feed(loaded.address, KINDS[n % 2], filters) for n in range(8)]
    publishers = [Publisher(loaded.address, KINDS[n % 2], n, ["load/1", "load/2"], 500)
                  for n in range(8)]
    assert run(feeds, publishers, 4000, 60) == []
    close_all(feeds + publishers)


@pytest.mark.deadline(120)
@pytest.mark.parametrize("publishing", KINDS)
def test_publishers_at_full_speed_lose_nothing_across_workers(loaded, publishing):
    feeds = [Feed(loaded.address, KINDS[n % 2], ["load/#"]) for n in range(8)]
    publishers = [Publisher(loaded.address, publishing, n, ["load/full/speed"], 4000, padding=50)
                  for n in range(4)]
    assert run(feeds, publishers, 16000, 60) == []
    close_all(feeds + publishers)


@pytest.mark.deadline(120)
def test_clients_that_come_and_go_disturb_nobody(loaded):
    feeds = [Feed(loaded.address, KINDS[n % 2], ["load/#"]) for n in range(10)]
    publishers = [Publisher(loaded.address, KINDS[n % 2], n, [f"load/{n}"], 600) for n in range(10)]
    churn = Churn(loaded.address, seed=20261121)
    assert run(feeds, publishers, 6000, 60, churn) == []
    assert churn.came > 20
    churn.end()
    close_all(feeds + publishers)


@pytest.mark.deadline(120)
def test_a_thousand_topics_keep_their_order_each(loaded):
    topics = [f"load/{n}/value" for n in range(1000)]
    feeds = [Feed(loaded.address, KINDS[n % 2], ["load/+/value"]) for n in range(6)]
    publishers = [Publisher(loaded.address, KINDS[n % 2], n, topics[n::5], 1500) for n in range(5)]
    assert run(feeds, publishers, 7500, 60) == []
    assert len(feeds[0].orders) == 1000
    close_all(feeds + publishers)


@pytest.mark.deadline(120)
def test_large_publications_flow_through_a_full_socket(loaded):
    feeds = [Feed(loaded.address, KINDS[n % 2], ["load/#"]) for n in range(4)]
    publishers = [Publisher(loaded.address, KINDS[n % 2], n, ["load/large"], 100, padding=40000)
                  for n in range(2)]
    assert run(feeds, publishers, 200, 60) == []
    close_all(feeds + publishers)
