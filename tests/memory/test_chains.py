"""Long chains of handles, each holding the next, are freed on a C stack that is short."""

import pytest

from toolkit import script

LINKS = {
    "the callback": "loop.call_soon(last)",
    "the callback of a timer": "loop.call_later(3600, last)",
    "the callback, of handles and timers": "loop.call_soon(last) if number % 2 else loop.call_later(3600, last)",
    "the callback, called from a thread": "loop.call_soon_threadsafe(last)",
    "an argument": "loop.call_soon(print, last)",
    "a method": "loop.call_soon(last.cancel)",
    "an argument of a partial": "loop.call_soon(functools.partial(print, last))",
    "a cell of a closure": "loop.call_soon(closure(last))",
    "a slot of an object": "loop.call_soon(Holder(last))",
    "a staticmethod": "loop.call_soon(staticmethod(last))",
    "a list": "loop.call_later(3600, print, [last])",
    "a context": "loop.call_soon(print, context=context(last))",
    "all of these, in turn": "(loop.call_soon, loop.call_later)[number % 2](*((), (3600,))[number % 2], "
    "(last, staticmethod(last), Holder(last), closure(last))[number // 2 % 4])",
}

CHAIN = """
import contextvars, functools, gc, threading, weakref

class Holder:
    __slots__ = "held", "__weakref__"
    def __init__(self, held):
        self.held = held

def closure(held):
    return lambda: held

def context(held):
    made = contextvars.Context()
    made.run(variable.set, held)
    return made

variable = contextvars.ContextVar("variable")
def build_and_free():
    loop = new_loop()
    first = Holder(None)
    freed = weakref.ref(first)
    last = loop.call_soon(first)
    del first
    for number in range(200_000):
        last = {link}
    loop.close()
    assert freed() is not None
    del last
    assert freed() is None
    print("freed")

gc.disable()
# A link has forty bytes of the stack; less in all, and CPython 3.13 itself would not keep to it.
threading.stack_size(8 << 20)
thread = threading.Thread(target=build_and_free)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("link", list(LINKS))
def test_a_long_chain_is_freed(loop_name, link):
    assert script(loop_name, CHAIN.format(link=LINKS[link])).stdout == "freed\n"
