"""Sends what waits in throttled queues to workers that have no gate."""
