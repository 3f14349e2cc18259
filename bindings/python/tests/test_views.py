"""Views of messages where they stand: never dangling."""
import gc

import hermes_msg as hermes
import numpy
import pytest


@pytest.fixture
def sub(client):
    client.create_topic("t")
    client.publisher("t").send_many([bytes([i]) * 1000 for i in range(10)])
    return client.subscriber("t", "first")


def test_view(sub):
    with sub.poll_view(5) as view:
        assert (view.sequence, len(view)) == (1, 1000) and memoryview(view).readonly
        assert numpy.frombuffer(view, "u1").sum() == 0
        for call in (sub.poll, lambda: next(sub), lambda: sub.poll_many(2), sub.poll_view, lambda: sub.seek("end"),
                     lambda: sub.recv_batch(1, "u1")):
            with pytest.raises(BufferError):
                call()
    assert sub.poll().payload[0] == 1
    with pytest.raises(BufferError):
        memoryview(view)
    view.release()
    sub.seek("end")
    assert sub.poll_view() is None and sub.poll_view(timeout=0.01) is None


def test_view_that_lives_on(sub, client):
    with pytest.raises(BufferError):
        with sub.poll_view(5) as view:
            array = numpy.frombuffer(view, "u1")
    for call in (sub.poll, sub.close, client.close, view.release):
        with pytest.raises(BufferError):
            call()
    assert array.sum() == 0
    del array
    view.release()
    assert sub.poll().payload[0] == 1


def test_view_outlives_every_name(client):
    client.create_topic("t")
    client.publisher("t").send(b"alive" * 100)
    array = numpy.frombuffer(client.subscriber("t", "first").poll_view(5), "u1")
    gc.collect()
    assert bytes(array) == b"alive" * 100  # subscriber and session are kept for it


def test_dropped_view_is_released(sub):
    assert sub.poll_view(5) is not None
    assert sub.poll().payload[0] == 1


def test_closed_under_a_view_without_exports(sub):
    view = sub.poll_view(5)
    sub.close()
    with pytest.raises(BufferError):
        memoryview(view)
    view.release()
    with pytest.raises(TypeError):
        hermes.View()
