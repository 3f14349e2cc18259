"""Every language publishes, every language consumes: all payload sizes, both kinds of topic; the demo with the actors in
their own languages; and the tutorial as typed. Needs what ./run actors builds."""
import glob
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../system"), os.path.join(HERE, "../docs")]
from as_typed import blocks, shell  # noqa: E402
from hermes_test import BIN, SOURCE, Case, main  # noqa: E402

VENV = os.path.join(SOURCE, "build/venv/bin/python")
SIZES = [0, 1, 31, 32, 33, 64, 1000, 65535, 65536]


class Languages(Case):
    def run_port(self, language, role, topic):
        sizes = ",".join(map(str, SIZES))
        command = {
            "python": [VENV, os.path.join(HERE, "port.py")],
            "rust": [os.path.join(SOURCE, "build/cargo/release/examples/port")],
            "c": [os.path.join(BIN, "port")],
        }[language]
        result = subprocess.run([*command, role, topic, sizes], env=self.broker.environment, capture_output=True, timeout=120)
        self.assertEqual((result.returncode, result.stdout), (0, b"good\n"), f"{language} {role}: {result.stderr.decode()}")

    def test_everybody_to_everybody(self):
        for kind in ([], ["--shared"], ["--durability", "memory"], ["--durability", "sync"]):
            for publisher in ("c", "python", "rust"):
                topic = publisher + "".join(kind).replace("--", "-")
                self.broker.run("topic", "create", topic, *kind)
                self.run_port(publisher, "publish", topic)
                for consumer in ("c", "python", "rust"):
                    self.run_port(consumer, "consume", topic)

    def test_tutorial(self):
        with tempfile.TemporaryDirectory() as home:
            output = shell(self, "\n".join(b for b in blocks("docs/tutorial/four-actors.md") if "──" not in b), home)
        self.assertEqual(output.count("received 20000 messages of market.quotes, lost 0, repeated 0, reordered 0"), 3, output)
        self.assertRegex(output, r"\n1 \d+\.\d+ \d+\.\d+\n2 .*\n3 .*\n")
        self.assertEqual(output.count('"payload"'), 2, output)
        self.assertIn("received=40000 lost=0 repeated=0", output)
        self.assertNotIn("progress", output)
        executed = re.findall(r"trading_executor: (\d+ orders executed, position -?\d+ shares, cash .*)", output)
        self.assertEqual(len(executed), 2, output)
        self.assertEqual(executed[0], executed[1])

    def test_wheel_in_an_empty_environment(self):
        """It needs nothing but the C library, works without a compiler or an index, and has the programs in it."""
        bin = os.path.dirname(VENV)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([os.path.join(bin, "pip"), "wheel", "--quiet", "--no-deps", "--wheel-dir", folder,
                            os.path.join(SOURCE, "bindings/python")], check=True)
            wheel, = glob.glob(folder + "/hermes_msg-*-cp311-abi3-linux_*.whl")
            shown = subprocess.run([os.path.join(bin, "auditwheel"), "show", wheel], capture_output=True, text=True, check=True)
            self.assertRegex(shown.stdout, r'"manylinux_2_\d+_')
            subprocess.run([VENV, "-m", "venv", folder + "/empty"], check=True)
            empty = os.path.join(folder, "empty/bin")
            subprocess.run([empty + "/pip", "install", "--quiet", "--no-index", wheel], check=True)
            code = """if True:
                import os, subprocess, sys
                import hermes_msg as hermes
                bin = os.path.dirname(sys.executable)
                broker = subprocess.Popen([bin + "/hermesd"], stdout=subprocess.PIPE)
                broker.stdout.readline()
                subprocess.run([bin + "/hermes", "topic", "create", "t"], check=True)
                with hermes.connect() as client:
                    client.publisher("t").send(b"hello")
                    print(client.subscriber("t", "first").poll().payload.decode())
                broker.terminate()
                sys.exit(broker.wait())
                """
            result = subprocess.run([empty + "/python", "-c", code], env={"HERMES_HOME": folder}, capture_output=True, text=True,
                                    timeout=60)
            self.assertEqual((result.returncode, result.stdout), (0, "hello\n"), result.stderr)

    def test_python_without_the_gil_is_refused(self):
        include = subprocess.run([VENV, "-c", "import sysconfig; print(sysconfig.get_path('include'))"], capture_output=True,
                                 text=True, check=True).stdout.strip()
        result = subprocess.run(["gcc", "-fsyntax-only", "-DPy_GIL_DISABLED", "-DPy_LIMITED_API=0x030b0000", f"-I{include}",
                                 f"-I{SOURCE}/include", f"{SOURCE}/bindings/python/src/core/module.c"], capture_output=True, text=True)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("needs the GIL", result.stderr)

    def test_rust_with_an_installed_library(self):
        with tempfile.TemporaryDirectory() as prefix:
            subprocess.run(["cmake", "--install", os.environ["HERMES_BUILD"], "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
            environment = dict(self.broker.environment, PKG_CONFIG_PATH=prefix + "/lib/pkgconfig", LD_LIBRARY_PATH=prefix + "/lib",
                               CARGO_TARGET_DIR=os.path.join(SOURCE, "build/cargo-system"))
            subprocess.run(["cargo", "build", "--quiet", "--locked", "--features", "hermes-msg/system", "--example", "port"], check=True,
                           env=environment, cwd=os.path.join(SOURCE, "bindings/rust"))
            self.broker.run("topic", "create", "t")
            port = os.path.join(SOURCE, "build/cargo-system/debug/examples/port")
            for role in ("publish", "consume"):
                result = subprocess.run([port, role, "t", "5,64"], env=environment, capture_output=True, timeout=60)
                self.assertEqual((result.returncode, result.stdout), (0, b"good\n"), result.stderr)
            linked = subprocess.run(["ldd", port], env=environment, capture_output=True, text=True, check=True).stdout
            self.assertIn(prefix + "/lib/libhermes.so.0", linked)

    def test_how_to_in_python(self):
        code = "\n".join(blocks("docs/how-to/python.md", "python"))
        result = subprocess.run([VENV, "-c", code], env=self.broker.environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("topic 'unknown'", result.stdout)

    def test_groups_in_python(self):
        self.broker.run("topic", "create", "orders")
        self.broker.run("pub", "orders", "--count", "300")
        self.broker.run("group", "create", "orders", "risk", "--from", "first")
        code = "\n".join(blocks("docs/how-to/groups.md", "python"))
        result = subprocess.run([VENV, "-c", code], env=self.broker.environment, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("a subscriber that is waited for is behind", result.stdout)

    def test_readme_in_python(self):
        self.broker.run("topic", "create", "greetings")
        code = blocks("README.md", "python")[0]
        result = subprocess.run([VENV, "-c", code], env=self.broker.environment, capture_output=True, text=True, timeout=60)
        self.assertEqual((result.returncode, result.stdout), (0, "b'hello'\n"), result.stderr)

    def test_demo_in_their_own_languages(self):
        for executor in ("", "python"):
            actors = os.path.join(SOURCE, "build/actors")
            if executor:
                mixed = os.path.join(self.broker.home, "actors")
                os.mkdir(mixed)
                for name in os.listdir(actors):
                    os.symlink(os.path.join(actors, name), os.path.join(mixed, name))
                os.unlink(os.path.join(mixed, "trading_executor"))
                with open(os.path.join(mixed, "trading_executor"), "w") as file:
                    file.write(f"#!/bin/sh\nexec {VENV} {SOURCE}/examples/trading_executor.py \"$@\"\n")
                os.chmod(os.path.join(mixed, "trading_executor"), 0o755)
                actors = mixed
            result = subprocess.run([os.path.join(BIN, "hermes"), "demo", "--actors", actors, "--count", "20000", "--rate", "max"],
                                    capture_output=True, text=True, timeout=300)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            self.assertRegex(result.stdout.splitlines()[-1], r"^delivered (\d+) of \1 messages, lost 0, repeated 0$")
            self.assertRegex(result.stdout, r"trading_executor: \d+ orders executed")
            self.assertRegex(result.stdout, r"analytics: last mid")

    def test_the_same_orders_in_every_language(self):
        """The actors in C, and those in Python and Rust, make the same of the same feed."""
        said = []
        for arguments in ([], ["--actors", os.path.join(SOURCE, "build/actors")]):
            result = subprocess.run([os.path.join(BIN, "hermes"), "demo", *arguments, "--count", "20000", "--rate", "max"],
                                    capture_output=True, text=True, timeout=300)
            said.append(re.findall(r"^(?:analytics|trading_executor): .*", result.stdout, re.M))
        self.assertEqual(len(said[0]), 2)
        self.assertEqual(said[0], said[1])


if not os.path.exists(VENV):
    print("SKIPPED: ./run actors was not run")
    sys.exit(77)
main()
