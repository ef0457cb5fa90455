"""Where the archive of Redis Insight comes from, and how it is told to stay on loopback."""

from swarmops.planning.services import LOOPBACK, alone_on_port


def vars(context):
    own = context.vars
    if not own["archive"] and not own["url"]:
        raise ValueError(
            "say where its archive is: redisinsight_archive, or redisinsight_url with redisinsight_checksum"
        )
    if own["url"] and not own["archive"] and not str(own["checksum"]).startswith("sha256:"):
        raise ValueError("redisinsight_url needs redisinsight_checksum: sha256:...")
    ours = settings(own)
    if twice := sorted(set(ours) & set(own["environment"])):
        raise ValueError(f"{twice[0]} is the role's to say, not redisinsight_environment's")
    alone_on_port(context)
    return {"from_here": bool(own["archive"]), "settings": {**ours, **own["environment"]}}


def settings(own):
    """Its environment. Names are those of its own configuration (redisinsight/api/config/default.ts)."""
    return {
        "NODE_ENV": "production",
        "RI_BUILD_TYPE": "DOCKER_ON_PREMISE",
        "RI_SERVE_STATICS": "true",
        "RI_APP_HOST": LOOPBACK,
        "RI_APP_PORT": own["port"],
        "RI_APP_FOLDER_ABSOLUTE_PATH": f"/var/lib/{own['user']}",
        "RI_FILES_LOGGER": "false",
        "RI_STDOUT_LOGGER": "true",
        "RI_STATICS_AUTO_UPDATE": "false",  # hosts need no internet
        "RI_ENCRYPTION_KEYTAR": "false",  # there is no desktop to keep the key
        "RI_ACCEPT_TERMS_AND_CONDITIONS": "true" if own["accept_terms"] else "false",
    }
