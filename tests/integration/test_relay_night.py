"""A bad night: all faults in a random order under load, and an account that is even in the morning.

Its seed is printed; FANTAIL_SEED=N makes the same draws again. FANTAIL_SOAK=1 (`make soak`): ten minutes
instead of some seconds; FANTAIL_NIGHT_S says otherwise.
"""

import os
import random
import time

import pytest

from support.bad_night import Night
from support.cluster_ledger import ClusterLedger
from support.cluster_people import RULES, assert_even, hire
from support.rules import with_rules

SOAK = os.environ.get("FANTAIL_SOAK") == "1"
NIGHT_S = float(os.environ.get("FANTAIL_NIGHT_S") or (600 if SOAK else 12))

pytestmark = pytest.mark.deadline(2 * NIGHT_S + 240)


@pytest.fixture
def seed():
    found = int(os.environ.get("FANTAIL_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"FANTAIL_SEED={found}")
    random.seed(found)
    return found


def sleep_through(seed, servers, folder, workers, loses):
    """Lets a night pass."""
    night = Night(seed, servers, with_rules(folder, RULES), workers=workers, loses=loses)
    ledger = ClusterLedger([node.address for node in night.nodes], is_faithful=not loses)
    night.ledger = ledger
    try:
        hire(ledger, haste=300, rate=60 if SOAK else 100, lazy=True)
        begun = time.monotonic()
        night.run(NIGHT_S)
        night.log.append(f"{time.monotonic() - begun:.1f} morning")
        assert_even(ledger, night.nodes, seconds=90,
                    presence_s=0 if night.is_killed and not SOAK else 45)
    finally:
        print(*night.log, sep="\n")
        night.close()
    print(f"even after {time.monotonic() - begun:.1f} s")
    print(f"{len(night.log)} faults, {len(ledger.entries)} acknowledged, {ledger.admitted()} admitted,"
          f" {sum(s.resumes for s in ledger.subscribers)} resumes,"
          f" {sum(s.unrecovered for s in ledger.subscribers)} not recovered,"
          f" {sum(s.repeated for s in ledger.subscribers)} repeated to these,"
          f" {sum(sum(s.gaps.values()) for s in ledger.subscribers)} gaps")
    return ledger


def server(start_redis, fsync):
    return start_redis(aof=True, args=["--appendfsync", fsync, "--enable-debug-command", "yes"])


@pytest.mark.parametrize("servers,workers", [(1, 2), (2, 1)], ids=["two_workers", "two_servers"])
def test_nothing_is_lost_where_redis_loses_nothing(start_redis, tmp_path, seed, servers, workers):
    redis = [server(start_redis, "always") for _ in range(servers)]
    sleep_through(seed, redis, tmp_path, workers, loses=False)


def test_nothing_is_silent_where_redis_loses_what_it_had(start_redis, tmp_path, seed):
    sleep_through(seed, [server(start_redis, "everysec")], tmp_path, 2, loses=True)
