"""The file of an app: where it is imported from, which name in it is the app, and whether it has changed."""

import ast
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator

_SUFFIXES = (".py", ".pyi", ".yaml", ".yml", ".json", ".toml", ".html", ".jinja", ".md", ".txt", ".csv")
_OTHERS = frozenset({"__pycache__", "node_modules", "site-packages", "data"})
_FILES_MAX = 20_000
_APPS = ("ServeAPI", "FastAPI")

Seen = dict[str, tuple[int, int]]
"""Time and size of each file."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """An app in a file."""

    file: pathlib.Path
    root: pathlib.Path
    """The folder that it is imported from."""
    import_path: str
    """`package.module:attribute`."""

    @property
    def name(self) -> str:
        """What its expose is called."""
        words = self.import_path.partition(":")[0].split(".")
        name = next((word for word in reversed(words) if word not in ("app", "main", "__init__")), self.root.name)
        return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_") or "app"


def find(text: str) -> Source:
    """Return what `FILE[:app]` names.  Raises `ValueError` with the remedy."""
    path, colon, attribute = text.rpartition(":") if re.search(r"\.py:[^/\\]*\Z", text) else (text, "", "")
    file = pathlib.Path(path)
    if not file.is_file():
        raise ValueError(
            f"there is no file {path}: name the file of your app, such as app.py or app.py:app{_near(file)}"
        )
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise ValueError(
            f"{file.name} cannot be imported: an app is in a file whose name is letters, digits, _ and .py"
        )
    file = file.resolve()
    root, parts = file.parent, [file.stem]
    while (root / "__init__.py").is_file() and root.name.isidentifier():
        parts.insert(0, root.name)
        root = root.parent
    if len(parts) > 1 and parts[-1] == "__init__":
        parts.pop()
    if colon and not all(part.isidentifier() for part in attribute.split(".")):
        raise ValueError(f"{text}: behind the colon is the name of the app in {file.name}, such as {file.name}:app")
    return Source(file, root, f"{'.'.join(parts)}:{attribute or _app_in(file)}")


def _near(file: pathlib.Path) -> str:
    with_suffix = file.with_name(f"{file.name}.py")
    return f"; did you mean {with_suffix}?" if with_suffix.is_file() else ""


def _app_in(file: pathlib.Path) -> str:
    """Return the name of the one app in a file, which is read and not run."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    except SyntaxError as error:
        text = (error.text or "").strip()
        raise ValueError(f"{file.name}, line {error.lineno}: {error.msg}: {text}") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{file.name} cannot be read: {why}") from None
    made: dict[str, str] = {}
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(value, ast.Call):
                made[target.id] = _called(value)
            elif isinstance(target, ast.Name) and isinstance(value, ast.Name) and value.id in made:
                made[target.id] = made[value.id]
    bound = [name for name, called in made.items() if called == "bind"]
    apps = bound or [name for name, called in made.items() if called in _APPS]
    if len(apps) > 1 and "app" in apps:
        return "app"
    if len(apps) == 1 or (apps and bound):
        return apps[-1]
    if not apps:
        raise ValueError(
            f"{file.name} makes no app: write app = ServeAPI() in it, or name what is one: {file.name}:NAME"
        )
    raise ValueError(f"{file.name} makes several apps, name one: {' or '.join(f'{file.name}:{name}' for name in apps)}")


def _called(call: ast.Call) -> str:
    return str(getattr(call.func, "attr", None) or getattr(call.func, "id", ""))


def look(root: pathlib.Path, data_dir: pathlib.Path | None = None) -> Seen:
    """Return what is to be seen of the sources under a folder, 20,000 files at most; a mesh's own files are none."""
    found: Seen = {}
    for entry in _files(root, str(data_dir)):
        try:
            status = entry.stat()
        except OSError:  # it is being replaced
            continue
        found[entry.path] = (status.st_mtime_ns, status.st_size)
        if len(found) == _FILES_MAX:
            break
    return found


def _files(root: pathlib.Path, without: str) -> Iterator[os.DirEntry[str]]:
    waiting = [str(root)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):  # an environment: nobody edits it
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _OTHERS or entry.path == without:
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif entry.name.endswith(_SUFFIXES):
                yield entry
