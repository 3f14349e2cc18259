"""Arguments of every kind, and what values look like: notations, one family of errors, representations, copies."""
import copy
import datetime
import os
import pathlib
import pickle
import subprocess
import sys

import hermes_msg as hermes
import numpy
import pytest
from conftest import SMALL


def test_sizes_and_times_are_taken_as_the_command_line_has_them(client, tmp_path):
    client.create_topic("t", window_bytes="1M", segment_bytes="4MiB", keep_bytes="64k", keep="7d")
    info = client.topic("t")
    assert (info.window_bytes, info.segment_bytes, info.keep_bytes) == (1 << 20, 4 << 20, 64 << 10)
    assert info.keep_ns == 7 * 86400 * 10**9
    for keep, seconds in (("90s", 90), ("15m", 900), ("24h", 86400), ("2w", 14 * 86400), ("250ms", 0.25), ("0", 0), (1.5, 1.5),
                          (datetime.timedelta(hours=1), 3600), (None, 0)):
        client.alter_topic("t", keep=keep)
        assert client.topic("t").keep_ns == int(seconds * 10**9)
    client.create_group("t", "g", lease="10s", span_bytes="1M")
    assert client.group("t", "g").lease_ns == 10**10 and client.group("t", "g").span_bytes == 1 << 20
    sub = client.subscriber("t", spin="1ms")
    assert sub.poll("1ms") is None and sub.poll(datetime.timedelta(milliseconds=1)) is None
    client.publisher("t", timeout="5s").wait(timeout="1s")
    with hermes.log.open(tmp_path / "log", window_bytes="256K", segment_bytes="1M", sync_interval="1s"):
        pass


def test_a_value_that_is_none_is_an_invalid_argument(client):
    client.create_topic("t", **SMALL)
    pub, sub = client.publisher("t"), client.subscriber("t")
    for call in (lambda: client.create_topic("u", durability="foo"), lambda: client.create_topic("u", window_bytes="4 M"),
                 lambda: client.create_topic("u", window_bytes=-1), lambda: client.create_topic("u", keep_bytes=2**64),
                 lambda: client.create_topic("u", keep="7 days"), lambda: client.create_topic("u", keep=-1),
                 lambda: client.create_topic("u", keep=float("nan")), lambda: client.create_topic("u", keep=float("inf")),
                 lambda: client.create_topic("u", keep=1e300), lambda: client.create_topic("u", when_full="never"),
                 lambda: client.create_topic("a\0b"), lambda: client.create_topic("\udcff"), lambda: client.topic("\udcff"),
                 lambda: client.alter_topic("t", keep="x"), lambda: client.subscriber("t", -1),
                 lambda: client.subscriber("t", 2**64), lambda: client.subscriber("t", "soon"),
                 lambda: client.subscriber("t", ack="sometimes"), lambda: client.subscriber("t", spin="x"),
                 lambda: client.subscriber("t", datetime.datetime(1950, 1, 1)),
                 lambda: client.create_group("t", "g", max_deliveries=2**32), lambda: client.create_group("t", "g", max_deliveries=-1),
                 lambda: client.create_group("t", "g", lease="soon"), lambda: client.create_group("t", "g", start="middle"),
                 lambda: pub.claim(-1), lambda: pub.claim(2**70), lambda: pub.wait(0), lambda: pub.wait(1, "done"),
                 lambda: pub.wait(1, timeout=-1), lambda: pub.confirmed("done"), lambda: sub.poll(-1), lambda: sub.poll(float("nan")),
                 lambda: sub.poll("soon"), lambda: sub.poll_many(-1), lambda: sub.recv_batch(-1, "u1"), lambda: sub.seek("later"),
                 lambda: sub.seek_position(-1), lambda: hermes.encode(b"", sequence=-1), lambda: hermes.encode(b"", timestamp=2**64),
                 lambda: hermes.connect("a\0b"), lambda: hermes.connect("\ud800"), lambda: hermes.log.open("a\0b"),
                 lambda: hermes.log.reader("a\0b")):
        with pytest.raises(hermes.InvalidArgument) as told:
            call()
        assert isinstance(told.value, ValueError) and told.value.code == -1 and str(told.value)
    client.create_group("t", "g")
    with pytest.raises(hermes.InvalidArgument):
        client.alter_group("t", "g", max_deliveries=2**32)
    assert client.group("t", "g").max_deliveries == 0


