"""The ledger: publishers flat out, subscribers that drop and resume thousands of times, no loss.

FANTAIL_LEDGER_RESUMES=100000 makes it longer; a failure prints the seed that FANTAIL_LEDGER_SEED
takes. Threads of the broker run as they like, so a seed repeats the requests and not the outcome.
"""

import os
import random

import pytest

from support.http_resumers import EventReader, HttpPublisher
from support.resumers import Ledger, Publisher, Subscriber

RESUMES = int(os.environ.get("FANTAIL_LEDGER_RESUMES", "4000"))
SEED = int(os.environ.get("FANTAIL_LEDGER_SEED", random.SystemRandom().randrange(2**32)))
DEADLINE_S = 50 + RESUMES // 20
KINDS = ("json", "msgpack")
FILTERS = (["led/0/a"], ["led/+/a"], ["led/#"], ["led/1/+", "led/0/b", "led/+/b"], ["#"])


def people(ledger, haste, padding=0, lazy=False, publishers=4, subscribers=15):
    """Returns publishers and subscribers of both encodings and all kinds of filters."""
    topics = [f"led/{n}/{name}" for n in range(3) for name in "ab"]
    return ([Publisher(ledger, who, KINDS[who % 2], topics[who:] + topics[:who], padding)
             for who in range(publishers)],
            [Subscriber(ledger, KINDS[n % 2], FILTERS[n % 5], haste, lazy and n % 3 == 0)
             for n in range(subscribers)])


def people_over_http(ledger, haste, padding=0, lazy=False):
    """Returns publishers and subscribers, half of each over WebSockets and half over HTTP."""
    publishers, subscribers = people(ledger, haste, padding, lazy, publishers=2, subscribers=5)
    topics = [f"led/{n}/{name}" for n in range(3) for name in "ab"]
    return (publishers + [HttpPublisher(ledger, who, topics[who:] + topics[:who], padding)
                          for who in (2, 3)],
            subscribers + [EventReader(ledger, FILTERS[n % 5], haste, lazy and n % 3 == 0)
                           for n in range(6)])


def assert_even(ledger, subscribers):
    """Nothing was lost, doubled, reordered, leaked, or else wrong."""
    sums, examples = ledger.account(subscribers)
    assert not sums, f"seed {SEED}: {sums}\n" + "\n".join(examples)


@pytest.mark.deadline(DEADLINE_S + 90)
def test_every_subscriber_ends_with_each_publication_once_however_often_it_drops(start, workers):
    broker = start(workers=workers, settings={"journal.size": "256m"})
    ledger = Ledger(broker.address, random.Random(SEED), lead=3000)
    publishers, subscribers = people(ledger, haste=60)
    ledger.run(publishers, subscribers, RESUMES, DEADLINE_S)
    assert_even(ledger, subscribers)
    assert sum(s.gaps + s.unrecovered for s in subscribers) == 0  # the journal held everything


@pytest.mark.deadline(DEADLINE_S + 90)
def test_slow_readers_among_them_lose_nothing_either(start, workers):
    broker = start(workers=workers, settings={"journal.size": "1g", "limits.queue": "64k"})
    ledger = Ledger(broker.address, random.Random(SEED), lead=4000)
    publishers, subscribers = people(ledger, haste=200, padding=3000, lazy=True, publishers=2)
    ledger.run(publishers, subscribers, RESUMES // 30, DEADLINE_S)
    assert_even(ledger, subscribers)
    assert sum(s.gaps + s.unrecovered for s in subscribers) == 0


@pytest.mark.deadline(DEADLINE_S + 90)
def test_what_a_small_journal_loses_is_always_admitted(start, workers):
    broker = start(workers=workers, settings={"journal.size": "1m", "limits.queue": "64k"})
    ledger = Ledger(broker.address, random.Random(SEED), lead=4000)
    publishers, subscribers = people(ledger, haste=100, padding=2000, lazy=True, publishers=2)
    ledger.run(publishers, subscribers, RESUMES // 12, DEADLINE_S)
    assert_even(ledger, subscribers)
    assert sum(s.gaps + s.unrecovered for s in subscribers) > 0  # there was something to admit


def assert_tried_again(publishers):
    """Publishers over HTTP were cut off, and some of what they sent again was there already."""
    over_http = [p for p in publishers if isinstance(p, HttpPublisher)]
    assert sum(p.cuts for p in over_http) > 0
    assert sum(p.duplicates for p in over_http) > 0


@pytest.mark.deadline(DEADLINE_S + 90)
def test_over_http_nothing_is_lost_or_doubled_either(start, workers):
    broker = start(workers=workers, settings={"journal.size": "256m"})
    ledger = Ledger(broker.address, random.Random(SEED), lead=3000)
    publishers, subscribers = people_over_http(ledger, haste=60)
    ledger.run(publishers, subscribers, RESUMES // 10, DEADLINE_S)
    assert_even(ledger, subscribers)
    assert sum(s.gaps + s.unrecovered for s in subscribers) == 0
    assert_tried_again(publishers)


@pytest.mark.deadline(DEADLINE_S + 90)
def test_what_event_streams_lose_of_a_small_journal_is_admitted_too(start, workers):
    broker = start(workers=workers, settings={"journal.size": "1m", "limits.queue": "64k"})
    ledger = Ledger(broker.address, random.Random(SEED), lead=4000)
    publishers, subscribers = people_over_http(ledger, haste=100, padding=2000, lazy=True)
    ledger.run(publishers, subscribers, RESUMES // 20, DEADLINE_S)
    assert_even(ledger, subscribers)
    assert sum(s.gaps + s.unrecovered for s in subscribers if isinstance(s, EventReader)) > 0
    assert_tried_again(publishers)
