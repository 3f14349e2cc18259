"""A real broker for each test that asks for one: the hermesd of the installed wheel, or $HERMES_BIN's."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import hermes_msg as hermes
import pytest

BIN = pathlib.Path(os.environ.get("HERMES_BIN", pathlib.Path(sys.executable).parent))
SMALL = {"window_bytes": 256 << 10, "segment_bytes": 1 << 20}


class Broker:
    def __init__(self, starts=True):
        self.home = tempfile.mkdtemp(prefix="hermes-test-")
        self.log = open(os.path.join(self.home, "log"), "ab")
        self.process = None
        if starts:
            self.start()

    def run(self, *arguments):
        return subprocess.run([BIN / "hermes", *arguments], env=dict(os.environ, HERMES_HOME=self.home), check=True, text=True,
                              stdout=subprocess.PIPE, stderr=self.log).stdout.strip()

    def configure(self, settings):
        with open(os.path.join(self.home, "hermes.conf"), "w") as file:
            file.write(settings)

    @property
    def url(self):
        return "unix:" + os.path.join(self.home, "broker.sock")

    def start(self):
        self.process = subprocess.Popen([BIN / "hermesd"], env=dict(os.environ, HERMES_HOME=self.home),
                                        stdout=subprocess.PIPE, stderr=self.log)
        assert b"serving" in self.process.stdout.readline()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(60)
        self.process.stdout.close()

    def kill(self):
        self.stop(signal.SIGKILL)

    def restart(self, number=signal.SIGTERM):
        self.stop(number)
        self.start()

    def connect(self):
        return hermes.connect(self.url)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.stop()
        self.log.close()
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture
def broker():
    b = Broker()
    yield b
    b.close()


@pytest.fixture
def client(broker):
    with broker.connect() as c:
        yield c
