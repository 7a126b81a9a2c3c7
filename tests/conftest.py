"""What the whole suite shares. Fixtures of one area stand in that area's conftest or in tests/plugins."""

pytest_plugins = ["tests.plugins.servers", "tests.plugins.postgres", "tests.plugins.not_run"]
