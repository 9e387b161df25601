"""Translates dotted and indexed access to SUPER (`t.payload.address.zip`, `t.payload.lines[0]`) into function calls.

If the first part of a dotted name is a table of the statement, the second part is the column; else the first part is.
Facts: Redshift Database Developer Guide, "Querying semistructured data": attribute names are folded to lower case,
unless they are quoted and enable_case_sensitive_identifier is set; missing members are NULL; "Unnesting queries".
"""

from sqlglot import exp

from ddb_assets.sandbox.redshift.names import fold

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_ATTRIBUTE = "redshift.attribute"
_ELEMENT = "redshift.element"


def navigate(tree: exp.Expr, *, exact: bool = False) -> exp.Expr:
    """The syntax tree with every access replaced; `exact` if the case of quoted names counts."""
    sources = _sources(tree)
    for node in list(tree.find_all(exp.Dot, exp.Bracket, exp.Column)):
        if isinstance(node.parent, exp.Dot | exp.Bracket) and node.arg_key == "this":
            continue  # the outermost node handles the whole chain
        replaced = _access(node, sources, exact=exact)
        if replaced is None:
            continue
        if node is tree:
            return replaced
        node.replace(replaced)
        _compare(replaced)
    for unnested in list(tree.find_all(exp.AtIndex)):
        unnested.replace(_elements(unnested))
    return tree


def _elements(unnested: exp.AtIndex) -> exp.Expr:
    """`t.payload.lines AS line AT place` as a set of rows with these two columns."""
    element, place = fold(unnested.this.alias), fold(unnested.expression.name)
    elements = exp.Anonymous(this="redshift.elements", expressions=[unnested.this.this])
    names = exp.TableAlias(
        this=exp.to_identifier(element), columns=[exp.to_identifier(element), exp.to_identifier(place)]
    )
    return exp.Lateral(this=elements, alias=names)


def _sources(tree: exp.Expr) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for table in tree.find_all(exp.Table):
        found.add((fold(table.alias_or_name),))
        if table.db and not table.alias:
            found.add((fold(table.db), fold(table.name)))
    found |= {(fold(one.alias_or_name),) for one in tree.find_all(exp.Subquery, exp.CTE)}
    return found


def _name(part: exp.Expr, *, exact: bool) -> str:
    return part.name if exact and part.args.get("quoted") else fold(part.name)


def _access(node: exp.Expr, sources: set[tuple[str, ...]], *, exact: bool) -> exp.Expr | None:
    steps: list[exp.Expr] = []
    base = node
    while isinstance(base, exp.Dot | exp.Bracket):
        if isinstance(base, exp.Dot):
            steps.append(exp.Literal.string(_name(base.expression, exact=exact)))
        else:
            steps += reversed(base.expressions)
        base = base.this
    steps.reverse()
    if not isinstance(base, exp.Column):
        return None
    parts = [part for part in (base.args.get(k) for k in ("catalog", "db", "table", "this")) if part is not None]
    if isinstance(parts[-1], exp.Star):
        return None
    folded = tuple(fold(part.name) for part in parts)
    if len(parts) > 1 and folded[:1] in sources:
        taken = 2
    elif len(parts) > 2 and folded[:2] in sources:
        taken = 3
    else:
        taken = 1
    steps = [*(exp.Literal.string(_name(p, exact=exact)) for p in parts[taken:]), *steps]
    if not steps:
        return None
    own = parts[:taken]
    value: exp.Expr = exp.Column(**dict(zip(("this", "table", "db"), (p.copy() for p in reversed(own)), strict=False)))
    for step in steps:
        name = _ATTRIBUTE if step.is_string else _ELEMENT
        value = exp.Anonymous(this=name, expressions=[value, step.copy()])
    return value


def _compare(access: exp.Expr) -> None:
    """Makes a constant that SUPER is compared with SUPER too: a string stays a string and is not parsed as JSON."""
    parent = access.parent
    if not isinstance(parent, _COMPARISONS):
        return
    other = parent.expression if parent.this is access else parent.this
    if not isinstance(other, exp.Literal):
        return
    kind = exp.DataType.build("super", dialect="redshift")
    if other.is_string:
        other.replace(exp.Cast(this=exp.cast(other.copy(), "varchar"), to=kind))
    else:
        other.replace(exp.Cast(this=exp.Literal.string(other.this), to=kind))
