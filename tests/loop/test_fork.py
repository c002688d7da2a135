"""A fork with a live loop: the child makes its own, and may not use its parent's."""

import pytest

from toolkit import script

CHILD_MAKES_ITS_OWN = """
import asyncio, os
async def child():
    await asyncio.sleep(0.001)
    return 7
async def main():
    pid = os.fork()
    if not pid:
        status = 1
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                status = runner.run(child())
        finally:
            os._exit(status)
    # The parent's own loop still works, whatever the child did to its copy of the descriptors.
    one, two = __import__("socket").socketpair()
    one.setblocking(False)
    loop = asyncio.get_running_loop()
    waiting = loop.create_task(loop.sock_recv(one, 10))
    await asyncio.sleep(0.01)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    two.send(b"alive")
    print(status, await waiting)
    one.close(); two.close()
loop = new_loop()
loop.run_until_complete(main())
loop.close()
"""

CHILD_USES_ITS_PARENTS = """
import asyncio, os, socket
loop = new_loop()
one, two = socket.socketpair()
one.setblocking(False)
loop.add_reader(one, lambda: (print(one.recv(10)), loop.stop()))
uses = {
    "run_forever": lambda: loop.run_forever(),
    "run_until_complete": lambda: loop.run_until_complete(loop.create_future()),
    "add_reader": lambda: loop.add_reader(two, print),
    "remove_reader": lambda: loop.remove_reader(one),
    "call_soon_threadsafe": lambda: loop.call_soon_threadsafe(print),
}
pid = os.fork()
if not pid:
    for name, use in uses.items():
        try:
            use()
        except RuntimeError as error:
            print(name, "fork" in str(error), flush=True)
        except BaseException as error:
            print(name, repr(error), flush=True)
        else:
            print(name, "went through", flush=True)
    os._exit(0)
os.waitpid(pid, 0)
# What the child tried must not have reached the parent's registrations.
two.send(b"alive")
loop.call_later(5, loop.stop)
loop.run_forever()
loop.close()
"""

CHILD_FORGETS_ITS_PARENTS = """
import asyncio, gc, os, socket, warnings
warnings.simplefilter("ignore")
loop = new_loop()
one, two = socket.socketpair()
one.setblocking(False)
loop.add_reader(one, lambda: (print(one.recv(10)), loop.stop()))
pid = os.fork()
if not pid:
    os._exit(0)
os.waitpid(pid, 0)
two.send(b"alive")
loop.call_later(5, loop.stop)
loop.run_forever()
loop.close()
"""

PROCESSES_BESIDE_A_LOOP = """
import asyncio, multiprocessing
def work(queue):
    async def main():
        await asyncio.sleep(0.001)
        return "from the child"
    with asyncio.Runner(loop_factory=new_loop) as runner:
        queue.put(runner.run(main()))
async def main():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=work, args=(queue,))
    process.start()
    print(queue.get())
    process.join()
    print(process.exitcode)
with asyncio.Runner(loop_factory=new_loop) as runner:
    runner.run(main())
"""


CHILD_GOES_BACK_TO_ITS_PARENTS = """
import os, sys
loop = new_loop()


def fork():
    pid = os.fork()
    if pid:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(status, flush=True)
        loop.stop()


loop.call_soon(fork)
loop.call_later(60, loop.stop)
try:
    loop.run_forever()
except RuntimeError as error:
    os._exit(3 if "fork" in str(error) else 4)
loop.close()
"""


def test_the_child_of_a_running_loop_makes_its_own(loop_name):
    assert script(loop_name, CHILD_MAKES_ITS_OWN).stdout == "7 b'alive'\n"


def test_processes_started_beside_a_running_loop_have_their_own(loop_name):
    assert script(loop_name, PROCESSES_BESIDE_A_LOOP).stdout == "from the child\n0\n"


def test_the_end_of_the_child_leaves_the_parents_loop_alone(loop_name):
    assert script(loop_name, CHILD_FORGETS_ITS_PARENTS).stdout == "b'alive'\n"


@pytest.mark.epicycle_only
def test_the_child_may_not_use_its_parents_loop(loop_name):
    lines = script(loop_name, CHILD_USES_ITS_PARENTS).stdout.splitlines()
    uses = ["run_forever", "run_until_complete", "add_reader", "remove_reader", "call_soon_threadsafe"]
    assert lines == [f"{use} True" for use in uses] + ["b'alive'"]


@pytest.mark.epicycle_only
def test_the_child_of_a_callback_does_not_go_on_with_its_parents_loop(loop_name):
    assert script(loop_name, CHILD_GOES_BACK_TO_ITS_PARENTS).stdout.split() == ["3"]
