"""Memory that is not available any more, 0 to 1, as the kernel reckons it (caches count as available).

Without limits of the check's own: warns at 0.9, critical at 0.95.
"""

ARGS: dict = {}


def probe(args, system, deadline):
    with open("/proc/meminfo") as f:
        rows = dict(row.split(":", 1) for row in f if ":" in row)
    kb = {name: int(rows[name].split()[0]) for name in ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")}
    used = 1 - kb["MemAvailable"] / float(kb["MemTotal"])
    detail = "%d of %d MB available" % (kb["MemAvailable"] // 1024, kb["MemTotal"] // 1024)
    if kb["SwapTotal"]:
        detail += ", %d MB swap used" % ((kb["SwapTotal"] - kb["SwapFree"]) // 1024)
    limits = {"max": 0.95, "warn": {"max": 0.9}}
    return {"ok": True, "value": round(used, 4), "unit": "ratio", "detail": detail, "limits": limits}
