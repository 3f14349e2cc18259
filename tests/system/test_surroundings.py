"""Full disks, small or missing shared memory, directories that cannot be written, descriptors that run out, strangers.

Needs mounts of its own: runs itself in a private mount namespace (unshare, from util-linux)."""
import fcntl
import glob
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

from hermes_test import BIN, SOURCE, Broker, Case, for_anybody, main

sys.path.insert(0, os.path.join(SOURCE, "tests/languages"))
from port_of import Port  # noqa: E402

INSIDE = "HERMES_TEST_INSIDE"
if INSIDE not in os.environ:
    unshare = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--user", "--map-root-user"]
    if subprocess.run(unshare + ["true"], stderr=subprocess.DEVNULL).returncode == 0:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", unshare + [sys.executable, "-B"] + sys.argv)
    print("SKIPPED: private mounts are not allowed here, so disks and shared memory cannot be made small")
    sys.exit(77)


def mount(options, path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)


class Surroundings(Case):
    def tearDown(self):
        self.broker.close()
        for path in reversed(self.mounted):
            subprocess.run(["umount", "-l", path], check=True)

    def setUp(self):
        self.mounted = []
        super().setUp()

    def mount(self, options, path):
        mount(options, path)
        self.mounted.append(path)

    def restart_on(self, size):
        """The store on a small disk of its own."""
        data = os.path.join(self.broker.home, "data")
        self.assertEqual(self.broker.stop(), (0, []))
        self.mount("size=" + size, data)
        self.broker.start()
        return data

    def numbers(self, topic):
        rows = self.broker.run("sub", topic, "--from", "first", "--timeout", "0").stdout.splitlines()
        return [int(row.split(b" ")[0]) for row in rows]

    def test_full_disk(self):
        data = self.restart_on("4M")
        b = self.broker
        b.run("topic", "create", "t", "--window", "256K", "--segment", "1M")
        b.run("topic", "create", "m", "--durability", "memory")
        result = b.run("pub", "t", "--count", "100000", "--size", "100", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"no space left on the disk", result.stderr)
        self.assertTrue(b.info("t")["full"])
        self.told("No space left")
        self.assertEqual(b.messages().count("No space left"), 1)  # told, and not told again each time
        there = self.numbers("t")  # readers are not disturbed
        self.assertEqual(there, list(range(1, len(there) + 1)))
        self.assertGreater(len(there), 10000)
        b.run("pub", "m", data=b"others go on\n")
        # Who is told to wait goes on as soon as there is room. Telling so needs none.
        with open(os.path.join(data, "filler"), "wb", 0) as filler:
            def fill():
                try:
                    filler.write(bytes(4096))
                except OSError:
                    return os.statvfs(data).f_bavail == 0  # not yet where the broker tries to make a segment
            self.wait_for(fill, "not a byte is left")
        for _ in range(100):
            b.run("topic", "alter", "t", "--when-full", "error")
        b.run("topic", "alter", "t", "--when-full", "wait")
        waiting = b.popen("pub", "t", "--durable", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        waiting.stdin.write(b"%d \n" % (len(there) + 1))
        waiting.stdin.close()
        self.wait_for(lambda: b.info("t")["publishers"] == 1, "it waits")
        subprocess.run(["mount", "-o", "remount,size=64M", data], check=True)
        self.assertEqual(waiting.wait(60), 0)
        self.assertEqual(self.numbers("t"), list(range(1, len(there) + 2)))
        self.assertFalse(b.info("t")["full"])
        self.assertEqual(b.info("t")["failed"], False)
        self.assertEqual(b.stop(), (0, []))

    def test_a_topic_on_a_full_disk_is_told_to_keep_less(self):
        self.restart_on("4M")
        b = self.broker
        b.run("topic", "create", "t", "--window", "256K", "--segment", "1M", "--when-full", "wait")
        waiting = b.popen("pub", "t", "--count", "30000", "--size", "100", "--durable", stdout=subprocess.DEVNULL)
        self.wait_for(lambda: b.info("t")["full"], "the disk is full")
        b.run("topic", "alter", "t", "--keep-bytes", "1M")
        self.assertEqual(waiting.wait(60), 0)
        self.assertEqual(self.numbers("t")[-1], 30000)
        self.assertEqual(b.stop(), (0, []))

    def test_stop_on_a_full_disk_throws_nothing_away(self):
        data = self.restart_on("4M")
        b = self.broker
        b.run("topic", "create", "t", "--window", "256K", "--segment", "1M")
        b.run("pub", "t", "--count", "100000", "--size", "100", check=False)
        there = b.info("t")["last_sequence"]
        code, left = b.stop()
        self.assertEqual(code, 1)
        self.assertNotEqual(left, [])  # what only shared memory has
        self.assertIn("No space left", b.messages())
        subprocess.run(["mount", "-o", "remount,size=64M", data], check=True)
        b.start()
        self.assertEqual(self.numbers("t"), list(range(1, there + 1)))
        self.assertEqual(b.stop(), (0, []))

    def test_full_ext4(self):
        """A real file system, small, that another program fills up and leaves again; then unmounted and mounted."""
        b = self.broker
        image, data = os.path.join(b.home, "image"), os.path.join(b.home, "data")
        with open(image, "wb") as file:
            file.truncate(32 << 20)
        loop = ["mount", "-o", "loop", image, data]
        self.assertEqual(b.stop(), (0, []))
        try:
            subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
            subprocess.run(loop, check=True, stderr=subprocess.DEVNULL)
        except (FileNotFoundError, subprocess.CalledProcessError):
            self.skipTest("no mkfs.ext4, or no loop devices")
        self.mounted.append(data)
        b.start()
        b.run("topic", "create", "t", "--window", "256K", "--segment", "1M")
        filler = os.path.join(data, "filler")
        with open(filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, os.statvfs(data).f_bavail * os.statvfs(data).f_bsize - (6 << 20))
        result = b.run("pub", "t", "--count", "200000", "--size", "100", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"no space left on the disk", result.stderr)
        there = b.info("t")["last_sequence"]
        self.assertEqual(self.numbers("t"), list(range(1, there + 1)))
        b.run("topic", "alter", "t", "--when-full", "wait")
        waiting = b.popen("pub", "t", "--durable", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        waiting.stdin.write(b"%d \n" % (there + 1))
        waiting.stdin.close()
        self.wait_for(lambda: b.info("t")["publishers"] == 1, "it waits")
        os.unlink(filler)
        self.assertEqual(waiting.wait(60), 0)
        self.assertEqual(b.stop(), (0, []))
        subprocess.run(["umount", data], check=True)
        subprocess.run(loop, check=True)
        b.start()
        self.assertEqual(self.numbers("t"), list(range(1, there + 2)))
        self.assertIn(b"0 damaged", b.run("verify", "t").stdout)
        self.assertEqual(b.stop(), (0, []))

    def test_small_shared_memory(self):
        self.assertEqual(self.broker.stop(), (0, []))
        self.mount("size=1M", "/dev/shm")
        self.broker.start()
        b = self.broker
        result = b.run("topic", "create", "large", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"no space left", result.stderr)
        self.assertIn(b"window", result.stderr)
        self.assertEqual(b.run("topic", "list").stdout.count(b"large"), 0)
        b.run("topic", "create", "small", "--window", "256K")
        b.run("pub", "small", data=b"x\n")
        self.assertEqual(b.run("sub", "small", "--from", "first", "-t", "0").stdout, b"x\n")
        result = b.run("group", "create", "small", "g", "--span", "64M", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"no space left", result.stderr)
        self.assertEqual(b.run("group", "list", "small", "--json").stdout, b"")
        b.run("group", "create", "small", "g", "--span", "256K", "--from", "first")
        self.assertEqual(b.run("sub", "small", "--group", "g", "-t", "0").stdout, b"x\n")
        for i in range(10):
            last = b.run("topic", "create", f"more{i}", "--window", "256K", check=False)
        self.assertIn(b"no space left", last.stderr)
        self.assertEqual(b.run("sub", "small", "--from", "first", "-t", "0").stdout, b"x\n")
        self.assertEqual(b.stop(), (0, []))

    def refuses_to_start(self, *words):
        result = subprocess.run([os.path.join(BIN, "hermesd")], env=self.broker.environment, capture_output=True, timeout=60)
        self.assertEqual(result.returncode, 1)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_unwritable_directories(self):
        self.assertEqual(self.broker.stop(), (0, []))
        self.mount("ro", "/dev/shm")
        self.refuses_to_start(b"/dev/shm", b"Read-only")
        subprocess.run(["umount", self.mounted.pop()], check=True)
        self.mount("ro", os.path.join(self.broker.home, "data"))
        self.refuses_to_start(b"/data", b"Read-only")

    def test_epoll_takes_over_where_io_uring_is_forbidden(self):
        b = self.broker
        self.assertEqual(b.stop(), (0, []))
        self.assertIn("epoll", b.start(os.path.join(BIN, "deny"), "io_uring_setup", "--"))
        self.told("epoll takes over")
        self.assertEqual(b.messages().count("epoll takes over"), 1)
        b.run("topic", "create", "t", "--shared")
        b.run("pub", "t", data=b"x\n")
        self.assertEqual(b.run("sub", "t", "--from", "first", "-t", "0").stdout, b"x\n")
        self.assertEqual(b.stop(), (0, []))

    # ---- the directory in shared memory ----

    def test_the_directory_in_shared_memory_is_removed(self):
        b = self.broker
        b.run("topic", "create", "before", "--shared", "--durability", "memory")
        b.run("pub", "before", data=b"1\n")
        shutil.rmtree(b.shm())
        b.run("topic", "create", "after", "--durability", "memory")  # not "not found"
        self.told("was removed while the broker serves")
        self.assertTrue(os.path.exists(b.shm() + "/.home"))
        for topic in ("before", "after"):
            b.run("pub", topic, data=b"2\n")
        self.assertEqual(b.run("sub", "before", "--from", "first", "-t", "0").stdout, b"1\n2\n")
        self.assertEqual(b.run("sub", "after", "--from", "first", "-t", "0").stdout, b"2\n")
        b.run("group", "create", "after", "g")
        self.assertEqual(b.stop(), (0, []))

    def test_homes_that_are_gone(self):
        """What brokers left that were killed goes when their homes are gone; nothing else does."""
        others = [Broker() for _ in range(3)]
        for other in others:
            self.addCleanup(other.close)
            other.run("topic", "create", "t", "--durability", "memory")
            self.assertIn(".home", os.listdir(other.shm()))
        gone, there, alive = others
        places = [other.shm() for other in others]
        gone.kill()
        there.kill()
        shutil.rmtree(gone.home)
        os.rename(alive.home, alive.home + ".away")
        self.assertEqual(self.broker.stop(), (0, []))
        self.broker.start()
        self.assertEqual([os.path.exists(place) for place in places], [False, True, True])
        os.rename(alive.home + ".away", alive.home)
        there.start()
        self.assertEqual(there.info("t")["durability"], "memory")

    # ---- starts that fail ----

    def leave_a_memory_topic(self):
        """Messages that only shared memory has, and no broker."""
        b = self.broker
        b.run("topic", "create", "m", "--durability", "memory", "--shared")
        b.run("pub", "m", data=b"only here\n")
        b.run("group", "create", "m", "g", "--from", "first")
        b.kill()

    def is_as_it_was(self):
        b = self.broker
        b.start()
        self.assertEqual(b.run("sub", "m", "--from", "first", "-t", "0").stdout, b"only here\n")
        self.assertEqual(b.run("sub", "m", "--group", "g", "-t", "0").stdout, b"only here\n")
        self.assertEqual(b.stop(), (0, []))

    def test_a_start_without_its_socket_leaves_all_as_it_was(self):
        self.leave_a_memory_topic()
        path = os.path.join(self.broker.home, "broker.sock")
        os.unlink(path)
        os.mkdir(path)
        self.refuses_to_start(b"broker.sock", b"remove it")
        os.rmdir(path)
        self.is_as_it_was()

    def test_a_start_beside_another_broker_leaves_all_as_it_was(self):
        for lock in ("broker.sock.lock", "data/lock"):
            with self.subTest(lock=lock):
                self.leave_a_memory_topic()
                with open(os.path.join(self.broker.home, lock)) as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    self.refuses_to_start(b"another broker serves")
                self.is_as_it_was()
                self.broker.start()
                self.broker.run("topic", "delete", "m")

    def test_a_start_without_descriptors_leaves_all_as_it_was(self):
        self.leave_a_memory_topic()
        pages = [name for name in os.listdir(self.broker.shm()) if name.endswith(".group")]
        for most in range(4, 24):  # from too few for the lock to enough
            broker = subprocess.Popen(["prlimit", f"--nofile={most}:{most}", os.path.join(BIN, "hermesd")],
                                      env=self.broker.environment, stdout=subprocess.PIPE, stderr=self.broker.log)
            self.broker.children.append(broker)
            broker.stdout.readline()
            broker.kill()  # where it did start
            broker.wait()
            broker.stdout.close()
            self.assertLess(set(pages), set(os.listdir(self.broker.shm())))
        self.is_as_it_was()

    def test_a_stop_while_it_starts_is_a_stop(self):
        """A signal that comes before it serves, here while it reads its configuration, is heard when it does."""
        self.broker.run("topic", "create", "t")
        self.assertEqual(self.broker.stop(), (0, []))
        configuration = os.path.join(self.broker.home, "fifo")
        os.mkfifo(configuration)
        for number in (signal.SIGTERM, signal.SIGINT):
            broker = subprocess.Popen([os.path.join(BIN, "hermesd"), "--config", configuration],
                                      env=self.broker.environment, stdout=subprocess.PIPE, stderr=self.broker.log)
            self.broker.children.append(broker)
            with open(configuration, "w"):  # it reads
                broker.send_signal(number)
            self.assertIn(b"serving", broker.communicate(timeout=60)[0])
            self.assertEqual(broker.returncode, 0)
            self.assertEqual(glob.glob(self.broker.shm() + "/*") + glob.glob(self.broker.home + "/broker.sock"), [])
        self.broker.start()
        self.broker.run("topic", "info", "t")

    def test_a_definition_that_cannot_be_read_once(self):
        b = self.broker
        self.leave_a_memory_topic()
        conf = os.path.join(b.home, "data/topics/m/topic.conf")
        os.rename(conf, conf + ".away")
        os.mkdir(conf)
        b.start()
        self.told("'m' is not served")
        self.assertEqual(b.run("pub", "m", data=b"x\n", check=False).returncode, 1)
        b.run("topic", "create", "other")
        b.run("pub", "other", data=b"x\n")
        code, left = b.stop()
        self.assertEqual(code, 0)
        self.assertNotEqual(left, [])
        os.rmdir(conf)
        os.rename(conf + ".away", conf)
        self.is_as_it_was()

    def test_descriptors_run_out(self):
        self.assertEqual(self.broker.stop(), (0, []))
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, before[1]))
        try:
            self.broker.process = subprocess.Popen(
                ["prlimit", "--nofile=40:40", os.path.join(BIN, "hermesd")], env=self.broker.environment,
                stdout=subprocess.PIPE, stderr=self.broker.log)
            self.assertIn(b"serving", self.broker.process.stdout.readline())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        b = self.broker
        b.run("topic", "create", "t", "--window", "256K")
        many = []
        for _ in range(60):
            s = socket.socket(socket.AF_UNIX)
            s.connect(os.path.join(b.home, "broker.sock"))
            many.append(s)
        self.wait_for(lambda: "out of descriptors" in b.messages(), "it says so")
        for s in many:
            s.close()
        self.wait_for(lambda: b.run("pub", "t", data=b"x\n", check=False).returncode == 0, "it serves again")
        self.assertEqual(b.stop(), (0, []))


