"""YAML in and out."""

import ast
import contextlib
import dataclasses
import datetime
import importlib.util
import json
import pathlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshkit.errors import Invalid
from services.registry import documents
from services.registry.domain.deploying import Isolation, Plan
from services.registry.domain.exposes import Definition, Expose, FlowMeta, FoundFlow
from services.registry.domain.flows import flows_of
from services.registry.domain.standings import Snapshot

NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)

# What YAML can hold: PyYAML refuses other control characters, and no author can type half a surrogate pair.
_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t", exclude_characters="￾￿"))


@given(summary=_TEXT, description=_TEXT, tags=st.lists(_TEXT), author=_TEXT)
@example(summary="=", description="-", tags=["-", "=", "?", "~", "<<"], author="-")
def test_a_template_says_what_the_author_said(summary: str, description: str, tags: list[str], author: str) -> None:
    """Whatever an author wrote, quotes and colons and line breaks included, reads back from the template."""
    flow = FoundFlow(path="/", summary=summary, description=description, tags=tuple(tags), author=author)
    text = documents.template(flow)
    about = documents.about(text)

    documents.check(Definition(name="x", meta=(FlowMeta(url="/x/", data=text, enabled=True),)))
    assert about.display == ((summary or "Unnamed Flow").strip() or None)
    assert about.description == ((description or "No description provided").strip() or None)
    assert about.tags == (tuple(sorted({tag.strip() for tag in tags if tag.strip()})) if tags else None)
    assert about.author == (author.strip() or None)
    assert about.organization is None


def test_a_template_explains_itself() -> None:
    """Every field of a sumi item can be found in it, as a comment if the author said nothing."""
    text = documents.template(FoundFlow(path="/"))

    for key in ("example_output", "capability", "legal", "agentPricing", "agentIdentifier", "image", "contact_email"):
        assert key in text


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text does anything but pass or raise `Invalid`."""
    with contextlib.suppress(Invalid):
        documents.check(Definition(name="x", bootstrap=text))
        documents.plan(text)


@pytest.mark.parametrize(
    ("bootstrap", "remedy"),
    [
        ("", "import_path: package.module:attribute"),
        ("import_path: ", "import_path: package.module:attribute"),
        ("import_path: [a]", "import_path: package.module:attribute"),
        ("import_path: a", "import_path 'a' must look like package.module:attribute"),
        ("applications:\n  - import_path: a:b", "not a list of `applications`"),
        ("just text", "mapping"),
        ("import_path: a:b\nruntime_env: [x]", "runtime_env"),
        ("import_path: a:b\nruntime_env: {env_vars: [x]}", "runtime_env.env_vars"),
        ("import_path: a:b\ndeployments: {x: 1}", "deployments"),
        ("import_path: a:b\ndeployments: [{ray_actor_options: {runtime_env: x}}]", "deployments[0].ray_actor_options."),
        ("import_path: a:b\nfork: perhaps", "fork"),
        ("import_path: a:b\nisolation: none", "process (each job"),
        ("import_path: a:b\nisolation: [shared]", "shared (jobs"),
        ("import_path: a:b\nruntime_env: &a {x: *a}", "alias"),
    ],
)
def test_a_bootstrap_that_cannot_be_deployed_says_why(bootstrap: str, remedy: str) -> None:
    """The boot's warning names the key and what to write."""
    with pytest.raises(Invalid, match=r".") as caught:
        documents.plan(bootstrap)

    assert remedy in str(caught.value)


def test_what_an_actor_is_given_is_given_to_the_app() -> None:
    """As Ray Serve has it: over that of the application, variables beside each other; the first has the last word."""
    plan = documents.plan(
        "import_path: a:b\nruntime_env: {pip: [x], env_vars: {A: app, B: app, C: app}}\ndeployments:\n"
        "- ray_actor_options: {num_cpus: 1, runtime_env: {working_dir: w, env_vars: {A: first, B: first}}}\n"
        "- x\n- ray_actor_options: {runtime_env: {pip: [y], env_vars: {A: second, D: second}}}\n"
    )

    variables = {"A": "first", "B": "first", "C": "app", "D": "second"}
    assert {"pip": ["y"], "working_dir": "w", "env_vars": variables} == json.loads(plan.runtime_env_json)
    assert [{"ray_actor_options": {"num_cpus": 1}}, "x", {"ray_actor_options": {}}] == json.loads(plan.deployments_json)


