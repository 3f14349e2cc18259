"""Logs by their path, without a broker."""
import threading

import hermes_msg as hermes
import pytest


def test_log(tmp_path):
    path = tmp_path / "quotes"
    with hermes.log.open(path, window_bytes=256 << 10, segment_bytes=1 << 20) as log:
        assert (log.sequence, log.position, log.path) == (0, 0, path)
        assert [log.append(b"%d" % i) for i in range(100)] == list(range(1, 101))
        log.sync()
        with pytest.raises(hermes.Busy):
            hermes.log.open(path)
        with pytest.raises(hermes.PayloadTooLarge):
            log.append(bytes(65537))
        reader = hermes.log.reader(str(path))
        assert [int(m.payload) for m in reader.poll_many(1000)] == list(range(100))
        assert reader.poll(0.01) is None
        log.append(b"live")
        assert reader.poll(10).payload == b"live"
        assert hermes.log.reader(path, start="end").poll() is None
        assert hermes.log.reader(path, 50).poll().sequence == 50
    assert log.closed
    with pytest.raises(hermes.Closed):
        log.append(b"x")
    assert [m.sequence for m in hermes.log.reader(path)] == list(range(1, 102))  # it ends
    with pytest.raises(hermes.TopicNotFound):
        hermes.log.reader(tmp_path / "nothing")
    for bad in (1, None, "a\0b"):
        with pytest.raises((TypeError, ValueError)):
            hermes.log.open(bad)
        with pytest.raises((TypeError, ValueError)):
            hermes.log.reader(bad)
    for bad in ({"sync_interval": 0}, {"sync_interval": float("nan")}, {"window_bytes": 7}, {"window_bytes": -1}):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            hermes.log.open(tmp_path / "other", **bad)


def test_reader_follows_a_writer_that_floods(tmp_path):
    path = tmp_path / "log"
    log = hermes.log.open(path, window_bytes=256 << 10, segment_bytes=1 << 20)
    reader = hermes.log.reader(path)

    def write():
        for i in range(50000):
            log.append(b"%0100d" % i)
    writer = threading.Thread(target=write)
    writer.start()
    for i, m in enumerate(reader):
        assert int(m.payload) == i
        if i == 49999:
            break
    writer.join()
    log.close()


def test_a_reader_at_the_end_goes_on_when_somebody_writes_again(tmp_path):
    small = {"window_bytes": 256 << 10, "segment_bytes": 1 << 20}
    with hermes.log.open(tmp_path / "log", **small) as log:
        log.append(b"one")
    reader = hermes.log.reader(tmp_path / "log")
    assert [m.payload for m in reader] == [b"one"]
    with pytest.raises(hermes.Closed):
        reader.poll(60)
    with hermes.log.open(tmp_path / "log", **small) as log:
        log.append(b"two")
        assert reader.poll().payload == b"two"
        assert reader.poll() is None
        log.append(b"three")
    assert [m.payload for m in reader] == [b"three"]
