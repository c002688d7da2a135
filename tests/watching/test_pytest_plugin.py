"""The pytest plugin, in runs of its own: which tests fail, and what they are told.

The runs find it by its entry point, as those of whoever installs Epicycle do.
"""

import os
import subprocess
import sys
import textwrap

import pytest

pytest_plugins = ["pytester"]

# Long enough that a busy machine does not pass for a stall, and short enough for many tests.
STALL = "--epicycle-stall=0.3"
BLOCKS = 0.9

# Plugins that are installed with ours. Each costs a run some of its time, so they are there where a test is about them.
OTHERS = ("anyio", "asyncio", "hypothesispytest", "timeout", "xdist")


@pytest.fixture
def project(pytester, monkeypatch):
    """A folder in which pytest runs in a process of its own, with the plugins that a test asks for."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.delenv("PYTEST_PLUGINS", raising=False)
    pytester.makeini("[pytest]\n")

    class Project:
        path = pytester.path

        def ini(self, *lines):
            pytester.makeini("\n".join(["[pytest]", *lines]))

        def run(self, code, *options, beside=(), passed=0, failed=0, errors=0, skipped=0, **others):
            source = textwrap.dedent(code).replace("BLOCKS", str(BLOCKS))
            pytester.makepyfile(test_it=source)
            off = [f"-pno:{name}" for name in OTHERS if name not in beside]
            done = pytester.runpytest_subprocess(*off, *options, timeout=90)
            done.assert_outcomes(passed=passed, failed=failed, errors=errors, skipped=skipped, **others)
            return done.stdout.str()

        def line(self, text):
            """The number of the only line of the test module that has this in it."""
            lines = (self.path / "test_it.py").read_text().splitlines()
            [number] = [number for number, line in enumerate(lines, 1) if text in line]
            return number

    return Project()


# ---- stalls ----

BLOCKING = """
    import asyncio, time, epicycle

    def handle():
        time.sleep(BLOCKS)  # blocks

    async def main():
        await asyncio.sleep(0)
        handle()

    def test_blocks():
        epicycle.run(main())

    def test_waits():
        epicycle.run(asyncio.sleep(BLOCKS))
