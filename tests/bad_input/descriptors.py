"""Readers, writers and signal handlers."""

import signal

from bad_input.cases import ODD, Arguments, Case, odd, wrong_types
from bad_input.scheduling import coroutine_function, from_another_thread, noop


def on_regular_file(method):
    return lambda stage: getattr(stage.loop, method)(stage.file(), noop)


async def socket_of_transport(stage, method, *args):
    transport = await stage.transport()
    return getattr(stage.loop, method)(transport.get_extra_info("socket"), *args)


def taken(stage, call):
    """The signal's handler is put back however the call ends."""
    before = signal.getsignal(signal.SIGUSR2)
    try:
        return call()
    finally:
        stage.loop.remove_signal_handler(signal.SIGUSR2) if not stage.loop.is_closed() else None
        signal.signal(signal.SIGUSR2, before)


CASES = [
    *(
        case
        for method in ("add_reader", "add_writer")
        for case in (
            *wrong_types(
                method,
                Arguments(("fd", lambda stage: stage.paired()), ("callback", lambda stage: noop)),
                leave_out=["callback"],
            ),
            Case(method, "nothing", lambda stage, m=method: getattr(stage.loop, m)()),
            Case(method, "no callback", lambda stage, m=method: getattr(stage.loop, m)(stage.paired())),
            Case(
                method,
                "an option there is not",
                lambda stage, m=method: getattr(stage.loop, m)(stage.paired(), noop, nonsense=1),
            ),
            Case(
                method,
                "a closed socket",
                lambda stage, m=method: getattr(stage.loop, m)(stage.closed_socket(), noop),
            ),
            Case(method, "a regular file", on_regular_file(method)),
            Case(
                method, "a number that is not open", lambda stage, m=method: getattr(stage.loop, m)(999, noop)
            ),
            Case(
                method,
                "a coroutine function in debug mode",
                lambda stage, m=method: getattr(stage.loop, m)(stage.paired(), coroutine_function),
                "closed",
            ),
            Case(
                method,
                "the socket of a transport",
                lambda stage, m=method: socket_of_transport(stage, m, noop),
            ),
            Case(
                method,
                "all is right",
                lambda stage, m=method: getattr(stage.loop, m)(stage.paired(), noop),
                "closed",
            ),
        )
    ),
    *(
        case
        for method in ("remove_reader", "remove_writer")
        for case in (
            *wrong_types(method, Arguments(("fd", lambda stage: stage.paired()))),
            Case(method, "nothing", lambda stage, m=method: getattr(stage.loop, m)()),
            Case(
                method,
                "a closed socket",
                lambda stage, m=method: getattr(stage.loop, m)(stage.closed_socket()),
            ),
            Case(method, "a number that is not open", lambda stage, m=method: getattr(stage.loop, m)(999)),
            Case(
                method, "what nobody watches", lambda stage, m=method: getattr(stage.loop, m)(stage.paired())
            ),
            Case(method, "the socket of a transport", lambda stage, m=method: socket_of_transport(stage, m)),
            Case(
                method,
                "all is right",
                lambda stage, m=method: getattr(stage.loop, m)(stage.paired()),
                "closed",
            ),
        )
    ),
    *(
        Case(
            "add_signal_handler",
            f"sig is {kind}",
            lambda stage, k=kind: stage.loop.add_signal_handler(odd(k), noop),
            place,
        )
        for kind in ODD
        for place in ("running", "closed")
    ),
    *(
        Case(
            "add_signal_handler",
            f"callback is {kind}",
            lambda stage, k=kind: taken(stage, lambda: stage.loop.add_signal_handler(signal.SIGUSR2, odd(k))),
            "debugging",
        )
        for kind in ODD
    ),
    *(
        Case(
            "remove_signal_handler",
            f"sig is {kind}",
            lambda stage, k=kind: stage.loop.remove_signal_handler(odd(k)),
            place,
        )
        for kind in ODD
        for place in ("running", "closed")
    ),
    Case(
        "add_signal_handler",
        "a coroutine function",
        lambda stage: stage.loop.add_signal_handler(signal.SIGUSR2, coroutine_function),
    ),
    Case("add_signal_handler", "no callback", lambda stage: stage.loop.add_signal_handler(signal.SIGUSR2)),
    Case(
        "add_signal_handler",
        "a signal that cannot be caught",
        lambda stage: stage.loop.add_signal_handler(signal.SIGKILL, noop),
    ),
    Case(
        "add_signal_handler",
        "a number that is no signal",
        lambda stage: stage.loop.add_signal_handler(999, noop),
    ),
    Case("add_signal_handler", "zero", lambda stage: stage.loop.add_signal_handler(0, noop)),
    Case(
        "add_signal_handler",
        "in another thread",
        lambda stage: from_another_thread(lambda: stage.loop.add_signal_handler(signal.SIGUSR2, noop)),
    ),
    Case(
        "add_signal_handler",
        "all is right",
        lambda stage: taken(stage, lambda: stage.loop.add_signal_handler(signal.SIGUSR2, noop)),
        "closed",
    ),
    Case("remove_signal_handler", "nothing", lambda stage: stage.loop.remove_signal_handler()),
    Case(
        "remove_signal_handler",
        "what was never added",
        lambda stage: stage.loop.remove_signal_handler(signal.SIGUSR2),
    ),
    Case(
        "remove_signal_handler",
        "all is right",
        lambda stage: stage.loop.remove_signal_handler(signal.SIGUSR2),
        "closed",
    ),
]
