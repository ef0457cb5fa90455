"""Who is there and who leads: agents, swarms, leadership, and the loops that keep them alive."""
