"""A TCP relay in front of a broker, for breaking connections where neither side can see it coming."""

import selectors
import socket
import struct
import threading


class Relay:
    """Passes bytes both ways, from a port of its own, until it is cut; then refuses until restored."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.is_cut = False
        self.is_over = False
        self.pairs = []
        self.connections = 0
        self.refusals = 0
        self.passed = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def ws_url(self):
        return f"ws://127.0.0.1:{self.port}/ws"

    def cut(self):
        """Breaks every connection, in the middle of whatever was under way."""
        with self.lock:
            self.is_cut = True
            for pair in self.pairs:
                for end in pair:
                    _reset(end)

    def restore(self):
        """Lets connections through again."""
        with self.lock:
            self.is_cut = False

    def stop(self):
        """Ends the relay."""
        self.cut()
        self.is_over = True
        self.thread.join()
        self.listener.close()

    def _accept(self, selector):
        client, _ = self.listener.accept()
        with self.lock:
            if self.is_cut:
                self.refusals += 1
                _reset(client)
                client.close()
                return
            try:
                pair = client, socket.create_connection(self.target)
            except OSError:
                _reset(client)
                client.close()
                return
            self.pairs.append(pair)
            self.connections += 1
        selector.register(pair[0], selectors.EVENT_READ, (pair[1], pair))
        selector.register(pair[1], selectors.EVENT_READ, (pair[0], pair))

    def _pass_on(self, selector, source, sink, pair):
        try:
            data = source.recv(1 << 16)
            sink.sendall(data)
            self.passed += len(data)
        except OSError:
            data = b""
        if data:
            return
        with self.lock:
            self.pairs.remove(pair)
        for end in pair:
            selector.unregister(end)
            end.close()

    def _run(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            while not self.is_over:
                for key, _ in selector.select(0.05):
                    if key.fileobj is self.listener:
                        self._accept(selector)
                    elif key.fileobj.fileno() >= 0:
                        self._pass_on(selector, key.fileobj, *key.data)


def _reset(end):
    """Makes both directions fail at once, without the orderly end of a close."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