class Strangers(Case):
    """Clients of another user, where the socket lets them in."""
    broker_config = "[broker]\nsocket_mode = 0666\n"

    def as_nobody(self, ask):
        """What ask() gives in a process of another user."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                os.write(write, ask().encode())
            except BaseException as error:
                os.write(write, repr(error).encode())
            os._exit(0)
        os.close(write)
        with open(read) as file:
            answer = file.read()
        os.waitpid(child, 0)
        return answer

    def setUp(self):
        super().setUp()
        os.chmod(self.broker.home, 0o755)

    def request(self, kind, payload):
        def header(kind, payload, sequence):
            return struct.pack("<IBBHQQII", 0x4D524548, 1, kind, 0, sequence, 0, len(payload), 0) + payload
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(os.path.join(self.broker.home, "broker.sock"))
        s.sendall(header(16, struct.pack("<H6x64s", 2, b"stranger"), 1))
        s.recv(4096)
        s.sendall(header(kind, payload, 2))
        data, fds, _, _ = socket.recv_fds(s, 4096, 8)
        return data[5], data[32:], fds, s

    @unittest.skipUnless(open("/proc/self/uid_map").read().split()[2] != "1", "needs a second user")
    def test_another_user_gets_a_ring(self):
        self.broker.run("topic", "create", "t")
        name = b"t".ljust(128, b"\0")

        def publisher():
            kind, payload, fds, self.socket = self.request(25, name + struct.pack("<QIIQQ", 0, 0, 0, 0, 0))
            modes = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
            return f"{kind} {struct.unpack_from('<I', payload, 4)[0]} {modes}"
        answer = self.as_nobody(publisher)
        self.assertTrue(answer.startswith("26 2 "), answer)  # a ring, on an exclusive topic too
        self.assertIn("hermes-ring", answer)
        self.assertNotIn("window", answer)

        def window_for_reading():
            kind, payload, fds, self.socket = self.request(29, name + bytes(176))
            return "read-only" if os.open(f"/proc/self/fd/{fds[0]}", os.O_RDWR) < 0 else "writable"
        self.assertIn("PermissionError", self.as_nobody(window_for_reading))

    @unittest.skipUnless(open("/proc/self/uid_map").read().split()[2] != "1", "needs a second user")
    def test_a_client_asks_who_serves(self):
        """Where others may make files, anybody can make a socket of that name."""
        directory = tempfile.mkdtemp(prefix="hermes-test-")
        self.addCleanup(shutil.rmtree, directory)
        os.chmod(directory, 0o777)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.setgid(65534)
            os.setuid(65534)
            s = socket.socket(socket.AF_UNIX)
            s.bind(os.path.join(directory, "broker.sock"))
            s.listen()
            os.write(write, b"!")
            while True:
                s.accept()[0].close()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        self.addCleanup(os.waitpid, child, 0)
        self.addCleanup(os.kill, child, signal.SIGKILL)
        os.read(read, 1)

        def ask(**environment):
            result = subprocess.run([os.path.join(BIN, "hermes"), "topic", "list"], capture_output=True, timeout=60,
                                    env=dict(os.environ, HERMES_HOME=directory, **environment))
            self.assertEqual(result.returncode, 1)
            return result.stderr
        self.assertIn(b"user 65534 serves", ask())
        self.assertIn(b"permission denied", ask(HERMES_BROKER_USER="65533"))
        self.assertIn(b"the broker hung up", ask(HERMES_BROKER_USER="65534"))  # trusted, and no broker
        os.chown(directory, 65534, 65534)  # /tmp is everybody's: that it is nobody's directory says nothing
        self.assertIn(b"user 65534 serves", ask())

    @unittest.skipUnless(open("/proc/self/uid_map").read().split()[2] != "1", "needs a second user")
    def test_a_temporary_directory_that_another_user_made(self):
        uid = 65533
        directory, state = f"/tmp/hermes-{uid}", tempfile.mkdtemp(prefix="hermes-test-")
        self.addCleanup(shutil.rmtree, state)
        os.chown(state, uid, uid)
        environment = {"PATH": os.environ["PATH"], "XDG_STATE_HOME": state, "HOME": state}

        def run(program, *arguments):
            return subprocess.run([for_anybody(program), *arguments], env=environment, user=uid,
                                  group=uid, extra_groups=[], capture_output=True, timeout=60, cwd="/")
        os.mkdir(directory)
        self.addCleanup(shutil.rmtree, directory)
        for owner, mode in ((65534, 0o777), (uid, 0o777)):
            os.chown(directory, owner, owner)
            os.chmod(directory, mode)
            for program in (("hermesd",), ("hermes", "topic", "list")):
                result = run(*program)
                self.assertEqual(result.returncode, 1)
                self.assertIn(directory.encode(), result.stderr)
                self.assertIn(b"XDG_RUNTIME_DIR", result.stderr)
        self.assertEqual(os.listdir(directory), [])
        os.chmod(directory, 0o700)
        self.assertIn(b"is hermesd running?", run("hermes", "topic", "list").stderr)

    @unittest.skipUnless(open("/proc/self/uid_map").read().split()[2] != "1", "needs a second user")
    def test_groups_of_another_user(self):
        """Groups are their owner's; what strangers may write is sealed, and made anew when a broker was killed."""
        b = self.broker
        b.run("topic", "create", "t", "--push-back")
        b.run("pub", "t", "--count", "10")
        b.run("group", "create", "t", "ours", "--from", "first")

        def fields(group, **more):
            return b"t".ljust(128, b"\0") + group.encode().ljust(128, b"\0") + struct.pack(
                "<IIQQIIQII", 0, 1, 0, 0, 0, more.get("push_back", 0), 0, 0, 0)

        def code_of(kind, payload):
            def ask():
                _, reply, _, s = self.request(kind, payload)
                s.close()
                return str(struct.unpack_from("<i", reply)[0])
            return ask
        self.assertEqual(self.as_nobody(code_of(29, fields("ours"))), "-5")
        self.assertEqual(self.as_nobody(code_of(29, fields("", push_back=1))), "-5")
        alter = b"t".ljust(128, b"\0") + b"ours".ljust(128, b"\0") + bytes(128) + struct.pack(
            "<IIQIIQQ", 0, 4, 0, 0, 1, 0, 0)
        self.assertEqual(self.as_nobody(code_of(37, alter)), "-5")
        self.assertEqual(self.as_nobody(code_of(38, alter)), "-5")

        def join():
            kind, payload, fds, self.socket = self.request(29, fields("theirs"))
            try:
                os.ftruncate(fds[2], 0)
                return "cut short"
            except PermissionError:
                return f"{kind} {os.readlink(f'/proc/self/fd/{fds[2]}')}"
        self.assertIn("memfd:hermes-group", self.as_nobody(join))
        info = json.loads(b.run("group", "info", "t", "theirs", "--json").stdout)
        self.assertEqual((info["uid"], info["members"]), (65534, 0))
        self.assertEqual(len([name for name in os.listdir(b.shm()) if name.endswith(".group")]), 1)
        b.kill()
        b.start()
        self.assertIn("memfd:hermes-group", self.as_nobody(join))
        b.run("group", "reset", "t", "theirs", "--from", "end")  # the broker's user may
        b.run("group", "delete", "t", "theirs")

    @unittest.skipUnless(open("/proc/self/uid_map").read().split()[2] != "1", "needs a second user")
    def test_a_killed_broker_takes_what_members_of_another_user_hold(self):
        """Their page is not kept: the record is all that the next broker knows."""
        b = self.broker
        b.run("topic", "create", "t")
        b.run("pub", "t", "--count", "10")
        port = Port(b, user=65534, group=65534, extra_groups=[], env=dict(b.environment, HERMES_BROKER_USER=str(os.getuid())),
                    executable=for_anybody("acks"))
        for command, said in (("open a group g manual", "ok"), ("open d name n manual", "ok"), ("take a x", "1"), ("take d y", "1")):
            self.assertEqual(port.say(command), said)
        b.kill()
        b.start()
        self.assertEqual([port.say("ack a x"), port.say("ack d y")], ["EEXPIRED"] * 2)
        self.assertEqual([port.say("take a z").split()[0], port.say("take d w")], ["1", "1"])
        self.assertEqual([port.say("ack a x"), port.say("ack d y")], ["EEXPIRED"] * 2)
        self.assertEqual([port.say("ack a z"), port.say("ack d w")], ["ok"] * 2)


main()
