"""Chromium as a process, driven by the DevTools protocol: pages, and scripts in them."""

import itertools
import json
import shutil
import subprocess
import tempfile
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlparse

from .client import Client, decode
from .wait import until

START_S = 30  # a browser on a busy machine
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--remote-debugging-port=0", "--no-first-run", "--disable-extensions",
         "--disable-background-networking", "--disable-component-update"]


class Chromium:
    """A browser without windows, and one page in it."""

    def __init__(self):
        program = shutil.which("chromium")
        assert program, "chromium is missing: deploy/setup installs it"
        self.profile = tempfile.TemporaryDirectory(prefix="fantail-chromium-")
        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={self.profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.address, self.said = None, []
        self.reader = Thread(target=self._read, daemon=True)
        self.reader.start()
        until(lambda: self.address, "Chromium listens", START_S)
        self.numbers = itertools.count(1)
        self.page = self._attach()

    def _read(self):
        for line in self.process.stderr:
            self.said.append(line)
            if b"DevTools listening on " in line:
                found = urlparse(line.split()[-1].decode())
                self.address = found.hostname, found.port

    def _attach(self):
        url = f"http://{self.address[0]}:{self.address[1]}/json"

        def page():
            with urllib.request.urlopen(url, timeout=START_S) as answer:
                targets = decode("json", answer.read())
            return next((t for t in targets if t["type"] == "page"), None)

        path = urlparse(until(page, "Chromium has a page", START_S)["webSocketDebuggerUrl"]).path
        return Client(self.address, None, path=path, welcome=False)

    def call(self, method, **params):
        """Calls a method of the DevTools protocol and returns its result."""
        number = next(self.numbers)
        self.page.send({"id": number, "method": method, "params": params})
        reply = self.page.take_where(lambda e: e.get("id") == number, START_S)
        assert "error" not in reply, reply
        return reply["result"]

    def open(self, url):
        """Goes to a page and waits until it is there."""
        result = self.call("Page.navigate", url=url)
        assert "errorText" not in result, result
        there = f"location.href == {json.dumps(url)} && document.readyState == 'complete'"
        until(lambda: self.run(there), f"{url} is loaded", START_S)

    def run(self, script):
        """Runs a script in the page, awaits its promise, and returns the value."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True,
                           returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def stop(self):
        """Ends the browser."""
        self.page.socket.close()
        self.process.terminate()
        self.process.wait(START_S)
        self.reader.join(START_S)
        self.process.stderr.close()
        self.profile.cleanup()


class Site:
    """An empty page on a port of its own: another origin than the broker's."""

    def __init__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        """Ends the site."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class _Page(BaseHTTPRequestHandler):
    def do_GET(self):  # pylint: disable=invalid-name
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page</title>")

    def log_message(self, *_):
        pass
