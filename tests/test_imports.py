"""Imports run one way, and optional packages are asked for by the one module that needs them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import asgi_session

ROOT = Path(asgi_session.__file__).parent
MODULES = {
    ".".join(["asgi_session", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def resolved(module: str, node: ast.ImportFrom) -> str:
    """The absolute name of what a ``from`` statement imports from."""
    if node.level == 0:
        assert node.module
        return node.module
    package = module.split(".") if MODULES[module].name == "__init__.py" else module.split(".")[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def imports_of(module: str) -> set[str]:
    """Full names of what a module imports, wherever in it; of ``from a import b`` both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            name = resolved(module, node)
            full = {f"{name}.{alias.name}" for alias in node.names}
            found |= full if full <= set(MODULES) else full | {name}
    return found


IMPORTS = {module: imports_of(module) for module in MODULES}
OURS = {module: names & set(MODULES) for module, names in IMPORTS.items()}


def reachable(module: str) -> set[str]:
    """All modules of ours that importing a module brings in, the package's own `__init__` aside."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        for name in OURS[todo.pop()] - seen - {"asgi_session"}:
            seen.add(name)
            todo.append(name)
    return seen


def users_of(package: str) -> set[str]:
    return {module for module, names in IMPORTS.items() if any(n.split(".")[0] == package for n in names)}


def parts_of(name: str) -> Iterator[str]:
    return (module for module in MODULES if module == name or module.startswith(f"{name}."))


def test_no_module_imports_itself_by_a_detour() -> None:
    assert [module for module in MODULES if module != "asgi_session" and module in reachable(module)] == []


MIDDLEWARE = {
    f"asgi_session.{module}"
    for module in ("middleware", "response", "exchange", "presence", "commit", "store_actions", "settings")
}


def test_no_module_but_the_tests_kit_imports_the_package_itself() -> None:
    assert [
        m for m, names in OURS.items() if "asgi_session" in names and not m.startswith("asgi_session.testing")
    ] == []


@pytest.mark.parametrize("store", sorted(parts_of("asgi_session.stores")))
def test_a_store_knows_nothing_of_cookies_sessions_or_the_middleware(store: str) -> None:
    common = {f"asgi_session.{module}" for module in ("exceptions", "json_text", "log")}
    assert reachable(store) <= {*parts_of("asgi_session.stores"), *common}


@pytest.mark.parametrize(
    "module",
    ["cookie", "signing", "cookie_header", "cookie_path", "incoming", "session_cookie", "payload", "json_text"],
)
def test_the_wire_formats_know_nothing_of_the_middleware_sessions_or_stores(module: str) -> None:
    known = reachable(f"asgi_session.{module}")
    assert not known & {*MIDDLEWARE, "asgi_session.session", "asgi_session.flash"}
    assert not known & set(parts_of("asgi_session.stores"))


def test_the_decision_is_pure() -> None:
    assert OURS["asgi_session.decision"] == set()
    assert not IMPORTS["asgi_session.decision"] & {"asyncio", "time", "starlette"}


def test_sessions_and_flash_know_nothing_of_the_middleware_or_the_stores() -> None:
    for module in ("asgi_session.session", "asgi_session.flash", "asgi_session.flash_queue"):
        assert not reachable(module) & MIDDLEWARE
        assert not reachable(module) & set(parts_of("asgi_session.stores"))


def test_fastapi_is_imported_by_its_own_module_only() -> None:
    assert users_of("fastapi") == {"asgi_session.fastapi"}


@pytest.mark.parametrize(
    ("package", "part"),
    [
        ("pymongo", "asgi_session.stores.mongo"),
        ("cryptography", "asgi_session.ciphers"),
        ("bson", "asgi_session.stores.mongo"),
        ("motor", "asgi_session.stores.mongo"),
        ("redis", "asgi_session.stores.redis"),
        ("valkey", "asgi_session.stores.redis"),
    ],
)
def test_an_extra_is_imported_by_its_own_part_only(package: str, part: str) -> None:
    assert {module for module in users_of(package) if not module.startswith(part)} == set()


@pytest.mark.parametrize("package", ["pytest", "jinja2", "httpx", "httpx2"])
def test_what_only_tests_and_templates_need_is_not_imported_by_the_core(package: str) -> None:
    assert {module for module in users_of(package) if not module.startswith("asgi_session.testing")} == set()


@pytest.mark.parametrize("package", ["pickle", "marshal", "shelve", "dill", "yaml", "jsonpickle"])
def test_no_module_reads_formats_that_can_run_code(package: str) -> None:
    assert users_of(package) == set()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_runs_text_as_code(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"eval", "exec", "compile", "__import__"}


OPTIONAL = [
    *("fastapi", "pydantic", "pymongo", "bson", "motor", "redis", "valkey", "cryptography"),
    *("jinja2", "httpx", "httpx2", "pytest", "pytest_asyncio"),
]


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_core_works_where_only_its_dependencies_are_installed() -> None:
    run_python(
        f"""
