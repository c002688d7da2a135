"""Programs of calls on a loop, written by chance, and the traces that they leave.

A script is plain data: it is made once and then played on any loop. Playing it is deterministic, since the loop's
`time` is replaced by a count of turns and no two timers share a deadline.
"""

import asyncio
import contextvars
import re

TURNS = 40

# What the replaced time says at first.
START = 1000.0

colour = contextvars.ContextVar("colour", default="plain")


class Oddity(Exception):
    """What scripts raise."""


class Deep(BaseException):
    """What scripts raise that is no Exception."""


RAISED = {"Oddity": Oddity, "Deep": Deep, "ValueError": ValueError, "cancel": asyncio.CancelledError}

# What a callback, a task or the top of a script may do. The numbers say how often.
SIMPLE = {
    "soon": 8,
    "threadsafe": 2,
    "later": 6,
    "at": 2,
    "cancel": 4,
    "future": 3,
    "set_result": 4,
    "set_exception": 1,
    "cancel_future": 2,
    "watch_future": 2,
    "unwatch_future": 1,
    "task": 5,
    "cancel_task": 3,
    "event": 1,
    "set_event": 2,
    "colour": 2,
    "stop": 1,
    "note": 2,
}
CALLBACK_ENDS = {"return": 10, "Oddity": 1, "Deep": 1, "ValueError": 1}
STEPS = {
    "do": 6,
    "yield": 5,
    "sleep": 4,
    "await_future": 3,
    "await_event": 2,
    "gather": 1,
    "shield": 1,
    "guard": 2,
    "timeout": 1,
}
TASK_ENDS = {"return": 8, "Oddity": 2, "cancel": 1, "ValueError": 1}


def pick(chance, table):
    return chance.choices(list(table), list(table.values()))[0]


def write_script(chance, size=12):
    """A script of about `size` calls at its top, from a `random.Random`."""
    return [write_action(chance, 0) for _ in range(chance.randint(3, size))]


def write_action(chance, depth):
    kind = pick(chance, SIMPLE)
    if kind in ("soon", "threadsafe"):
        return (kind, write_body(chance, depth), chance.random() < 0.2)
    if kind in ("later", "at"):
        return (kind, chance.randint(-3, 12), write_body(chance, depth), chance.random() < 0.2)
    if kind == "task":
        return (kind, write_steps(chance, depth))
    return (kind, chance.randrange(1000))


def write_body(chance, depth):
    """What a callback does, and how it ends."""
    count = chance.randint(0, 3) if depth < 3 else 0
    return [write_action(chance, depth + 1) for _ in range(count)], pick(chance, CALLBACK_ENDS)


def write_steps(chance, depth):
    """What a task does, and how it ends."""
    steps = []
    for _ in range(chance.randint(0, 4)):
        kind = pick(chance, STEPS)
        if kind == "do":
            steps.append((kind, write_action(chance, depth + 1)) if depth < 3 else ("yield", 0))
        elif kind in ("sleep", "timeout"):
            steps.append((kind, chance.randint(1, 8)))
        elif kind in ("gather", "guard"):
            steps.append((kind, write_steps(chance, depth + 1)) if depth < 3 else ("yield", 0))
        else:
            steps.append((kind, chance.randrange(1000)))
    return steps, pick(chance, TASK_ENDS)


