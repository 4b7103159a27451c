"""nginx and HAProxy as processes, with the files of deploy/: other ports and places, and nothing else."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from .broker import ROOT
from .events import events_path
from .redis import free_port
from .wait import until

START_S = 10
ATTEMPTS = 5  # a port that was free may be somebody else's a moment later


def program(name):
    """Returns where a program is that Debian has in sbin."""
    found = shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin")
    assert found, f"{name} is missing: deploy/setup test installs it"
    return found


def replaced(text, pairs):
    """Replaces texts, each of which must be there."""
    for old, new in pairs:
        assert old in text, f"the shipped file has no {old!r}"
        text = text.replace(old, new)
    return text


def host_port(address):
    return f"{address[0]}:{address[1]}"


class Proxy:
    """One proxy before two nodes. `more`: what else is another than in the file, (old, new); `tls`: the
    certificate and the key with which TLS ends there."""

    def __init__(self, nodes, more=(), tls=None):
        self.nodes, self.tls = nodes, tls
        self.directory = Path(tempfile.mkdtemp(prefix="fantail-proxy-"))
        self.process = None
        for _ in range(ATTEMPTS):
            self.address = "127.0.0.1", free_port()
            self.config = self.directory / "config"
            self.config.write_text(replaced(self.shipped.read_text(), [*more, *self.changes()]))
            if self._starts():
                return
        raise AssertionError(f"{self.command()} does not start:\n{self.log}")

    def _starts(self):
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        return until(lambda: "ended" if self.process.poll() is not None else self._answers(),
                     "the proxy listens", START_S) != "ended"

    def _answers(self):
        try:
            with socket.create_connection(self.address, START_S):
                return "yes"
        except ConnectionRefusedError:
            return None

    def _node_changes(self, port, listener):
        return [(f"127.0.0.1:{port + n}", host_port(node.address_of(listener)))
                for n, node in enumerate(self.nodes)]

    @property
    def log(self):
        return (self.directory / "log").read_text(errors="replace")

    def check(self):
        """Fails when the proxy has ended by itself."""
        assert self.process.poll() is None, self.log

    def close(self):
        """Ends it at once; its own processes go with it."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(START_S)
        shutil.rmtree(self.directory)


class Nginx(Proxy):
    """nginx; nodes know it by its address."""

    shipped = ROOT / "deploy/nginx.conf"
    node_settings = {"http.trusted_proxies": "127.0.0.1"}
    node_lines = 1

    def changes(self):
        plain, secure = "#", "#"
        if self.tls:
            secure = f"listen {host_port(self.address)} ssl http2;"
        else:
            plain = f"listen {host_port(self.address)};"
        changes = [("user www-data;", ""), ("/run/nginx.pid", str(self.directory / "pid")),
                   ("/var/log/nginx/error.log", "stderr"), ("32768", "512"), ("65536", "2048"),
                   ("listen 80;", plain), ("listen [::]:80;", "#"),
                   ("#listen 443 ssl http2;", secure), *self._node_changes(8081, 0)]
        if self.tls:
            changes += [("#ssl_", "ssl_"), ("/etc/fantail/cert.pem", str(self.tls[0])),
                        ("/etc/fantail/key.pem", str(self.tls[1]))]
        return changes

    def command(self):
        return [program("nginx"), "-p", str(self.directory), "-c", str(self.config), "-e", "stderr",
                "-g", "daemon off;"]


class Haproxy(Proxy):
    """HAProxy; nodes have a listener for its PROXY headers."""

    shipped = ROOT / "deploy/haproxy.cfg"
    node_settings = {"http.proxy_listen": "127.0.0.1:0"}
    node_lines = 2

    def changes(self):
        here = host_port(self.address)
        changes = [("    user haproxy\n    group haproxy\n    chroot /var/lib/haproxy\n", ""),
                   ("/run/haproxy/admin.sock", str(self.directory / "admin")), ("60000", "500"),
                   ("127.0.0.1:8405", f"unix@{self.directory}/figures"),
                   *self._node_changes(9081, 1)]
        if not self.tls:
            return [*changes, ("bind :80,[::]:80 v6only", f"bind {here}")]
        both = self.directory / "both.pem"
        both.write_text("".join(path.read_text() for path in self.tls))
        return [*changes, ("    bind :80,[::]:80 v6only", "#"), ("#http-request", "http-request"),
                ("#bind :443,[::]:443 v6only", f"bind {here}"),
                ("/etc/fantail/both.pem", str(both))]

    def command(self):
        return [program("haproxy"), "-db", "-f", str(self.config)]

    def figures(self):
        """Returns what HAProxy tells Prometheus of itself."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(START_S)
            asking.connect(str(self.directory / "figures"))
            asking.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            parts = iter(lambda: asking.recv(1 << 16), b"")
            return b"".join(parts).decode()

    def wait_state(self, backend, server, state):
        """Waits until HAProxy's own checks of a server have led to this: UP, DOWN."""
        line = re.compile(rf'^haproxy_server_status{{proxy="{backend}",server="{server}",'
                          rf'state="{state}"}} 1$', re.MULTILINE)
        until(lambda: line.search(self.figures()), f"{server} of {backend} is {state}", START_S)


class Stream:
    """A stream of events, read by a client that understands what proxies make of it (chunks)."""

    def __init__(self, address, *topics, token, headers=(), source=None, tls=None,
                 last_event_id=None, **query):
        kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
        more = {"context": tls} if tls else {}
        self.connection = kind(*address, timeout=START_S,
                               source_address=(source, 0) if source else None, **more)
        self.connection.putrequest("GET", events_path(*topics, **query))
        if last_event_id:
            headers = [*headers, ("Last-Event-ID", last_event_id)]
        for name, value in [*headers, ("Authorization", f"Bearer {token}")]:
            self.connection.putheader(name, value)
        self.connection.endheaders()
        self.socket = self.connection.sock
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.id = ""
        self.ok = self.next("ok")

    def next(self, kind="message"):
        """Returns the data of the next event, which must be of this kind; an id alone is none."""
        fields = {}
        while "data" not in fields:
            while line := self.response.readline().decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                fields[name] = value
        self.id = fields.get("id", self.id)
        assert fields.get("event", "message") == kind, fields
        return json.loads(fields["data"])

    def wait_comment(self):
        """Waits for the next comment, before which no event comes."""
        while not (line := self.response.readline()).startswith(b":"):
            assert line == b"\n" or line.startswith(b"id: "), line

    def close(self):
        """Goes without a word, as a browser does."""
        self.socket.close()
        self.response.close()
        self.connection.close()
