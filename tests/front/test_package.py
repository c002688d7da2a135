"""The package itself: what it exports, and that importing it changes nothing."""

from __future__ import annotations

import asyncio
import importlib.resources

import pytest

import epicycle


def test_everything_in_all_is_there():
    for name in epicycle.__all__:
        assert getattr(epicycle, name) is not None
        assert name in dir(epicycle)


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'epicycle' has no attribute 'nothing'"):
        _ = epicycle.nothing


def test_version_is_a_version():
    assert isinstance(epicycle.__version__, str)
    assert epicycle.__version__[0].isdigit()


def test_is_typed():
    assert importlib.resources.files("epicycle").joinpath("py.typed").is_file()


def test_importing_changes_nothing(process):
    code = """
        import asyncio, asyncio.unix_events, importlib.metadata, signal, sys, threading, warnings, multiprocessing.util

        def state():
            modules = [module for name, module in sys.modules.items() if not name.startswith("epicycle")]
            return (
                {module.__name__: dict(vars(module)) for module in modules if module.__name__.startswith("asyncio")},
                list(sys.meta_path), list(sys.path), sys.excepthook, signal.getsignal(signal.SIGINT),
                threading.active_count(), list(warnings.filters), multiprocessing.util.spawnv_passfds,
                asyncio.events._event_loop_policy,
            )

        before = state()
        import epicycle
        from epicycle import cli, legacy
        epicycle.EventLoop, epicycle.EventLoopPolicy, epicycle.__version__
        after = state()
        print(before == after, epicycle.installed())
    """
    assert process(code) == "True False\n"


def test_importing_is_light(process):
    """The loop, the command and the legacy mode are loaded when they are used."""
    code = """
        import sys
        import epicycle
        print(sorted(name for name in sys.modules if name.startswith("epicycle.") and "._" not in name))
    """
    assert process(code) == "[]\n"


def test_new_event_loop():
    loop = epicycle.new_event_loop()
    try:
        assert type(loop) is epicycle.EventLoop
        assert isinstance(loop, asyncio.AbstractEventLoop)
        assert not loop.is_running()
        assert not loop.is_closed()
    finally:
        loop.close()


def test_new_event_loop_is_a_loop_factory():
    async def main():
        return type(asyncio.get_running_loop()) is epicycle.EventLoop

    with asyncio.Runner(loop_factory=epicycle.new_event_loop) as runner:
        assert runner.run(main())
