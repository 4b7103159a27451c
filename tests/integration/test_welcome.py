"""The welcome: first on every connection, complete, and true to the configuration."""

from support.client import Client
from support.raw import CLOSE, PING, TEXT, close_payload, frame, upgrade_request


def test_the_welcome_has_every_field(connect, encoding):
    welcome = connect(encoding).welcome
    assert welcome["version"] == 1
    assert isinstance(welcome["session"], str) and welcome["session"]
    assert isinstance(welcome["node"], str) and welcome["node"]
    assert "user" in welcome and welcome["user"] is None
    assert "expires" not in welcome
    assert welcome["ping"] == 25
    assert welcome["limits"] == {"message": 65536, "topics": 1024, "queue": 1048576}


def test_a_connection_without_a_subprotocol_is_welcomed_in_json(connect):
    client = connect(None)
    assert client.protocol.subprotocol is None
    assert client.welcome["op"] == "welcome"


def test_the_welcome_comes_before_any_reply(broker, raw):
    connection = raw(broker)
    connection.send(upgrade_request() + frame(TEXT, b'{"op":"ping"}'))
    connection.read_response()
    assert b'"welcome"' in connection.read_frame().payload


def test_the_welcome_is_one_final_frame_and_nothing_follows_unasked(broker, raw):
    connection = raw(broker)
    connection.upgrade("fantail.v1.json")
    first = connection.read_frame()
    assert first.fin and first.opcode == TEXT and first.rsv == 0
    connection.send_frame(PING, b"barrier")
    assert connection.read_frame().payload == b"barrier"


def test_session_names_are_unique(broker, connect, encoding):
    names = {connect(encoding).welcome["session"] for _ in range(50)}
    assert len(names) == 50


def test_a_session_name_is_not_used_again_after_its_end(broker):
    names = set()
    for _ in range(30):
        with Client(broker.address) as client:
            names.add(client.welcome["session"])
            client.close()
    assert len(names) == 30


def test_the_limits_are_the_configured_ones(start, clients, encoding):
    broker = start(settings={
        "limits.message": 5000, "limits.topics": 7, "limits.queue": 200000, "limits.ping": 13,
    }, args=["--node", "kingfisher"])
    welcome = clients(broker, encoding).welcome
    assert welcome["limits"] == {"message": 5000, "topics": 7, "queue": 200000}
    assert welcome["ping"] == 13
    assert welcome["node"] == "kingfisher"


def test_two_brokers_have_two_streams(start, clients):
    streams = set()
    for _ in range(2):
        client = clients(start())
        streams.add(client.pub("t", 1).rpartition(".")[0])
    assert len(streams) == 2


def test_a_client_that_leaves_before_its_welcome_harms_nobody(broker, raw, connect):
    for _ in range(20):
        connection = raw(broker)
        connection.send(upgrade_request())
        connection.reset()
    assert connect("json").ok({"op": "ping"})


def test_a_close_before_the_welcome_was_read_is_answered(broker, raw):
    connection = raw(broker)
    connection.send(upgrade_request() + frame(CLOSE, close_payload(1000)))
    connection.read_response()
    assert connection.read_close()[0] == 1000
    connection.wait_gone()
