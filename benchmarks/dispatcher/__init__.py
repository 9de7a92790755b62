"""What a dispatcher sends to plain workers, how exactly, and what idle queues cost."""
