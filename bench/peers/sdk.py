"""The vendor's SDK pages through a range of one application: `python -m bench.peers.sdk URL ASKED`."""

import json
import sys

from cogniac import CogniacConnection


def main(url: str, application_id: str, since: int, until: int) -> None:
    """Take all records that the generator yields, oldest first, with media in full."""
    connection = CogniacConnection(api_key="bench-key:bench-secret", tenant_id="63QhzFLc9tg4", url_prefix=url)
    application = connection.get_application(application_id)
    # Without a limit the SDK leaves the page size to the server, whose default is ten.
    found = application.detections(
        start=float(since), end=float(until), reverse=False, limit=10**9, abridged_media=False
    )
    count = sum(1 for _ in found)
    sys.stdout.write(json.dumps({"records": count}))


if __name__ == "__main__":
    asked = json.loads(sys.argv[2])
    main(sys.argv[1], asked["application_id"], *asked["range"])
