"""Fixtures that every test may use: real servers, started when first asked for and stopped at the end of the run."""

pytest_plugins = ["tests.clock", "tests.servers.mongo", "tests.servers.redis"]
