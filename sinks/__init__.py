"""One module is one destination; the module name is the `kind`. See eventer/sink.py."""
