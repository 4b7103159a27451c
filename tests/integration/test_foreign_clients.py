"""Clients that nobody here wrote: npm `ws`, the asyncio API of `websockets`, and aiohttp."""

import asyncio

import aiohttp
import pytest
import websockets

from support.client import SUBPROTOCOL, decode, encode
from support.node import NodeClient


@pytest.mark.parametrize("offered", [None, "json", "msgpack"])
def test_ws_connects_and_is_welcomed(broker, offered):
    with NodeClient(broker.ws_url, offered) as node:
        opened = node.event("open")
        assert opened["protocol"] == (SUBPROTOCOL[offered] if offered else "")
        assert opened["extensions"] == ""
        assert node.next()["op"] == "welcome"
        node.tell(do="close", code=1000)
        assert node.event("close")["code"] == 1000


def test_ws_subscribes_and_hears_another_client(broker, connect, encoding, topic):
    with NodeClient(broker.ws_url, encoding) as node:
        node.event("open")
        node.next()
        node.send({"op": "sub", "topics": [f"{topic}/#"], "id": 1})
        assert node.next()["op"] == "ok"
        publisher = connect("msgpack")
        for n in range(50):
            publisher.pub(f"{topic}/{n}", {"n": n, "text": "x" * n * 20})
        for n in range(50):
            message = node.next()
            assert (message["topic"], message["data"]["n"]) == (f"{topic}/{n}", n)


def test_ws_publishes_to_another_client(broker, connect, encoding, topic):
    subscriber = connect("json")
    subscriber.sub(topic)
    with NodeClient(broker.ws_url, encoding) as node:
        node.event("open")
        node.next()
        for n in range(20):
            node.send({"op": "pub", "topic": topic, "data": ["é", n], "id": n})
        for n in range(20):
            assert node.next()["id"] == n
            assert subscriber.next_msg()["data"] == ["é", n]


def test_ws_gets_its_pongs_and_answers_pings(start, encoding):
    broker = start(settings={"limits.ping": 1})
    with NodeClient(broker.ws_url, encoding) as node:
        node.event("open")
        node.next()
        node.tell(do="ping", text="from node")
        assert node.event("pong")["text"] == "from node"
        for _ in range(3):
            node.event("ping")
        node.send({"op": "ping", "id": 1})
        while (event := node.events.get(timeout=10))["event"] == "ping":
            pass
        assert event["event"] == "message"


def test_ws_is_told_1001_when_the_broker_stops(start, encoding):
    broker = start()
    with NodeClient(broker.ws_url, encoding) as node:
        node.event("open")
        node.next()
        broker.stop()
        assert node.event("close")["code"] == 1001


def test_ws_sees_a_refusal_as_http(broker):
    with NodeClient(broker.ws_url.replace("/ws", "/nothing")) as node:
        assert node.event("refused")["status"] == 404


def test_the_asyncio_client_of_websockets_works(broker, encoding, topic):
    async def converse():
        protocols = [SUBPROTOCOL[encoding]]
        async with websockets.connect(broker.ws_url, subprotocols=protocols) as socket:
            async def call(envelope):
                payload = encode(encoding, envelope)
                await socket.send(payload.decode() if encoding == "json" else payload)
                return await hear()

            async def hear():
                data = await asyncio.wait_for(socket.recv(), 10)
                return decode(encoding, data.encode() if encoding == "json" else data)

            assert socket.subprotocol == protocols[0]
            assert (await hear())["op"] == "welcome"
            assert (await call({"op": "sub", "topics": [topic], "id": 1}))["op"] == "ok"
            assert (await call({"op": "pub", "topic": topic, "data": 1}))["data"] == 1
            await asyncio.wait_for(await socket.ping(b"x"), 10)
        return socket.close_code

    assert asyncio.run(converse()) == 1000


def test_the_client_of_aiohttp_works(broker, topic):
    async def converse():
        url = broker.ws_url.replace("ws://", "http://")
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(url, compress=15, heartbeat=5) as socket:
                assert (await socket.receive_json(timeout=10))["op"] == "welcome"
                await socket.send_json({"op": "sub", "topics": [topic], "id": "s"})
                assert (await socket.receive_json(timeout=10))["id"] == "s"
                await socket.send_json({"op": "pub", "topic": topic, "data": "hi"})
                assert (await socket.receive_json(timeout=10))["data"] == "hi"
            health = url.replace("/ws", "/healthz")
            async with session.get(health) as response:
                assert response.status == 200
                return await response.json()

    assert isinstance(asyncio.run(converse()), dict)


def test_three_implementations_hear_the_same(broker, connect, topic):
    with NodeClient(broker.ws_url, "msgpack") as node:
        node.event("open")
        node.next()
        node.send({"op": "sub", "topics": [topic], "id": 1})
        node.next()
        python = connect("json")
        python.sub(topic)
        for n in range(30):
            (python if n % 2 else node).send({"op": "pub", "topic": topic, "data": n})
            assert node.next()["data"] == n
            assert python.next_msg()["data"] == n