"""


def test_the_test_that_blocks_fails_with_the_line(project):
    out = project.run(BLOCKING, STALL, passed=1, failed=1)
    assert "_ test_blocks _" in out
    assert f"test_it.py:{project.line('# blocks')} in handle: the event loop was blocked for " in out
    assert "0.3 s are allowed" in out
    assert "Task-" in out
    # No more of the plugin than that.
    assert "in_tests.py" not in out


def test_without_the_option_nothing_fails(project):
    project.run(BLOCKING, passed=2)


def test_the_ini_file_is_as_good(project):
    project.ini("epicycle_stall = 0.3")
    project.run(BLOCKING, passed=1, failed=1)


def test_the_option_goes_before_the_ini_file(project):
    project.ini("epicycle_stall = 0.3")
    project.run(BLOCKING, "--epicycle-stall=0", passed=2)


def test_markers(project):
    out = project.run(
        """
        import time, epicycle, pytest

        async def main():
            time.sleep(BLOCKS)

        @pytest.mark.epicycle_stall(allow=True)
        def test_may_block():
            epicycle.run(main())

        @pytest.mark.epicycle_stall(30)
        def test_may_block_for_long():
            epicycle.run(main())

        @pytest.mark.epicycle_stall(seconds=30)
        class TestMayBlock:
            def test_it(self):
                epicycle.run(main())

        @pytest.mark.epicycle_stall
        def test_may_not_block():
            epicycle.run(main())
        """,
        STALL,
        "--strict-markers",
        passed=3,
        failed=1,
    )
    assert "_ test_may_not_block _" in out


def test_a_marker_is_enough(project):
    project.run(
        """
        import time, epicycle, pytest

        async def main():
            time.sleep(BLOCKS)

        @pytest.mark.epicycle_stall(0.3)
        def test_marked():
            epicycle.run(main())

        def test_not_marked():
            epicycle.run(main())
        """,
        failed=1,
        passed=1,
    )


def test_a_marker_with_something_else(project):
    out = project.run(
        """
        import pytest

        @pytest.mark.epicycle_stall("soon")
        def test_text(): pass

        @pytest.mark.epicycle_stall(-1)
        def test_less_than_nothing(): pass

        @pytest.mark.epicycle_stall(True)
        def test_no_number(): pass

        @pytest.mark.epicycle_stall(float("nan"))
        def test_not_a_number(): pass

        @pytest.mark.epicycle_stall(wait=1)
        def test_another_name(): pass
        """,
        errors=5,
    )
    for value in ("'soon'", "True"):
        assert f"the marker epicycle_stall: a number of seconds is expected, got {value}" in out
    for value in ("-1", "nan"):
        assert f"the marker epicycle_stall: 0.001 to 3600 seconds are expected, or 0, got {value}" in out
    assert "got an unexpected keyword argument 'wait'" in out
    assert "ERROR at setup of test_another_name" in out


def test_what_is_no_number_of_seconds(project, pytester):
    done = pytester.runpytest_subprocess("--epicycle-stall=soon")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "0.001 to 3600 seconds are expected, or 0, got 'soon'" in done.stderr.str()
    project.ini("epicycle_stall = inf")
    done = pytester.runpytest_subprocess("-p", "no:asyncio")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "epicycle_stall: 0.001 to 3600 seconds are expected, or 0, got 'inf'" in done.stderr.str()


def test_a_loop_of_other_making_in_another_thread(project):
    out = project.run(
        """
        import asyncio, threading, time
        from epicycle.loop import EventLoop

        class Mine(EventLoop):
            pass

        def test_it():
            def serve():
                loop = Mine()
                loop.call_soon(hold)
                loop.call_later(BLOCKS / 2, loop.stop)
                loop.run_forever()
                loop.close()

            def hold():
                time.sleep(BLOCKS)  # blocks

            thread = threading.Thread(target=serve)
            thread.start()
            thread.join()
        """,
        STALL,
        failed=1,
    )
    assert f"test_it.py:{project.line('# blocks')} in " in out


def test_a_loop_of_asyncio_is_no_concern(project):
    project.run(
        """
        import asyncio, time

        def test_it():
            async def main():
                time.sleep(BLOCKS)

            asyncio.run(main())
        """,
        STALL,
        passed=1,
    )


def test_a_test_that_fails_by_itself_is_told_as_well(project):
    out = project.run(
        """
        import time, epicycle

        async def main():
            time.sleep(BLOCKS)

        def test_it():
            epicycle.run(main())
            assert 1 == 2
        """,
        STALL,
        failed=1,
    )
    assert "assert 1 == 2" in out
    assert "Captured epicycle call" in out
    assert "the event loop was blocked" in out


def test_the_records_of_the_test_are_its_own(project):
    project.run(
        """
        import time, epicycle

        async def main():
            time.sleep(BLOCKS)

        def test_it(caplog, recwarn):
            with caplog.at_level(0):
                epicycle.run(main())
            assert "epicycle.stall" not in [record.name for record in caplog.records]
            assert list(recwarn) == []
            raise AssertionError("as expected")
        """,
        STALL,
        failed=1,
    )


def test_control_characters_do_not_reach_the_terminal(project):
    out = project.run(
        r"""
        import asyncio, time, epicycle

        async def block():
            time.sleep(BLOCKS)

        def test_it():
            async def main():
                await asyncio.create_task(block(), name="evil\x1b[2J\r")

            epicycle.run(main())
        """,
        STALL,
        failed=1,
    )
    assert r"evil\x1b[2J" in out
    assert "\x1b[2J" not in out


# ---- what is left behind ----

LEAVING = """
    import asyncio, epicycle

    async def forever():
        await asyncio.sleep(3600)

    async def fails():
        raise ValueError("nobody asks")

    def test_leaves_a_task():
        async def main():
            asyncio.create_task(forever(), name="left-over")  # made here
            await asyncio.sleep(0)

        epicycle.run(main())

    def test_leaves_an_exception():
        async def main():
            task = asyncio.create_task(fails(), name="failing")  # fails here
            await asyncio.sleep(0.01)

        epicycle.run(main())

    def test_closes_over_a_task():
        loop = epicycle.new_event_loop()
        task = loop.create_task(forever(), name="closed-over")  # closed here
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        task.get_coro().close()
        task._log_destroy_pending = False

    def test_leaves_a_future():
        async def main():
            asyncio.get_running_loop().create_future().set_exception(KeyError("lost"))

        epicycle.run(main())

    def test_leaves_nothing():
        async def main():
            task = asyncio.create_task(forever())
            await asyncio.sleep(0)
            task.cancel()
            retrieved = asyncio.create_task(fails())
            await asyncio.wait([retrieved])
            assert retrieved.exception() is not None

        epicycle.run(main())
