"""Rates that follow what a service takes: the law, the state that a fleet shares, the learning."""
