"""The real thing: a broker, its directories, and the workers around it, all a run's own."""
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import tempfile
import time

from calls import read_calls
from surroundings import SmallDisk

SHM = "/dev/shm"
STUCK_SECONDS = 40  # beyond every time-out that a client has


class Violation(Exception):
    """Something that may not be, found while the schedule ran."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind
        self.text = text


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def halt(process):
    """Returns once it stands still, or has ended."""
    process.send_signal(signal.SIGSTOP)
    if process.returncode is None:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


class Worker:
    """A process that does one command after the other. Each is logged by itself; see record.h."""

    def __init__(self, world, name, arguments, place=None):
        """place: what it is told to connect to; None: the broker."""
        self.world = world
        self.name = name
        self.log = os.path.join(world.home, name + ".history")
        self.errors = open(os.path.join(world.home, name + ".errors"), "ab")
        self.asked = self.answered = 0
        self.buffer = b""
        program, *rest = arguments
        self.process = subprocess.Popen(
            [os.path.join(world.bin, program), place or world.url, self.log, *map(str, rest)], env=world.environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        os.set_blocking(self.process.stdout.fileno(), False)

    def ask(self, command):
        """Begins a command."""
        self.asked += 1
        try:
            self.process.stdin.write(command.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.died()

    def died(self):
        with open(self.errors.name, errors="replace") as file:
            said = file.read()[-2000:]
        raise Violation("worker died", f"{self.name}: exit {self.process.wait()}: {self.last_line()} {said}")

    def do(self, *commands, seconds=STUCK_SECONDS):
        """Does them all."""
        for command in commands:
            self.ask(command)
        self.finish(seconds)

    def finish(self, seconds=STUCK_SECONDS):
        """Waits for all commands that were begun."""
        if not self.finished(seconds):
            raise Violation("hang", f"{self.name}: a call did not come back for {seconds} s: {self.last_line()}")

    def finished(self, seconds):
        end = time.monotonic() + seconds
        while self.answered < self.asked and time.monotonic() < end:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                continue
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                self.died()
            self.answered += data.count(b"done\n")
        return self.answered == self.asked

    def busy_share(self, seconds):
        """How much of a core it takes for so long."""
        cpu, begin = cpu_seconds(self.process.pid), time.monotonic()
        time.sleep(seconds)
        return (cpu_seconds(self.process.pid) - cpu) / (time.monotonic() - begin)

    def last_line(self):
        if not os.path.exists(self.log):
            return "nothing yet"
        with open(self.log, "rb") as file:
            file.seek(max(0, os.path.getsize(self.log) - 600))
            return file.read().decode().rstrip().rsplit("\n", 1)[-1]

    def log_bytes(self):
        return os.path.getsize(self.log) if os.path.exists(self.log) else 0

    def wait_for_log(self, text, seconds=STUCK_SECONDS):
        """Until its last line has the text: it is in that call, or through with it."""
        end = time.monotonic() + seconds
        while text not in self.last_line():
            if time.monotonic() > end:
                raise Violation("hang", f"{self.name}: never came to '{text}': {self.last_line()}")
            time.sleep(0.0005)

    def stop(self):
        self.world.note(f"{self.name} is halted")
        halt(self.process)

    def wait_until_stopped(self, seconds=STUCK_SECONDS):
        """It stops by itself: see worker.h."""
        end = time.monotonic() + seconds
        while not os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG):
            if time.monotonic() > end:
                raise Violation("hang", f"{self.name}: did not come to stand still: {self.last_line()}")
            time.sleep(0.0005)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)
        self.world.note(f"{self.name} goes on")

    def kill(self):
        self.world.note(f"kill {self.name}")
        self.process.kill()
        self.process.wait()
        self.world.note(f"{self.name} is dead")

    def calls(self):
        return read_calls(self.name, self.log)

    def is_open(self):
        """A member, or who has a durable subscription, and has not left it."""
        comings = [call for call in self.calls() if call.what in ("join", "durable", "leave", "part")]
        return bool(comings) and comings[-1].what in ("join", "durable") and comings[-1].rc == 0

    def is_alive(self):
        return self.process.poll() is None

    def close(self):
        if self.is_alive():
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            try:
                stream.close()
            except BrokenPipeError:
                pass


class World:
    """One run's broker, directories and workers."""

    def __init__(self, binaries, config="", reply_ms=None, disk="64M", shm="64M", keep=False, beside=None):
        """beside: another world, whose shared memory this one has too."""
        self.bin = os.path.abspath(binaries)
        self.keep = keep
        self.home = tempfile.mkdtemp(prefix="hermes-history-")
        self.url = "unix:" + os.path.join(self.home, "broker.sock")
        self.environment = dict(os.environ, HERMES_HOME=self.home)
        self.patient = dict(self.environment)  # for who is no part of the history
        if reply_ms is not None:
            self.environment["HERMES_REQUEST_TIMEOUT_MS"] = str(reply_ms)
        self.disk = SmallDisk(os.path.join(self.home, "data"), disk)
        self.is_alone = beside is None
        self.shm = SmallDisk(SHM, shm) if self.is_alone else beside.shm
        with open(os.path.join(self.home, "hermes.conf"), "w") as file:
            file.write(config)
        self.messages = open(os.path.join(self.home, "broker.log"), "ab")
        self.events = []  # (CLOCK_MONOTONIC in ns, what happened)
        self.workers = []
        self.topics = {}  # name: its options
        self.groups = {}  # name: groups.Options; durable subscriptions too
        self.runs = {}  # publisher: how many programs it had
        self.broker = None

    def note(self, what):
        self.events.append((time.monotonic_ns(), what))

    def save_events(self):
        with open(os.path.join(self.home, "schedule.log"), "w") as file:
            file.writelines(f"{when} {what}\n" for when, what in self.events)

    # ---- the broker ----

    def spawn(self, *before):
        return subprocess.Popen([*before, os.path.join(self.bin, "hermesd")], env=self.environment, stdout=subprocess.PIPE,
                                stderr=self.messages)

    def launch(self, *before):
        process = self.spawn(*before)
        ready = select.select([process.stdout], [], [], STUCK_SECONDS)[0]
        line = process.stdout.readline() if ready else b""
        return process, b"serving" in line

    def start(self):
        if not self.try_to_start():
            raise Violation("no start", "the broker does not start: " + self.broker_messages()[-300:])

    def try_to_start(self):
        self.broker, serves = self.launch()
        self.note("broker starts" if serves else "broker does not start")
        if not serves:
            self.broker.kill()
            self.reap()
        return serves

    def kill(self):
        self.note("broker is killed")
        self.broker.kill()
        self.reap()

    def stop(self, seconds=60):
        """An orderly stop; returns the exit code."""
        self.note("broker is told to stop")
        self.broker.send_signal(signal.SIGTERM)
        try:
            self.broker.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Violation("hang", f"the broker did not stop for {seconds} s")
        return self.reap()

    def stop_and_kill(self, seconds):
        """An orderly stop that is cut short."""
        self.note("broker is told to stop")
        self.broker.send_signal(signal.SIGTERM)
        time.sleep(seconds)
        self.kill()

    def start_and_kill(self, seconds):
        """A start that is cut short."""
        self.note("broker starts, for a moment")
        process = self.spawn()
        time.sleep(seconds)
        process.kill()
        process.wait()
        process.stdout.close()

    def reap(self):
        code = self.broker.wait()
        self.broker.stdout.close()
        self.note("broker is gone")
        return code

    def halt(self):
        self.note("broker is halted")
        halt(self.broker)

    def go_on(self):
        self.broker.send_signal(signal.SIGCONT)
        self.note("broker goes on")

    def is_up(self):
        return self.broker is not None and self.broker.poll() is None

    def check_alive(self):
        if self.broker.poll() is not None:
            raise Violation("broker died", f"the broker died by itself, exit {self.broker.returncode}: "
                            + self.broker_messages()[-600:])

    def broker_messages(self):
        self.messages.flush()
        with open(os.path.join(self.home, "broker.log")) as file:
            return file.read()

    # ---- starts that fail ----

    def fail_to_start(self, how):
        """One start that cannot be. The directories are those of the broker that was there before."""
        self.note(f"a start fails: {how}")
        undo = getattr(self, "spoil_" + how.replace("-", "_"))()
        before = ["prlimit", "--nofile=12:12"] if how == "few-descriptors" else []
        process, serves = self.launch(*before)
        if serves:  # with one topic less, or few descriptors: it may, but must not harm
            process.kill()
            self.note("broker is killed")
        process.wait()
        process.stdout.close()
        undo()

    def spoil_socket(self):
        path = os.path.join(self.home, "broker.sock")
        if os.path.exists(path):
            os.unlink(path)
        os.mkdir(path)
        return lambda: os.rmdir(path)

    def spoil_few_descriptors(self):
        return lambda: None

    def spoil_busy_lock(self):
        import fcntl
        file = open(os.path.join(self.home, "broker.sock.lock"), "ab")
        fcntl.flock(file, fcntl.LOCK_EX)
        return file.close

    def spoil_topic_conf(self):
        """A definition that cannot be read, once."""
        moved = []
        for topic in self.topics:
            path = os.path.join(self.disk.path, "topics", topic, "topic.conf")
            os.rename(path, path + ".away")
            os.symlink(path, path)  # ELOOP
            moved.append(path)

        def undo():
            for path in moved:
                if os.path.islink(path):
                    os.unlink(path)
                os.rename(path + ".away", path)
        return undo

    # ---- topics ----

    def hermes(self, *arguments, check=True):
        command = f"hermes {' '.join(arguments)}"
        try:
            result = subprocess.run([os.path.join(self.bin, "hermes"), *arguments], env=self.patient, capture_output=True,
                                    timeout=STUCK_SECONDS)
        except subprocess.TimeoutExpired:
            raise Violation("hang", f"{command} did not end for {STUCK_SECONDS} s")
        if check and result.returncode != 0:
            raise Violation("command", f"{command}: {result.returncode}: {result.stderr.decode()}")
        return result

    def create(self, topic, durability="async", shared=False, push_back=False, window="256K", full_waits=False,
               keep=None):
        segment = "4M" if window == "4M" else "1M"
        options = ["--durability", durability, "--window", window, "--segment", segment]
        options += ["--keep-bytes", keep] if keep is not None else []
        options += ["--shared"] if shared else []
        options += ["--push-back"] if push_back else []
        options += ["--when-full", "wait"] if full_waits else []
        self.hermes("topic", "create", topic, *options)
        self.topics[topic] = {"durability": durability, "shared": shared, "push_back": push_back, "keep": keep}

    def info(self, topic):
        return json.loads(self.hermes("topic", "info", topic, "--json").stdout)

    def group_info(self, topic, group):
        return json.loads(self.hermes("group", "info", topic, group, "--json").stdout)

    def wait_until(self, condition, kind, what, seconds=15):
        end = time.monotonic() + seconds
        while not condition():
            self.check_alive()
            if time.monotonic() > end:
                raise Violation(kind, what)
            time.sleep(0.005)

    def wait_persisted(self, topic, seconds=15):
        """Nobody asks for it, and yet what is committed comes to the disk."""
        def is_persisted():
            info = self.info(topic)
            return info["durable_position"] == info["committed_position"]
        self.wait_until(is_persisted, "not persisted", f"topic {topic}: what is committed is not on disk after {seconds} s, "
                        "though nothing is in its way", seconds)

    # ---- workers ----

    def publisher(self, number):
        self.runs[number] = run = self.runs.get(number, 0) + 1
        return self.add(Worker(self, f"publisher-{number}-{run}", ["history_publisher", number, run]))

    def subscriber(self, name):
        return self.add(Worker(self, f"subscriber-{name}", ["history_subscriber"]))

    def member(self, group):
        """Of a group, or who has a durable subscription."""
        self.runs[group] = run = self.runs.get(group, 0) + 1
        return self.add(Worker(self, f"member-{group}-{run}", ["history_member"]))

    def administrator(self):
        self.runs["administrator"] = run = self.runs.get("administrator", 0) + 1
        return self.add(Worker(self, f"administrator-{run}", ["history_administrator"]))

    def embedded(self, number):
        """Writes, or reads, an embedded log."""
        self.runs["embedded", number] = run = self.runs.get(("embedded", number), 0) + 1
        path = os.path.join(self.disk.path, "log")
        return self.add(Worker(self, f"embedded-{number}-{run}", ["history_embedded", number, run], path))

    def logs(self):
        return {worker.name: worker.log for worker in self.workers}

    def add(self, worker):
        self.workers.append(worker)
        return worker

    def close(self):
        for worker in self.workers:
            worker.close()
        if self.is_up():
            self.broker.kill()
            self.reap()
        self.messages.close()
        if self.is_alone:
            self.shm.unmount()
        if not self.keep:
            self.disk.unmount()

    def remove(self):
        if not self.keep:
            shutil.rmtree(self.home)


def more_descriptors():
    """Each worker has some of ours."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))

