"""pytest's plugins for coroutines, each with Epicycle's loops, in a real pytest of its own."""

import pytest

TYPE = "type(asyncio.get_running_loop()).__name__"


# ---- pytest-asyncio ----

ASYNCIO_TESTS = f"""
    import asyncio
    import pytest
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def made_on():
        await asyncio.sleep(0)
        yield asyncio.get_running_loop()
        await asyncio.sleep(0)

    @pytest.mark.asyncio
    async def test_the_loop(made_on):
        assert {TYPE} == "EventLoop"
        assert asyncio.get_running_loop() is made_on

    @pytest.mark.asyncio(loop_scope="class")
    class TestOneLoop:
        seen = []

        async def test_first(self):
            self.seen.append(asyncio.get_running_loop())

        async def test_second(self):
            assert {TYPE} == "EventLoop"
            assert self.seen[-1] is asyncio.get_running_loop()
"""


def has_factories_hook():
    plugin = pytest.importorskip("pytest_asyncio.plugin", reason="pip install pytest-asyncio")
    return hasattr(plugin.PytestAsyncioSpecs, "pytest_asyncio_loop_factories")


def test_pytest_asyncio_takes_a_loop_factory(project):
    if not has_factories_hook():
        pytest.skip("pip install 'pytest-asyncio>=1.4': this one has no hook for loop factories")
    conftest = """
        import epicycle

        def pytest_asyncio_loop_factories(config, item):
            return {"epicycle": epicycle.new_event_loop}
    """
    project.write(conftest=conftest, test_it=ASYNCIO_TESTS)
    outcomes, output = project.pytest()
    assert outcomes == {"PASSED": 3}, output


def test_pytest_asyncio_runs_each_test_on_several_loops(project):
    if not has_factories_hook():
        pytest.skip("pip install 'pytest-asyncio>=1.4': this one has no hook for loop factories")
    conftest = """
        import asyncio
        import epicycle

        def pytest_asyncio_loop_factories(config, item):
            return {"asyncio": asyncio.SelectorEventLoop, "epicycle": epicycle.new_event_loop}
    """
    project.write(conftest=conftest, test_it=ASYNCIO_TESTS)
    outcomes, output = project.pytest()
    # The first test and the last see which loop it is; the one between only notes it.
    assert outcomes == {"PASSED": 4, "FAILED": 2}, output
    assert "test_the_loop[epicycle]" in output
    assert "test_the_loop[asyncio]" in output


def test_pytest_asyncio_takes_a_policy(project):
    pytest.importorskip("pytest_asyncio", reason="pip install pytest-asyncio")
    conftest = """
        import epicycle
        import pytest

        @pytest.fixture(scope="session")
        def event_loop_policy():
            return epicycle.EventLoopPolicy()
    """
    project.write(conftest=conftest, test_it=ASYNCIO_TESTS)
    outcomes, output = project.pytest()
    assert outcomes == {"PASSED": 3}, output


def test_pytest_asyncio_may_run_loops_inside_of_loops(project):
    if not has_factories_hook():
        pytest.skip("pip install 'pytest-asyncio>=1.4': this one has no hook for loop factories")
    conftest = """
        import epicycle

        def pytest_asyncio_loop_factories(config, item):
            return {"epicycle": epicycle.NestedEventLoop}
    """
    tests = """
        import asyncio
        import pytest

        def blocking_api():
            return asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.001, "answer"))

        @pytest.mark.asyncio
        async def test_it():
            assert blocking_api() == "answer"
    """
    project.write(conftest=conftest, test_it=tests)
    outcomes, output = project.pytest()
    assert outcomes == {"PASSED": 1}, output


def test_pytest_itself_runs_on_epicycle(project):
    """`epicycle run -m pytest`: nothing in the project knows of it."""
    pytest.importorskip("pytest_asyncio", reason="pip install pytest-asyncio")
    project.write(test_it=ASYNCIO_TESTS)
    outcomes, output = project.pytest(run_by=("-m", "epicycle", "run", "-m", "pytest"))
    assert outcomes == {"PASSED": 3}, output


# ---- anyio ----

ANYIO_TESTS = f"""
    import asyncio
    import anyio
    import pytest

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    async def port(anyio_backend):
        async def echo(stream):
            async with stream:
                await stream.send(await stream.receive())

        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            yield listener.extra(anyio.abc.SocketAttribute.local_port)
            group.cancel_scope.cancel()

    async def test_the_loop(port):
        assert {TYPE} == "EventLoop"
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"

    async def test_threads():
        assert await anyio.to_thread.run_sync(lambda: anyio.from_thread.run_sync(lambda: {TYPE})) == "EventLoop"
"""


def test_anyio_takes_a_loop_factory(project):
    pytest.importorskip("anyio", reason="pip install anyio")
    conftest = """
        import epicycle
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio", {"loop_factory": epicycle.new_event_loop}
    """
    project.write(conftest=conftest, test_it=ANYIO_TESTS)
    outcomes, output = project.pytest("-p", "no:asyncio")
    assert outcomes == {"PASSED": 2}, output


def test_anyio_runs_each_test_on_several_loops(project):
    pytest.importorskip("anyio", reason="pip install anyio")
    conftest = """
        import asyncio
        import epicycle
        import pytest

        @pytest.fixture(
            params=[
                pytest.param(("asyncio", {"loop_factory": asyncio.SelectorEventLoop}), id="asyncio"),
                pytest.param(("asyncio", {"loop_factory": epicycle.new_event_loop}), id="epicycle"),
            ]
        )
        def anyio_backend(request):
            return request.param
    """
    project.write(conftest=conftest, test_it=ANYIO_TESTS)
    outcomes, output = project.pytest("-p", "no:asyncio", "-k", "epicycle")
    assert outcomes == {"PASSED": 2}, output
    outcomes, output = project.pytest("-p", "no:asyncio", "-k", "not epicycle")
    assert outcomes == {"FAILED": 2}, output


# ---- aiohttp ----

AIOHTTP_TESTS = f"""
    import asyncio
    from aiohttp import web

    async def test_a_client(aiohttp_client):
        async def hello(request):
            return web.json_response({{"loop": {TYPE}}})

        app = web.Application()
        app.router.add_get("/", hello)
        client = await aiohttp_client(app)
        response = await client.get("/")
        assert response.status == 200
        assert await response.json() == {{"loop": "EventLoop"}}
        assert {TYPE} == "EventLoop"
"""


def test_aiohttps_plugin_makes_our_loops_where_they_are_installed(project):
    pytest.importorskip("aiohttp.pytest_plugin", reason="pip install aiohttp")
    conftest = """
        import epicycle

        pytest_plugins = "aiohttp.pytest_plugin"
        epicycle.install()
    """
    project.write(conftest=conftest, test_it=AIOHTTP_TESTS)
    outcomes, output = project.pytest("-p", "no:asyncio", "-p", "no:anyio")
    assert outcomes == {"PASSED": 1}, output
