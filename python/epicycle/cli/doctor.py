"""``epicycle doctor``: what is installed here, how it was built, what the kernel offers and what it limits."""

from __future__ import annotations

import json
import os
import platform
import resource
import select
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from typing import Any

from .._installing import installed

__all__ = ("facts", "main")

Facts = dict[str, Any]

# Packages that run on, test with, or stand in for an asyncio event loop.
PACKAGES = (
    "aiohttp",
    "anyio",
    "asyncpg",
    "fastapi",
    "gunicorn",
    "httpx",
    "hypercorn",
    "pytest-asyncio",
    "redis",
    "sanic",
    "starlette",
    "tornado",
    "trio",
    "uvicorn",
    "uvloop",
    "websockets",
    "winloop",
)

# What decides how many connections a server can hold and how fast it can be reached.
KERNEL_LIMITS = {
    "connections waiting to be accepted (somaxconn)": "/proc/sys/net/core/somaxconn",
    "half-open connections (tcp_max_syn_backlog)": "/proc/sys/net/ipv4/tcp_max_syn_backlog",
    "local ports (ip_local_port_range)": "/proc/sys/net/ipv4/ip_local_port_range",
    "open files of one process (nr_open)": "/proc/sys/fs/nr_open",
    "open files of the system (file-max)": "/proc/sys/fs/file-max",
    "epoll watches of a user (max_user_watches)": "/proc/sys/fs/epoll/max_user_watches",
}

# Below this many open files a server of modest size runs out of them; many systems start there.
FEW_FILES = 4096


def main(*, as_json: bool) -> int:
    """Print the facts and return 0, or 1 where the compiled module is missing."""
    found = facts()
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(_lines(found)))
    return 0 if found["build"] is not None else 1


def facts() -> Facts:
    """Everything that the doctor knows, as plain values by section; ``build`` is None without the compiled module."""
    build, problem = _build()
    sections: Facts = {
        "versions": _versions(build),
        "build": build,
        "python": _python(),
        "system": _system(),
        "limits": _limits(),
        "packages": _packages(),
        "install() is active": installed(),
    }
    sections["advice"] = list(_advice(problem, sections))
    return sections


def _build() -> tuple[dict[str, str | int | bool] | None, str | None]:
    """What the compiled module says of itself, or why it cannot be loaded."""
    try:
        native = import_module("epicycle._epicycle")
    except ImportError as error:
        return None, f"the compiled module epicycle._epicycle cannot be loaded: {error}"
    build: dict[str, str | int | bool] = dict(native.build_facts())
    build["file"] = str(native.__file__)
    return build, None


def _versions(build: dict[str, str | int | bool] | None) -> Facts:
    from .._version import version

    return {
        "epicycle": version if build is None else str(build.get("version", version)),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()).strip() or "unknown",
    }


def _python() -> Facts:
    return {
        "executable": sys.executable,
        "free-threaded build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "GIL in use": _ask("_is_gil_enabled", True),
        "debug build": hasattr(sys, "gettotalrefcount"),
        "asyncio debug": bool(sys.flags.dev_mode or os.environ.get("PYTHONASYNCIODEBUG")),
    }


def _ask(name: str, default: bool) -> bool:
    function: Callable[[], bool] | None = getattr(sys, name, None)
    return default if function is None else function()


def _system() -> Facts:
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "processors for this process": _usable_processors(),
        "epoll": hasattr(select, "epoll"),
        "pidfd": _pidfd(),
        "IPv6": _ipv6(),
    }


def _usable_processors() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _pidfd() -> bool:
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def _ipv6() -> bool:
    import socket

    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as trial:
            trial.bind(("::1", 0))
    except OSError:
        return False
    return True


def _limits() -> Facts:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits: Facts = {"open files, soft": _limit(soft), "open files, hard": _limit(hard)}
    for label, path in KERNEL_LIMITS.items():
        try:
            with open(path, encoding="ascii") as file:
                value = " ".join(file.read().split())
        except OSError:
            continue
        limits[label] = int(value) if value.isdigit() else value.replace(" ", "-")
    return limits


def _limit(value: int) -> int | str:
    return "unlimited" if value == resource.RLIM_INFINITY else value


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _advice(problem: str | None, found: Facts) -> Iterator[str]:
    if problem is not None:
        yield f"{problem}. Install a wheel for this Python, or build the package (maturin develop --release)."
    elif not found["build"].get("optimised", True):
        yield "this build is not optimised: do not measure with it (maturin develop --release makes the other)."
    soft = found["limits"]["open files, soft"]
    if isinstance(soft, int) and soft < FEW_FILES:
        yield (
            f"a process may have {soft} files open, each connection being one; "
            "'ulimit -n' raises the soft limit up to the hard one."
        )


def _lines(found: Facts) -> Iterator[str]:
    width = max(len(key) for section in found.values() if isinstance(section, dict) for key in section) + 2
    for title, section in found.items():
        if title == "advice":
            if section:
                yield "advice"
                yield from (f"  - {sentence}" for sentence in section)
        elif section is None:
            yield title
            yield "  the compiled module is missing"
        elif isinstance(section, dict):
            yield title
            if not section:
                yield "  none"
            yield from (f"  {key.replace('_', ' '):<{width}}{_word(value)}" for key, value in section.items())
        else:
            yield f"{title}: {_word(section)}"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