import sys
sys.modules.update(dict.fromkeys({OPTIONAL!r}))  # None there makes an import fail as if nothing were installed
import asgi_session, asgi_session.templating, asgi_session.stores.memory
from starlette.applications import Starlette
app = asgi_session.SessionMiddleware(Starlette(), secret="x" * 32)
"""
    )


@pytest.mark.parametrize(
    ("module", "what"),
    [
        ("stores.mongo", "pip install 'asgi-session[mongo]'"),
        ("fastapi", "pip install 'asgi-session[fastapi]'"),
        ("ciphers", "pip install 'asgi-session[crypto]'"),
        ("ciphers.aes_gcm", "pip install 'asgi-session[crypto]'"),
        ("testing", "needs pytest and pytest-asyncio"),
    ],
)
def test_a_module_whose_package_is_missing_says_what_to_install(module: str, what: str) -> None:
    said = run_python(
        f"""
import sys
sys.modules.update(dict.fromkeys({OPTIONAL!r}))
try:
    import asgi_session.{module}
except ImportError as error:
    print(error)
"""
    )
    assert what in said
    assert "bson" not in said  # PyPI has a package of that name, which has nothing to do with it


def test_importing_the_package_imports_no_extra() -> None:
    loaded = run_python("import sys, asgi_session; print(*sys.modules)").split()
    assert not set(OPTIONAL) & set(loaded)


def test_the_core_imports_no_other_package_than_its_dependencies() -> None:
    extras = (
        "asgi_session.ciphers",
        "asgi_session.fastapi",
        "asgi_session.testing",
        "asgi_session.stores.mongo",
        "asgi_session.stores.redis",
    )
    core = [module for module in MODULES if not module.startswith(extras)]
    packages = {name.split(".")[0] for module in core for name in IMPORTS[module]}
    dependencies = {"starlette", "anyio", "itsdangerous", "msgspec"}
    assert packages - set(sys.stdlib_module_names) == {"asgi_session", *dependencies}


def test_every_public_name_is_there() -> None:
    assert set(asgi_session.__all__) >= {
        *("SessionMiddleware", "Session", "Cookie", "Flash", "Store", "Record", "MemoryStore", "load_session"),
        *("SessionError", "StoreError", "SessionNotFound", "SessionConflict", "SessionDestroyed"),
        *("SessionSerializationError", "SessionNotLoaded"),
    }
    assert all(hasattr(asgi_session, name) for name in asgi_session.__all__)


def test_the_exceptions_have_one_base() -> None:
    errors = [
        asgi_session.StoreError,
        asgi_session.SessionNotFound,
        asgi_session.SessionConflict,
        asgi_session.SessionDestroyed,
        asgi_session.SessionSerializationError,
        asgi_session.SessionNotLoaded,
    ]
    assert [error.__bases__ for error in errors] == [(asgi_session.SessionError,)] * len(errors)