@pytest.mark.parametrize(
    ("text", "isolation"),
    [
        ("", None),
        ("isolation: ~", None),
        ("isolation: shared", Isolation.SHARED),
        ("isolation: process", Isolation.PROCESS),
    ],
)
def test_a_bootstrap_may_say_what_separates_jobs(text: str, isolation: Isolation | None) -> None:
    """One that does not leaves it to the flows' author."""
    assert isolation is documents.plan(f"import_path: a:b\n{text}").isolation


def test_a_small_text_cannot_stand_for_billions_of_values() -> None:
    """Aliases of aliases are followed up to a limit."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]

    with pytest.raises(Invalid, match="too many values"):
        documents.plan("import_path: a:b\n" + "\n".join(lines))
    complaint = documents.check(Definition(name="x", bootstrap="\n".join((*lines, "import_path: *a9"))))
    assert complaint is not None
    assert "import_path must look like" in complaint.fields["expose.bootstrap"][0]


def test_a_small_text_cannot_merge_billions_of_entries() -> None:
    """The same for merge keys, which are followed while the text is read."""
    lines = ["a0: &a0 {k: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 20)}]}}" for n in range(1, 10)]

    with pytest.raises(Invalid, match="merges"):
        documents.check(Definition(name="x", bootstrap="\n".join(lines)))


def test_values_that_json_does_not_know_become_texts() -> None:
    """Dates and numbers as keys arrive as people wrote them."""
    plan = documents.plan("import_path: ' a:b '\nruntime_env: {env_vars: {1: 2026-01-02}, set: !!set {x}}")

    assert dataclasses.replace(plan, runtime_env_json="") == Plan(
        import_path="a:b", runtime_env_json="", deployments_json="[]", fork=None
    )
    assert json.loads(plan.runtime_env_json) == {"env_vars": {"1": "2026-01-02"}, "set": ["x"]}


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("display: x", False),
        ("agentIdentifier: 7e8b", True),
        ("public: true", True),
        ("agentIdentifier: 7e8b\npublic: false", False),
        ("agentIdentifier: 7e8b\npublic: 'false'", False),
        ("agentIdentifier: 7e8b\npublic: perhaps", False),
        ("agentIdentifier: 7e8b\npublic:", True),
        ("public: 'True'", True),
        ("public: [true]", False),
    ],
)
def test_an_operator_says_what_is_public(text: str, public: bool) -> None:
    """What is sold is, unless the operator says no; what cannot be read is no."""
    entry = FlowMeta(url="/x/", data=text, enabled=True)
    expose = Expose(name="x", meta=(entry,), flows=(FoundFlow(path="/"),), created_at=NOW, updated_at=NOW)
    (flow,) = flows_of(expose, Snapshot(apps={}, seen_at=None), documents.about)

    assert flow.public is public


@pytest.mark.parametrize(
    ("bootstrap", "problems"),
    [
        (
            "import_path: a:b\nruntime-env: {}\n",
            ["line 2, column 1: runtime-env is not known: did you mean runtime_env?"],
        ),
        (
            "import_path: a:b\nruntime_env:\n  pip_packages: [x]\n  env_var: {}\n",
            [
                "line 3, column 3: runtime_env.pip_packages is not known",
                "line 4, column 3: runtime_env.env_var is not known: did you mean env_vars?",
            ],
        ),
        (
            "deployments:\n- name: a\n  autoscaling_config: {min_replica: 1}\n  ray_actor_options: {cpus: 1}\n",
            [
                "line 3, column 24: deployments[0].autoscaling_config.min_replica is not known: "
                "did you mean min_replicas?",
                "line 4, column 23: deployments[0].ray_actor_options.cpus is not known: did you mean num_cpus?",
            ],
        ),
        ("limits: {ram: 1}\npaths: {reads: []}\n", ["limits.ram is not known", "did you mean read?"]),
        ("x-own: &own {pipp: []}\nruntime_env:\n  <<: *own\n", ["runtime_env.pipp is not known: did you mean pip?"]),
    ],
)
def test_a_key_that_nobody_knows_is_refused(bootstrap: str, problems: list[str]) -> None:
    """Where it stands, and what was meant; a boot only says it, as there may be one that was saved before."""
    complaint = documents.check(Definition(name="x", bootstrap=bootstrap))
    assert complaint is not None
    found = complaint.fields["expose.bootstrap"]
    said = documents.notes(bootstrap, on_ray=True)

    assert "is not known" in str(complaint)
    assert len(problems) == len(found) == len(said)
    assert all(problem in each for problem, each in zip(problems, found, strict=True))
    assert all(each.endswith("(it has no effect)") for each in said)


@pytest.mark.parametrize(
    "path", ["x", "my.app", "'my.app:'", "':app'", "my-app:app", "my.app:app:app", "my..app:a", "[a]", "{a: b}", "5"]
)
def test_what_can_be_no_import_path_is_refused(path: str) -> None:
    """Where it stands, and how one looks; a key that nobody knows is told beside it."""
    complaint = documents.check(Definition(name="x", bootstrap=f"fork: true\nimport_path: {path}\npipp: []"))

    assert complaint is not None
    first, second = complaint.fields["expose.bootstrap"]
    assert first.startswith("line 2, column 1: import_path")
    assert first.endswith(" must look like package.module:attribute")
    assert "pipp is not known" in second


@pytest.mark.parametrize(
    "text",
    ["import_path: a:b", "import_path: ' my.app:made.app '", "import_path:", "import_path: ' '", "", "fork: true"],
)
def test_an_import_path_may_come_later(text: str) -> None:
    """A text without one is a draft."""
    assert documents.check(Definition(name="x", bootstrap=text)) is None


def _fields_of(name: str) -> list[str]:
    """Return the fields of a class of `ray.serve.schema`, read and not imported: that takes seconds, and warns."""
    ray = importlib.util.find_spec("ray")
    assert ray is not None
    assert ray.origin is not None
    tree = ast.parse((pathlib.Path(ray.origin).parent / "serve" / "schema.py").read_text(encoding="utf-8"))
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    lines = (line.target for line in found.body if isinstance(line, ast.AnnAssign))
    return [target.id for target in lines if isinstance(target, ast.Name)]


def test_what_ray_serve_knows_is_accepted() -> None:
    """Kodosumi's bootstraps are such."""
    application: dict[str, Any] = dict.fromkeys(_fields_of("ServeApplicationSchema"))
    deployment: dict[str, Any] = dict.fromkeys(_fields_of("DeploymentSchema"))
    deployment["ray_actor_options"] = dict.fromkeys(_fields_of("RayActorOptionsSchema"))
    application["deployments"] = [deployment]
    complaint = documents.check(Definition(name="x", bootstrap=json.dumps(application)))

    assert complaint is None
    assert "import_path" in application
    assert "num_replicas" in deployment


def test_a_boot_says_what_has_no_effect() -> None:
    """And what has on Ray; what only says where a host goes is no loss on one machine."""
    deployments = "[{num_replicas: 2, ray_actor_options: {num_cpus: 0.1}}]"
    text = f"route_prefix: /x\nargs: {{}}\nruntime_env: {{pip: [a], conda: x}}\ndeployments: {deployments}\n"

    on_ray = documents.notes(text, on_ray=True)
    here = documents.notes(text, on_ray=False)

    assert ["args has no effect"] == on_ray
    assert ["args has no effect", "runtime_env.conda has an effect on Ray only"] == here