"""


def test_what_is_left_behind_fails_the_test(project):
    out = project.run(LEAVING, "--epicycle-strict", failed=4, passed=1)
    made, fails, closed = (project.line(f"# {what} here") for what in ("made", "fails", "closed"))
    body = project.line("async def forever")
    ended = "was left pending when its loop ended"
    assert (
        f"task 'left-over' (forever, test_it.py:{body}) {ended}, "
        f"made at test_it.py:{made} in test_leaves_a_task.<locals>.main" in out
    )
    assert f"task 'failing' (fails, test_it.py:{body + 3}) has an exception that was never retrieved" in out
    assert f"ValueError: nobody asks, made at test_it.py:{fails} in " in out
    assert f"task 'closed-over' (forever, test_it.py:{body}) {ended}, made at test_it.py:{closed} in " in out
    assert "a Future has an exception that was never retrieved: KeyError: 'lost'" in out
    assert "leaks.py" not in out


def test_without_the_option_nothing_is_looked_for(project):
    project.run(LEAVING, passed=5)


def test_the_ini_file_asks_for_it(project):
    project.ini("epicycle_strict = true")
    project.run(LEAVING, failed=4, passed=1)


def test_the_fixture_asks_for_it(project):
    project.run(
        """
        import asyncio, epicycle, pytest

        async def main():
            asyncio.create_task(asyncio.sleep(3600))
            await asyncio.sleep(0)

        def test_asks(epicycle_clean):
            epicycle.run(main())

        @pytest.mark.epicycle_strict
        def test_is_marked():
            epicycle.run(main())

        def test_does_not_ask():
            epicycle.run(main())

        @pytest.mark.epicycle_strict(False)
        def test_asks_not_to():
            epicycle.run(main())
        """,
        "--strict-markers",
        failed=2,
        passed=2,
    )


def test_a_test_may_be_left_out(project):
    project.run(
        """
        import asyncio, epicycle, pytest

        @pytest.mark.epicycle_strict(False)
        def test_it():
            async def main():
                asyncio.create_task(asyncio.sleep(3600))
                await asyncio.sleep(0)

            epicycle.run(main())
        """,
        "--epicycle-strict",
        passed=1,
    )


def test_everything_is_put_back(project):
    project.run(
        """
        import asyncio
        from epicycle import _epicycle
        from epicycle.loop import EventLoop
        from epicycle.loop._reporting import Reporting
        from epicycle.loop._running import Running

        def methods():
            return (
                "create_task" in vars(EventLoop), asyncio.Runner.close.__module__, Running.close.__module__,
                Running.run_forever.__module__,
                Reporting.call_exception_handler.__module__,
            )

        def test_replaced(epicycle_clean):
            assert methods() == (True, *["epicycle.watching.leaks"] * 4)

        def test_put_back():
            assert methods() == (False, "asyncio.runners", *["epicycle.loop._running"] * 2, "epicycle.loop._reporting")
        """,
        passed=2,
    )


# ---- beside other plugins ----

FACTORIES = """
    import epicycle

    def pytest_asyncio_loop_factories(config, item):
        return {"epicycle": epicycle.new_event_loop}
"""

ASYNC_TESTS = """
    import asyncio, time
    import epicycle, pytest

    MARK

    @pytest.fixture
    async def background():
        task = asyncio.create_task(asyncio.sleep(3600), name="background")
        yield task
        task.cancel()

    @pytest.fixture
    async def blocking():
        time.sleep(BLOCKS)

    async def test_runs_on_epicycle(background):
        assert isinstance(asyncio.get_running_loop(), epicycle.EventLoop)
        await asyncio.sleep(BLOCKS)

    async def test_blocks():
        time.sleep(BLOCKS)

    async def test_fixture_blocks(blocking):
        pass

    async def test_leaves_a_task():
        asyncio.create_task(asyncio.sleep(3600), name="left-over")
        await asyncio.sleep(0)
