"""Ctrl-C while `cancel()` waits for a callback that another thread runs: from Python 3.14 on, where it waits."""

import signal
import sys

import pytest

from toolkit import running_script, wait_until_parked

CODE = """
import threading

def hold():
    started.set()
    release.wait()

started, release = threading.Event(), threading.Event()
loop = new_loop()
thread = threading.Thread(target=loop.run_forever)
thread.start()
handle = loop.call_soon_threadsafe(hold)
started.wait()
try:
    print("ready")
    handle.{method}()
    print("not waited")
except KeyboardInterrupt:
    print("interrupted")
release.set()
loop.call_soon_threadsafe(loop.stop)
thread.join()
loop.close()
print(handle.cancelled())
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="cancel() waits from Python 3.14 on")
@pytest.mark.parametrize("method", ["cancel", "cancelled"])
def test_a_wait_for_a_running_callback_can_be_interrupted(loop_name, method):
    with running_script(loop_name, CODE.format(method=method)) as process:
        wait_until_parked(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("interrupted\nFalse\n", "", 0)
