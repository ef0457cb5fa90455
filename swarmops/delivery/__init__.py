"""Plans reach hosts: one SSH exec each, events back."""
