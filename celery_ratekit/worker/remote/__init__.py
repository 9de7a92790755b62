"""What a worker is told while it runs: changed limits, and commands."""
