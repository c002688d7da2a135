"""What a process tells of its loops: snapshots of tasks and connections, and what is suspicious about them.

In: a loop, whatever it is doing.  Out: JSON in a file that others read.

- `agent.py`       the thread that answers who rings at a loop's doorbell
- `snapshot.py`    a snapshot: all tasks in groups, the most interesting ones in detail, connections, lints
- `looking.py`     one look at a loop, from which a snapshot is told
- `encoding.py`    JSON as it is written here
- `records.py`     what is remembered of a task from one snapshot to the next
- `pacing.py`      looking in short slices, so that the loop gets on meanwhile
- `tasks.py`       the tasks of a loop and their attributes, read from any thread
- `chains.py`      chains of coroutines: who awaits whom, where each stands
- `waits.py`       what a task waits for, told from its chain and its future
- `kinds.py`       the coroutines of asyncio and Epicycle that `waits.py` knows from within
- `entered.py`     the locks and time-outs that a coroutine is inside of
- `jobs.py`        jobs of thread pools: which function, in which thread
- `connections.py` connections, listeners and watched descriptors
- `lints.py`       what looks wrong, and why
- `reports.py`     exceptions that nobody retrieved, remembered for the lints

Whatever is looked at may change between two bytecodes and belongs to somebody else.  So nothing here calls the user's
code (no `repr`, no properties), nothing keeps a task or a frame, and what cannot be read is left out.
"""
