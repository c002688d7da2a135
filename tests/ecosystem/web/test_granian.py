"""granian started by a program of one's own, as its how-to page says."""

import sys

import pytest
from asgi_servers import NEEDS, reserved_port, wait_until_it_answers
from plain_client import workers_seen
from programs import EXAMPLES, Program, assert_epicycle

pytestmark = pytest.mark.needs(*NEEDS["granian"], "starlette")

PROGRAM = f"""
import sys
import epicycle
from granian import Granian
from granian.constants import Interfaces, Loops

epicycle.install()
sys.path.insert(0, {str(EXAMPLES)!r})

if __name__ == "__main__":
    chosen = dict(interface=Interfaces.ASGI, loop=Loops.asyncio, workers=2)
    Granian("starlette_app:app", port=int(sys.argv[1]), **chosen).serve()
"""


def test_workers_of_a_program_that_installs_epicycle_run_on_it(tmp_path):
    path = tmp_path / "serve.py"
    path.write_text(PROGRAM)
    with reserved_port() as port, Program([sys.executable, path, port]) as program:
        wait_until_it_answers(program, "127.0.0.1", port)
        for answer in workers_seen("127.0.0.1", port, 2).values():
            assert_epicycle(answer["loop"])
        program.interrupt()
        assert program.finish() == 0, program.report()
