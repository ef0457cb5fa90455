"""Where the program of the ollama role comes from. It is not asked for without one."""


def vars(context):
    own = context.vars
    if not own["program"] and not own["url"]:
        raise ValueError("say where its program is: ollama_program, or ollama_url with ollama_checksum")
    if own["url"] and not own["program"] and not str(own["checksum"]).startswith("sha256:"):
        raise ValueError("ollama_url needs ollama_checksum: sha256:...")
    return {"from_here": bool(own["program"])}
