"""Two brokers and the network between them: the one has a topic, the other a mirror of it."""
import json
import os
import random
import time

from network import Network
from world import Violation, World

TOPIC = "t"
INSECURE = "[net]\ninsecure = true\n"
PORT, NEAR_PORT = 7400, 7401  # at an address of this run's own: nobody else has them
STANDSTILL_SECONDS = 20  # without a byte, though nothing is in the way
BROKEN = ("failed", "diverged")


class Copy(World):
    """The broker of the mirror. Shared memory is the other's."""

    def __init__(self, source, binaries, config, reply_ms, disk, keep):
        self.source = source
        super().__init__(binaries, INSECURE + config, reply_ms, disk=disk, keep=keep, beside=source)

    def note(self, what):
        super().note(what)
        self.source.events.append((time.monotonic_ns(), f"the copy's: {what}"))

    def mirror(self):
        """As its broker tells of it; None: it has none."""
        lines = self.hermes("mirror", "list", "--json").stdout.splitlines()
        return json.loads(lines[0]) if lines else None


class Mirrored(World):
    def __init__(self, binaries, config="", reply_ms=None, disk="64M", copy_disk="64M", keep=False, seed=1):
        super().__init__(binaries, INSECURE + config, reply_ms, disk=disk, shm="128M", keep=keep)
        pick = random.Random(os.getpid() ^ time.monotonic_ns())
        self.address = f"127.{pick.randint(1, 254)}.{pick.randint(0, 255)}.{pick.randint(1, 254)}"
        self.here = f"udp://{self.address}:{PORT}"
        self.there = f"udp://{self.address}:{NEAR_PORT}"
        self.network = Network((self.address, NEAR_PORT), (self.address, PORT), seed)
        self.copy = Copy(self, binaries, config, reply_ms, copy_disk, keep)

    def serve(self):
        self.change_mirror(self, "serve", TOPIC, self.here)

    def follow(self, durability="async", push_back=False, window="256K"):
        """The topic is the copy's from now on."""
        self.copy.create(TOPIC, durability=durability, push_back=push_back, window=window)
        self.change_mirror(self.copy, "add", TOPIC, self.there)
        source = self.topics[TOPIC]
        loses = source["keep"] is not None or source["durability"] == "memory"
        self.copy.topics[TOPIC]["keep"] = "what its source has" if loses else None

    def change_mirror(self, world, *command):
        """What is being changed already can be changed a moment later."""
        end = time.monotonic() + 15
        while (result := world.hermes("mirror", *command, check=False)).returncode != 0:
            if b"is being changed" not in result.stderr or time.monotonic() > end:
                raise Violation("command", f"hermes mirror {' '.join(command)}: {result.stderr.decode()}")

    def await_copy(self):
        """All that the source has comes, as long as it goes on; but where some is not kept a stored copy may end at a hole."""
        end, there, since = self.info(TOPIC)["committed_position"], -1, time.monotonic()
        while there < end:
            self.copy.check_alive()
            self.check_alive()
            before, there = there, self.copy.info(TOPIC)["committed_position"]
            state = self.copy.mirror()
            if self.ends_at_hole(state):
                return
            if state is None or state["state"] in BROKEN:
                raise Violation("not copied", f"the mirror: {state}; {self.copy.broker_messages()[-600:]}")
            since = time.monotonic() if there > before else since
            if time.monotonic() - since > STANDSTILL_SECONDS:
                raise Violation("stuck", f"the copy stands at {there} of {end}: {state}, {self.hermes('mirror', 'list', '--json').stdout}")
            time.sleep(0.02)

    def ends_at_hole(self, mirror):
        return (self.copy.topics[TOPIC]["keep"] is not None and mirror is not None
                and (mirror["state"], mirror["error"], mirror["gone"] > 0) == ("failed", "HERMES_EINVALID", True))

    def logs(self):
        return {**super().logs(), **self.copy.logs()}

    def close(self):
        self.network.close()
        self.copy.close()
        super().close()

    def remove(self):
        self.copy.remove()
        super().remove()

    def save_events(self):
        super().save_events()
        self.copy.save_events()
