"""Every example of every command's --help, and of the pages about watching a broker, typed as it stands: with a broker,
topics and files that it speaks of."""
import gzip
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
from hermes_test import BIN, SOURCE, Case, main  # noqa: E402


def itch_orders(count):
    """Orders to buy, each with its length."""
    for i in range(count):
        body = struct.pack(">cHH6sQcI8sI", b"A", 1, 0, (34_200_000_000_000 + i).to_bytes(6, "big"), i + 1, b"B", 100, b"HRMS    ", 10000)
        yield struct.pack(">H", len(body)) + body


class Help(Case):
    broker_config = "[net]\ninsecure = true\n"  # for mirrors

    def commands(self):
        return re.findall(r"^  (\w+) ", self.broker.run("--help").stdout.decode(), re.M)

    def examples(self, command):
        text = self.broker.run(command, "--help").stdout.decode()
        found = re.search(r"^Examples:\n((?:  .*\n)+)", text, re.M)
        return [line.strip() for line in found[1].splitlines()] if found else []

    def prepare(self, command):
        """Files for all; topics for all but those that make them."""
        b = self.broker
        self.files = os.path.join(b.home, "files")
        os.mkdir(self.files)
        with open(self.files + "/lines.txt", "w") as file:
            file.write("one\ntwo\n")
        with open(self.files + "/quotes.csv", "w") as file:
            file.write("time,ask_price,ask_size,bid_price,bid_size\n")
            file.writelines(f"34200.{i:03},1002000,5,1001000,7\n" for i in range(9))
        with gzip.open(self.files + "/feed.itch.gz", "wb") as file:
            file.writelines(itch_orders(3))
        if command == "topic":
            return
        for topic in ("orders", "orders.eu", "copy", "quotes", "itch"):
            b.run("topic", "create", topic)
        b.run("pub", "orders", "--durable", data=b"first\nsecond\nthird\n")
        shutil.copy(b.segments("orders")[0], self.files)

    def with_a_free_port(self, line):
        """Others test on this machine too."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = getattr(self, "port", probe.getsockname()[1])
        return line.replace(":7400", f":{self.port}")

    def start(self, line):
        line = self.with_a_free_port(line)
        environment = dict(self.broker.environment, PATH=os.path.abspath(BIN) + ":" + os.environ["PATH"])
        child = subprocess.Popen(["bash", "-o", "pipefail", "-c", line], cwd=self.files, env=environment, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.broker.children.append(child)
        return child

    def type_what_goes_on(self, line):
        child = self.start("exec " + line)
        if " sub " in line:
            self.wait_for(lambda: self.broker.info("orders")["subscribers"] == 1, "a subscriber")
            self.broker.run("pub", "orders", data=b"fourth\n")
        self.assertTrue(os.read(child.stdout.fileno(), 65536))
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=60)
        self.assertEqual((child.returncode, errors), (0, b""), line)

    def type(self, line):
        if line == "hermes sub orders" or "--watch" in line:
            self.type_what_goes_on(line)
            return
        child = self.start(line)
        _, errors = child.communicate(timeout=60)
        self.assertIn(child.returncode, (0, 1) if "doctor" in line else (0,), line + ": " + errors.decode())
        self.assertNotIn(b"hermes: ", errors, line)

    def test_no_line_is_broken_that_was_laid_out(self):
        for command in self.commands():
            lines = self.broker.run(command, "--help").stdout.decode().splitlines()
            for line, following in zip(lines, lines[1:]):
                if line.startswith("  ") and not line.startswith("  or:"):
                    self.assertRegex(following, "^(.*  .*)?$", (command, line))  # the next of a list, or of it

    def test_every_example_works_as_it_stands(self):
        typed = 0
        for command in self.commands():
            if command == "version" or not self.examples(command):
                continue
            with self.subTest(command=command):
                self.prepare(command)
                for line in self.examples(command):
                    self.assertLessEqual(len(line), 76)
                    self.type(line)
                    typed += 1
            self.broker.close()
            self.setUp()
        self.assertGreater(typed, 30)

    def typed_in(self, page):
        with open(os.path.join(SOURCE, "docs", page)) as file:
            return [re.split("    +", line.strip())[0] for line in re.findall("^    hermes .*", file.read(), re.M)]

    def test_the_pages_about_watching_a_broker_work_as_typed(self):
        self.prepare("stat")
        lines = self.typed_in("how-to/monitor.md") + self.typed_in("reference/counters.md")
        self.assertEqual(len(lines), 5)
        for line in lines:
            if "| jq" not in line or shutil.which("jq"):
                self.type(line)

    def test_of_a_killed_broker_it_says_what_the_page_says(self):
        self.broker.kill()
        with open(os.path.join(SOURCE, "docs/how-to/monitor.md")) as file:
            promised = re.search(r"^    (hermesd 4711 is gone: .*)$", file.read(), re.M)[1]
        told = self.broker.run("stat").stdout.decode().splitlines()[0]
        self.assertEqual(re.sub(r"\d+", "N", told), re.sub(r"\d+", "N", promised))


main()
