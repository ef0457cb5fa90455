"""Manners of everything of ours that speaks HTTP: who may ask, how much, what is answered, how it starts and ends."""
