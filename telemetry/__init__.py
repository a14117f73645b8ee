"""What the service says about itself: settings read, names, spans, metrics, logs, ids and problems.

The lowest layer: it knows no other package of this project, has no rows, and reads Django's settings only when asked.
"""

import os

from telemetry.metrics_folder import give_up_without_room

# Before anything counts: the metrics library looks at its folder when it is first imported, by whomever.
give_up_without_room(os.environ)
