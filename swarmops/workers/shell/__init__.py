"""Commands in folders of their own: the allow-list, the folders, the leash a command runs on, and the run itself."""
