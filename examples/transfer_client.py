"""An aiohttp client of `transfer_server.py`: a large body up, a large body down, both checked to the last byte.

    epicycle run examples/transfer_client.py http://127.0.0.1:8080/ --megabytes 100

Neither side holds more than a piece of a body: the peak memory of both is in the report. With --patience the client
waits for a server that is not there yet, or comes back, asking again at longer and longer intervals. --ca names a file
of certificates to trust besides the system's. The exit status is 1 where a body did not arrive whole.
"""

import argparse
import asyncio
import hashlib
import ssl
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from yarl import URL

PIECE = 64 * 1024
DIGEST = len(hashlib.sha256().hexdigest())
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


async def wait_for_server(session: aiohttp.ClientSession, patience: float) -> dict[str, object]:
    """The server's status, once it gives one; the last error where that takes more than `patience` seconds."""
    pause = FIRST_PAUSE
    deadline = time.monotonic() + patience
    while True:
        try:
            async with session.get("status") as response:
                response.raise_for_status()
                return await response.json()
        except aiohttp.ClientConnectionError as error:
            # A certificate that does not hold today will not hold in a second.
            hopeless = isinstance(error, aiohttp.ClientSSLError)
            if hopeless or time.monotonic() + pause > deadline:
                raise
        print("waiting for the server", flush=True)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def peak_memory() -> int:
    """In KiB. Not from `getrusage`, which counts the memory of the process that started this one as well."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


async def upload(session: aiohttp.ClientSession, length: int) -> bool:
    seen = hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, length, PIECE):
            piece = hashlib.sha256(str(start).encode()).digest() * (PIECE // 32)
            piece = piece[: length - start]
            seen.update(piece)
            yield piece

    async with session.put("digest", data=pieces()) as response:
        response.raise_for_status()
        return await response.json() == {"bytes": length, "sha256": seen.hexdigest()}


async def download(session: aiohttp.ClientSession, length: int) -> bool:
    seen, left, tail = hashlib.sha256(), length, b""
    async with session.get(f"random/{length}") as response:
        response.raise_for_status()
        async for piece in response.content.iter_chunked(PIECE):
            seen.update(piece[:left])
            tail += piece[left:]
            left -= min(left, len(piece))
    return left == 0 and tail == seen.hexdigest().encode()


async def transfer(url: URL, length: int, patience: float, context: ssl.SSLContext | bool) -> bool:
    connector = aiohttp.TCPConnector(ssl=context)
    whole = True
    async with aiohttp.ClientSession(url, connector=connector) as session:
        before = await wait_for_server(session, patience)
        print("loop:", type(asyncio.get_running_loop()))
        print("loop of the server:", before["loop"])
        for name, work in {"upload": upload, "download": download}.items():
            began = time.perf_counter()
            arrived = await work(session, length)
            rate = length / 1e6 / (time.perf_counter() - began)
            print(f"{name}: {length} bytes {'whole' if arrived else 'DAMAGED'}, {rate:.0f} MB/s", flush=True)
            whole = whole and arrived
        after = await wait_for_server(session, 0)
    print(
        "peak memory of the server:",
        after["peak memory in KiB"],
        "KiB, before:",
        before["peak memory in KiB"],
    )
    print("peak memory of the client:", peak_memory(), "KiB")
    return whole


def url(text: str) -> URL:
    parsed = URL(text)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise argparse.ArgumentTypeError(f"{text!r} is not like http://host:port/")
    return parsed if parsed.path.endswith("/") else parsed / ""


def positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description="Send and fetch large bodies, and check them.")
    parser.add_argument("url", type=url, help="the server's address, as it prints it")
    parser.add_argument("--megabytes", type=positive, default=100.0, help="each way (default: 100)")
    parser.add_argument(
        "--patience", type=float, default=0.0, help="seconds to wait for the server (default: 0)"
    )
    parser.add_argument("--ca", help="a file of certificates to trust")
    args = parser.parse_args()

    try:
        context = ssl.create_default_context(cafile=args.ca) if args.ca else True
    except OSError as error:
        sys.exit(f"transfer_client: cannot use the certificates in {args.ca}: {error}")
    try:
        whole = asyncio.run(transfer(args.url, int(args.megabytes * 1e6), args.patience, context))
    except (aiohttp.ClientError, OSError) as error:
        sys.exit(f"transfer_client: {args.url}: {error or type(error).__name__}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
