"""The mirror: what must outlive a pod without a volume, in one small text that somebody else keeps.

The journal is the truth, and it goes with its pod where there is no volume. So every ten seconds, if something changed,
the mirror writes how far each sink has settled each stream. A new pod reads that, lets each stream begin where the sink
is that was behind the others, and lets each sink pass over what it had settled: what is repeated is what was settled
since the last write. What waited for a sink is read again as far as the cluster still holds it.

A position is only ever written if everything up to it is settled: not parked, not under way. So a mirror that is old,
coarse or half wrong about the present costs repeats, never events.
"""

from eventer.mirror.mirror import Mirror, MirrorStatus, Store
from eventer.mirror.record import KEY

__all__ = ["KEY", "Mirror", "MirrorStatus", "Store"]
