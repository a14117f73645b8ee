"""A pytest plugin: gives each worker of a whole run the servers that were started for it.

Imported before pytest-django reads the settings. A worker is named by pytest-xdist in PYTEST_XDIST_WORKER; what it gets
is in the variable of its name. In the process that hands out the tests nothing changes.
"""

import json
import os

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")

if WORKER:
    os.environ.update(json.loads(os.environ[f"TEST_WORKER_{WORKER}"]))
