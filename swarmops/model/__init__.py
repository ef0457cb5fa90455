"""What the user declared: inventory, distributed.yaml, variables, secrets. Pure; every fault with its place."""
