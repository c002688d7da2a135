"""Forks and exits in the middle of work: no traceback, no abort, the status that was asked for."""

import random

from scenarios.setting import Skipped
from toolkit import script

# What goes on when the program ends: timers, tasks in every state, connections with data on their way, threads,
# and whatever else this loop has.
WORK = """
import asyncio, contextlib, os, random, signal, socket, sys, threading, warnings
warnings.simplefilter("ignore")
chance = random.Random({seed})

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)

async def ask(port, answers):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(os.urandom(chance.choice((10, 100_000))))
        await reader.read(65536)
        answers.append(1)

async def sleep_and_clean_up():
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)

async def start_work(loop):
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answers = []
    tasks = [loop.create_task(ask(port, answers)) for _ in range(10)]
    tasks += [loop.create_task(sleep_and_clean_up()) for _ in range(10)]
    tasks.append(loop.create_task(loop.getaddrinfo("localhost", 80)))
    for number in range(100):
        loop.call_later(chance.random(), int)
    thread = threading.Thread(target=storm, args=(loop,), daemon=True)
    thread.start()
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGUSR1, int)
        os.kill(os.getpid(), signal.SIGUSR1)
    while len(answers) < 10:
        await asyncio.sleep(0)
    return server, port, tasks

def storm(loop):
    quiet = threading.Event()
    try:
        while True:
            loop.call_soon_threadsafe(int)
            quiet.wait(0.0005)
    except RuntimeError:
        pass
"""

# Each ends a program that has the work above under way: the code, and the status that is right.
ENDS = {
    "closed": ("loop.close()", 0),
    "left open": ("", 0),
    "left open, with a cycle": ("loop.itself = [loop, work]", 0),
    "status of sys.exit": ("sys.exit(7)", 7),
    "exit inside a callback": ("loop.call_soon(sys.exit, 5); loop.run_forever()", 5),
    "exit inside a task": (
        "loop.create_task(asyncio.sleep(0)).add_done_callback(lambda task: sys.exit(6)); loop.run_forever()",
        6,
    ),
    "os._exit inside a callback": ("loop.call_soon(os._exit, 4); loop.run_forever()", 4),
    "killed by a signal": (
        "loop.call_soon(os.kill, os.getpid(), signal.SIGTERM); loop.run_forever()",
        -15,
    ),
    "deleted": ("del loop, work", 0),
    "kept by the interpreter": ("sys.loop = loop; sys.work = work", 0),
    "used in atexit": (
        "import atexit; atexit.register(lambda: loop.run_until_complete(asyncio.sleep(0)))",
        0,
    ),
}

# The thread that runs the loop is cut off wherever it is when the interpreter ends.
DAEMON = """
threading.Thread(target=loop.run_forever, daemon=True).start()
threading.Event().wait(chance.random() / 100)
"""

PROGRAM = """
loop = new_loop()
work = loop.run_until_complete(start_work(loop))
"""

# What asyncio itself says of tasks that are destroyed or fail while the interpreter ends; not of the loop's making.
EXPECTED = (
    "Task was destroyed but it is pending!",
    "task: <Task",
    "Task exception was never retrieved",
    "future: <Task",
    "Exception ignored in",
    "Traceback (most recent call last)",
    "RuntimeError: Event loop is closed",
    "RuntimeError: coroutine ignored GeneratorExit",
)

