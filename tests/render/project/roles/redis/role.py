"""Who is let in, for the file that says so."""


def vars(context):
    return {"let_in": [f"{o['port']} {' '.join(o['sources'])}" for o in context.reach]}
