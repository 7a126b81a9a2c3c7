"""Settings of the test suite: the service's own, kept away from the site's data and from any real broker.

The environment is set before the service's settings are read, so that processes which a test starts inherit it.
"""

import atexit
import os
import shutil
import tempfile

if "QASERVICE_TEST_DATA_DIR" not in os.environ:
    # Whoever reads this first is the test session; its child processes share the folder and must not remove it.
    scratch = tempfile.mkdtemp(prefix="qaservice-test-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    os.environ["QASERVICE_TEST_DATA_DIR"] = scratch
os.environ["QASERVICE_DATA_DIR"] = os.environ["QASERVICE_TEST_DATA_DIR"]
os.environ["QASERVICE_MODE"] = "embedded"
os.environ.setdefault("QASERVICE_BROKER_URL", "memory://")
# Playwright keeps an idle event loop in the thread of the tests, in which Django would refuse every query.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

from qaservice.settings import *  # noqa: F403  # the environment has to stand first

# The slow hash is the site's; a test logs in hundreds of times.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
