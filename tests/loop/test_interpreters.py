"""Subinterpreters: a clear refusal."""

import subprocess
import sys

import pytest

# Which of the two modules there is, and what its function is called, depends on the version.
PROGRAM = """
try:
    import _interpreters as interpreters
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string

run(interpreters.create(), '''
try:
    from epicycle import _epicycle
except ImportError as error:
    print("refused:", error, flush=True)
else:
    print("imported", flush=True)
''')
"""


@pytest.mark.parametrize("first", ["", "import epicycle; epicycle.new_event_loop().close()\n"])
def test_a_subinterpreter_is_refused(first):
    # By us, or by the interpreter before it asks us.
    done = subprocess.run(
        [sys.executable, "-c", first + PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("refused:"), (done.stdout, done.stderr)
    assert "interpreter" in done.stdout
