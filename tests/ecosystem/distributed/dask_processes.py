"""Starts Dask's own commands with `epicycle run -m`, on loopback and as small as they get; and jobs for them."""

import asyncio
import contextlib
import os
import pathlib
import signal
import sys
import time

from programs import Program

HOST = "127.0.0.1"


def _started(module, *arguments, **environment):
    command = [sys.executable, "-m", "epicycle", "run", "-m", f"distributed.cli.{module}", *arguments]
    return Program(
        [*command, "--host", HOST, "--dashboard-address", f"{HOST}:0", "--no-dashboard"], **environment
    )


@contextlib.contextmanager
def scheduler(**settings):
    """A scheduler's address; `settings` are those of Dask's configuration under `distributed.scheduler`."""
    environment = {f"DASK_DISTRIBUTED__SCHEDULER__{name}": value for name, value in settings.items()}
    with _started("dask_scheduler", "--port", "0", **environment) as program:
        yield program.wait_for(r"Scheduler at: +(tcp://\S+)")


@contextlib.contextmanager
def worker(address, name, *options):
    """A worker of one thread that has registered with the scheduler."""
    options = ("--nthreads", "1", "--memory-limit", "0", *(options or ("--no-nanny",)))
    with _started("dask_worker", address, "--name", name, *options) as program:
        program.wait_for(r"Registered to: +(tcp://\S+)")
        yield program


async def loops_of(client):
    """The loops that scheduler and workers run on, as tornado knows them."""
    found = await client.run(_loop)
    return [await client.run_on_scheduler(_loop), *found.values()]


async def _loop():
    from tornado.ioloop import IOLoop

    loop = IOLoop.current().asyncio_loop
    assert loop is asyncio.get_running_loop()
    return f"{type(loop).__module__}.{type(loop).__name__}"


# ---- jobs; a worker cannot import this file, so they travel whole ----


def register_jobs():
    """Send the functions of this file by value."""
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])


def square(number):
    return number * number


def where(_):
    return os.getpid()


def fail(text):
    raise LookupError(text)


def first_time_never(folder, result):
    """Never end when called first, give `result` when called again; each start leaves a file named by its process."""
    folder = pathlib.Path(folder)
    try:
        (folder / "first").touch(exist_ok=False)
    except FileExistsError:
        (folder / f"again-{os.getpid()}").touch()
        return result
    (folder / f"first-{os.getpid()}").touch()
    while True:
        time.sleep(3600)


def die(_):
    """What a job that crashes the interpreter does."""
    os.kill(os.getpid(), signal.SIGKILL)
