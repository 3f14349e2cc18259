"""What examples/ has beside the actors: two hosts, and containers. Two hosts are made where this may make network
namespaces; of the containers everything is checked that needs no other machine's images."""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

from as_typed import BUILD, SOURCE, blocks, shell

DOCKER = os.path.join(SOURCE, "examples/docker")


def namespaces():
    return {line.split()[0] for line in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout.splitlines()}


def may_make_hosts():
    """Whether a namespace, and a cable, can be had: root alone is not enough in a container."""
    name = f"hermes-try-{os.getpid()}"
    try:
        if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode != 0:
            return False
        made = subprocess.run(["ip", "-n", name, "link", "add", "cable", "type", "veth"], capture_output=True).returncode == 0
        subprocess.run(["ip", "netns", "delete", name], check=True)
        return made
    except FileNotFoundError:
        return False


@unittest.skipUnless(may_make_hosts(), "no network namespaces here")
class TwoHosts(unittest.TestCase):
    def test_each_actor_gets_everything_and_nothing_is_left(self):
        before = namespaces()
        done = subprocess.run([os.path.join(SOURCE, "examples/two_hosts.sh"), os.path.join(BUILD, "bin"), "5000"],
                              capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        for actor in ("sniper_bot", "risk_engine", "analytics"):
            self.assertRegex(done.stdout, rf"{actor}: topic=market.quotes received=5000 lost=0 repeated=0 reordered=0")
        self.assertRegex(done.stdout, r"trading_executor: topic=orders received=\d+ lost=0 repeated=0 reordered=0")
        self.assertEqual(namespaces() - before, set())

    def test_what_fails_leaves_nothing(self):
        before = namespaces()
        with tempfile.TemporaryDirectory() as programs:
            for name in ("hermesd", "market_feed"):
                with open(os.path.join(programs, name), "w") as file:
                    file.write("#!/bin/sh\necho listening on\n")
                os.chmod(file.name, 0o755)
            done = subprocess.run([os.path.join(SOURCE, "examples/two_hosts.sh"), programs], capture_output=True, timeout=300)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(namespaces() - before, set())

    def test_tutorial(self):
        """Under names of its own: others may be at it, too."""
        commands = "\n".join(blocks("docs/tutorial/two-hosts.md"))
        for host in ("hermes-market", "hermes-desk"):
            commands = commands.replace(host, f"{host}-{os.getpid()}")
        before = namespaces()
        with tempfile.TemporaryDirectory() as home:
            output = shell(self, commands, home)
        for expected in ("listening on tcp://192.0.2.1:7000", "received 20000 messages of market.quotes, lost 0, repeated 0",
                         "received=40000 lost=0 repeated=0"):
            self.assertIn(expected, output)
        self.assertEqual(namespaces() - before, set())


@unittest.skipUnless(may_make_hosts(), "no network namespaces here")
class Multicast(unittest.TestCase):
    def test_analytics_on_two_hosts_get_everything_and_nothing_is_left(self):
        before = namespaces()
        done = subprocess.run([os.path.join(SOURCE, "examples/multicast.sh"), os.path.join(BUILD, "bin"), "5000"],
                              capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        for desk in ("north", "south"):
            self.assertRegex(done.stdout, rf"{desk}: topic=market.quotes received=5000 lost=0 repeated=0 reordered=0")
        self.assertEqual(namespaces() - before, set())


def parse_yaml(lines, indentation=0):
    """As much of YAML as compose.yaml uses: mappings, lists of one-liners, flow lists of strings, one `|` block."""
    made, items = {}, []
    while lines and len(lines[0]) - len(lines[0].lstrip()) == indentation:
        line = lines.pop(0).strip()
        if line.startswith("- "):
            item = [" " * (indentation + 2) + line[2:]] if re.match(r"- \w+: ", line) else []
            while item and lines and len(lines[0]) - len(lines[0].lstrip()) > indentation:
                item.append(lines.pop(0))
            items.append(parse_yaml(item, indentation + 2) if item else line[2:])
            continue
        key, value = re.fullmatch(r"([\w.]+):\s*(.*)", line).groups()
        deeper = []
        while not value and lines and len(lines[0]) - len(lines[0].lstrip()) > indentation:
            deeper.append(lines.pop(0))
        while value == "|" and lines and len(lines[0]) - len(lines[0].lstrip()) > indentation:
            deeper.append(lines.pop(0).strip())
        if value == "|":
            made[key] = "\n".join(deeper)
        elif value.startswith("["):
            made[key] = json.loads(value)
        elif deeper:
            made[key] = parse_yaml(deeper, len(deeper[0]) - len(deeper[0].lstrip()))
        else:
            made[key] = value
    return items or made


def instructions():
    """Of the Dockerfile, one (word, rest) each."""
    with open(os.path.join(DOCKER, "Dockerfile")) as file:
        text = re.sub(r"^#.*\n", "", file.read(), flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def stages():
    """Of each stage its instructions."""
    found = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def packages(stage):
    text = " ".join(rest for word, rest in stage if word == "RUN")
    return set(re.search(r"apt-get install ([^&]+)&&", text)[1].split()) - {"-y", "--no-install-recommends"}


class Containers(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(DOCKER, "compose.yaml")) as file:
            lines = [line.rstrip() for line in file if line.strip() and not line.strip().startswith("#")]
        self.compose = parse_yaml(lines)
        self.services = self.compose["services"]

    def test_the_image_is_built_from_debian_with_what_run_installs(self):
        building, running = stages()
        for stage in (building, running):
            self.assertRegex(stage[0][1], r"^debian:bookworm")
        with open(os.path.join(SOURCE, "run")) as file:
            wanted = re.search(r'^BUILD_PACKAGES="([^"]+)"', file.read(), re.M)[1].split()
        self.assertEqual(packages(building), set(wanted))
        with open(os.path.join(SOURCE, "CMakePresets.json")) as file:
            self.assertIn("release", {preset["name"] for preset in json.load(file)["configurePresets"]})

    def test_it_has_the_libraries_that_the_programs_need(self):
        needed = set()
        for program in ("hermesd", "hermes"):
            linked = subprocess.run(["ldd", os.path.join(BUILD, "bin", program)], capture_output=True, text=True, check=True).stdout
            for path in re.findall(r"=> (/\S+)", linked):
                for name in (path, os.path.realpath(path), path.removeprefix("/usr"), "/usr" + path):
                    owner = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True).stdout
                    if owner:
                        needed.add(owner.split(":")[0])
                        break
                else:
                    self.skipTest(f"{path} is of no package")
        self.assertEqual(packages(stages()[1]), needed - {"libc6"})

    def test_what_is_copied_and_run_is_what_is_installed(self):
        with tempfile.TemporaryDirectory() as root:
            subprocess.run(["cmake", "--install", BUILD, "--prefix", root + "/usr"], check=True, stdout=subprocess.DEVNULL)
            for word, rest in stages()[1]:
                if word == "COPY":
                    *paths, _ = rest.split()
                    for path in paths[1:]:
                        self.assertTrue(path.startswith("/installed/"), path)
                        self.assertTrue(os.path.exists(root + path.removeprefix("/installed")), path)
            for name, service in self.services.items():
                program = service["command"][0]
                path = program if program.startswith("/") else "/usr/bin/" + program
                self.assertTrue(program == "sh" or os.path.exists(root + path), f"{name}: {program}")

    def test_everybody_who_shares_memory_has_memory_socket_and_user_of_the_broker(self):
        broker = self.services["broker"]
        self.assertEqual((broker["ipc"], broker["shm_size"]), ("shareable", "1gb"))
        self.assertTrue(os.path.exists(os.path.join(DOCKER, broker["build"]["context"], broker["build"]["dockerfile"])))
        self.assertIn(("ENV", "HERMES_HOME=/var/lib/hermes"), stages()[1])
        for name, service in self.services.items():
            self.assertEqual(service["image"], "hermes")
            for other in service.get("depends_on", {}):
                self.assertIn(other, self.services)
            if name in ("broker", "watcher"):
                continue
            self.assertEqual((service["ipc"], service["volumes"]), ("service:broker", ["store:/var/lib/hermes"]), name)
        watcher = self.services["watcher"]
        self.assertNotIn("volumes", watcher)
        self.assertEqual(watcher["network_mode"], "service:broker")

    def test_the_broker_takes_its_configuration(self):
        configuration = self.compose["configs"]["hermes_conf"]["content"]
        self.assertIn(self.services["broker"]["configs"][0]["source"], self.compose["configs"])
        with tempfile.TemporaryDirectory() as home:
            path = os.path.join(home, "hermes.conf")
            with open(path, "w") as file:
                file.write(configuration.replace(":7000", ":0") + "\n")
            broker = subprocess.Popen([os.path.join(BUILD, "bin/hermesd"), "--config", path], stdout=subprocess.PIPE, text=True,
                                      env=dict(os.environ, HERMES_HOME=home))
            said = broker.stdout.readline() + broker.stdout.readline()
            broker.terminate()
            self.assertEqual(broker.wait(60), 0)
            broker.stdout.close()
        self.assertIn("listening on tcp://127.0.0.1:", said)


unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
