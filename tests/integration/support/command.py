"""The command `fantail` as a process whose output is read while it runs."""

import signal
import subprocess
import threading

from .broker import SANITIZER, START_S, environment, program
from .wait import until


class Command:
    """One run of `fantail`. Output is bytes, as a pipe would see it."""

    def __init__(self, *args, url=None, env=None, stdin=False):
        self.args = [program("fantail"), *(["-s", url] if url else []), *args]
        self.process = subprocess.Popen(
            self.args, env=environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL)
        self.out, self.err = bytearray(), bytearray()
        self.readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.out),
                                     (self.process.stderr, self.err))]
        for each in self.readers:
            each.start()

    @staticmethod
    def _read(pipe, into):
        while data := pipe.read1(65536):
            into += data

    @property
    def lines(self):
        """The whole lines of stdout so far."""
        return bytes(self.out).decode().split("\n")[:-1]

    @property
    def errors(self):
        return bytes(self.err).decode(errors="replace")

    def listening(self, publisher, topic):
        """Waits until what is published to `topic` is printed, and forgets that output."""
        def heard():
            publisher.pub(topic, "are you there")
            assert self.process.poll() is None, self.errors
            return self.out
        until(heard, f"{' '.join(self.args)} prints something", START_S)
        publisher.pub(topic, "now it begins")
        until(lambda: b"now it begins" in self.out, "the last of the warming up is printed")
        until(lambda: self.out.endswith((b"\n", b"begins")), "and its line is whole")
        self.out.clear()

    def expect_lines(self, *lines):
        """Waits for exactly these lines of stdout."""
        until(lambda: len(self.lines) >= len(lines), f"{len(lines)} lines")
        assert self.lines == list(lines)

    def wait(self, timeout=START_S):
        """Waits for the end and returns the exit code."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{' '.join(self.args)} still runs after {timeout} s") from None
        for each in self.readers:
            each.join(START_S)
        assert not SANITIZER.search(self.errors), self.errors
        return code

    def interrupt(self):
        """Ends it as Ctrl-C does and returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def stop(self):
        """Ends it for good, where a test has failed."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
