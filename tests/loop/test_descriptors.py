"""Descriptors watched by `add_reader` and `add_writer`."""

import contextvars
import os
import socket
import tempfile

import pytest

from toolkit import Recorder, attached, finish, run_bounded, turn, until


@pytest.fixture
def pair():
    """Two connected sockets, not blocking."""
    one, two = socket.socketpair()
    one.setblocking(False)
    two.setblocking(False)
    with one, two:
        yield one, two


@pytest.fixture
def pipe():
    """The reading and the writing end of a pipe."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def test_a_reader_is_called_when_there_is_something_to_read(loop, pair):
    seen = []
    assert loop.add_reader(pair[0].fileno(), seen.append, "readable") is None
    turn(loop)
    assert seen == []
    pair[1].send(b"x")
    turn(loop)
    assert seen == ["readable"]
    assert loop.remove_reader(pair[0].fileno()) is True


def test_what_is_left_unread_calls_again(loop, pair):
    seen = []
    pair[1].send(b"abc")
    loop.add_reader(pair[0], lambda: seen.append(pair[0].recv(1)))
    turn(loop, 5)
    assert seen == [b"a", b"b", b"c"]
    loop.remove_reader(pair[0])


def test_a_writer_is_called_while_there_is_room(loop, pair):
    seen = []
    assert loop.add_writer(pair[0], seen.append, "writable") is None
    turn(loop, 3)
    assert seen == ["writable"] * 3
    assert loop.remove_writer(pair[0]) is True


def test_removal_tells_whether_there_was_anything(loop, pair):
    for add, remove in ((loop.add_reader, loop.remove_reader), (loop.add_writer, loop.remove_writer)):
        assert remove(pair[0]) is False
        add(pair[0], print)
        assert remove(pair[0]) is True
        assert remove(pair[0]) is False


def test_nothing_is_called_after_removal(loop, pair):
    seen = []
    pair[1].send(b"x")
    loop.add_reader(pair[0], seen.append, "reader")
    loop.add_writer(pair[0], seen.append, "writer")
    loop.remove_reader(pair[0])
    loop.remove_writer(pair[0])
    turn(loop, 2)
    assert seen == []


def test_both_directions_of_one_descriptor_are_apart(loop, pair):
    seen = []
    pair[1].send(b"x")
    loop.add_reader(pair[0], seen.append, "reader")
    loop.add_writer(pair[0], seen.append, "writer")
    turn(loop)
    assert seen == ["reader", "writer"]
    assert loop.remove_reader(pair[0]) is True
    turn(loop)
    assert seen == ["reader", "writer", "writer"]
    loop.add_reader(pair[0], seen.append, "reader")
    assert loop.remove_writer(pair[0]) is True
    turn(loop)
    assert seen == ["reader", "writer", "writer", "reader"]
    assert loop.remove_reader(pair[0]) is True


@pytest.mark.parametrize("direction", ["reader", "writer"])
def test_registering_again_replaces(loop, pair, direction):
    seen = []
    pair[1].send(b"x")
    add, remove = getattr(loop, f"add_{direction}"), getattr(loop, f"remove_{direction}")
    add(pair[0], seen.append, "first")
    add(pair[0], seen.append, "second")
    turn(loop)
    assert seen == ["second"]
    assert remove(pair[0]) is True
    assert remove(pair[0]) is False


def test_registering_again_in_the_same_batch_cancels_the_first(loop, pair):
    seen = []
    other, other_peer = socket.socketpair()
    with other, other_peer:
        pair[1].send(b"x")
        other_peer.send(b"x")

        def replace(name, mine, theirs):
            seen.append(name)
            loop.add_reader(theirs, seen.append, f"replaced by {name}")
            loop.remove_reader(mine)

        loop.add_reader(pair[0], replace, "one", pair[0], other)
        loop.add_reader(other, replace, "two", other, pair[0])
        turn(loop)
        assert len(seen) == 1
        turn(loop)
        assert seen in (["one", "replaced by one"], ["two", "replaced by two"])
        loop.remove_reader(pair[0])
        loop.remove_reader(other)


def test_a_reader_may_remove_another_of_its_batch(loop, pair):
    seen = []
    other, other_peer = socket.socketpair()
    with other, other_peer:
        pair[1].send(b"x")
        other_peer.send(b"x")
        loop.add_reader(pair[0], lambda: (seen.append("one"), loop.remove_reader(other)))
        loop.add_reader(other, lambda: (seen.append("two"), loop.remove_reader(pair[0])))
        turn(loop)
        assert len(seen) == 1
        loop.remove_reader(pair[0])
        loop.remove_reader(other)


def test_a_reader_may_remove_itself(loop, pair):
    seen = []
    pair[1].send(b"x")
    loop.add_reader(pair[0], lambda: seen.append(loop.remove_reader(pair[0])))
    turn(loop, 3)
    assert seen == [True]


def test_a_reader_may_remove_and_register_itself(loop, pair):
    seen = []

    def again():
        seen.append("again")
        loop.remove_reader(pair[0])
        loop.add_reader(pair[0], again)

    pair[1].send(b"x")
    loop.add_reader(pair[0], again)
    turn(loop, 3)
    assert seen == ["again"] * 3
    loop.remove_reader(pair[0])


def test_the_end_of_the_stream_is_something_to_read(loop, pair):
    seen = []
    loop.add_reader(pair[0], lambda: (seen.append(pair[0].recv(10)), loop.stop()))
    pair[1].close()
    run_bounded(loop)
    assert seen == [b""]
    loop.remove_reader(pair[0])


def test_a_hang_up_wakes_reader_and_writer(loop, pipe):
    seen = []
    reading, writing = pipe
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, bytes(65536))
    loop.add_writer(writing, seen.append, "writer")
    turn(loop)
    assert seen == []
    os.close(os.dup(reading))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, reading)
    os.close(null)
    turn(loop)
    assert seen == ["writer"]
    loop.remove_writer(writing)


def test_numbers_and_objects_with_one_name_the_same_descriptor(loop, pair):
    seen = []

    class Thing:
        def fileno(self):
            return pair[0].fileno()

    pair[1].send(b"x")
    loop.add_reader(pair[0], seen.append, "socket")
    loop.add_reader(Thing(), seen.append, "thing")
    loop.add_reader(pair[0].fileno(), seen.append, "number")
    turn(loop)
    assert seen == ["number"]
    assert loop.remove_reader(Thing()) is True
    assert loop.remove_reader(pair[0]) is False


def test_pipes_may_be_watched(loop, pipe):
    seen = []
    loop.add_reader(pipe[0], lambda: seen.append(os.read(pipe[0], 10)))
    loop.add_writer(pipe[1], lambda: (os.write(pipe[1], b"hello"), loop.remove_writer(pipe[1])))
    turn(loop, 3)
    assert seen == [b"hello"]
    loop.remove_reader(pipe[0])


@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
@pytest.mark.parametrize("thing", ["text", None, 1.5, object()], ids=repr)
def test_what_names_no_descriptor_is_refused(loop, method, thing):
    with pytest.raises(ValueError) as caught:
        getattr(loop, method)(thing, print)
    assert str(caught.value) == f"Invalid file object: {thing!r}"


@pytest.mark.parametrize("method", ["remove_reader", "remove_writer"])
@pytest.mark.parametrize("thing", ["text", None, object()], ids=repr)
def test_removing_what_names_no_descriptor_is_refused(loop, method, thing):
    with pytest.raises(ValueError) as caught:
        getattr(loop, method)(thing)
    assert str(caught.value) == f"Invalid file object: {thing!r}"


@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
def test_a_negative_number_is_refused(loop, method):
    with pytest.raises(ValueError, match="^Invalid file descriptor: -1$"):
        getattr(loop, method)(-1, print)
    closed = socket.socket()
    closed.close()
    with pytest.raises(ValueError, match="^Invalid file descriptor: -1$"):
        getattr(loop, method)(closed, print)


@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
def test_a_descriptor_that_is_not_open_is_refused(loop, method):
    fd = os.dup(0)
    os.close(fd)
    with pytest.raises(OSError) as caught:
        getattr(loop, method)(fd, print)
    assert caught.value.errno == 9
    assert loop.remove_reader(fd) is False and loop.remove_writer(fd) is False


def test_a_file_that_cannot_be_waited_for_is_refused(loop):
    with tempfile.TemporaryFile() as file:
        with pytest.raises(PermissionError):
            loop.add_reader(file, print)
        assert loop.remove_reader(file) is False


def test_a_reader_that_raises_is_reported_and_stays(loop, pair, errors):
    pair[1].send(b"x")

    def fail():
        raise ValueError("odd")

    loop.add_reader(pair[0], fail)
    turn(loop, 2)
    assert [str(context["exception"]) for context in errors] == ["odd", "odd"]
    assert errors[0]["message"].startswith("Exception in callback ")
    assert loop.remove_reader(pair[0]) is True


def test_a_reader_that_ends_the_program_leaves_the_loop(loop, pair):
    pair[1].send(b"x")

    def leave():
        raise SystemExit(7)

    loop.add_reader(pair[0], leave)
    with pytest.raises(SystemExit):
        run_bounded(loop)
    assert loop.remove_reader(pair[0]) is True


def test_a_descriptor_of_a_transport_is_refused(loop):
    async def main():
        protocol = Recorder()
        async with attached(protocol) as (transport, peer):
            sock = transport.get_extra_info("socket")
            for thing in (sock, sock.fileno()):
                for method in (loop.add_reader, loop.add_writer, loop.remove_reader, loop.remove_writer):
                    with pytest.raises(RuntimeError) as caught:
                        method(thing, *([print] if "add" in method.__name__ else []))
                    assert (
                        str(caught.value) == f"File descriptor {thing!r} is used by transport {transport!r}"
                    )
            peer.send(b"still works")
            await until(lambda: protocol.data == b"still works")

    finish(loop, main())


def test_a_reader_may_be_added_before_the_loop_runs_and_from_a_parked_loop(loop, pair):
    seen = []
    other, other_peer = socket.socketpair()
    with other, other_peer:

        def second():
            seen.append("second")
            loop.stop()

        def first():
            seen.append("first")
            loop.remove_reader(pair[0])
            loop.add_reader(other, second)
            other_peer.send(b"x")

        loop.add_reader(pair[0], first)
        loop.call_later(0.01, pair[1].send, b"x")
        run_bounded(loop)
        assert seen == ["first", "second"]
        loop.remove_reader(other)


def test_many_descriptors_are_told_apart(loop):
    pairs = [socket.socketpair() for _ in range(100)]
    seen = []
    try:
        for number, (one, _) in enumerate(pairs):
            loop.add_reader(one, lambda number=number, one=one: seen.append((number, one.recv(10))))
        for number in range(0, 100, 3):
            pairs[number][1].send(str(number).encode())
        turn(loop, 2)
        assert sorted(seen) == [(number, str(number).encode()) for number in range(0, 100, 3)]
        for one, _ in pairs:
            assert loop.remove_reader(one) is True
    finally:
        for one, two in pairs:
            one.close()
            two.close()


def test_the_callback_runs_in_the_context_of_its_registration(loop, pair):
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []
    token = variable.set("inside")
    loop.add_reader(pair[0], lambda: seen.append(variable.get()))
    variable.reset(token)
    pair[1].send(b"x")
    turn(loop)
    assert seen == ["inside"]
    loop.remove_reader(pair[0])


def test_closing_the_loop_leaves_the_descriptors_open(loop, pair):
    loop.add_reader(pair[0], print)
    loop.add_writer(pair[0], print)
    loop.close()
    pair[1].send(b"x")
    assert pair[0].recv(1) == b"x"


@pytest.mark.parametrize("direction", ["reader", "writer"])
def test_parameters_may_be_given_by_name(loop, direction):
    add = getattr(loop, f"add_{direction}")
    remove = getattr(loop, f"remove_{direction}")
    seen = []
    one, two = socket.socketpair()
    with one, two:
        two.send(b"x")
        add(fd=one, callback=lambda: seen.append("named"))
        turn(loop)
        add(one, callback=lambda: seen.append("half"))
        turn(loop)
        assert remove(fd=one) is True
        for wrong in ({"callback": print}, {"callable": print}):
            with pytest.raises(TypeError):
                add(one, print, **wrong)
    assert seen == ["named", "half"]
