"""A broker as a process: started with options, read by its lines, judged by its exit."""

import os
import queue
import re
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
READY = re.compile(
    r"^fantaild (?P<version>\S+) ready at http(?P<secure>s?)://(?P<address>\S+):(?P<port>\d+)/"
    r" \(ws(?P=secure)://(?P=address):(?P=port)(?P<path>/\S*)\)(?P<proxied> behind PROXY)?$"
)
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:")

START_S = 20  # a cold start under AddressSanitizer on a busy machine takes 2
GONE_S = 2  # the promise: every client has its close frame and the process is gone
LEAK_CHECK_S = 8  # what AddressSanitizer may take on top, at exit, with the sockets closed


def program(name):
    """Returns the path of a built program: the environment's, else asan's, else the release."""
    chosen = os.environ.get(name.upper())
    if chosen:
        return chosen
    asan = ROOT / "build" / "asan" / name
    return str(asan if asan.exists() else ROOT / "build" / name)


def is_sanitized(path):
    """Says whether a program was built with a sanitizer, which makes it slower and larger."""
    code = Path(path).read_bytes()
    return b"__asan_init" in code or b"__tsan_init" in code


def environment(extra=None):
    """Returns this process's environment without the broker's own variables, plus `extra`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("FANTAIL")}
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:quarantine_size_mb=8")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    # Without it the C library reads its zone anew at each look at a certificate's dates, behind a lock
    # that ThreadSanitizer does not see.
    env.setdefault("TZ", "UTC")
    env.update(extra or {})
    return env


class Broker:
    """One fantaild. Every wait has a deadline; nothing is retried."""

    def __init__(self, settings=None, workers=1, listen=("127.0.0.1:0",), args=(), env=None,
                 descriptors=None, ready_lines=None, under=()):
        self.command = [*under, program("fantaild")]
        for address in listen:
            self.command += ["--listen", address]
        if workers is not None:
            self.command += ["--workers", str(workers)]
        for key, value in (settings or {}).items():
            self.command += ["--set", f"{key}={value}"]
        self.command += list(args)
        self.sanitized = is_sanitized(self.command[len(under)])
        self.stderr_lines = []
        self._stdout = queue.Queue()
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(env),
            preexec_fn=_descriptor_limit(descriptors),
        )
        self._readers = [
            threading.Thread(target=self._read_stdout, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        count = len(listen) if ready_lines is None else ready_lines
        self.ready = [self._read_ready() for _ in range(count)]
        self.host, self.port = self.address_of(0)

    def _read_stdout(self):
        for line in self.process.stdout:
            self._stdout.put(line.decode().rstrip("\n"))
        self._stdout.put(None)

    def _read_stderr(self):
        for line in self.process.stderr:
            self.stderr_lines.append(line.decode(errors="replace").rstrip("\n"))

    def _read_ready(self):
        line = self.next_line(START_S)
        if line is None:
            self.process.wait(START_S)
            self._readers[1].join(START_S)
            raise AssertionError(
                f"{' '.join(self.command)} ended with {self.process.returncode}:\n{self.stderr}"
            )
        match = READY.match(line)
        assert match, f"not a ready line: {line!r}"
        return match.groupdict()

    def next_line(self, timeout):
        """Returns the next line of stdout, or None at its end."""
        try:
            return self._stdout.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no line on stdout within {timeout} s:\n{self.stderr}") from None

    def address_of(self, listener):
        """Returns host and port of a listener: those of `listen`, of TLS, of PROXY, in this order."""
        ready = self.ready[listener]
        return ready["address"].strip("[]"), int(ready["port"])

    @property
    def address(self):
        return self.host, self.port

    @property
    def pid(self):
        return self.process.pid

    @property
    def ws_url(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}/ws"

    @property
    def stderr(self):
        return "\n".join(self.stderr_lines)

    def rss_bytes(self):
        """Returns the resident memory of the process."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * resource.getpagesize()

    def peak_bytes(self, during):
        """Returns the most memory that was resident while `during()` ran."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        during()
        status = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])

    def cpu_seconds(self):
        """Returns the processor time that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        """Returns how many descriptors the process holds."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def check_running(self):
        """Fails when the process has ended or a sanitizer has spoken."""
        assert not SANITIZER.search(self.stderr), self.stderr
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.stderr}"

    def wait_gone(self, began=None):
        """Waits for the end that was asked for and returns the exit code."""
        allowed = GONE_S + (LEAK_CHECK_S if self.sanitized else 0)
        left = allowed - (time.monotonic() - (began or time.monotonic()))
        try:
            code = self.process.wait(left)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {allowed} s:\n{self.stderr}") from None
        for reader in self._readers:
            reader.join(START_S)
        return code

    def stop(self, sign=signal.SIGTERM):
        """Ends the process as an operator would, and fails unless it ends well and in time."""
        if self.process.poll() is None:
            began = time.monotonic()
            self.process.send_signal(sign)
            code = self.wait_gone(began)
        else:
            code = self.process.returncode
            for reader in self._readers:
                reader.join(START_S)
        assert not SANITIZER.search(self.stderr), self.stderr
        assert code == 0, f"exit code {code}:\n{self.stderr}"

    def kill(self):
        """Ends the process without asking, where a test has failed already."""
        self.process.kill()
        self.process.wait()


def _descriptor_limit(count):
    if count is None:
        return None
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def run(*args, env=None, timeout=START_S, stdin=None, name="fantaild", descriptors=None):
    """Runs a program to its end and returns what subprocess.run returns, with text output."""
    return subprocess.run(
        [program(name), *args], input=stdin, capture_output=True, text=True,
        env=environment(env), timeout=timeout, check=False,
        stdin=subprocess.DEVNULL if stdin is None else None,
        preexec_fn=_descriptor_limit(descriptors),
    )
