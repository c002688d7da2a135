"""The live view of ``epicycle top``, made with textual.

``app.py``    the application: when it looks, and what its keys do
``model.py``  what is shown: readings, rates and their history, the tasks in their order; knows nothing of textual
``table.py``  a table that draws the rows that can be seen, and no others
``screen.py`` the parts of the screen: banner, figures, details
``columns.py`` how tasks, groups, connections, stalls and lints become rows of a table
"""

from __future__ import annotations

import importlib.util
import sys

from ..find import Found

__all__ = ("run",)


def run(found: Found, interval: float) -> int:
    """Show the loops of a process until the user has seen enough; returns the exit status."""
    if importlib.util.find_spec("textual") is None:
        print(
            "epicycle: the live view needs one more package: pip install 'epicycle[top]'; '--once' works without it",
            file=sys.stderr,
        )
        return 1
    from .app import Top

    Top(found, interval).run()
    return 0
