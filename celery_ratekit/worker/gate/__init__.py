"""The gate: who waits in a worker, who may start, and who runs."""
