"""What benchmarks of whole workers print and save: rows, where they come from, and the end."""
