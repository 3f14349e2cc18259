"""./run on a machine that has nothing yet: what the package manager says goes into a log, and the demo runs without PyPI and
the Rust crate registry. The programs it calls are played by scripts."""
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import tempfile
import termios
import unittest

from hermes_test import SOURCE, main


class FrontDoor(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="hermes-test-")
        self.addCleanup(shutil.rmtree, self.root)
        shutil.copy(os.path.join(SOURCE, "run"), self.root)
        os.makedirs(self.root + "/bin")
        self.script("bin/dpkg-query", "exit 1")  # nothing is installed
        self.script("bin/sudo", 'exec "$@"')
        self.script("bin/apt-get", "i=0; while [ $i -lt 300 ]; do i=$((i + 1)); echo Unpacking $i; done")
        self.script("bin/cmake", "exit 0")
        self.script("build/release/bin/hermes", 'echo "hermes $*"')

    def script(self, path, text):
        whole = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "w") as file:
            file.write("#!/bin/sh\n" + text + "\n")
        os.chmod(whole, 0o755)

    def run_command(self, *arguments):
        environment = dict(os.environ, PATH=self.root + "/bin:" + os.environ["PATH"])
        return subprocess.run([self.root + "/run", *arguments], env=environment, capture_output=True, text=True, timeout=60)

    def on_a_terminal(self, columns, *arguments):
        """What it writes to a terminal; the package manager ends once its line is shown."""
        self.script("bin/apt-get", f"seq -s ' ' 1000; until [ -e {self.root}/shown ]; do :; done")
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = dict(os.environ, PATH=self.root + "/bin:" + os.environ["PATH"])
        child = subprocess.Popen([self.root + "/run", *arguments], env=environment, stdin=terminal, stdout=terminal, stderr=terminal,
                                 start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(terminal)
        output = b""
        try:
            while chunk := os.read(controller, 65536):
                output += chunk
                if b"1 2 3" in output or b"cut:" in output:
                    open(self.root + "/shown", "w").close()
        except OSError:  # EIO: the other side is closed
            pass
        os.close(controller)
        self.assertEqual(child.wait(60), 0, output)
        return output.decode()

    def log(self, name):
        with open(os.path.join(self.root, "build", name)) as file:
            return file.read().splitlines()

    def test_what_is_installed_is_told_in_a_line_and_the_rest_is_in_a_log(self):
        result = self.run_command("build")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("installing from Debian: gcc", result.stdout)
        self.assertLess(len(result.stdout.splitlines()), 10)
        self.assertEqual(len(self.log("apt-install.log")), 300)

    def test_the_last_line_of_a_log_fits_a_terminal_also_one_that_does_not_know_its_width(self):
        for columns, width in ((0, 79), (40, 39), (200, 199)):
            with self.subTest(columns=columns):
                output = self.on_a_terminal(columns, "build")
                shown = [line for line in re.split("[\r\n]+|\033\\[K", output) if line.startswith("1 2 3")]
                self.assertEqual({len(line) for line in shown}, {width}, output)
                os.unlink(self.root + "/shown")

    def test_an_installation_that_fails_shows_the_end_of_its_log(self):
        self.script("bin/apt-get", '[ "$1" = update ] || { seq 100; echo "E: no such package" >&2; exit 100; }')
        result = self.run_command("build")
        self.assertEqual(result.returncode, 100)
        self.assertIn("E: no such package", result.stderr)
        self.assertIn("build/apt-install.log", result.stderr)
        self.assertLess(len(result.stderr.splitlines()), 30)

    def test_the_tests_say_what_they_could_not_run_where_the_clients_cannot_be_built(self):
        self.script("bin/python3", "echo no network >&2; exit 1")
        self.script("bin/ctest", 'echo "ctest $2"')
        result = self.run_command("test")
        self.assertEqual(result.returncode, 1)
        for preset in ("release", "asan-ubsan", "tsan"):
            self.assertIn("ctest " + preset, result.stdout)
        self.assertIn("no network", result.stderr)
        self.assertIn("the tests in C have passed; those of the Python and Rust clients", result.stderr)

    def test_the_demo_runs_the_actors_in_c_where_the_others_cannot_be_built(self):
        self.script("bin/python3", "echo no network; exit 1")
        result = self.run_command("demo", "--count", "7")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("those in C", result.stdout)
        self.assertEqual(result.stdout.splitlines()[-1], "hermes demo --count 7")
        self.assertIn("no network", self.log("actors.log"))

    def test_the_demo_runs_the_actors_in_python_and_rust_where_they_can_be_built(self):
        self.script("bin/python3", "exit 0")
        self.script("build/venv/bin/pip", "exit 0")
        self.script("bin/cargo", "exit 0")
        os.makedirs(self.root + "/examples/rust")
        result = self.run_command("demo", "--count", "7")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.splitlines()[-1], "hermes demo --actors build/actors --count 7")

    def test_what_was_configured_for_tests_stays_so(self):
        self.script("bin/python3", "exit 1")
        self.script("bin/cmake", f'echo "$*" >>{self.root}/cmake.log')
        for word in ("build", "demo"):
            self.run_command(word)
        for name, text in (("build.ninja", ""), ("CMakeCache.txt", "BUILD_TESTING:BOOL=ON\n")):
            with open(f"{self.root}/build/release/{name}", "w") as file:
                file.write(text)
        for word in ("build", "demo", "bench"):
            self.run_command(word)
        with open(self.root + "/cmake.log") as file:
            configured = [line.split()[1:] for line in file if line.startswith("--preset")]
        self.assertEqual(configured[:4], 2 * [["release", "-DBUILD_TESTING=OFF"]] + 2 * [["release", "-DBUILD_TESTING=ON"]])
        self.assertEqual([words[0] for words in configured[4:]], ["bench"])


main()
