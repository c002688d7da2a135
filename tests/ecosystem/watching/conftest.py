"""Services that block their loop: `programs` starts the examples, `addresses` knows the databases."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "services"), str(HERE.parents[1] / "examples")]
