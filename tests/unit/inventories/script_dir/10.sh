#!/bin/sh
if [ "$1" = --list ]; then
    echo '{"web": {"hosts": ["m1", "m2"]}, "lone": {"single": "yes"}, "old": ["m2", "m3"]}'
elif [ "$2" = m3 ]; then
    :
else
    echo "{\"name\": \"$2\", \"port\": 5}"
fi
