"""Names that a module has lost, given back when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from .. import _when_imported
from .notices import say

__all__ = ("revive_attribute",)

# A supplier makes the value; the text names today's form.
_revived: dict[str, dict[str, tuple[Callable[[], object], str]]] = {}


def revive_attribute(module: str, name: str, supply: Callable[[], object], new: str) -> None:
    """Let ``module.name`` give ``supply()`` again, and say that ``new`` is today's form when it is asked for.

    A module that still has the name is left alone; one that is not imported yet is seen to when it is.
    """

    def attach(loaded: ModuleType) -> None:
        if name in loaded.__dict__:
            return
        if module not in _revived:
            _revived[module] = {}
            _answer_for(loaded)
        _revived[module][name] = supply, new

    _when_imported.when_imported(module, attach)


def _answer_for(module: ModuleType) -> None:
    revived = _revived[module.__name__]
    before: Callable[[str], object] | None = module.__dict__.get("__getattr__")

    def __getattr__(name: str) -> object:
        if name in revived:
            supply, new = revived[name]
            say(f"{module.__name__}.{name}", new)
            # The value stays: asking again is an ordinary look-up.
            value = supply()
            setattr(module, name, value)
            return value
        if before is not None:
            return before(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}", name=name, obj=module)

    module.__getattr__ = __getattr__  # type: ignore[method-assign]
