"""The soak: what must hold for long, for many and under faults, with figures.

    python tests/soak/run.py [--seconds 60] [--connections 1000] [--share 1] [--only NAME]
                             [--loop epicycle|asyncio] [--install]

Every check runs in an interpreter of its own, so that a crash is one failure and memory starts from nothing.  `--only`
takes a scenario or a check (`level`, `identity.both sides`) and may be given again; `--list` names them all.  Exits 0
if every check passed, 1 if one failed, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from scenarios import CHECKS, Setting, Skipped  # noqa: E402

import epicycle  # noqa: E402

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the soak.")
    parser.add_argument("--seconds", type=float, default=60, help="of each check at random (default 60)")
    parser.add_argument("--connections", type=int, default=1000, help="at once, at most (default 1000)")
    parser.add_argument(
        "--share", type=float, default=1, help="part of the full number of rounds (default 1)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of what is random (default 1)")
    parser.add_argument("--only", action="append", metavar="NAME", help="a scenario or check; again for more")
    parser.add_argument("--loop", choices=("epicycle", "asyncio"), default="epicycle")
    parser.add_argument(
        "--install", action="store_true", help="with the streams that epicycle.install() has asyncio make"
    )
    parser.add_argument("--limit", type=float, default=1200, help="seconds for one check (default 1200)")
    parser.add_argument("--json", type=pathlib.Path, help="write every result to this file")
    parser.add_argument("--list", action="store_true", help="name the checks and end")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def chosen(only: list[str] | None) -> list[str]:
    """The names of the checks asked for.  Raises LookupError for a name that none has."""
    if not only:
        return list(CHECKS)
    names = [name for name in CHECKS if any(name == each or name.startswith(f"{each}.") for each in only)]
    for each in only:
        if not any(name == each or name.startswith(f"{each}.") for name in CHECKS):
            raise LookupError(f"no check is called {each!r}; --list names them all")
    return names


def run_here(name: str, setting: Setting) -> dict:
    """Run one check in this process."""
    figures: dict[str, object] = {}
    result = {"name": name, "outcome": PASSED, "figures": figures, "why": ""}
    begun = time.monotonic()
    try:
        CHECKS[name](setting, figures)
    except Skipped as reason:
        result |= {"outcome": SKIPPED, "why": str(reason)}
    except Exception:
        result |= {"outcome": FAILED, "why": traceback.format_exc()}
    return result | {"seconds": round(time.monotonic() - begun, 1)}


def run_apart(name: str, options: argparse.Namespace) -> dict:
    """Run one check in an interpreter of its own."""
    command = [sys.executable, "-X", "faulthandler", str(HERE / "run.py"), "--child", name]
    for option in ("seconds", "connections", "share", "seed", "loop"):
        command += [f"--{option}", str(getattr(options, option))]
    if options.install:
        command.append("--install")
    begun = time.monotonic()
    # A session of its own, so that the children of a check that hangs end with it.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            out, err = child.communicate(timeout=options.limit)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGABRT)
            out, err = ended(child)
            err = f"not done after {options.limit:g} seconds\n{err}"
    told = [line for line in out.splitlines() if line.startswith('{"name"')]
    if told and child.returncode == 0:
        result = json.loads(told[-1])
        if err.strip() and result["outcome"] == PASSED:
            result |= {"outcome": FAILED, "why": f"it wrote to its standard error:\n{err}"}
        return result
    why = f"the interpreter ended with status {child.returncode}\n{out[-2000:]}{err[-6000:]}"
    seconds = round(time.monotonic() - begun, 1)
    return {"name": name, "outcome": FAILED, "figures": {}, "why": why, "seconds": seconds}


def ended(child: subprocess.Popen) -> tuple[str, str]:
    """What a child that was told to abort still said; all of its session ends."""
    try:
        return child.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return child.communicate()


def show(result: dict) -> None:
    figures = ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in result["figures"].items()
    )
    print(f"{result['outcome']:8}{result['name']:38}{result['seconds']:7.1f} s  {figures}")
    if result["why"]:
        why = result["why"].strip()
        print("        " + why.replace("\n", "\n        "))
    sys.stdout.flush()


def main() -> int:
    options = arguments()
    setting = Setting(options.loop, options.seconds, options.connections, options.share, options.seed)
    if options.child:
        if options.install:
            epicycle.install()
        print(json.dumps(run_here(options.child, setting)), flush=True)
        return 0
    if options.list:
        print("\n".join(CHECKS))
        return 0
    try:
        names = chosen(options.only)
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    print(f"Soak of {options.loop} on Python {sys.version.split()[0]}, {os.cpu_count()} cores\n", flush=True)
    results = []
    for name in names:
        results.append(run_apart(name, options))
        show(results[-1])
    if options.json:
        options.json.write_text(json.dumps({"setting": vars(setting), "results": results}, indent=1) + "\n")
    counts = {
        kind: sum(result["outcome"] == kind for result in results) for kind in (PASSED, FAILED, SKIPPED)
    }
    skipped = f", {counts[SKIPPED]} skipped" if counts[SKIPPED] else ""
    print(f"\nsoak: {counts[PASSED]} passed, {counts[FAILED]} failed{skipped}")
    return 1 if counts[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