class Player:
    """Plays a script on a loop and keeps the trace."""

    def __init__(self, loop):
        self.loop = loop
        self.trace = []
        self.turn = 0
        self.handles = []
        self.futures = []
        self.tasks = []
        self.events = []
        self.watchers = {}
        self.count = 0
        loop.time = lambda: START + self.turn
        loop.set_exception_handler(self.handle)

    def play(self, script):
        for action in script:
            self.attempt(action)
        while self.turn < TURNS:
            self.loop.call_soon(self.tick)
            try:
                self.loop.run_forever()
            except BaseException as error:
                self.note("left the loop", describe(error))
            self.note("stopped")
        self.end()
        return self.trace

    def tick(self):
        self.turn += 1
        if self.turn < TURNS:
            self.ticking = self.loop.call_soon(self.tick)
        else:
            self.loop.stop()

    def end(self):
        """The state of everything, and then the end of everything."""
        for number, handle in enumerate(self.handles):
            self.note("handle", number, handle.cancelled(), getattr(handle, "when", lambda: None)())
        for number, future in enumerate([*self.futures, *self.tasks]):
            state = "pending"
            if future.cancelled():
                state = "cancelled"
            elif future.done():
                state = describe(future.exception()) if future.exception() else repr(future.result())
            self.note("future", number, state)
        for task in self.tasks:
            task.cancel()
        for future in self.futures:
            future.cancel()
        # Guards may take several cancellations before they let their task end.
        for _ in range(10):
            self.loop.stop()
            self.loop.run_forever()
            for task in self.tasks:
                task.cancel()

    def note(self, *what):
        self.trace.append((self.turn, *what))

    def handle(self, loop, context):
        error = context.get("exception")
        # A callback that has cancelled its own handle and raises is without a name on asyncio.
        message = re.sub(r"^Exception in callback .*", "Exception in a callback", context["message"])
        self.note("handler", message, describe(error), sorted(set(context) - {"message", "exception"}))

    def name(self):
        self.count += 1
        return self.count

    def deadline(self, delay):
        """A deadline that no other timer has."""
        return START + self.turn + delay + self.name() * 1e-4

    def attempt(self, action):
        """Do one action, and note what it raised, if anything."""
        try:
            getattr(self, f"do_{action[0]}")(*action[1:])
        except (Exception, asyncio.CancelledError) as error:
            self.note("raised", action[0], describe(error))

    def callback(self, body):
        name = self.name()
        actions, ending = body

        def scripted_callback(*args):
            self.note("callback", name, colour.get())
            for action in actions:
                self.attempt(action)
            if ending != "return":
                raise RAISED[ending](name)

        return scripted_callback

    def context(self, own):
        context = None
        if own:
            context = contextvars.copy_context()
            context.run(colour.set, f"own {self.count}")
        return context

    def do_soon(self, body, own):
        self.handles.append(self.loop.call_soon(self.callback(body), context=self.context(own)))

    def do_threadsafe(self, body, own):
        self.handles.append(self.loop.call_soon_threadsafe(self.callback(body), context=self.context(own)))

    def do_later(self, delay, body, own):
        when = self.deadline(delay)
        callback = self.callback(body)
        self.handles.append(
            self.loop.call_later(when - self.loop.time(), callback, context=self.context(own))
        )

    def do_at(self, delay, body, own):
        when = self.deadline(delay)
        self.handles.append(self.loop.call_at(when, self.callback(body), context=self.context(own)))

    def do_cancel(self, which):
        if self.handles:
            self.handles[which % len(self.handles)].cancel()

    def do_future(self, which):
        self.futures.append(self.loop.create_future())

    def do_set_result(self, which):
        if self.futures:
            self.futures[which % len(self.futures)].set_result(which)

    def do_set_exception(self, which):
        if self.futures:
            self.futures[which % len(self.futures)].set_exception(Oddity(which))

    def do_cancel_future(self, which):
        if self.futures:
            self.note("cancelling", self.futures[which % len(self.futures)].cancel(f"by {which}"))

    def do_watch_future(self, which):
        if self.futures:
            name = self.name()

            def watcher(future):
                self.note("watcher", name, colour.get(), future.cancelled())

            self.watchers[which % len(self.futures)] = watcher
            self.futures[which % len(self.futures)].add_done_callback(watcher)

    def do_unwatch_future(self, which):
        if self.futures:
            watcher = self.watchers.get(which % len(self.futures))
            self.note("unwatched", self.futures[which % len(self.futures)].remove_done_callback(watcher))

    def do_task(self, steps):
        name = self.name()
        self.tasks.append(self.loop.create_task(self.run(name, steps), name=f"script {name}"))

    def do_cancel_task(self, which):
        if self.tasks:
            self.note("cancelling", self.tasks[which % len(self.tasks)].cancel(f"by {which}"))

    def do_event(self, which):
        self.events.append(asyncio.Event())

    def do_set_event(self, which):
        if self.events:
            event = self.events[which % len(self.events)]
            event.clear() if event.is_set() else event.set()

    def do_colour(self, which):
        colour.set(f"colour {which}")

    def do_stop(self, which):
        self.note("stopping")
        self.loop.stop()

    def do_note(self, which):
        self.note("note", which, colour.get(), self.loop.is_running(), self.loop.time())

    async def run(self, name, steps):
        """The body of a task."""
        steps, ending = steps
        self.note("task", name, "begins", colour.get())
        try:
            for number, (kind, what) in enumerate(steps):
                result = await self.step(name, kind, what)
                self.note("task", name, number, result)
        except BaseException as error:
            self.note("task", name, "ends", describe(error))
            raise
        if ending != "return":
            raise RAISED[ending](name)
        return name

    async def step(self, name, kind, what):
        if kind == "do":
            self.attempt(what)
        elif kind == "yield":
            await asyncio.sleep(0)
        elif kind == "sleep":
            return await asyncio.sleep(self.deadline(what) - self.loop.time(), f"slept {what}")
        elif kind == "await_future" and self.futures:
            return await self.futures[what % len(self.futures)]
        elif kind == "shield" and self.futures:
            return await asyncio.shield(self.futures[what % len(self.futures)])
        elif kind == "await_event" and self.events:
            return await self.events[what % len(self.events)].wait()
        elif kind == "gather":
            both = (self.run(self.name(), what), self.run(self.name(), ([("yield", 0)], "return")))
            return [describe(x) for x in await asyncio.gather(*both, return_exceptions=True)]
        elif kind == "guard":
            try:
                return await self.run(self.name(), what)
            except (Exception, asyncio.CancelledError) as error:
                return describe(error)
        elif kind == "timeout":
            try:
                async with asyncio.timeout_at(self.deadline(what)):
                    await self.loop.create_future()
            except TimeoutError:
                return "timed out"
        return None


def describe(value):
    """A value or an exception without what differs from run to run."""
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    return repr(value)
