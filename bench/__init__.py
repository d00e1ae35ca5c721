"""What the fan-out costs: scenarios, peers on the same server, and a report that says where it was measured."""

from oarlock_guard import clash

if why := clash(__name__, __file__):
    raise ImportError(why)
