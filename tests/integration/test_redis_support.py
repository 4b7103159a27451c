"""The Redis server that tests start themselves: it keeps what it should, and loses the rest."""

import pytest
from redis import Redis as RedisClient
from redis.exceptions import AuthenticationError, TimeoutError as RedisTimeout


def test_with_aof_data_outlives_a_restart_and_a_kill(start_redis):
    redis = start_redis(aof=True)
    port, pid = redis.port, redis.pid
    redis.client().set("a", "1")
    redis.restart()
    assert redis.pid != pid and redis.port == port
    assert redis.client().get("a") == b"1"
    redis.config_set("appendfsync", "always")
    redis.client().set("b", "2")
    redis.kill()
    redis.start()
    assert redis.client().mget("a", "b") == [b"1", b"2"]
    redis.restart(empty=True)
    assert redis.client().dbsize() == 0


def test_without_aof_a_restart_is_a_loss(redis):
    redis.client().set("a", "1")
    redis.restart()
    assert redis.client().dbsize() == 0


def test_a_frozen_server_holds_its_connections_and_says_nothing(redis):
    client = redis.client(socket_timeout=0.2)
    client.set("a", "1")
    redis.freeze()
    with pytest.raises(RedisTimeout):
        client.get("a")
    redis.thaw()
    assert redis.client().get("a") == b"1"
    assert redis.cli("get", "a") == "1"


def test_a_password_is_asked_for(start_redis):
    redis = start_redis(password="secret")
    assert redis.client().ping()
    with pytest.raises(AuthenticationError), RedisClient(port=redis.port) as stranger:
        stranger.ping()
    with RedisClient.from_url(redis.url) as friend:
        assert friend.ping()
    with RedisClient.from_url(redis.unix_url) as friend:
        assert friend.ping()
