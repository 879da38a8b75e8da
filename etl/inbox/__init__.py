"""What was posted and is not in the warehouse yet: segments that a listener appends to and a run empties.

`SIGHTGLASS_HOME/inbox` holds the segments of all listeners, each named after the moment it was begun. Its
ending says what it is:

* `.open`     a listener holds its lock and writes to it, or made it ready; where nobody does, it is dead
* `.closed`   finished; its last line counts its entries
* `.left`     taken over from a dead listener; it may break off in an entry that was answered to nobody
* `.damaged`  kept for people: what could be read of it is in the warehouse, some of it could not be read
"""
