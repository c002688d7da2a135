"""The loop without coroutines: `call_soon`, `call_later`, `call_at`, `call_soon_threadsafe` and `stop`.

A clock shows itself every tenth of a second until its end, another thread knocks, and the last callback
stops the loop.

    epicycle run examples/callbacks.py --seconds 0.5
"""

import argparse
import asyncio
import contextvars
import sys
import threading

TICK = 0.1
visitor = contextvars.ContextVar("visitor", default="nobody")


def show_ticks(end: float, loop: asyncio.AbstractEventLoop, ticks: int = 1) -> None:
    """Tick, and come back in a tenth of a second unless that is past `end`, then stop the loop."""
    print("tick", ticks)
    if loop.time() + TICK < end:
        loop.call_later(TICK, show_ticks, end, loop, ticks + 1)
    else:
        print("stopping")
        loop.stop()


def greet(word: str) -> None:
    print(f"{word}, {visitor.get()}")


def knock(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon_threadsafe(print, "a knock from another thread")


def main(seconds: float) -> None:
    loop = asyncio.new_event_loop()
    print("loop:", type(loop))
    try:
        loop.call_soon(print, "soon: first")
        loop.call_soon(print, "soon: second")

        context = contextvars.copy_context()
        context.run(visitor.set, "Ada")
        loop.call_soon(greet, "hello", context=context)
        loop.call_soon(greet, "hello")

        # Deadlines decide, not the order of the calls.
        now = loop.time()
        loop.call_at(now + 0.02, print, "at: second")
        loop.call_at(now + 0.01, print, "at: first")

        handle = loop.call_later(0.03, print, "this is never printed")
        handle.cancel()
        print("cancelled:", handle.cancelled())

        thread = threading.Thread(target=knock, args=(loop,))
        loop.call_later(0.04, thread.start)
        loop.call_later(0.05, show_ticks, loop.time() + 0.05 + seconds, loop)
        loop.run_forever()
        thread.join()
        print("running:", loop.is_running())

        # A stopped loop goes on where it was; `stop` before `run_forever` means one turn.
        loop.call_soon(print, "one more turn")
        loop.stop()
        loop.run_forever()
    finally:
        loop.close()
    print("closed:", loop.is_closed())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Callbacks on a bare loop.")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long the clock ticks (default: 0.5)")
    args = parser.parse_args()
    try:
        main(args.seconds)
    except KeyboardInterrupt:
        sys.exit(130)
