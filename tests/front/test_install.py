"""``install`` and ``uninstall``, and the policy for those who ask for one."""

from __future__ import annotations

import sys

import pytest

policies = pytest.mark.skipif(sys.version_info >= (3, 16), reason="asyncio has no policies any more")

PRELUDE = """
import asyncio, sys, threading
from asyncio import events
import epicycle

async def ours():
    return type(asyncio.get_running_loop()) is epicycle.EventLoop

def made():
    loop = asyncio.new_event_loop()
    loop.close()
    return type(loop) is epicycle.EventLoop
"""


@pytest.fixture
def tell(process):
    """Run a piece of code after PRELUDE and return the words it prints."""

    def tell(code: str, *options: str) -> list[str]:
        return process(PRELUDE + code, *options).split()

    return tell


def test_asyncio_makes_our_loops(tell):
    code = """
epicycle.install()
print(epicycle.installed(), made(), asyncio.run(ours()))
with asyncio.Runner() as runner:
    print(runner.run(ours()))
epicycle.uninstall()
print(epicycle.installed(), made(), asyncio.run(ours()))
"""
    assert tell(code) == ["True", "True", "True", "True", "False", "False", "False"]


@policies
def test_uninstall_brings_back_the_very_policy(tell):
    code = """
class Policy(asyncio.unix_events._UnixDefaultEventLoopPolicy):
    pass
policy = events._event_loop_policy = Policy()
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
epicycle.install()
print(events._event_loop_policy is policy)
epicycle.uninstall()
print(events._event_loop_policy is policy, asyncio.get_event_loop() is loop)
loop.close()
"""
    assert tell(code) == ["False", "True", "True"]


@policies
def test_uninstall_brings_back_that_there_was_none_yet(tell):
    code = """
print(events._event_loop_policy)
epicycle.install()
asyncio.run(ours())
epicycle.uninstall()
print(events._event_loop_policy)
"""
    assert tell(code) == ["None", "None"]


def test_installing_twice_is_undone_once(tell):
    code = """
epicycle.install()
policy = getattr(events, "_event_loop_policy", None)
epicycle.install()
print(getattr(events, "_event_loop_policy", None) is policy)
epicycle.uninstall()
print(made())
epicycle.uninstall()
print(made())
epicycle.install()
print(made())
"""
    assert tell(code) == ["True", "False", "False", "True"]


def test_uninstall_without_install(tell):
    assert tell("epicycle.uninstall(); print(epicycle.installed(), made())") == ["False", "False"]


@policies
def test_another_policy_set_since_is_left_alone(tell):
    code = """
epicycle.install()
theirs = events._event_loop_policy = asyncio.unix_events._UnixDefaultEventLoopPolicy()
print(epicycle.installed())
epicycle.uninstall()
print(events._event_loop_policy is theirs)
epicycle.install()
print(made())
epicycle.uninstall()
print(events._event_loop_policy is theirs)
"""
    assert tell(code) == ["False", "True", "True", "True"]


def test_holds_for_threads_and_forked_children(tell):
    code = """
import os
epicycle.install()
thread = threading.Thread(target=lambda: print(asyncio.run(ours()), flush=True))
thread.start()
thread.join()
pid = os.fork()
if pid == 0:
    print(asyncio.run(ours()), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(asyncio.run(ours()))
"""
    assert tell(code, "-W", "ignore:This process:DeprecationWarning") == ["True", "True", "True"]


def test_many_threads_install_at_once(tell):
    code = """
barrier = threading.Barrier(8)
def work():
    barrier.wait()
    epicycle.install()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(made())
epicycle.uninstall()
print(made())
"""
    assert tell(code) == ["True", "False"]


def test_install_while_a_loop_runs(tell):
    code = """
async def main():
    epicycle.install()
    print(await ours(), await asyncio.to_thread(lambda: asyncio.run(ours())))
asyncio.run(main())
"""
    assert tell(code) == ["False", "True"]


def test_named_loop_classes_stay_what_they_are(tell):
    code = """
epicycle.install()
loop = asyncio.SelectorEventLoop()
print(type(loop).__module__)
loop.close()
"""
    assert tell(code) == ["asyncio.unix_events"]


@policies
def test_policy_is_asyncios_default_but_for_the_loop(tell):
    code = """
import warnings
policy = epicycle.EventLoopPolicy()
default = asyncio.unix_events._UnixDefaultEventLoopPolicy
print(isinstance(policy, default), type(policy).__module__ + "." + type(policy).__qualname__)
warnings.simplefilter("ignore")
asyncio.set_event_loop_policy(policy)
print(asyncio.get_event_loop_policy() is policy, made(), asyncio.run(ours()))
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
print(asyncio.get_event_loop() is loop)
asyncio.set_event_loop(None)
loop.close()
try:
    asyncio.get_event_loop()
except RuntimeError:
    print("none")
"""
    assert tell(code) == ["True", "epicycle.EventLoopPolicy", "True", "True", "True", "True", "none"]


@policies
def test_policy_with_a_factory_of_ones_own(tell):
    code = """
loops = []
def factory():
    loops.append(epicycle.new_event_loop())
    return loops[-1]
policy = epicycle.EventLoopPolicy(factory)
loop = policy.new_event_loop()
print(loop is loops[0])
loop.close()
"""
    assert tell(code) == ["True"]


def test_asyncio_without_policies(tell):
    """The road of Python 3.16, on an asyncio whose policies are taken away."""
    code = """
for name in ("_event_loop_policy", "set_event_loop_policy", "_set_event_loop_policy"):
    if hasattr(events, name):
        delattr(events, name)
events.set_event_loop = lambda loop: None
events.new_event_loop = asyncio.new_event_loop = asyncio.SelectorEventLoop
before = events.new_event_loop
epicycle.install()
print(made(), asyncio.run(ours()), epicycle.installed(), asyncio.new_event_loop is events.new_event_loop)
epicycle.uninstall()
print(asyncio.new_event_loop is before, events.new_event_loop is before, epicycle.installed())
"""
    assert tell(code) == ["True", "True", "True", "True", "True", "True", "False"]
