"""Resource names (AIP-122): `jobs/{job}`, `users/{user}`."""

from meshkit.errors import Invalid


def parse(name: str, collection: str, field: str = "name") -> str:
    """Return the id in `{collection}/{id}`; raise `Invalid`, naming `field`, if `name` is not of that form."""
    prefix = f"{collection}/"
    if not name.startswith(prefix) or len(name) == len(prefix):
        raise Invalid(f"{field} must look like {prefix}{{id}}", {field: [f"got {name[:80]!r}"]})
    return name[len(prefix) :]
