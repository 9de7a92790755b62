"""What the gate costs, and how much of an allowed rate it uses: ``python -m benchmarks.gate``."""
