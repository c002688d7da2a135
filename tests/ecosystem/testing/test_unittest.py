"""`unittest.IsolatedAsyncioTestCase` on Epicycle."""

import sys

import pytest

CASES = """
import asyncio
import unittest

import epicycle

{before}

class Case(unittest.IsolatedAsyncioTestCase):
    {attribute}

    async def asyncSetUp(self):
        self.made_on = asyncio.get_running_loop()
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)

    async def asyncTearDown(self):
        self.server.close()
        await self.server.wait_closed()

    async def serve(self, reader, writer):
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def test_the_loop(self):
        self.assertIs(asyncio.get_running_loop(), self.made_on)
        self.assertIs(type(self.made_on), epicycle.EventLoop)
        reader, writer = await asyncio.open_connection(*self.server.sockets[0].getsockname())
        writer.write(b"hello\\n")
        self.assertEqual(await reader.readline(), b"hello\\n")
        writer.close()
        await writer.wait_closed()

    async def test_debug_mode(self):
        self.assertTrue(asyncio.get_running_loop().get_debug())
"""

INSTALLED = """
def setUpModule():
    epicycle.install()

def tearDownModule():
    epicycle.uninstall()
"""


def check(project, cases, *command):
    project.write(test_case=cases)
    done = project.run("-W", "error::ResourceWarning", *command)
    assert done.returncode == 0, done.stdout
    assert "Ran 2 tests" in done.stdout
    assert done.stdout.rstrip().endswith("OK")


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="IsolatedAsyncioTestCase.loop_factory came with Python 3.13"
)
def test_a_case_names_its_loop_factory(project):
    cases = CASES.format(before="", attribute="loop_factory = epicycle.EventLoop")
    check(project, cases, "-m", "unittest", "test_case")


def test_a_module_installs_it_for_its_cases(project):
    cases = CASES.format(before=INSTALLED, attribute="")
    check(project, cases, "-m", "unittest", "test_case")


def test_unittest_itself_runs_on_epicycle(project):
    cases = CASES.format(before="", attribute="")
    check(project, cases, "-m", "epicycle", "run", "-m", "unittest", "test_case")
