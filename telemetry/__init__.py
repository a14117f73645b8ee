"""What the service says about itself: settings read, names, spans, metrics, logs, ids and problems.

The lowest layer: it knows no other package of this project, has no rows, and reads Django's settings only when asked.
"""
