"""An HTTP client made of `asyncio.open_connection`: it asks several hosts at once for their headers.

Shows a stream's reader and writer, `drain`, line by line reading, and `asyncio.timeout` round each
conversation. A host that does not answer gets a line on standard error, and the exit status is 1.

    epicycle run examples/page_headers.py 127.0.0.1:8080 '[::1]:8081' localhost:8080
"""

import argparse
import asyncio
import sys
from typing import NamedTuple
from urllib.parse import urlsplit


class Host(NamedTuple):
    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


def parse_host(text: str) -> Host:
    """Read HOST, HOST:PORT or [IPV6]:PORT; the port is 80 when none is given."""
    try:
        parts = urlsplit(f"//{text}")
        if parts.hostname and parts.netloc == text:
            return Host(parts.hostname, 80 if parts.port is None else parts.port)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not HOST, HOST:PORT or [IPV6]:PORT")


async def headers_of(host: Host, timeout: float) -> list[str]:
    """Return the status line and the headers that `host` answers with."""
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(host.name, host.port)
        try:
            writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("ascii"))
            await writer.drain()
            lines = []
            while (line := (await reader.readline()).decode("latin-1").rstrip("\r\n")) != "":
                lines.append(line)
            if not lines:
                raise ConnectionError("closed the connection without an answer")
            return lines
        finally:
            writer.close()


async def ask_all(hosts: list[Host], timeout: float) -> int:
    """Ask and print all; return how many failed."""
    print("loop:", type(asyncio.get_running_loop()))
    answers = await asyncio.gather(*(headers_of(host, timeout) for host in hosts), return_exceptions=True)
    failures = 0
    for host, answer in zip(hosts, answers, strict=True):
        if isinstance(answer, BaseException):
            failures += 1
            print(f"page_headers: {host}: {str(answer) or type(answer).__name__}", file=sys.stderr)
        else:
            print(f"{host}")
            for line in answer:
                print(f"    {line}")
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the headers several hosts answer with.")
    parser.add_argument("hosts", nargs="+", metavar="HOST[:PORT]", type=parse_host)
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds allowed per host (default: 10)")
    args = parser.parse_args()
    try:
        failures = asyncio.run(ask_all(args.hosts, args.timeout))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
