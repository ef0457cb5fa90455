#!/usr/bin/env python3
import json
import sys

if sys.argv[1] == "--list":
    print(
        json.dumps(
            {
                "web": {"hosts": ["s1", "s2"], "vars": {"x": 1, "deep": {"a": [1, None]}}, "children": ["sub"]},
                "sub": {"hosts": ["s3"]},
                "oldest": ["s1", "s4"],
                "all": {"vars": {"everywhere": True}},
                "_meta": {"hostvars": {"s1": {"ansible_host": "10.0.0.1", "n": 1.5}, "s3": {"l": ["a"]}}},
            }
        )
    )
