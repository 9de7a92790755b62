"""What the backlog costs, how fair it is, and how much of a rate it uses."""
