"""``epicycle bench`` and ``make bench``: Epicycle beside other asyncio loops, on the machine at hand.

Nothing here is imported unless that command runs, and nothing but the standard library is needed.

* ``command``: one command line from arguments to exit status
* ``options``: what the command line means
* ``rows``: the catalogue: what is measured, and what one operation is
* ``loops``: what is compared, by name
* ``measuring``: a fresh process for every loop, row and repeat, on the right core
* ``interrupts``: Ctrl-C only where a measurement waits
* ``inside``, ``server``, ``load``: what runs in those processes
* ``figures``: medians, spreads, who is ahead
* ``progress``, ``table``, ``chart``, ``page``, ``record``: the outcome on the terminal, as HTML, as JSON
"""
