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
_UNARY = {"Not": operator.not_, "USub": operator.neg}


def holds(expression, names):
    """True when `expression` holds for `names`. Raises ValueError for what is not of the subset."""
    try:
        return bool(_value(_parsed(expression), names))
    except (TypeError, RecursionError) as e:
        raise ValueError("cannot decide `%s`: %s" % (expression, e))


def names_in(expression):
    """The names that `expression` looks up. Raises ValueError."""
    found, todo = set(), [_parsed(expression)]
    while todo:
        node = todo.pop()
        if type(node).__name__ == "Name":
            found.add(node.id)
        for field in node._fields:
            value = getattr(node, field)
            todo += [v for v in (value if isinstance(value, list) else [value]) if hasattr(v, "_fields")]
    return found


def _parsed(expression):
    import _ast  # a millisecond that most runs do not need

    try:
        tree = compile(expression.strip(), "<when>", "eval", _ast.PyCF_ONLY_AST)
        return tree.body  # type: ignore[attr-defined]
    except (SyntaxError, MemoryError, RecursionError) as e:
        raise ValueError("`%s` is no expression: %s" % (expression, e))


def _value(node, names):
    kind = type(node).__name__
    if kind == "Constant":
        return node.value
    if kind == "Name":
        return names.get(node.id)
    if kind == "Attribute":
        return _item(_value(node.value, names), node.attr)
    if kind == "Subscript":
        inner = getattr(node.slice, "value", node.slice) if type(node.slice).__name__ == "Index" else node.slice
        return _item(_value(node.value, names), _value(inner, names))
    if kind in ("List", "Tuple"):
        return (list if kind == "List" else tuple)(_value(e, names) for e in node.elts)
    if kind == "BoolOp":
        stop, value = type(node.op).__name__ == "Or", None
        for operand in node.values:
            value = _value(operand, names)
            if bool(value) == stop:
                break
        return value
    if kind == "UnaryOp" and type(node.op).__name__ in _UNARY:
        return _UNARY[type(node.op).__name__](_value(node.operand, names))
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
    if isinstance(holder, (list, tuple, str)) and isinstance(key, int) and -len(holder) <= key < len(holder):
        return holder[key]
    return None