"""


def check_async_tests(out):
    assert "_ test_blocks" in out
    assert "_ ERROR at setup of test_fixture_blocks" in out
    assert "task 'left-over' (sleep, " in out
    assert "test_it.py:" in out
    assert "background" not in out


def test_with_pytest_asyncio(project, pytester):
    pytester.makeconftest(textwrap.dedent(FACTORIES))
    project.ini("asyncio_mode = auto", "asyncio_default_fixture_loop_scope = function")
    code = ASYNC_TESTS.replace("MARK", "")
    out = project.run(code, STALL, "--epicycle-strict", beside=["asyncio"], passed=2, failed=1, errors=2)
    check_async_tests(out)
    assert "_ ERROR at teardown of test_leaves_a_task" in out


def test_with_anyio(project):
    code = ASYNC_TESTS.replace(
        "MARK",
        """pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend():
        return "asyncio", {"loop_factory": epicycle.new_event_loop}
    """,
    )
    out = project.run(code, STALL, "--epicycle-strict", beside=["anyio"], passed=1, failed=2, errors=1)
    check_async_tests(out)
    assert "_ test_leaves_a_task _" in out


def test_with_unittest(project):
    out = project.run(
        """
        import asyncio, time, unittest
        import epicycle

        def setUpModule():
            epicycle.install()

        def tearDownModule():
            epicycle.uninstall()

        class Case(unittest.IsolatedAsyncioTestCase):
            async def test_blocks(self):
                time.sleep(BLOCKS)

            async def test_leaves_a_task(self):
                task = asyncio.create_task(asyncio.sleep(3600), name="left-over")
                await asyncio.sleep(0)

            async def test_does_not_block(self):
                await asyncio.sleep(BLOCKS)
        """,
        STALL,
        "--epicycle-strict",
        failed=2,
        passed=1,
    )
    assert "the event loop was blocked for" in out
    assert "task 'left-over'" in out


def test_with_xdist(project):
    out = project.run(BLOCKING, STALL, "-n", "2", beside=["xdist"], passed=1, failed=1)
    assert f"test_it.py:{project.line('# blocks')} in handle: the event loop was blocked for " in out


# ---- for those who do not use it ----


def test_it_is_there_and_costs_nothing(project):
    out = project.run(
        """
        import sys

        def test_it(request):
            assert request.config.pluginmanager.hasplugin("epicycle")
            ours = {name for name in sys.modules if name.startswith("epicycle")}
            assert not any("watching" in name or "loop" in name or "_epicycle" in name for name in ours), ours
            hooks = request.config.hook
            for hook in (hooks.pytest_runtest_call, hooks.pytest_runtest_setup, hooks.pytest_runtest_protocol):
                assert not [one for one in hook.get_hookimpls() if "epicycle" in one.plugin_name]
        """,
        "--strict-markers",
        "--strict-config",
        "-W",
        "error",
        passed=1,
    )
    assert "epicycle" not in out.replace(str(project.path), "").partition("collected")[2]


def test_it_can_be_left_out(project, pytester):
    done = pytester.runpytest_subprocess("-p", "no:epicycle", STALL)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --epicycle-stall" in done.stderr.str()


def test_help_and_markers_name_it(pytester):
    helped = pytester.runpytest_subprocess("--help").stdout.str()
    assert "--epicycle-stall=SECONDS" in helped
    assert "epicycle_strict (bool):" in helped
    markers = pytester.runpytest_subprocess("--markers").stdout.str()
    assert "@pytest.mark.epicycle_stall(seconds, *, allow=False)" in markers
    assert "epicycle_clean" in pytester.runpytest_subprocess("--fixtures").stdout.str()


def test_no_warning_where_epicycle_was_imported_before_pytest(project, tmp_path):
    """As under `epicycle run -m pytest`, when it is installed from a wheel: pytest wants to rewrite the assertions of
    every package that has plugins, and complains of those that are loaded already."""
    installed = tmp_path / "epicycle_again-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: epicycle-again\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[pytest11]\nnone_such_epicycle = epicycle.pytest_plugin\n")
    (installed / "RECORD").write_text("epicycle/__init__.py,,\nepicycle/pytest_plugin.py,,\n")
    (project.path / "test_it.py").write_text("def test_it(): pass\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "epicycle",
            "run",
            "-m",
            "pytest",
            "-W",
            "error",
            "-p",
            "no:none_such_epicycle",
            "-p",
            "no:asyncio",
        ],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=project.path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "1 warning" not in done.stdout
