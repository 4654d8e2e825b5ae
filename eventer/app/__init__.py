"""The wiring: a configuration becomes a running daemon. The only room that knows all others.

    daemon    one run: journal, HTTP port, socket, and everything below as tasks of one group
    sinks     which runners there are: brought in line with a configuration, at the start and at a reload
    sources   which clusters are read: likewise
    reading   one of them: its scopes, each with a stream and an intake
    place     what the place of the journal is worth, and the mirror that makes up for it
    reload    when the configuration is read again, and what came of it

A start is a reload from nothing: both go through `Sinks.follow` and `Sources.follow`. A task that ends
by an error that nobody foresaw takes the daemon down, because a half-running exporter that looks healthy
is worse than a restart.
"""

from eventer.app.daemon import Daemon, run

__all__ = ["Daemon", "run"]
