"""A record of Cogniac that no declaration allows."""

from conftest import Plant

from etl.demo import timeline
from etl.demo.cogniac.written import late_record


def send_odd(plant: Plant) -> None:
    """Let Cogniac list one that is newer than all others, and whose probability is a text."""
    application = next(each for each in plant.cogniac.applications() if each["active"])
    at = timeline.seconds(plant.cogniac.newest + timeline.SECOND)
    record = late_record(application, "odd", at)
    record["detections"][0]["probability"] = "high"
    plant.cogniac.put(application["application_id"], record)
