"""A server that speaks Redis' protocol and behaves as badly as a test wants."""

import asyncio
import hashlib
import threading
from pathlib import Path

import msgpack

SCRIPTS = Path(__file__).resolve().parents[3] / "broker" / "relay" / "scripts"
INFO = {
    "redis_version": "7.0.15", "redis_mode": "standalone", "run_id": "0" * 40, "role": "master",
    "loading": "0", "maxmemory_policy": "noeviction", "aof_enabled": "0",
}


def bulk(data):
    return b"$%d\r\n%s\r\n" % (len(data), data)


def array(*items):
    """An array of byte strings and of integers."""
    return b"*%d\r\n" % len(items) + b"".join(
        b":%d\r\n" % item if isinstance(item, int) else bulk(item) for item in items)


class FakeRedis:
    """As much of a Redis as a node without clients wants, on a thread of its own.

    `answers` replaces what is answered to a command (by its name, such as "INFO") or to a script ("beat"):
    bytes that are sent as they are; b"" is no answer. `info` changes lines of INFO. With `is_deaf` nothing
    that is published arrives.
    """

    def __init__(self, answers=None, info=None):
        self.answers = dict(answers or {})
        self.info = dict(INFO, **(info or {}))
        self.is_deaf = False
        self.connections = 0
        self.commands = []
        self._names = {hashlib.sha1(path.read_bytes()).hexdigest().encode(): path.stem
                       for path in SCRIPTS.glob("*.lua")}
        self._writers = {}  # each connection: the channels that it is subscribed to
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._started.wait()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def say(self, data, channel=False):
        """Sends bytes on all connections; with `channel` on those that are subscribed to something."""
        asyncio.run_coroutine_threadsafe(self._say(data, channel), self._loop).result()

    def publish(self, channel, data):
        """Sends a message, as if somebody had published it; `channel`: a function that chooses."""
        asyncio.run_coroutine_threadsafe(self._publish(channel, data), self._loop).result()

    def stop(self):
        """Closes everything."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()

    async def _close(self):
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        while self._writers:
            await asyncio.sleep(0)

    async def _say(self, data, channel):
        for writer, channels in self._writers.items():
            if channels or not channel:
                writer.write(data)

    async def _publish(self, chosen, data):
        for writer, channels in self._writers.items():
            for channel in channels:
                if chosen(channel):
                    writer.write(array(b"message", channel, data))

    async def _serve(self, reader, writer):
        self.connections += 1
        self._writers[writer] = set()
        try:
            while True:
                count = int((await reader.readline())[1:])
                command = []
                for _ in range(count):
                    size = int((await reader.readline())[1:])
                    command.append((await reader.readexactly(size + 2))[:-2])
                self.commands.append(command)
                writer.write(self._answer(command, writer))
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            del self._writers[writer]
            writer.close()

    def _name(self, command):
        name = command[0].decode().upper()
        return self._names[command[1]] if name == "EVALSHA" else name

    def _answer(self, command, writer):
        name = self._name(command)
        if name in self.answers:
            return self.answers[name]
        if name == "INFO":
            return bulk("".join(f"{k}:{v}\r\n" for k, v in self.info.items()).encode())
        if name == "SUBSCRIBE":
            self._writers[writer].add(command[1])
            return array(b"subscribe", command[1], len(self._writers[writer]))
        if name == "PSUBSCRIBE":
            return array(b"psubscribe", command[1], 1)
        if name == "SCRIPT":
            return bulk(hashlib.sha1(command[2]).hexdigest().encode())
        if name == "beat":
            return self._beat(command)
        return b"+OK\r\n"

    def _beat(self, command):
        keys = int(command[2])
        channel, _, _, number = command[3 + keys:7 + keys]
        payload = msgpack.packb([1, int(number), []])
        for writer, channels in self._writers.items():
            if channel in channels and not self.is_deaf:
                writer.write(array(b"message", channel, payload))
        return bulk(payload)
