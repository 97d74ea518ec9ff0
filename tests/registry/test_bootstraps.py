"""Bootstraps are shown with masks, and a mask that is sent back is what was kept."""

import dataclasses
import datetime

import pytest
import yaml

from meshkit.errors import FailedPrecondition, Invalid
from meshkit.secrets import KEY_BYTES, Vault
from services.registry.bootstraps import Bootstraps, masked_bootstrap
from services.registry.domain.exposes import Expose

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
VAULT = Vault(b"k" * KEY_BYTES)
TEXT = """\
import_path: a:b  # where it is
common: &common {SHARED: "canary-shared"}
runtime_env:
  working_dir: /srv/plain
  env_vars:
    # how it signs in
    TOKEN: canary-plain   # keep this
    QUOTED: "canary \\" quoted"
    NUMBER: 8080
    SWITCH: yes
    EMPTY:
    LONG: |
      canary line one
      canary line two
    ANCHORED: &key canary-anchored
    AGAIN: *key
    <<: *common
deployments:
  - name: web
    ray_actor_options: {runtime_env: {env_vars: {RAY: canary-ray}}}
"""


def expose(bootstrap: str, name: str = "x") -> Expose:
    """Return an expose with this bootstrap."""
    return Expose(name=name, bootstrap=bootstrap, created_at=NOON, updated_at=NOON)


def test_values_are_masked_and_all_else_stays() -> None:
    """Comments, order, anchors; also of what is written over several lines, or merged."""
    masked = masked_bootstrap(TEXT)
    env = yaml.safe_load(masked)["runtime_env"]["env_vars"]
    names = {"TOKEN", "QUOTED", "NUMBER", "SWITCH", "LONG", "ANCHORED", "AGAIN", "SHARED"}

    assert "canary" not in masked
    assert dict.fromkeys(names, "••••") | {"EMPTY": None} == env
    for kept in ("# keep this", "# how it signs in", "import_path: a:b  # where it is"):
        assert kept in masked
    assert masked == masked_bootstrap(masked)


def test_masks_mean_what_is_kept() -> None:
    """Each by its name; what is given anew counts, and a process gets what it got before."""
    bootstraps = Bootstraps(VAULT)
    kept = bootstraps.sealed(expose(TEXT))
    sent = kept.bootstrap.replace('TOKEN: "••••"', "TOKEN: another")
    filled = yaml.safe_load(bootstraps.filled(sent, kept))
    before = yaml.safe_load(TEXT)
    before["runtime_env"]["env_vars"] |= {"TOKEN": "another", "NUMBER": "8080", "SWITCH": "True"}

    assert before == filled
    assert "canary" not in repr(kept)
    assert TEXT == bootstraps.opened(kept)


@pytest.mark.parametrize("stored", [None, expose("runtime_env: {env_vars: {B: x}}")])
def test_a_mask_of_nothing_is_refused(stored: Expose | None) -> None:
    """By the name of the variable."""
    with pytest.raises(Invalid, match=r"env_vars\.A is masked") as caught:
        Bootstraps(VAULT).filled('runtime_env: {env_vars: {A: "••••"}}', stored)

    assert ["expose.bootstrap"] == list(caught.value.fields)


@pytest.mark.parametrize(
    "text", ["", "import_path: a:b", "runtime_env: {env_vars: {}}", "[1, 2]", "{", "runtime_env: 1"]
)
def test_what_has_no_secrets_is_kept_as_it_is(text: str) -> None:
    """Nothing is sealed."""
    kept = Bootstraps(VAULT).sealed(expose(text))

    assert (text, "") == (kept.bootstrap, kept.sealed)
    assert text == Bootstraps(VAULT).opened(kept)


def test_another_key_or_name_opens_nothing() -> None:
    """It is said which, and that it is to be set anew."""
    kept = Bootstraps(VAULT).sealed(expose(TEXT))

    with pytest.raises(FailedPrecondition, match="set it anew"):
        Bootstraps(Vault(b"x" * KEY_BYTES)).opened(kept)
    with pytest.raises(FailedPrecondition):
        Bootstraps(VAULT).opened(dataclasses.replace(kept, name="other"))
