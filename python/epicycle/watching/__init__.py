"""Looking into a loop: what its process tells of it, and what others make of that.

In: a loop, or the page of one.  Out: reports of stalls, tasks and connections, figures.

- `watcher.py`    noticing stalls, and telling of them
- `words.py`      a stall in words
- `inside/`       what the process itself tells: tasks, connections, what is suspicious about them
- `outside/`      what another process makes of it: the commands top, tasks, stalls and record
- `metrics.py`    `epicycle.metrics()`; `families.py` has the names, units and meanings for what exports them
- `prometheus.py` for Prometheus; `scraping.py` serves it over HTTP
- `otel.py`       for OpenTelemetry; `stalls.py` makes one of the several reports of a stall
- `in_tests.py`   stalls in tests, `leaks.py` what a test leaves behind: for the pytest plugin
"""
