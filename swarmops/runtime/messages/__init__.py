"""Messages that arrive: inboxes, channels, questions with a deadline."""

from swarmops.runtime.messages.records import Sent
from swarmops.runtime.messages.room import TRIES, VISIBLE, Messages

__all__ = ["TRIES", "VISIBLE", "Messages", "Sent"]
