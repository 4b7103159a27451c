"""A link to a Redis server that can go deaf: it stays open and swallows what should pass."""

import selectors
import socket
import threading

CHUNK = 1 << 16
TURN_S = 0.05


class RedisLink:
    """Passes bytes between its own port and a Redis server; one direction, or both, can be swallowed.

    What was swallowed is gone: where that was in the middle of a stream, the connection is closed when
    the link is restored.
    """

    def __init__(self, redis):
        self.target = redis.address
        self._auth = f":{redis.password}@" if redis.password else ""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._swallows = {"to_redis": False, "from_redis": False}
        self._is_over = False
        self._pairs = {}  # each end: the other one, and its direction
        self._spoilt = set()
        self.swallowed = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self):
        return f"redis://{self._auth}127.0.0.1:{self.port}"

    def swallow(self, to_redis=True, from_redis=True):
        """From now on what goes these ways is lost, on connections that are made later, too."""
        with self._lock:
            self._swallows = {"to_redis": to_redis, "from_redis": from_redis}

    def restore(self):
        """Lets everything pass again."""
        with self._lock:
            self._swallows = {"to_redis": False, "from_redis": False}
            for end in list(self._spoilt):
                self._close(end)

    def cut(self):
        """Closes all connections."""
        with self._lock:
            for end in list(self._pairs):
                self._close(end)

    def stop(self):
        """Ends the link."""
        self._is_over = True
        self._thread.join()
        self.cut()
        self._listener.close()
        self._selector.close()

    def _close(self, end):
        """Closes an end and the other one, if that is not done yet."""
        if end not in self._pairs:
            return
        other, _ = self._pairs.pop(end)
        self._pairs.pop(other)
        for each in (end, other):
            self._spoilt.discard(each)
            self._selector.unregister(each)
            each.close()

    def _accept(self):
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self.target)
        except OSError:
            client.close()
            return
        self._pairs[client] = server, "to_redis"
        self._pairs[server] = client, "from_redis"
        self._selector.register(client, selectors.EVENT_READ)
        self._selector.register(server, selectors.EVENT_READ)

    def _pass_on(self, source):
        if source not in self._pairs:
            return
        sink, way = self._pairs[source]
        try:
            data = source.recv(CHUNK)
            if data and self._swallows[way]:
                self.swallowed += len(data)
                self._spoilt.add(source)
            elif data:
                sink.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._close(source)

    def _run(self):
        while not self._is_over:
            for key, _ in self._selector.select(TURN_S):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    else:
                        self._pass_on(key.fileobj)
