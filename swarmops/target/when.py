"""Conditions that only the host can decide: a small subset of Python's expressions over results and facts.

Names stand for registered results, for `facts` and for the constants the controller sent along; attributes and
items are looked up in mappings; there are no calls. What is not there is None.
"""

import operator

_COMPARE = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "In": lambda a, b: b is not None and a in b,
    "NotIn": lambda a, b: b is None or a not in b,
    "Is": operator.is_,
    "IsNot": operator.is_not,
}


def holds(expression, names):
    """True when `expression` holds for `names`. Raises ValueError for what is not of the subset."""
    import _ast  # a millisecond that most runs do not need

    tree = compile(expression, "<when>", "eval", _ast.PyCF_ONLY_AST)
    try:
        return bool(_value(tree.body, names))
    except TypeError as e:
        raise ValueError("cannot decide `%s`: %s" % (expression, e))


def _value(node, names):
    kind = type(node).__name__
    if kind == "Constant":
        return node.value
    if kind == "Name":
        return names.get(node.id)
    if kind == "Attribute":
        return _item(_value(node.value, names), node.attr)
    if kind == "Subscript":
        inner = (
            getattr(node.slice, "value", node.slice) if type(node.slice).__name__ == "Index" else node.slice
        )
        return _item(_value(node.value, names), _value(inner, names))
    if kind in ("List", "Tuple"):
        return [_value(e, names) for e in node.elts]
    if kind == "BoolOp":
        decide = all if type(node.op).__name__ == "And" else any
        return decide(_value(v, names) for v in node.values)
    if kind == "UnaryOp" and type(node.op).__name__ == "Not":
        return not _value(node.operand, names)
    if kind == "Compare":
        return _compare(node, names)
    raise ValueError("`when` on a host knows no %s" % kind)


def _compare(node, names):
    left = _value(node.left, names)
    for op, right in zip(node.ops, node.comparators):
        value = _value(right, names)
        if not _COMPARE[type(op).__name__](left, value):
            return False
        left = value
    return True


def _item(holder, key):
    if isinstance(holder, dict):
        return holder.get(key)
    if isinstance(holder, (list, str)) and isinstance(key, int) and -len(holder) <= key < len(holder):
        return holder[key]
    return None
