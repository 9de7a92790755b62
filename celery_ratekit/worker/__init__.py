"""What runs in a worker: the gate through which each received task passes before the pool."""
