"""What another process makes of a loop's page.

In: the number or the name of a process, or the page of one that has crashed.  Out: text, JSON, a live view, a trace.

- `command.py`   the commands top, tasks, stalls and record; `options.py` has their arguments
- `find.py`      which processes of this user have loops
- `watched.py`   one loop of another process, read again and again; `view.py` makes figures of two readings
- `tree.py`      the tasks as a tree; `clean.py` takes what may not reach a terminal out of their names
- `plain.py`     a look as text and as JSON; `top/` as a live view
- `recording.py` the flight recorder asked, `trace.py` its events as a Chrome trace
"""
