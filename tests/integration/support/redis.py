"""A Redis server as a process: in a directory of its own, on a free port and a Unix socket."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from redis import Redis as RedisClient
from redis.exceptions import BusyLoadingError, RedisError

from .wait import until

START_S = 20
STOP_S = 20
ATTEMPTS = 5  # a port that was free may be somebody else's a moment later
SERVER = "redis-server"


def free_port():
    """Returns a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Redis:
    """One redis-server. Its port and its data stay the same over restarts."""

    def __init__(self, aof=False, args=(), password=None):
        self.directory = Path(tempfile.mkdtemp(prefix="fantail-redis-"))
        self.socket_path = self.directory / "redis.sock"
        self.aof, self.args, self.password = aof, list(args), password
        self.port = None
        self.process = None
        self._clients = []
        self._start_anywhere()

    def _start_anywhere(self):
        for _ in range(ATTEMPTS):
            self.port = free_port()
            if self._start():
                return
        raise AssertionError(f"no port to be had:\n{self.log}")

    @property
    def url(self):
        auth = f":{self.password}@" if self.password else ""
        return f"redis://{auth}127.0.0.1:{self.port}"

    @property
    def unix_url(self):
        auth = f":{self.password}@" if self.password else ""
        return f"unix://{auth}{self.socket_path}"

    @property
    def address(self):
        return "127.0.0.1", self.port

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        """What the server wrote, over all its lives."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _command(self):
        settings = {
            "bind": "127.0.0.1", "port": self.port, "unixsocket": self.socket_path,
            "dir": self.directory, "save": "", "appendonly": "yes" if self.aof else "no",
            "appendfsync": "everysec", "daemonize": "no", "databases": 16,
        }
        if self.password:
            settings["requirepass"] = self.password
        command = [SERVER]
        for key, value in settings.items():
            command += [f"--{key}", str(value)]
        return command + self.args

    def _answers(self):
        """Says whether the server is there and has loaded its data; None: it ended."""
        if self.process.poll() is not None:
            return None
        try:
            with RedisClient(unix_socket_path=str(self.socket_path),
                             password=self.password) as client:
                return client.ping() and client.info("server")["process_id"] == self.pid
        except BusyLoadingError:
            return False
        except RedisError:
            return False

    def _start(self):
        assert shutil.which(SERVER), f"{SERVER} is missing: deploy/setup test installs it"
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        return until(lambda: {True: "yes", None: "ended"}.get(self._answers()), "redis-server answers",
                     START_S) == "yes"

    def start(self):
        """Starts the server again, on the same port and with the data that it kept."""
        assert self.process.poll() is not None, "it is still running"
        assert self._start(), self.log

    def client(self, **options):
        """Returns a client of redis-py, closed with the server."""
        made = RedisClient(unix_socket_path=str(self.socket_path), password=self.password, **options)
        self._clients.append(made)
        return made

    def cli(self, *args):
        """Runs redis-cli and returns what it printed."""
        auth = ["--no-auth-warning", "-a", self.password] if self.password else []
        done = subprocess.run(["redis-cli", "-s", str(self.socket_path), *auth, *map(str, args)],
                              capture_output=True, text=True, timeout=START_S, check=True)
        return done.stdout.rstrip("\n")

    def config_set(self, key, value):
        """Changes a setting while the server runs."""
        self.client().config_set(key, value)

    def kill(self):
        """Ends the server as a power cut would."""
        self.process.kill()
        self.process.wait(STOP_S)

    def stop(self):
        """Ends the server in order: what it keeps on disk is whole."""
        self.thaw()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(STOP_S) == 0, self.log

    def restart(self, empty=False):
        """Ends the server in order and starts it again; `empty`: without its data."""
        self.stop()
        if empty:
            shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)
            for kept in self.directory.glob("*.rdb"):
                kept.unlink()
        self.start()

    def keep_only(self, snapshot):
        """Of a server that is dead: puts back what snapshot() has returned."""
        assert self.process.poll() is not None
        for path in self._data():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(snapshot, self.directory, dirs_exist_ok=True)

    def snapshot(self):
        """Copies what is on the disk now, as a backup does; returns the directory."""
        if not self.aof:
            self.client().save()
        copy = self.directory / f"copy-{time.monotonic_ns()}"
        copy.mkdir()
        for path in self._data():
            shutil.copytree(path, copy / path.name) if path.is_dir() else shutil.copy(path, copy)
        return copy

    def _data(self):
        return [path for path in (self.directory / "appendonlydir", self.directory / "dump.rdb")
                if path.exists()]

    def freeze(self):
        """Stops the process: its connections stay open, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self):
        """Lets it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def memory(self):
        """Returns the bytes that Redis says it uses."""
        return self.client().info("memory")["used_memory"]

    def close(self):
        """Ends the server, whatever state it is in, and removes its directory."""
        for client in self._clients:
            client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_S)
        shutil.rmtree(self.directory)
