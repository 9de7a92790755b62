"""What fits this package to frameworks; nothing here is imported unless the framework is used."""
