"""The shape of `distributed.yaml`: what each section holds, its defaults, and how each value is read."""
