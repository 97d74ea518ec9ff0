"""Who keeps the escrows, as configured."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from services.payments.config import Config, LedgerNetwork, MasumiNetwork

GOOD: dict[str, Any] = {"provider": "masumi", "url": "https://pay.example.com", "token": "a-secret-key"}


@pytest.mark.parametrize(("host", "networks"), [("127.0.0.1", 2), ("localhost", 2), ("::1", 2), ("0.0.0.0", 0)])
def test_a_laptop_has_a_ledger(host: str, networks: int) -> None:
    """Where strangers can reach it there is none unless it is asked for."""
    found = Config(host=host).networks

    assert len(found) == networks
    assert all(isinstance(network, LedgerNetwork) for network in found.values())


def test_networks_are_configured_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by itself; the path of the API is added."""
    networks = {"Mainnet": GOOD, "Preprod": {"provider": "ledger"}}
    monkeypatch.setenv("AGENTMESH_PAYMENTS", json.dumps(networks))
    found = Config(host="0.0.0.0").networks

    assert isinstance(found["Mainnet"], MasumiNetwork)
    assert found["Mainnet"].url == "https://pay.example.com/api/v1"
    assert isinstance(found["Preprod"], LedgerNetwork)


@pytest.mark.parametrize("url", ["http://localhost:3001/api/v1", "http://127.0.0.1:1/api/v1", "http://[::1]:1/api/v1"])
def test_plain_http_stays_on_this_machine(url: str) -> None:
    """There the token is seen by nobody else."""
    assert MasumiNetwork(**{**GOOD, "url": url}).url == url


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://pay.example.com"},
        {"url": "https://"},
        {"url": "ftp://pay.example.com"},
        {"url": "https://user:pw@pay.example.com"},
        {"url": "https://pay.example.com?token=x"},
        {"token": ""},
        {"token": "a b"},
        {"token": "a\nb"},
        {"provider": "bank"},
        {"tokn": "x"},
        {"timeout_s": 0},
    ],
)
def test_what_is_wrong_is_told_without_the_key(wrong: dict[str, Any]) -> None:
    """A log is no place for it."""
    with pytest.raises(ValidationError) as caught:
        Config(payments={"Mainnet": {**GOOD, **wrong}})  # type: ignore[dict-item]

    assert "a-secret-key" not in str(caught.value)
    assert "a-secret-key" not in repr(MasumiNetwork(**GOOD))


@pytest.mark.parametrize("text", ["{", "[]", '{"Testnet": {"provider": "ledger"}}', '{"Preprod": {}}'])
def test_what_is_not_a_configuration_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """With the setting's name."""
    monkeypatch.setenv("AGENTMESH_PAYMENTS", text)
    with pytest.raises(ValidationError, match="payments"):
        Config()


def test_windows_that_nobody_can_keep_are_refused() -> None:
    """There are five minutes at least between paying and delivering."""
    with pytest.raises(ValidationError, match="AGENTMESH_PAY_WINDOW_S"):
        Config(pay_window_s=3500, submit_window_s=3600)
