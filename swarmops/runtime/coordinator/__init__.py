"""What the leader of many swarms does: it hands out work, shares resources, settles conflicts, watches (S3-21 ff.)."""
