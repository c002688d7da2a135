"""The interpreter's own tests of streams, with our classes in the place of asyncio's."""

import asyncio
import asyncio.streams
import unittest

import pytest

from epicycle import _streams

own_tests = pytest.importorskip(
    "test.test_asyncio.test_streams", reason="this Python comes without its own tests"
)


def test_they_pass(monkeypatch):
    names = {
        name: getattr(_streams, name) for name in ("StreamReader", "StreamWriter", "StreamReaderProtocol")
    }
    for name, thing in {**names, **_streams.makers()}.items():
        for module in (asyncio, asyncio.streams):
            monkeypatch.setattr(module, name, thing)
    suite = unittest.defaultTestLoader.loadTestsFromModule(own_tests)
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun > 50
    assert result.wasSuccessful(), [*result.failures, *result.errors]
