"""What a shell, a supervisor or a mistake leaves of the standard descriptors, and of files where others should be."""
import json
import os
import stat
import struct
import subprocess

from hermes_test import BIN, Case, main

TOPIC_DELETE = 21


def request_bytes(name):
    """A payload that is a well-formed request, should it ever get into a connection to the broker."""
    return struct.pack("<4sBBHQQII", b"HERM", 1, TOPIC_DELETE, 0, 99, 0, 128, 0) + name.encode().ljust(128, b"\0")


class Descriptors(Case):
    def shell(self, command, **options):
        return subprocess.run(["bash", "-c", command], env=dict(self.broker.environment, PATH=BIN + ":" + os.environ["PATH"]),
                              capture_output=True, timeout=60, **options)

    def test_payloads_do_not_get_into_the_connection_in_place_of_a_closed_output(self):
        b = self.broker
        for topic in ("t", "victim"):
            b.run("topic", "create", topic)
        with open(os.path.join(b.home, "payload"), "wb") as file:
            file.write(request_bytes("victim"))
        self.shell(f"hermes pub t < {b.home}/payload")
        result = self.shell("hermes sub t --from first --format raw --timeout 0 >&-")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(b"standard output", result.stderr)
        self.assertIn("victim", b.run("topic", "list").stdout.decode())
        self.assertEqual(b.messages(), "")

    def test_a_closed_input_is_no_connection(self):
        b = self.broker
        b.run("topic", "create", "t")
        result = self.shell("hermes pub t <&-")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"standard input", result.stderr)
        self.assertEqual(b.info("t")["last_sequence"], 0)

    def test_an_input_that_cannot_be_read_is_not_its_end(self):
        b = self.broker
        b.run("topic", "create", "t")
        result = b.run("pub", "t", "-f", b.home, check=False)  # a directory
        self.assertEqual(result.returncode, 1)
        self.assertIn(b.home.encode(), result.stderr)

    def test_an_output_that_cannot_be_written_is_told(self):
        b = self.broker
        b.run("topic", "create", "t")
        for command in ("pub t --count 3", "sub t --from first --timeout 0", "topic list", "group list t", "info",
                        "export t", "verify t", "dump t", "version", "help", "sub --help", "pub --usage"):
            with self.subTest(command):
                result = self.shell(f"hermes {command} > /dev/full")
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn(b"standard output: No space left on device", result.stderr)

    def test_a_broker_without_standard_descriptors_writes_into_no_file_of_its_own(self):
        b = self.broker
        self.assertEqual(b.stop(), (0, []))
        process = subprocess.Popen(["bash", "-c", "exec hermesd <&- >&- 2>&-"],
                                   env=dict(b.environment, PATH=BIN + ":" + os.environ["PATH"]))
        b.children.append(process)
        while self.shell("hermes topic list").returncode != 0:
            self.assertIsNone(process.poll())
        self.assertEqual(os.path.getsize(os.path.join(b.home, "data/lock")), 0)
        process.terminate()
        process.wait(60)
        b.start()

    def test_what_is_no_socket_is_not_replaced(self):
        b = self.broker
        self.assertEqual(b.stop(), (0, []))
        path = os.path.join(b.home, "broker.sock")
        with open(path, "w") as file:
            file.write("precious")
        result = subprocess.run([os.path.join(BIN, "hermesd")], env=b.environment, capture_output=True, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"is in the way of the broker's socket", result.stderr)
        self.assertTrue(stat.S_ISREG(os.stat(path).st_mode))
        with open(path) as file:
            self.assertEqual(file.read(), "precious")
        os.unlink(path)
        b.start()

    def test_an_export_that_cannot_begin_leaves_the_file_alone(self):
        b = self.broker
        path = os.path.join(b.home, "out.csv")
        with open(path, "w") as file:
            file.write("precious")
        self.assertEqual(b.run("export", "nosuch", "-f", path, check=False).returncode, 1)
        with open(path) as file:
            self.assertEqual(file.read(), "precious")
        b.run("topic", "create", "t")
        b.run("pub", "t", data=b"x\n")
        b.run("export", "t", "-f", path)
        with open(path) as file:
            self.assertEqual(len(file.read().splitlines()), 2)
        self.assertEqual(json.loads(b.run("export", "t", "-o", "json").stdout)["payload"], "x")


main()
