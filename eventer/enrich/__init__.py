"""Look-ups after the journal: whose pod, on which node, of which team an event is about.

Bounded and time-boxed: what cannot be found out in time goes out with a marker. No event is lost to a look-up.
"""
