"""A group's reset whose record is being written: until it is known whether it counts, nobody is given anything, so a broker
that dies over it makes nobody believe what the next one does not know."""
import json
import os
import signal
import struct
import subprocess
import sys

from hanging_disk import HangingDisk
from hermes_test import SOURCE, main

sys.path.insert(0, os.path.join(SOURCE, "tests/languages"))
from port_of import Port  # noqa: E402


class Reset(HangingDisk):
    broker_config = "[topic]\nwindow = 256K\nsegment = 1M\n"

    def members(self, **slow):
        """Of a group that gives each message once, and of one that wants to be told; each was given three."""
        b = self.broker
        self.restart(**slow)
        b.run("topic", "create", "t")
        b.run("pub", "t", "--count", "5")
        for group in ("once", "told"):
            b.run("group", "create", "t", group, "--from", "first")
        port = Port(b)
        self.addCleanup(port.end)
        self.told(port, {"open a group once none": "ok", "open b group told manual": "ok"})
        for number in "123":
            self.told(port, {"take a " + number: number, "take b " + number: number})
        for group in ("once", "told"):
            self.wait_for(lambda group=group: self.recorded(group) == self.stands(group), "where it stands is written down")
        return port

    def stands(self, group):
        info = json.loads(self.broker.run("group", "info", "t", group, "--json").stdout)
        return info["done_position"], info["position"]

    def recorded(self, group):
        with open(os.path.join(self.broker.home, "data/topics/t/groups", group), "rb") as record:
            return struct.unpack_from("<QQ", record.read(), 16)

    def told(self, port, expected):
        self.assertEqual({command: port.say(command) for command in expected}, expected)

    def begin_reset(self, group):
        self.hang()
        reset = self.broker.popen("group", "reset", "t", group, "--from", "end", stderr=subprocess.PIPE)
        self.await_hanging()
        self.broker.run("pub", "t", "--count", "2")
        return reset

    def die_over(self, reset):
        self.broker.process.send_signal(signal.SIGKILL)
        self.go_on()
        self.broker.process.wait()
        self.broker.process.stdout.close()
        self.assertNotEqual(reset.wait(60), 0)

    def test_what_is_published_over_a_broker_that_dies_behind_the_record_is_given_once(self):
        port = self.members(SLOW_FSYNC="/topics/t/groups")
        reset = self.begin_reset("once")
        self.told(port, {"poll a x": "nothing"})
        self.die_over(reset)
        self.told(port, {"poll a x": "nothing"})
        self.broker.start()
        self.told(port, {"take a x": "6", "take a y": "7", "poll a z": "nothing"})

    def test_nothing_is_told_to_be_done_that_comes_again(self):
        port = self.members(SLOW_FSYNC="/topics/t/groups")
        reset = self.begin_reset("told")
        self.told(port, {"ack b 1": "EEXPIRED", "poll b x": "nothing"})
        self.die_over(reset)
        self.told(port, {"ack b 2": "EEXPIRED", "poll b x": "nothing"})
        self.broker.start()
        self.told(port, {"take b x": "6", "ack b 3": "EEXPIRED", "ack b x": "ok"})

    def test_a_broker_that_dies_before_the_record_has_reset_nothing(self):
        port = self.members(SLOW_DISK="/topics/t/groups")
        reset = self.begin_reset("told")
        self.told(port, {"poll b x": "nothing"})
        self.die_over(reset)
        self.told(port, {"poll b x": "nothing"})
        self.broker.start()
        self.told(port, {"take b x": "4", "ack b 1": "ok", "ack b x": "ok"})

    def goes_on(self, opens, group):
        """Takes what there is, asks for more while a reset hangs that comes to nothing, and goes on."""
        port = self.members(SLOW_DISK="/topics/t/groups")
        self.told(port, {opens: "ok"})
        for number in "12345":
            self.told(port, {"take c " + number: number})
        end = json.loads(self.broker.run("topic", "info", "t", "--json").stdout)["committed_position"]
        self.wait_for(lambda: self.recorded(group) == self.stands(group), "where it stands is written down")
        reset = self.begin_reset(group)
        self.told(port, {"poll c x": "nothing"})
        self.die_over(reset)
        self.broker.start()
        self.told(port, {"take c x": "6"})
        self.assertEqual(self.stands(group)[0], end)

    def test_what_a_member_went_on_from_is_done_though_a_reset_came_to_nothing(self):
        self.goes_on("open c group auto auto", "auto")

    def test_what_a_subscriber_went_on_from_is_done_though_a_reset_came_to_nothing(self):
        self.goes_on("open c name place auto", "place")

    def test_a_record_that_is_written_late_resets_all_the_same(self):
        port = self.members(SLOW_DISK="/topics/t/groups")
        reset = self.begin_reset("once")
        self.told(port, {"poll a x": "nothing"})
        self.go_on()
        self.assertEqual(reset.wait(60), 0)
        self.told(port, {"take a x": "6", "take a y": "7", "poll a z": "nothing"})


main()
