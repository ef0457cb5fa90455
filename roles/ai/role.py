"""What the ai role derives: its worker's configuration and whom it answers."""

from swarmops.planning.services import worker


def vars(context):
    patience = context.vars["performance"]["llm_timeout"]
    return worker(context, {"llm_timeout": min(3600, max(1, patience))})
