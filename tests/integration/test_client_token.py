"""The client with tokens and TLS, against a server that is not our broker."""

import json
import ssl
import subprocess

import pytest

from support.broker import run
from support.command import Command
from support.token_server import TokenServer
from support.wait import until

DONE, FAILED, USAGE, NO_BROKER = 0, 1, 2, 3


@pytest.fixture
def serve():
    """Starts such servers."""
    running = []

    def begin(*args, **kwargs):
        running.append(TokenServer(*args, **kwargs))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


@pytest.fixture
def command():
    """Starts `fantail`."""
    running = []

    def begin(*args, **kwargs):
        running.append(Command(*args, **kwargs))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


def publish(server, *args, scheme="ws", host="127.0.0.1", env=None):
    """Runs `fantail pub` to its end."""
    return run("-s", server.url(scheme, host), *args, "pub", "t", "1", name="fantail", env=env)


# -- where the token comes from

def test_no_token_no_header(serve):
    server = serve()
    assert publish(server).returncode == DONE
    assert server.headers == [None]


def test_a_token_from_the_command_line_goes_before_that_of_the_environment(serve):
    server = serve()
    assert publish(server, env={"FANTAIL_TOKEN": "from-env"}).returncode == DONE
    assert publish(server, "--token", "given", env={"FANTAIL_TOKEN": "env"}).returncode == DONE
    assert server.headers == ["Bearer from-env", "Bearer given"]


def test_a_long_token(serve):
    server = serve()
    assert publish(server, "--token", "x" * 4000).returncode == DONE  # the most that the server reads
    assert server.headers == ["Bearer " + "x" * 4000]
    done = publish(server, "--token", "x" * 8193)
    assert done.returncode == NO_BROKER and "8,192" in done.stderr


@pytest.mark.parametrize("token", ["a b", "a\nX: y", "é", "a\x01"])
def test_a_token_is_one_word(serve, token):
    server = serve()
    done = publish(server, "--token", token)
    assert done.returncode == NO_BROKER and "token" in done.stderr
    assert not server.headers


def test_a_token_from_a_file_without_its_line_break(serve, tmp_path):
    path = tmp_path / "token"
    path.write_text("  from-file\r\n")
    server = serve()
    assert publish(server, "--token-file", str(path)).returncode == DONE
    assert server.headers == ["Bearer from-file"]


def test_a_refused_token_ends_it(serve, tmp_path):
    path = tmp_path / "token"
    path.write_text("bad")
    for args in (["--token", "bad"], ["--token-file", str(path)]):
        server = serve(refuse=401)
        done = publish(server, *args)
        assert done.returncode == NO_BROKER
        assert "401" in done.stderr and "expired" in done.stderr


# -- tokens that end

def test_an_expired_token_is_replaced_on_the_connection(serve, command, tmp_path):
    path = tmp_path / "token"
    path.write_text("first")

    async def expire(connection, _number):
        path.write_text("second")
        await connection.send(json.dumps({"op": "error", "code": 401, "message": "it expired"}))

    server = serve(expire)
    sub = command("-s", server.url(), "--token-file", str(path), "sub", "t")
    sub.expect_lines("second")
    auth = [each for each in server.envelopes if each["op"] == "auth"]
    assert [each["token"] for each in auth] == ["second"]
    assert server.headers == ["Bearer first"]
    assert sub.interrupt() == DONE
    assert sub.errors == ""


def test_a_connection_that_is_closed_for_its_token_comes_back_with_the_next(
        serve, command, tmp_path):
    path = tmp_path / "token"
    path.write_text("first")

    async def close(connection, number):
        if number == 1:
            path.write_text("second")
            await connection.close(4401, "the token expired")

    server = serve(close)
    sub = command("-s", server.url(), "--token-file", str(path), "sub", "t")
    until(lambda: len(server.headers) == 2, "it comes back")
    assert server.headers == ["Bearer first", "Bearer second"]
    assert sub.interrupt() == DONE


def test_with_a_fixed_token_an_expiry_is_reported_and_the_close_is_final(serve, command):
    async def close(connection, _number):
        await connection.send(json.dumps({"op": "error", "code": 401, "message": "it expired"}))
        await connection.close(4401, "the token expired")

    server = serve(close)
    sub = command("-s", server.url(), "--token", "only", "sub", "t")
    assert sub.wait() == NO_BROKER
    assert "401: it expired" in sub.errors and "the token expired" in sub.errors
    assert server.headers == ["Bearer only"]
    assert not [each for each in server.envelopes if each["op"] == "auth"]


@pytest.mark.parametrize("ended, left", [(["a"], ["b/#"]), (["b/#", "a"], None), ([], ["a", "b/#"])])
def test_what_the_operator_ended_is_not_asked_for_again(serve, command, ended, left):
    async def end(connection, number):
        if number > 1:
            return
        sub = json.loads(await connection.recv())
        await connection.send(json.dumps({"op": "ok", "id": sub["id"], "pos": ["s.1"]}))
        await connection.send(json.dumps({"op": "error", "code": 403, "message": "ended by the operator",
                                          "unsubscribed": ended}))
        await connection.close(1012)

    server = serve(end)
    sub = command("-s", server.url(), "sub", "a", "b/#")
    if left is None:
        until(lambda: "connected to" in sub.errors, "it is back")
    else:
        until(lambda: server.envelopes, "it asks again")
    assert sub.interrupt() == DONE
    assert [each["topics"] for each in server.envelopes if each["op"] == "sub"] == (
        [left] if left else [])
    assert "403: ended by the operator" in sub.errors


# -- TLS

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost that signed itself; the paths of it and of its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    return cert, key


@pytest.fixture
def secure(serve, certificate):
    """A server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return serve(ssl=context)


def test_wss_with_an_authority(secure, certificate):
    done = publish(secure, "--ca", str(certificate[0]), "--token", "T", scheme="wss",
                   host="localhost")
    assert (done.returncode, done.stderr) == (DONE, "")
    assert secure.headers == ["Bearer T"]


def test_wss_without_an_authority_sends_no_token(secure):
    done = publish(secure, "--token", "T", scheme="wss", host="localhost")
    assert done.returncode == NO_BROKER and "certificate" in done.stderr
    assert not secure.headers


def test_wss_to_another_name_sends_no_token(secure, certificate):
    done = publish(secure, "--ca", str(certificate[0]), "--token", "T", scheme="wss")
    assert done.returncode == NO_BROKER
    assert not secure.headers


def test_wss_insecure(secure):
    done = publish(secure, "--insecure", scheme="wss")
    assert (done.returncode, done.stderr) == (DONE, "")
    assert secure.headers == [None]


def test_wss_to_who_speaks_no_tls(serve):
    done = publish(serve(), "--insecure", scheme="wss")
    assert done.returncode == NO_BROKER
