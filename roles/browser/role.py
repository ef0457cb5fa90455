"""What the browser role derives: its worker's configuration and whom it answers."""

from swarmops.planning.services import worker


def vars(context):
    return worker(context)