def test_another_type_is_a_type_error(client):
    client.create_topic("t", **SMALL)
    sub = client.subscriber("t")
    for call in (lambda: sub.poll(b"0"), lambda: sub.poll(bytearray(b"0")), lambda: client.alter_topic("t", keep=b"7"),
                 lambda: client.publisher("t", timeout=b"1"), lambda: client.subscriber("t", spin=b"0"), lambda: hermes.connect(7),
                 lambda: client.create_topic("u", window_bytes=b"4M"), lambda: sub.seek(b"first")):
        with pytest.raises(TypeError):
            call()


def test_a_path_need_not_be_text(broker, tmp_path):
    strange = os.path.join(os.fsencode(tmp_path), b"\xff\xfe")
    os.mkdir(strange)
    link = os.path.join(strange, b"broker.sock")
    os.symlink(broker.url[5:], link)
    for path in (link, os.fsdecode(link), pathlib.Path(os.fsdecode(link)), b"unix:" + link):
        with hermes.connect(path) as client:
            client.ping()
            client.create_topic("t", exist_ok=True)
            client.subscriber("t")
            repr(client)
    for path in (os.path.join(strange, b"nobody"), "a\0b"):
        with pytest.raises((hermes.Disconnected, ValueError)):
            hermes.connect(path)
    with hermes.log.open(os.path.join(strange, b"log")) as log:
        log.append(b"x")
        assert [m.payload for m in hermes.log.reader(os.fsdecode(os.path.join(strange, b"log"))).poll_many(9)] == [b"x"]
    with pytest.raises(hermes.TopicNotFound):
        hermes.log.reader(os.path.join(strange, b"nothing"))


def test_last_is_the_newest_message(client, tmp_path):
    client.create_topic("t")
    assert client.subscriber("t", "last").poll() is None  # there is none
    pub = client.publisher("t")
    pub.send_many(b"%d" % i for i in range(1, 5000))
    sub = client.subscriber("t", start="last")
    pub.send(b"5000")
    assert [m.sequence for m in sub.poll_many(9)] == [4999, 5000]
    sub.seek("last")
    assert sub.poll().sequence == 5000
    client.create_group("t", "g", start="last")
    assert client.subscriber("t", group="g").poll().sequence == 5000
    path = tmp_path / "log"
    with hermes.log.open(path) as log:
        reader = hermes.log.reader(path, "last")
        assert reader.poll() is None
        for i in range(1, 1000):
            log.append(b"x" * (i % 200))
            if i in (1, 2, 3, 4, 7, 8, 9, 999):
                reader.seek("last")
                assert [m.sequence for m in reader.poll_many(9)] == [i]
    reader.seek("last")
    assert [m.sequence for m in reader] == [999]


def test_representations_tell_topic_position_and_state(client, broker, tmp_path):
    client.create_topic("t")
    pub, sub = client.publisher("t"), client.subscriber("t", "first")
    pub.send(b"x" * 100)
    assert repr(client) == f"Client({broker.url!r}, open)"
    assert (repr(pub), repr(sub)) == ("Publisher('t', sequence=1, open)", "Subscriber('t', position=0, open)")
    with sub.poll_view() as view:
        assert repr(view) == "View(sequence=1, position=0, 100 bytes, open)"
        assert repr(sub) == "Subscriber('t', position=192, lent)"
    assert repr(view).endswith("released)")
    claim = pub.claim(8)
    assert (repr(claim), repr(pub)) == ("Claim(8 bytes, sequence=0, open)", "Publisher('t', sequence=1, lent)")
    claim.commit()
    assert repr(claim) == "Claim(8 bytes, sequence=2, ended)"
    pub.close()
    assert repr(pub) == "Publisher('t', closed)"
    with hermes.log.open(tmp_path / "log") as log:
        assert repr(log) == f"LogWriter({tmp_path / 'log'!r}, sequence=0, open)"
        assert repr(hermes.log.reader(tmp_path / "log")) == f"LogReader({tmp_path / 'log'!r}, position=0, open)"


def test_messages_compare_pickle_and_decode(client):
    client.create_topic("t")
    client.publisher("t").send_many(["hä".encode(), b"\xff", b"\xff"])
    a, b, c = client.subscriber("t", "first").poll_many(3)
    a2, b2, c2 = client.subscriber("t", "first").poll_many(3)
    assert a == a2 and hash(a) == hash(a2) and a != b and b != c and len({a, a2, b, b2, c, c2}) == 3
    assert a != b"h" and (a == 1) is False
    with pytest.raises(TypeError):
        a < b  # noqa: B015
    for copied in (pickle.loads(pickle.dumps(a)), copy.copy(a), copy.deepcopy(a)):
        assert copied == a and copied.payload == a.payload and copied.has_checksum
    assert a.decode() == "hä" and b.decode(errors="replace") == "\ufffd" and b.decode("latin-1") == "ÿ"
    with pytest.raises(UnicodeDecodeError):
        b.decode()


