"""The tests' settings with the storm's shop beside the site, and a clock that may be wrong by STORM_CLOCK seconds."""

import os
import time

import time_machine

from loa_site.settings import test as of_the_tests

globals().update({name: value for name, value in vars(of_the_tests).items() if name.isupper()})

ROOT_URLCONF = "tests.storm.urls"

_offset = int(os.environ.get("STORM_CLOCK", "0"))
if _offset:
    time_machine.travel(time.time() + _offset, tick=True).start()
