"""Make a program's ``__main__`` module, ``sys.argv`` and ``sys.path[0]`` as ``python`` makes them.

``prepare`` returns a function without arguments that runs the program. Reading and compiling happen in there, so
that a syntax error looks like the program's own.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

from .usage import Kind

__all__ = ("CannotOpen", "prepare")


class CannotOpen(Exception):
    """The program's file cannot be opened; the message is the one that ``python`` has."""


def prepare(kind: Kind, target: str, arguments: list[str]) -> FunctionType:
    """Put the program's surroundings in place and return what runs it; raises CannotOpen."""
    if kind is Kind.MODULE:
        start = _module(target, arguments)
    elif kind is Kind.CODE:
        start = _code(target, arguments)
    elif target == "-":
        start = _standard_input(arguments)
    elif _is_container(target):
        start = _container(target, arguments)
    else:
        start = _script(target, arguments)
    return cast(FunctionType, start)


def _script(target: str, arguments: list[str]) -> Callable[[], None]:
    path = _absolute(target)
    try:
        with open(path, "rb") as file:
            # A directory without a __main__.py ends here too, with EISDIR; python has the same words for it.
            file.read(1)
    except OSError as error:
        raise CannotOpen(f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}") from None
    namespace = _new_main(path)
    _set_arguments(target, arguments)
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    if path.endswith(".pyc"):
        compiled = SourcelessFileLoader("__main__", path)
        namespace["__loader__"] = compiled

        def start() -> None:
            exec(cast(CodeType, compiled.get_code("__main__")), namespace)
    else:
        namespace["__loader__"] = SourceFileLoader("__main__", path)

        def start() -> None:
            with open(path, "rb") as file:
                source = file.read()
            exec(compile(source, path, "exec", dont_inherit=True), namespace)

    return start


def _standard_input(arguments: list[str]) -> Callable[[], None]:
    namespace = _new_main("<stdin>")
    namespace["__loader__"] = BuiltinImporter
    _set_arguments("-", arguments)
    _set_first_path("")

    def start() -> None:
        source = sys.stdin.buffer.read()
        exec(compile(source, "<stdin>", "exec", dont_inherit=True), namespace)

    return start


def _code(source: str, arguments: list[str]) -> Callable[[], None]:
    namespace = _new_main(None)
    namespace["__loader__"] = BuiltinImporter
    _set_arguments("-c", arguments)
    _set_first_path("")

    def start() -> None:
        text = source
        if sys.version_info >= (3, 14):
            import textwrap

            text = textwrap.dedent(text)
        code = compile(text, "<string>", "exec", dont_inherit=True)
        _show_source_of(code, text)
        exec(code, namespace)

    return start


def _show_source_of(code: CodeType, source: str) -> None:
    # From 3.13 on tracebacks show the lines of -c code. The interpreter has no public road to that.
    import linecache

    register = getattr(linecache, "_register_code", None)
    if register is not None:
        # The first releases of 3.13 keep lines by file name, all later ones by code object.
        key = code if hasattr(linecache, "_interactive_cache") else "<string>"
        register(key, source, "<string>")


def _module(name: str, arguments: list[str]) -> Callable[[], None]:
    _new_main(None)
    _set_arguments("-m", arguments)
    _set_first_path(os.getcwd())

    def start() -> None:
        import runpy

        # What the interpreter itself calls for -m. The public run_module() runs a copy of the module, which
        # pickling and multiprocessing would not find again.
        cast(Any, runpy)._run_module_as_main(name)

    return start


def _container(target: str, arguments: list[str]) -> Callable[[], None]:
    _new_main(None)
    _set_arguments(target, arguments)
    path = _absolute(target)
    # Even where the interpreter was told to put nothing unsafe on the path: the program's modules are in there.
    _set_first_path(path, always=True)

    def start() -> None:
        import runpy

        cast(Any, runpy)._run_module_as_main("__main__", False)

    return start


def _absolute(target: str) -> str:
    """``target`` below the current folder. The interpreter does not tidy it up, so neither do we."""
    return os.path.join(os.getcwd(), target)


def _is_container(target: str) -> bool:
    """Whether modules can be imported from ``target`` itself: it is a directory or a zip file."""
    path = _absolute(target)
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


# The interpreter's own __main__ (this package's, or the entry point script's) is not to lose its globals.
_former_main: list[ModuleType] = []


def _new_main(file: str | None) -> dict[str, Any]:
    """Put a fresh ``__main__`` into ``sys.modules`` and return its namespace."""
    module = ModuleType("__main__")
    namespace = module.__dict__
    namespace["__builtins__"] = builtins
    if sys.version_info < (3, 14):
        namespace["__annotations__"] = {}
    if file is not None:
        namespace["__file__"] = file
        if sys.version_info < (3, 15):
            namespace["__cached__"] = None
    _former_main.append(sys.modules["__main__"])
    sys.modules["__main__"] = module
    return namespace


def _set_arguments(first: str, arguments: list[str]) -> None:
    sys.argv[:] = [first, *arguments]


def _set_first_path(path: str, *, always: bool = False) -> None:
    """Replace what the interpreter put at the head of ``sys.path`` for the command ``epicycle``."""
    if not sys.flags.safe_path:
        sys.path[0] = path
    elif always:
        sys.path.insert(0, path)
