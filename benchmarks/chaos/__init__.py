"""Kills workers, their children and Redis at random steps, and judges what became of each task."""
