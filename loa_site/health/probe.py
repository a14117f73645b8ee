"""`python -m loa_site.health.probe`: asks the web server of this machine whether it lives; for containers without curl.

Needs nothing but the standard library. The path may be given: `python -m loa_site.health.probe /readyz`.
"""

import http.client
import os
import sys

SECONDS = 4.0


def main(path: str) -> int:
    """0 when the server answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("LOA_PORT") or 8402), timeout=SECONDS)
    try:
        connection.request("GET", path)
        return 0 if connection.getresponse().status == 200 else 1
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "/livez"))
