"""``python -m benchmarks.backlog``: see ``--help`` and benchmarks/README.md."""

from .command import main

raise SystemExit(main())
