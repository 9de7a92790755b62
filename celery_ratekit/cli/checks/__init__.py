"""What ``celery-ratekit doctor`` checks: a small file for each, with its name and its arithmetic.

Nothing here asks anybody but `gathering`.
"""
