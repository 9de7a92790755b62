"""What ``celery-ratekit monitor`` shows: asked for, worked out, drawn, each on its own."""
