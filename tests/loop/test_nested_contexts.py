"""Contexts and connections while a loop runs inside of a running one."""

import asyncio
import contextvars
import gc
import weakref

import pytest

import epicycle
from loop.nested import failing, later, loop_factory  # noqa: F401
from toolkit import Recorder, attached, until

pytestmark = pytest.mark.epicycle_only

setting = contextvars.ContextVar("setting", default="unset")


def test_a_context_that_is_current_may_be_used_inside(loop, errors):
    context = contextvars.copy_context()

    async def inner():
        await asyncio.sleep(0)
        setting.set("inner")

    async def outer():
        setting.set("outer")
        loop.call_soon(lambda: setting.set(setting.get() + "!"), context=context)
        loop.run_until_complete(loop.create_task(inner(), context=context))
        return setting.get()

    assert loop.run_until_complete(loop.create_task(outer(), context=context)) == "inner"
    assert errors == []


def test_a_context_of_a_frame_further_out_has_a_stand_in(loop, errors):
    """What is set in the stand-in is kept for its other users, and given back in the end."""
    context = contextvars.copy_context()
    seen = []

    async def innermost():
        seen.append(setting.get())
        token = setting.set("innermost")
        await asyncio.sleep(0)
        setting.reset(token)
        setting.set("new")

    async def middle():
        loop.run_until_complete(loop.create_task(innermost(), context=context))
        done = loop.create_future()
        loop.call_soon(lambda: done.set_result(setting.get()), context=context)
        seen.append(loop.run_until_complete(done))

    async def outer():
        setting.set("outer")
        loop.run_until_complete(middle())
        seen.append(setting.get())

    loop.run_until_complete(loop.create_task(outer(), context=context))
    assert seen == ["outer", "new", "new"]
    assert errors == []


def test_stand_ins_are_let_go(loop):
    from epicycle.loop import _nesting

    def run():
        context = contextvars.copy_context()

        async def middle():
            loop.run_until_complete(loop.create_task(later(None), context=context))

        async def outer():
            loop.run_until_complete(middle())

        loop.run_until_complete(loop.create_task(outer(), context=context))
        return weakref.ref(context)

    reference = run()
    gc.collect()
    assert reference() is None
    assert _nesting._stand_ins == {}


def test_a_plain_loop_still_refuses_a_context_that_is_entered(caplog):
    # To the log: since 3.12 a handler of one's own would be called in that context as well.
    loop = epicycle.new_event_loop()
    context = contextvars.copy_context()
    loop.call_soon(print, context=context)
    loop.call_soon(loop.stop)
    context.run(loop.run_forever)
    loop.close()
    [record] = caplog.records
    assert "cannot enter context" in str(record.exc_info[1])


def test_a_connection_receives_in_order_though_its_protocol_runs_the_loop(loop):
    async def feeding():
        class Nesting(Recorder):
            def data_received(self, data):
                super().data_received(data)
                number = len(self.data)
                if number < 5:
                    peer.send(bytes([number]))
                    loop.run_until_complete(until(lambda: len(self.data) > number))
                self.events.append(number)

        protocol = Nesting()
        async with attached(protocol) as (_, peer):
            peer.send(b"\0")
            await until(lambda: len(protocol.events) == 11)
            assert protocol.data == bytes(range(5))
            assert protocol.events == ["made", *["data"] * 5, 5, 4, 3, 2, 1]

    loop.run_until_complete(feeding())
