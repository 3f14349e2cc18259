"""A broker of the test's own, and what every system test needs. Standard library alone."""
import atexit
import contextlib
import functools
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN = os.environ.get("HERMES_BIN", "build/release/bin")
SOURCE = os.environ.get("HERMES_SOURCE", os.getcwd())
LONG = "HERMES_TEST_LONG" in os.environ


class Broker:
    """hermesd on a fresh HERMES_HOME; killed and removed at the end."""

    def __init__(self, config="", backend="auto", starts=True):
        self.home = tempfile.mkdtemp(prefix="hermes-test-")
        # A disk that others keep busy takes its time.
        self.environment = dict(os.environ, HERMES_HOME=self.home, HERMES_REQUEST_TIMEOUT_MS="60000")
        self.backend = backend
        self.process = None
        self.children = []
        self.log = open(os.path.join(self.home, "log"), "ab")
        if config:
            with open(os.path.join(self.home, "hermes.conf"), "w") as file:
                file.write(config)
        if not starts:
            return
        try:
            self.start()
        except BaseException:
            self.close()  # nobody else knows of it yet
            raise

    def start(self, *before, stderr=None):
        """before: a command and its options that run the broker, such as prlimit."""
        self.process = subprocess.Popen(
            [*before, os.path.join(BIN, "hermesd"), "--backend", self.backend], env=self.environment,
            stdout=subprocess.PIPE, stderr=self.log if stderr is None else stderr)
        line = self.process.stdout.readline()
        if b"serving" not in line:
            raise AssertionError("the broker did not start: " + self.messages())
        return line.decode()

    def messages(self):
        with open(os.path.join(self.home, "log")) as file:
            return file.read()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        """An orderly stop: exit code 0 and nothing left in shared memory."""
        shm = self.shm()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.process.stdout.close()
        left = os.listdir(shm) if os.path.isdir(shm) else []
        return code, left

    def shm(self):
        value = 0xCBF29CE484222325
        for byte in os.path.realpath(os.path.join(self.home, "data")).encode():
            value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
        return f"/dev/shm/hermes-{os.getuid()}-{value:016x}"

    def close(self):
        """Whatever a test that failed left: nobody stays, for who has our standard error keeps our caller waiting."""
        processes = [p for p in (*self.children, self.process) if p is not None]
        for process in processes:
            process.kill()  # which does nothing to one that was waited for
        for process in processes:
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(OSError, ValueError):  # it would still write what the process did not read
                    if stream is not None:
                        stream.close()
        self.log.close()
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.shm(), ignore_errors=True)

    def popen(self, *arguments, **options):
        child = subprocess.Popen([os.path.join(BIN, "hermes"), *arguments], env=self.environment, **options)
        self.children.append(child)
        return child

    def run(self, *arguments, data=None, check=True):
        result = subprocess.run([os.path.join(BIN, "hermes"), *arguments], env=self.environment, input=data,
                                capture_output=True, timeout=600)
        if check and result.returncode != 0:
            raise AssertionError(f"hermes {' '.join(arguments)}: {result.returncode}: {result.stderr.decode()}"
                                 + self.messages())
        return result

    def info(self, topic):
        return json.loads(self.run("topic", "info", topic, "--json").stdout)

    def segments(self, topic):
        return sorted(glob.glob(os.path.join(self.home, "data/topics", topic, "*.log")))


@functools.cache
def for_anybody(program):
    """Its path for other users: a clone in root's home they cannot come to, so it is a copy."""
    directory = tempfile.mkdtemp(prefix="hermes-test-")
    atexit.register(shutil.rmtree, directory)
    os.chmod(directory, 0o755)
    return shutil.copy(os.path.join(BIN, program), directory)


def is_sanitized():
    """Is it a build with AddressSanitizer, which keeps what was freed, and room around everything?"""
    with open(os.path.join(BIN, "hermesd"), "rb") as program:
        return b"__asan_init" in program.read()


def is_connected(process):
    """Whether it has a connection to a broker; the standard descriptors are ours."""
    def is_socket(fd):
        try:
            return int(os.path.basename(fd)) > 2 and os.readlink(fd).startswith("socket:")
        except FileNotFoundError:  # closed meanwhile
            return False
    return any(map(is_socket, glob.glob(f"/proc/{process.pid}/fd/*")))


class Case(unittest.TestCase):
    broker_config = ""
    broker_backend = "auto"

    def setUp(self):
        self.broker = Broker(self.broker_config, self.broker_backend)
        self.addCleanup(self.broker.close)

    def told(self, what):
        """The operator is told so. Notes are written by a thread of their own."""
        self.wait_for(lambda: what in self.broker.messages(), "a note: " + what)

    def wait_for(self, condition, what, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, what + "\n" + self.broker.messages())


def main():
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
