"""Starting safely: who is served without a word about auth, and files that are wrong."""

import signal
import subprocess

import pytest

from support.broker import run
from support.client import Client
from support.wait import until
from test_config import assert_one_line_error
from test_reload import reloadable  # noqa: F401, a fixture

SECRET = "0123456789abcdef0123456789abcdef"
ADVICE = ["auth is not configured", "auth.mode = token", "auth.mode = none"]


def both_ways(*args):
    """The results of serving and of asking: what is wrong has to be said by both."""
    return [run(*args), run("--check-config", *args)]


@pytest.fixture
def pem(tmp_path):
    """Makes a key and a certificate: pem() returns the paths, cert.pem and key.pem."""
    def make(directory="a", days=2, options=("-nodes",)):
        (tmp_path / directory).mkdir(exist_ok=True)
        cert, key = tmp_path / directory / "cert.pem", tmp_path / directory / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-keyout", key, "-out", cert, "-days", str(days), "-subj", "/CN=localhost", *options],
            check=True, capture_output=True)
        return cert, key
    return make


def tls(cert, key):
    return ["--set", f"tls.cert={cert}", "--set", f"tls.key={key}"]


# -- who is served

@pytest.mark.parametrize("name", ["listen", "tls.listen", "http.proxy_listen", "tls.proxy_listen"])
@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
def test_other_machines_are_not_served_without_a_word_about_auth(name, address):
    args = ["--set", f"{name}={address}", "--set", "tls.cert=c", "--set", "tls.key=k"]
    for result in both_ways(*args):
        assert_one_line_error(result, name, address, *ADVICE)


def test_a_loopback_address_beside_another_one_does_not_help():
    for result in both_ways("--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0"):
        assert_one_line_error(result, "0.0.0.0:0", *ADVICE)


@pytest.mark.parametrize("settings", [{"auth.mode": "none"}, {"auth.secret": SECRET}])
def test_they_are_when_the_operator_says_how(start, settings):
    broker = start(listen=("0.0.0.0:0",), settings=settings)
    assert broker.ready[0]["address"] == "0.0.0.0"


def test_the_log_says_at_the_start_who_may_do_what(start):
    for settings, words in [({}, "mode=none local_only=yes"),
                            ({"auth.mode": "none"}, "mode=none local_only=no"),
                            ({"auth.secret": SECRET}, "mode=token secret=yes")]:
        broker = start(settings=settings)
        broker.stop()
        line, = [line for line in broker.stderr_lines if " event=auth " in line]
        assert words in line
        assert SECRET not in broker.stderr


@pytest.mark.parametrize("args, words", [
    (["auth.mode=token"], ["auth.secret", "auth.keys", "auth.api_keys"]),
    (["auth.mode=open"], ["none or token"]),
    (["auth.user_sub=a"], ["auth.user_sub", "about tokens"]),
    (["auth.secret=short"], ["auth.secret", "5 bytes"]),
    (["auth.keys=/nonexistent/k.pem"], ["auth.keys", "/nonexistent/k.pem"]),
    (["auth.api_keys=/nonexistent/k"], ["auth.api_keys", "/nonexistent/k"]),
    (["listen=none"], ["listen", "nothing to serve"]),
    (["tls.listen=127.0.0.1:0"], ["tls.listen", "tls.cert and tls.key"]),
    (["tls.cert=/c"], ["tls.key is missing"]),
    (["http.trusted_proxies=10.0.0.1/8"], ["10.0.0.1/8", "10.0.0.0/8"]),
    (["http.origins=https://a.example/"], ["https://a.example/", "https://example.com"]),
], ids=lambda value: " ".join(value))
def test_what_cannot_work_is_refused_in_one_line(args, words):
    settings = [part for arg in args for part in ("--set", arg)]
    for result in both_ways(*settings):
        assert_one_line_error(result, *words)


def test_a_secret_is_shown_by_nobody(tmp_path):
    file = tmp_path / "fantail.conf"
    file.write_text(f"[auth]\nsecret = {SECRET}\nsecret = {SECRET}\n")
    twice = run("-c", str(file), "--check-config")
    assert_one_line_error(twice, ":3:", "auth.secret", "twice")
    shown = run("--check-config", env={"FANTAIL_AUTH_SECRET": SECRET})
    long = run("--check-config", "--set", "auth.secret=" + SECRET * 40)
    assert shown.returncode == 0 and "mode = token" in shown.stdout
    assert_one_line_error(long, "auth.secret")
    for result in twice, shown, long:
        assert SECRET not in result.stdout + result.stderr


# -- files of TLS

def test_files_of_tls_are_looked_at_before_anything_starts(pem, tmp_path):
    cert, key = pem()
    other = pem("b")[1]
    locked = pem("c", options=("-passout", "pass:secret"))
    text = tmp_path / "text"
    text.write_text("nothing\n")
    for files, words in [((tmp_path / "none", key), ["tls.cert", "none", "No such file"]),
                         ((cert, tmp_path / "none"), ["tls.key", "none", "No such file"]),
                         ((text, key), ["tls.cert", "text", "no certificate"]),
                         ((cert, text), ["tls.key", "text", "no private key"]),
                         ((cert, other), ["tls.key", "b/key.pem", "not the key"]),
                         (locked, ["tls.key", "c/key.pem", "encrypted"])]:
        for result in both_ways("--listen", "127.0.0.1:0", *tls(*files)):
            assert_one_line_error(result, *words)
    good = run("--check-config", *tls(cert, key))
    assert good.returncode == 0 and good.stderr == "", good


def test_a_key_that_everybody_can_read_is_warned_about(pem):
    cert, key = pem()
    key.chmod(0o644)
    result = run("--check-config", *tls(cert, key))
    assert result.returncode == 0
    assert "level=warn" in result.stderr and "every user of this machine" in result.stderr


# -- reloading

def test_keys_that_cannot_be_read_leave_the_old_ones(reloadable, tmp_path):  # noqa: F811
    it = reloadable(f"[auth]\nsecret = {SECRET}\n[limits]\nping = 11\n")
    line = it.refuse("[auth]\nkeys = /nonexistent/k.pem\n[limits]\nping = 12\n")
    assert " level=error " in line and "auth.keys" in line and "/nonexistent/k.pem" in line
    assert it.events("setting_changed") == []
    it.reload(f"[auth]\nsecret = {SECRET[::-1]}\n")
    changed = [line for line in it.events("setting_changed") if "auth.secret" in line]
    assert len(changed) == 1
    assert SECRET not in it.broker.stderr and SECRET[::-1] not in it.broker.stderr


def test_a_reload_cannot_open_what_others_reach(reloadable):  # noqa: F811
    it = reloadable(f"[auth]\nsecret = {SECRET}\n", listen=("0.0.0.0:0",))
    line = it.refuse("")
    for word in ADVICE:
        assert word in line
    it.reload("[auth]\nmode = none\n")
    with Client(("127.0.0.1", it.broker.port)) as client:
        assert client.ok({"op": "ping"})


def test_files_of_tls_are_looked_at_again(start, pem, tmp_path):
    cert, key = pem()
    broker = start(args=tls(cert, key))
    key.write_text("nothing\n")
    broker.process.send_signal(signal.SIGHUP)
    until(lambda: any(" event=config_refused" in line and "key.pem" in line
                      for line in broker.stderr_lines), "the log names the key")
