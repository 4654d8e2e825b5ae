"""From events to what people are told: problems, groups of them, and the moment at which a group speaks.

A pure reader: no I/O, no clock of its own, no randomness. It is given events and the time, and returns
notifications and a state that goes into the journal with the cursor, in one transaction. So it forgets nothing
and repeats nothing, wherever the process is killed, and a test plays a night in a millisecond.

The stages, in order: `problems` (what an event means for what is open), `grouping` (which problems are told
together, and why now), `alerts` (both of them, over batches, with the books).
"""
