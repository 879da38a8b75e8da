"""Receive what is posted, and answer once it is in the inbox; only the command imports this.

address -> access -> receiver -> commit: where it listens, who may post, what is answered, what is on disk.
"""
