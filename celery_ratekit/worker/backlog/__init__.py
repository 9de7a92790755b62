"""The way from a worker into the backlog and back."""