def test_arrays_over_messages_are_aligned(client):
    client.create_topic("t")
    client.publisher("t").send_many([bytes(8 * i) for i in range(50)])
    for message in client.subscriber("t", "first").poll_many(50):
        for dtype in ("f8", "c16", "u4"):
            assert numpy.frombuffer(message.payload + b"", "u1").size == len(message)
            assert numpy.frombuffer(message, "u1").ctypes.data % 16 == 0 or len(message) == 0, dtype


def test_an_array_that_cannot_be_sliced_takes_no_message(client):
    client.create_topic("t")
    client.publisher("t").send_many([b"12345678"] * 3)
    sub = client.subscriber("t", "first")

    class Whole(numpy.ndarray):
        def __getitem__(self, index):
            raise TypeError("only whole")
    for wrong in (numpy.zeros(2, "u8").view(Whole), numpy.zeros(2, "O"), b"12345678", numpy.float64(1), "text", None):
        with pytest.raises((TypeError, ValueError, BufferError)):
            sub.recv_batch(2, out=wrong)
    assert sub.poll().sequence == 1


PLANTED = '''
import numpy as np
import hermes_msg as hermes
client = hermes.connect()
pub, sub = client.publisher("t", timeout="5s"), client.subscriber("t", start="last")
pub.send(b"x")
pub.send(np.zeros(3))
pub.send_batch(np.zeros(3))
floats: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = sub.recv_batch(5, np.float64)
sub.recv_batch(out=np.zeros(3, np.int32)).sum()
message = sub.poll()
if message is not None:
    pub.send(message)
    text: str = message.decode()
pub.send("text")  # wrong
pub.send_many(["text"])  # wrong
pub.send(3)  # wrong
sub.ack("x")  # wrong
client.subscriber("t", start="middle")  # wrong
client.create_topic("t", durability="foo")  # wrong
array: str = sub.recv_batch(5, np.float64)  # wrong
text = sub.recv_batch(5, "u8")  # wrong
bytes_of: bytes = sub.recv_batch(out=np.zeros(3))  # wrong
client.publisher("t", timeout=b"5s")  # wrong
sub.poll().payload  # wrong
sub.poll_many("3")  # wrong
'''


@pytest.mark.parametrize("checker", [["mypy", "--strict"], ["pyright"]])
def test_type_checkers_find_what_is_wrong_and_nothing_else(tmp_path, checker):
    if subprocess.run([sys.executable, "-m", checker[0], "--version"], capture_output=True).returncode != 0:
        pytest.skip(f"{checker[0]} is not here")
    path = tmp_path / "planted.py"
    path.write_text(PLANTED)
    arguments = ["--pythonpath", sys.executable] if checker[0] == "pyright" else []
    result = subprocess.run([sys.executable, "-m", *checker, *arguments, path], capture_output=True, text=True)
    wrong = {i for i, line in enumerate(PLANTED.splitlines(), 1) if "# wrong" in line}
    found = {int(line.split("planted.py:")[1].split(":")[0]) for line in result.stdout.splitlines()
             if "planted.py:" in line and "error" in line}
    assert found == wrong, result.stdout


def test_what_is_wrong_with_an_array_or_a_far_time_is_an_invalid_argument(client):
    client.create_topic("t")
    pub, sub = client.publisher("t"), client.subscriber("t", "first")
    pub.send(b"abcd")
    far = datetime.datetime.max.replace(tzinfo=datetime.timezone(-datetime.timedelta(hours=5)))
    columns = numpy.ones((4, 4), "u1")[:, ::2]
    for call in (lambda: sub.seek(far), lambda: sub.recv_batch(out=numpy.frombuffer(b"abcd", "u1")),
                 lambda: sub.recv_batch(out=numpy.array(1)), lambda: sub.recv_batch(out=columns),
                 lambda: pub.send_batch(numpy.array(1)), lambda: pub.send_batch(columns), lambda: pub.send(columns),
                 lambda: pub.send_batch_at(numpy.array([1]), numpy.ones((2, 1), "u1")), lambda: hermes.encode(columns)):
        with pytest.raises(hermes.InvalidArgument):
            call()
    assert sub.poll().payload == b"abcd" and sub.poll() is None


def test_a_limit_of_deliveries_is_refused_with_the_limit_of_limits(client):
    client.create_topic("t")
    with pytest.raises(hermes.InvalidArgument, match="2047"):
        client.create_group("t", "g", max_deliveries=2**32)
