"""Notebook kernels and IPython: `await` at top level, and asyncio.run where a loop is running already."""

import contextlib
import json
import queue
import sys
import time

import pytest

pytest.importorskip("ipykernel", reason="pip install ipykernel")
client = pytest.importorskip("jupyter_client", reason="pip install jupyter_client")
kernelspec = pytest.importorskip("jupyter_client.kernelspec")

PATIENCE = 60


class Kernel:
    """A kernel in a process of its own, asked to run cells."""

    def __init__(self, manager, channels):
        self.manager, self.channels = manager, channels

    def start(self, code):
        # A cell that fails would have the kernel throw away those that come soon after.
        return self.channels.execute(code, stop_on_error=False)

    def run(self, code):
        """The value of the cell's last expression as text; an AssertionError with what it raised."""
        return self.finish(self.start(code))

    def finish(self, request):
        result = None
        deadline = time.monotonic() + PATIENCE
        while True:
            message = self.message(deadline)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "execute_result":
                result = content["data"]["text/plain"]
            elif kind == "error":
                raise AssertionError(f"{content['ename']}: {content['evalue']}")
            elif kind == "status" and content["execution_state"] == "idle":
                return result

    def printed(self, request, text):
        """Wait until the cell has printed `text`."""
        deadline = time.monotonic() + PATIENCE
        while True:
            message = self.message(deadline)
            if message["msg_type"] == "stream" and text in message["content"]["text"]:
                return

    def message(self, deadline):
        try:
            return self.channels.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError("the kernel does not answer") from None


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Start a kernel whose interpreter is called with the given arguments; it is ended after the test."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))

    with contextlib.ExitStack() as stack:

        def start(*arguments):
            folder = tmp_path / "kernels" / "tested"
            folder.mkdir(parents=True)
            argv = [sys.executable, *arguments, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            spec = {"argv": argv, "display_name": "tested", "language": "python"}
            (folder / "kernel.json").write_text(json.dumps(spec))
            specs = kernelspec.KernelSpecManager(kernel_dirs=[str(folder.parent)], ensure_native_kernel=False)
            manager = client.KernelManager(kernel_name="tested", kernel_spec_manager=specs)
            manager.start_kernel(cwd=str(tmp_path))
            stack.callback(manager.shutdown_kernel, now=True)
            channels = manager.client()
            channels.start_channels()
            stack.callback(channels.stop_channels)
            channels.wait_for_ready(timeout=PATIENCE)
            return Kernel(manager, channels)

        yield start


RUNNING = "type(asyncio.get_running_loop()).__name__"


def test_a_kernel_runs_on_epicycle(kernel):
    kernel = kernel("-m", "epicycle", "run")
    kernel.run("import asyncio")
    assert kernel.run(RUNNING) == "'EventLoop'"
    assert kernel.run("await asyncio.sleep(0.001, 'awaited')") == "'awaited'"
    # A task goes on between the cells.
    kernel.run("task = asyncio.create_task(asyncio.sleep(0.01, 'in the background'))")
    assert kernel.run("await task") == "'in the background'"
    with pytest.raises(
        AssertionError, match=r"RuntimeError: asyncio\.run\(\) cannot be called from a running event"
    ):
        kernel.run("coroutine = asyncio.sleep(0)\ntry: asyncio.run(coroutine)\nfinally: coroutine.close()")


def test_a_nested_kernel_takes_asyncio_run(kernel):
    kernel = kernel("-m", "epicycle", "run", "--nested")
    kernel.run("import asyncio")
    assert kernel.run(RUNNING) == "'NestedEventLoop'"
    assert kernel.run("asyncio.run(asyncio.sleep(0.001, 'by run'))") == "'by run'"
    assert (
        kernel.run("asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.001, 'by hand'))")
        == "'by hand'"
    )
    assert kernel.run("await asyncio.sleep(0.001, 'awaited')") == "'awaited'"
    # What runs inside is a task of the same loop, so it may wait for what other cells have begun.
    kernel.run("queue = asyncio.Queue(); task = asyncio.create_task(queue.get())")
    kernel.run("asyncio.run(queue.put('from a cell'))")
    assert kernel.run("await task") == "'from a cell'"


def test_a_nested_run_in_a_cell_can_be_interrupted(kernel):
    kernel = kernel("-m", "epicycle", "run", "--nested")
    request = kernel.start(
        "import asyncio\n"
        "async def main():\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.get_running_loop().create_future()\n"
        "asyncio.run(main())"
    )
    kernel.printed(request, "ready")
    kernel.manager.interrupt_kernel()
    with pytest.raises(AssertionError, match="KeyboardInterrupt"):
        kernel.finish(request)
    assert kernel.run("asyncio.run(asyncio.sleep(0.001, 'still there'))") == "'still there'"


def test_a_cell_of_any_kernel_may_install_it(kernel):
    kernel = kernel()
    kernel.run("import asyncio, epicycle\nepicycle.install(nested=True)")
    assert kernel.run(RUNNING) != "'NestedEventLoop'"
    kernel.run(f"async def which(): return {RUNNING}")
    assert kernel.run("asyncio.run(which())") == "'NestedEventLoop'"
    assert kernel.run("await asyncio.sleep(0.001, 'awaited')") == "'awaited'"


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "epicycle", "run", "-m", "IPython"],
        ["-m", "IPython", "--InteractiveShellApp.exec_lines=import epicycle; epicycle.install()"],
    ],
    ids=["run by epicycle", "installed at its start"],
)
def test_ipython_awaits_on_epicycle(project, command):
    pytest.importorskip("IPython", reason="pip install ipython")
    code = f"import asyncio; await asyncio.sleep(0.001); print({RUNNING})"
    done = project.run(*command, "--no-banner", "--no-confirm-exit", "--colors=NoColor", "-c", code)
    assert done.returncode == 0, done.stdout
    assert done.stdout.split()[-1:] == ["EventLoop"], done.stdout
