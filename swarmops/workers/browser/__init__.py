"""Pages in a real Chromium: where they may go, through which door, for how long, and what is asked of them."""
