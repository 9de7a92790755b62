"""``python -m benchmarks.gate``."""

from .command import main

raise SystemExit(main())
