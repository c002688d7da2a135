"""Run a command and close with `N passed, N failed` over every runner in its output.

    python tools/summary.py -- make --keep-going lint test

The output passes through as it comes. Counted are cargo's `test result:` lines, pytest's closing lines and
lines of the form `[NAME: ]N passed, N failed[, N skipped]`, which is how the other runners close. A command
that fails although no runner counted a failure is one failure more: a build that broke, a runner that died.
Ends with the command's status.
"""

import dataclasses
import re
import signal
import subprocess
import sys

ANSI = re.compile(r"\x1b\[[0-9;]*m")
CARGO = re.compile(r"test result: \w+\. (?P<counts>.*)")
PYTEST = re.compile(r"(?:=+ )?(?P<counts>\d+ \w+(?:, \d+ \w+)*) in [\d.]+s\b.*")
RUNNER = re.compile(r"(?:[\w./ -]+: )?(?P<counts>\d+ passed, \d+ failed(?:, \d+ \w+)*)")
COUNT = re.compile(r"(\d+) (\w+)")

PASSED = {"passed", "xpassed"}
FAILED = {"failed", "error", "errors"}
SKIPPED = {"skipped", "ignored", "xfailed"}


@dataclasses.dataclass
class Total:
    """What all runners together report."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def read(self, line: str) -> None:
        """Add `line` if it is a runner's closing line."""
        line = ANSI.sub("", line).strip()
        match = CARGO.fullmatch(line) or PYTEST.fullmatch(line) or RUNNER.fullmatch(line)
        if match is None:
            return
        for number, word in COUNT.findall(match["counts"]):
            if word in PASSED:
                self.passed += int(number)
            elif word in FAILED:
                self.failed += int(number)
            elif word in SKIPPED:
                self.skipped += int(number)

    def __str__(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        return f"{text}, {self.skipped} skipped" if self.skipped else text


def main(arguments: list[str]) -> int:
    """Run the command after `--`; return its exit status, or 1 where it hides a runner's failure."""
    if arguments[:1] != ["--"] or len(arguments) < 2:
        print("usage: summary.py -- COMMAND...", file=sys.stderr)
        return 2
    total = Total()
    # A shell starts what it runs in the background with Ctrl-C ignored, and the runners' programs would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    child = subprocess.Popen(
        arguments[1:],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert child.stdout is not None
    for line in child.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        total.read(line)
    status = child.wait()
    if status and not total.failed:
        total.failed = 1
    elif total.failed and not status:
        status = 1
    print(f"\n{total}", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
