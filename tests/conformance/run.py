"""Runs the interpreter's own `test.test_asyncio` against Epicycle and tells how they agree.

    python tests/conformance/run.py [--loop epicycle|asyncio|uvloop] [--module test_events] [--match NAME] [-v]

Exits 0 if every test in scope passed, 1 if one failed (with --strict also for a stale entry of the list), 2 for a
wrong command line or list, 3 if the interpreter comes without its tests (0 with --allow-missing).
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import drive
import exclusions
from report import Report

HERE = Path(__file__).resolve().parent
MISSING = 3


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Run the interpreter's own tests of asyncio against Epicycle."
    )
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter whose tests are run (default: this one)"
    )
    parser.add_argument(
        "--loop", default="epicycle", help="epicycle, asyncio (baseline), uvloop or MODULE:CLASS"
    )
    parser.add_argument("--module", action="append", help="run only this test module; may be given again")
    parser.add_argument("--match", default="", help="run only tests whose name contains this")
    parser.add_argument("--jobs", type=int, default=2, help="modules run at once (default 2)")
    parser.add_argument("--test-limit", type=float, default=30.0, help="seconds for one test (default 30)")
    parser.add_argument(
        "--module-limit", type=float, default=900.0, help="seconds for one module (default 900)"
    )
    parser.add_argument(
        "--exclusions", type=Path, default=HERE / "exclusions.toml", help="the list of exclusions"
    )
    parser.add_argument("--run-all", action="store_true", help="run what the list says not to run, too")
    parser.add_argument("--no-baseline", action="store_true", help="do not try failures on the standard loop")
    parser.add_argument("--strict", action="store_true", help="a stale entry of the list is a failure")
    parser.add_argument("--allow-missing", action="store_true", help="exit 0 if the interpreter has no tests")
    parser.add_argument("--package", default="test.test_asyncio", help="package that holds the test modules")
    parser.add_argument("--json", type=Path, help="write every result to this file")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print whole tracebacks and excluded tests"
    )
    return parser.parse_args()


def main() -> int:
    options = arguments()
    try:
        names = drive.modules_of(options.python, options.package)
    except ModuleNotFoundError as error:
        print(missing(options.python, options.package, str(error.name)), file=sys.stderr)
        return 0 if options.allow_missing else MISSING
    except (OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    unknown = set(options.module or ()) - set(names)
    if unknown:
        print(f"{options.package} has no module {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    names = [name for name in names if not options.module or name in options.module]
    version, version_text = drive.version_of(options.python)
    # The list is Epicycle's. Another native loop has private parts of its own and knows nothing of our releases;
    # the standard loop is run as it is.
    kinds = {"asyncio": (), "epicycle": tuple(exclusions.KINDS)}.get(options.loop, ("private",))
    try:
        listed = exclusions.read(options.exclusions, version, frozenset(kinds))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    settings = drive.Settings(
        python=options.python,
        package=options.package,
        loop=options.loop,
        exclusions=options.exclusions.resolve(),
        kinds=kinds,
        match=options.match,
        run_all=options.run_all,
        test_limit=options.test_limit,
        module_limit=options.module_limit,
    )
    print(
        f"{options.package} of CPython {version_text} against {options.loop}: {len(names)} modules",
        flush=True,
    )
    runs = run_modules(settings, names, options.jobs, options.verbose)
    report = Report(runs, judged=options.loop == "epicycle")
    if report.failures() and options.loop != "asyncio" and not options.no_baseline:
        report.forgiven = fail_on_standard(settings, report, options.jobs)
    if report.judged and not options.match and not options.module:
        report.unmatched = unmatched(listed, report, options.package)
    if options.json:
        report.write_json(options.json, {"python": version_text, "loop": options.loop})
    print(f"\n{report.text(options.verbose)}")
    stale = options.strict and (report.stale() or report.unmatched)
    return 1 if report.failures() or stale else 0


def run_modules(
    settings: drive.Settings, names: list[str], jobs: int, verbose: bool
) -> list[drive.ModuleRun]:
    def one(name: str) -> drive.ModuleRun:
        run = drive.run_module(settings, name)
        bad = sum(result.bad and not result.entry for result in run.results.values())
        print(
            f"  {name}: {len(run.results)} tests, {run.seconds:.1f} s{f', {bad} bad' if bad else ''}",
            flush=True,
        )
        if verbose and run.output.strip():
            print("\n".join("    | " + line for line in run.output.splitlines()), flush=True)
        return run

    with ThreadPoolExecutor(max(1, jobs)) as pool:
        return list(pool.map(one, names))


def fail_on_standard(settings: drive.Settings, report: Report, jobs: int) -> set[str]:
    """The failed tests that fail on this machine's standard loop as well."""
    standard = replace(settings, loop="asyncio", kinds=(), match="")
    failed = {
        id(run): [r.id for r in run.results.values() if report.state(r) == "failed"] for run in report.runs
    }
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        again = [
            pool.submit(drive.run_module, standard, run.name, failed[id(run)])
            for run in report.runs
            if failed[id(run)]
        ]
        return {result.id for run in again for result in run.result().results.values() if result.bad}


def unmatched(listed: exclusions.Exclusions, report: Report, package: str) -> list[exclusions.Entry]:
    """Entries that mean no test of this interpreter."""
    ids = [result.id.removeprefix(package + ".") for result in report.results()]
    return [entry for entry in listed.entries if not any(entry.matches(test_id) for test_id in ids)]


def missing(python: str, package: str, name: str) -> str:
    """What to do where an interpreter comes without its tests."""
    return (
        f"{python} comes without {package} (no module {name!r}).\n"
        "Debian and Ubuntu keep an interpreter's tests in a package of their own: install libpython3.X-testsuite\n"
        "(python3.X-testsuite on older ones), on Fedora python3-test, on Alpine python3-tests; interpreters of pyenv,\n"
        "uv and python.org bring them along. --allow-missing turns this into success."
    )


if __name__ == "__main__":
    sys.exit(main())
