"""The tests of this folder share `looks.py`, `fakes.py` and `made_up_pages.py`; `programs` starts the examples."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "examples")]
