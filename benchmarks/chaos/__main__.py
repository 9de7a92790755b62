"""``python -m benchmarks.chaos``."""

from .command import main

raise SystemExit(main())