FORKS = """
def child_of(loop, number):
    "The child makes a loop of its own, and ends with a status that tells who it is."
    async def main():
        one, two = socket.socketpair()
        with one, two:
            one.setblocking(False)
            two.send(b"%d" % number)
            await asyncio.sleep(0.0005)
            return int(await asyncio.get_running_loop().sock_recv(one, 100))
    status = 255
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            status = runner.run(main())
    except BaseException as error:
        print(f"child {{number}}: {{error!r}}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)

async def main():
    loop = asyncio.get_running_loop()
    wrong = []
    loop.set_exception_handler(lambda loop, context: wrong.append(context))
    server, port, tasks = await start_work(loop)
    for number in range({times}):
        pid = os.fork()
        if not pid:
            child_of(loop, number % 100)
        # The parent goes on serving while the child lives.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"%d\\n" % number)
        assert int(await reader.readline()) == number
        writer.close()
        await writer.wait_closed()
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                break
            await asyncio.sleep(0)
        assert os.waitstatus_to_exitcode(status) == number % 100, status
    assert not wrong, wrong[:3]
    failed = [task for task in tasks if task.done() and task.exception()]
    assert not failed, failed
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    server.close()
    return {times}

with asyncio.Runner(loop_factory=new_loop) as runner:
    print(runner.run(asyncio.wait_for(main(), 300)))
"""


def exits(setting, figures):
    """Programs end in every way with work under way, many times."""
    all_end(setting, figures, ENDS, setting.times(360))


def daemon_threads(setting, figures):
    """Programs end while a daemon thread runs the loop."""
    all_end(setting, figures, {"running in a daemon thread": (DAEMON, 0)}, setting.times(100))


def all_end(setting, figures, ends, times):
    """Each of the ways to end, in turn, at least once; the first wrong ones are told."""
    chance = random.Random(setting.seed)
    wrong = []
    times = max(len(ends), times)
    for number in range(times):
        name, (end, status) = list(ends.items())[number % len(ends)]
        code = WORK.format(seed=chance.randrange(1 << 30)) + PROGRAM + end
        done = script(setting.loop_name, code, arguments=("-X", "faulthandler"), check=False)
        unexpected = [line for line in done.stderr.splitlines() if is_unexpected(line)]
        if done.returncode != status or unexpected:
            wrong.append(
                f"{name}: status {done.returncode} of {status}; {unexpected[:3]}\n{done.stderr[-800:]}"
            )
    figures["programs"] = times
    figures["ways to end"] = len(ends)
    figures["wrong"] = len(wrong)
    assert not wrong, "\n".join(wrong[:3])


def is_unexpected(line):
    """Whether a line of an interpreter's last words speaks of more than the tasks it ended with."""
    return bool(line.strip()) and not line.startswith((" ", *EXPECTED))


def forks(setting, figures):
    """A program under load forks again and again; parent and child both go on, each with its own loop."""
    times = setting.times(400)
    done = script(
        setting.loop_name,
        WORK.format(seed=setting.seed) + FORKS.format(times=times),
        arguments=("-X", "faulthandler", "-W", "ignore"),
        timeout=400,
        check=False,
    )
    figures["forks"] = times
    assert done.returncode == 0 and int(done.stdout) == times, (
        f"status {done.returncode}\n{done.stderr[-4000:]}"
    )
    assert not done.stderr, done.stderr[-4000:]


def processes(setting, figures):
    """Programs end while children of the loop live: no hang, no traceback, no abort."""
    code = """
import asyncio, subprocess, sys, warnings
warnings.simplefilter("ignore")
async def main():
    return await asyncio.create_subprocess_exec("/bin/sleep", "0.2", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
loop = new_loop()
try:
    child = loop.run_until_complete(main())
except NotImplementedError:
    print("skipped")
    sys.exit()
{end}
"""
    ends = ("", "loop.close()", "del loop, child", "sys.child = child")
    times = max(len(ends), setting.times(40))
    for number in range(times):
        done = script(setting.loop_name, code.format(end=ends[number % len(ends)]), check=False)
        if done.stdout == "skipped\n":
            raise Skipped("subprocesses")
        assert done.returncode == 0, f"status {done.returncode}\n{done.stderr}"
        unexpected = [line for line in done.stderr.splitlines() if is_unexpected(line)]
        assert not unexpected, done.stderr
    figures["programs"] = times


CHECKS = {"exits": exits, "daemon threads": daemon_threads, "forks": forks, "children": processes}
