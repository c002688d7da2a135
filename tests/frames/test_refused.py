"""What is not permitted: where a container's filter refuses the system call, the process's file of memory is read
instead; where the process is somebody else's, nothing is."""

import errno
import os
import platform

import pytest

# The machine's number in filters (linux/audit.h), and that of process_vm_readv.
MACHINES = {"x86_64": (0xC000003E, 310), "aarch64": (0xC00000B7, 270)}

FILTERED = """
import ctypes, subprocess

class Step(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32)]

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("steps", ctypes.POINTER(Step))]

LOAD, EQUAL, RETURN, ALLOW, FAIL = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000
steps = (Step * 6)(
    Step(LOAD, 0, 0, 4), Step(EQUAL, 0, 3, MACHINE),
    Step(LOAD, 0, 0, 0), Step(EQUAL, 0, 1, NUMBER),
    Step(RETURN, 0, 0, FAIL | ERROR), Step(RETURN, 0, 0, ALLOW),
)
libc = ctypes.CDLL(None, use_errno=True)
state, layout = _epicycle.thread_state(), _epicycle.frame_layout()

def refuse():
    program = Program(len(steps), steps)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()
    buffer = (ctypes.c_uint64 * 4)()
    libc.syscall.restype = ctypes.c_long
    assert libc.syscall(NUMBER, os.getpid(), buffer, 0, buffer, 0, 0) == -1
    assert ctypes.get_errno() == ERROR

def outcome(pid, address):
    try:
        return _epicycle.read_stack(pid, address, layout)
    except OSError as error:
        return type(error).__name__

def main():
    refuse()
    rows = [row[1] for row in outcome(os.getpid(), state)]
    wrong = {outcome(os.getpid(), address) for address in (0, 8, 2**47, 2**63, 2**64 - 8)}
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    alive = outcome(child.pid, 8)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    dead = outcome(child.pid, state)
    child.communicate()
    print("found", rows, sorted(wrong), alive, dead, outcome(child.pid, state), sep="|", flush=True)

ready()
main()
"""


@pytest.mark.skipif(platform.machine() not in MACHINES, reason="the filter is written for some machines only")
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
def test_a_filter_that_refuses_the_call(target, error):
    machine, number = MACHINES[platform.machine()]
    numbers = f"MACHINE, NUMBER, ERROR = {machine}, {number}, {error}\n"
    it = target(numbers + FILTERED)
    found = it.process.stdout.readline().decode().strip()
    gone = "ProcessLookupError"
    assert found == f"found|['outcome', 'main', '<module>']|['OSError']|OSError|{gone}|{gone}"


UNPRIVILEGED = """
ready()
layout = _epicycle.frame_layout()
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    _epicycle.read_stack(os.getppid(), 4096, layout)
except OSError as error:
    print(type(error).__name__, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_process_of_somebody_else(target):
    it = target(UNPRIVILEGED)
    assert it.process.stdout.readline() == b"PermissionError\n"
