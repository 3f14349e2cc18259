"""A broker whose disk hangs for the topic "slow", as long as a test wants it to (slow_disk.c)."""
import fcntl
import os

from hermes_test import Broker, Case

LIBRARY = os.environ["HERMES_SLOW_DISK"]


class HangingDisk(Case):
    def setUp(self):
        self.broker = Broker(self.broker_config, self.broker_backend)
        self.addCleanup(self.broker.close)
        self.hold = os.path.join(self.broker.home, "hold")
        self.lock = open(self.hold, "w")
        self.addCleanup(self.lock.close)
        self.restart(SLOW_DISK="/topics/slow/")

    def restart(self, **slow):
        """slow: what hangs, as slow_disk.c names it."""
        self.broker.stop()
        before = self.broker.environment
        self.broker.environment = dict(before, LD_PRELOAD=LIBRARY, SLOW_DISK_HOLD=self.hold,
                                       ASAN_OPTIONS="verify_asan_link_order=0", **slow)
        self.broker.start()
        self.broker.environment = before

    def hang(self):
        if os.path.exists(self.hold + ".hangs"):  # of a sync that went on
            os.unlink(self.hold + ".hangs")
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def go_on(self):
        fcntl.flock(self.lock, fcntl.LOCK_UN)

    def await_hanging(self):
        self.wait_for(lambda: os.path.exists(self.hold + ".hangs"), "nobody syncs the slow topic")
