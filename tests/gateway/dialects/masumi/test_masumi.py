"""The masumi dialect over real HTTP: envelopes, words, statuses and shapes, against the embedded ledger."""

import grpc
import pytest
from agentmesh_protos.payments.v1 import ledger_pb2, ledger_pb2_grpc

from tests.gateway.dialects.masumi.escrows import (
    AGENT,
    COMMON_KEYS,
    DEV,
    HISTORY_KEYS,
    NOTEBOOK_VKEY,
    call,
    data,
    iso,
    paid,
    payment_body,
    purchase_body,
    refused,
    until,
)
from tests.gateway.stack import LEDGER_TOKEN, Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_health_is_open(edge: Edge) -> None:
    """Without a token."""
    response = await call(edge, "GET", "health", headers={})

    assert {"status": "success", "data": {"status": "ok"}} == response.json()


async def test_a_key_says_what_it_may(edge: Edge) -> None:
    """With the fields of the service's own OpenAPI; the token is what its holder has sent."""
    key = await data(edge, "GET", "api-key-status")

    assert ["Preprod", "Mainnet"] == key["NetworkLimit"]
    assert (True, True, False) == (key["canRead"], key["canPay"], key["canAdmin"])
    assert key["token"] == DEV["token"]
    assert (key["walletScopeEnabled"], key["WalletScopes"], key["status"]) == (False, [], "Active")


async def test_no_token_and_a_wrong_one_are_401(edge: Edge) -> None:
    """In the service's words, before the body is looked at."""
    no = await refused(edge, 401, "POST", "payment", {}, headers={})
    wrong = await refused(edge, 401, "POST", "payment", {}, headers={"token": "nobody"})

    assert "Unauthorized, no authentication token provided" == no
    assert "Unauthorized, invalid authentication token provided" == wrong


async def test_a_payment_has_every_key(edge: Edge) -> None:
    """And the values of a fresh request."""
    made = await data(edge, "POST", "payment/", payment_body(metadata="a job"))

    assert COMMON_KEYS | {"RequestedFunds", "BuyerWallet"} == set(made)
    assert made["onChainState"] is None
    assert made["resultHash"] == ""
    assert made["BuyerWallet"] is None
    assert made["metadata"] == "a job"
    assert [{"amount": "10000000", "unit": ""}] == made["RequestedFunds"]
    assert {"id", "walletVkey", "walletAddress"} == set(made["SmartContractWallet"])
    assert {
        "requestedAction": "WaitingForExternalAction",
        "errorType": None,
        "errorNote": None,
        "resultHash": None,
    } == (made["NextAction"])
    assert 6 * 3_600_000 == int(made["unlockTime"]) - int(made["submitResultTime"])
    assert 12 * 3_600_000 == int(made["externalDisputeUnlockTime"]) - int(made["submitResultTime"])


async def test_the_notebooks_purchase_is_taken_as_printed(edge: Edge) -> None:
    """Its answer has the notebook's keys and values; the seller's key is echoed."""
    made = await data(edge, "POST", "payment/", payment_body())

    bought = await data(edge, "POST", "purchase/", purchase_body(made))

    assert bought["CurrentTransaction"] is None
    assert {"errorNote": None, "errorType": None, "requestedAction": "FundsLockingRequested"} == bought["NextAction"]
    assert [{"amount": "10000000", "unit": ""}] == bought["PaidFunds"]
    source = bought["PaymentSource"]
    assert "Preprod" == source["network"]
    assert AGENT[:56] == source["policyId"]
    assert "addr_test1wz7j4kmg2cs7yf92uat3ed4a3u97kr7axxr4avaz0lhwdsqukgwfm" == source["smartContractAddress"]
    assert NOTEBOOK_VKEY == bought["SellerWallet"]["walletVkey"]
    assert bought["SmartContractWallet"] is None
    assert [] == bought["WithdrawnForBuyer"] == bought["WithdrawnForSeller"]
    assert COMMON_KEYS | {"PaidFunds", "SellerWallet"} == set(bought)


async def test_a_second_purchase_is_409_with_the_first(edge: Edge) -> None:
    """Row 4: beside the error stand the id and the object."""
    made = await data(edge, "POST", "payment", payment_body())
    first = await data(edge, "POST", "purchase", purchase_body(made))

    second = await call(edge, "POST", "purchase", purchase_body(made))

    assert 409 == second.status_code
    assert {"message": "Purchase exists"} == second.json()["error"]
    assert first["id"] == second.json()["id"] == second.json()["object"]["id"]


async def test_all_that_is_wrong_is_said_at_once(edge: Edge) -> None:
    """As the original's schema does; offsets and numbers are no times (row 16)."""
    wrong = payment_body(
        network="Testnet", payByTime=1765445305000, submitResultTime="2030-01-01T00:00:00+00:00", metadata=7
    )

    message = await refused(edge, 400, "POST", "payment", wrong)

    assert 'network: Invalid option: expected one of "Preprod"|"Mainnet"' in message.split("; ")
    assert "payByTime: Invalid input" in message.split("; ")
    assert "submitResultTime: Invalid input" in message.split("; ")
    assert "metadata: Invalid input: expected string, received number" in message.split("; ")


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        ("g" * 14, "Purchaser identifier is not a valid hex string"),
        ("a" * 15, "Purchaser identifier is not a valid hex string"),
        ("a" * 13, "identifierFromPurchaser: Too small: expected string to have >=14 characters"),
        ("a" * 27, "identifierFromPurchaser: Too big: expected string to have <=26 characters"),
    ],
)
async def test_a_purchaser_identifier_is_hex(edge: Edge, identifier: str, message: str) -> None:
    """Row 15: 14 to 26 digits, an even number."""
    assert message == await refused(edge, 400, "POST", "payment", payment_body(identifierFromPurchaser=identifier))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"null"])
async def test_what_is_no_object_is_400(edge: Edge, body: bytes) -> None:
    """Never a 500."""
    response = await edge.http.post(
        "/api/v1/purchase", content=body, headers={**DEV, "content-type": "application/json"}
    )

    assert 400 == response.status_code
    assert "error" == response.json()["status"]


async def test_an_unknown_path_answers_in_the_same_shape(edge: Edge) -> None:
    """Below the dialect's prefixes only."""
    response = await call(edge, "GET", "payment/nothing/here")

    assert 404 == response.status_code
    assert {"status": "error", "error": {"message": "Not Found"}} == response.json()


async def test_a_payment_goes_its_way(edge: Edge) -> None:
    """Locked, submitted once, tracked by diff; histories come when they are asked for."""
    locked = await paid(edge)
    identifier = {"blockchainIdentifier": locked["blockchainIdentifier"], "network": "Preprod"}
    submit = {**identifier, "submitResultHash": "ab" * 32}

    asked = await data(edge, "POST", "payment/submit-result", submit)
    again = await refused(edge, 404, "POST", "payment/submit-result", submit)
    await until(edge, locked, "ResultSubmitted")
    for path in ("diff", "diff/next-action", "diff/onchain-state-or-result"):
        changed = await data(edge, "GET", f"payment/{path}", network="Preprod", lastUpdate=iso(-60), limit=100)
        mine = [item for item in changed["Payments"] if item["id"] == locked["id"]]
        assert "ResultSubmitted" == mine[0]["onChainState"]
    full = await data(edge, "POST", "payment/resolve-blockchain-identifier", {**identifier, "includeHistory": "true"})

    assert "SubmitResultRequested" == asked["NextAction"]["requestedAction"]
    assert "ab" * 32 == asked["NextAction"]["resultHash"]
    assert "Payment not found or in invalid state" == again
    assert locked["BuyerWallet"] is not None
    assert "ab" * 32 == full["resultHash"]
    assert ["FundsLocked"] == [tx["newOnChainState"] for tx in full["TransactionHistory"]]
    assert "ResultSubmitted" == full["CurrentTransaction"]["newOnChainState"]
    assert full["cooldownTime"] > 0
    assert HISTORY_KEYS <= set(full)
    past = full["ActionHistory"][0]
    assert set(past) == {
        *("id", "createdAt", "updatedAt", "submittedTxHash", "requestedAction", "errorType", "errorNote", "resultHash")
    }
    assert len({action["id"] for action in full["ActionHistory"]}) == len(full["ActionHistory"])


async def test_lists_are_inclusive_and_bounded(edge: Edge) -> None:
    """Row 25: the cursor's record comes again; a limit above 100 is refused."""
    for _ in range(3):
        await data(edge, "POST", "payment", payment_body())
    first = (await data(edge, "GET", "payment/", network="Preprod", limit=2))["Payments"]

    second = (await data(edge, "GET", "payment", network="Preprod", limit=2, cursorId=first[-1]["id"]))["Payments"]
    total = (await data(edge, "GET", "payment/count", network="Preprod"))["total"]

    assert first[-1]["id"] == second[0]["id"]
    assert first[0]["ActionHistory"] is None
    assert total >= 3
    assert "limit: Too big: expected number to be <=100" == await refused(
        edge, 400, "GET", "payment", network="Preprod", limit=101
    )


async def test_filters_of_lists_narrow_them(edge: Edge) -> None:
    """By state, by text, by contract and by kind; what is no state or kind is refused."""
    await data(edge, "POST", "payment", payment_body())
    locked = await paid(edge)
    contract = locked["PaymentSource"]["smartContractAddress"]

    async def ids(**query: str) -> set[str]:
        found = await data(edge, "GET", "payment", network="Preprod", limit=100, **query)
        return {record["blockchainIdentifier"] for record in found["Payments"]}

    everything = await ids()
    mine = locked["blockchainIdentifier"]

    assert mine in await ids(filterOnChainState="FundsLocked") < everything
    assert set() == await ids(filterOnChainState="Disputed")
    assert {mine} == await ids(searchQuery=mine[10:90].upper())
    assert set() == await ids(searchQuery="no_such%thing")
    assert set() == await ids(searchQuery="blockchain_identifier")
    assert set() == await ids(filterNeedsManualAction="true")
    assert everything == await ids(filterNeedsManualAction="false")
    assert everything == await ids(filterSmartContractAddress=contract, filterPaymentSourceType="Web3CardanoV1")
    assert set() == await ids(filterSmartContractAddress=contract[:-1])
    assert set() == await ids(filterPaymentSourceType="Web3CardanoV2")
    for field in ("filterOnChainState", "filterPaymentSourceType"):
        said = await refused(edge, 400, "GET", "payment", network="Preprod", **{field: "Nonsense"})
        assert f"{field}: Invalid option" in said


async def test_an_agent_is_registered_read_and_removed(edge: Edge) -> None:
    """With the price it was given; a free one is never paid for (row 18)."""
    source = (await data(edge, "GET", "payment-source"))["PaymentSources"][0]
    body = {
        "network": "Preprod",
        "sellingWalletVkey": source["SellingWallets"][0]["walletVkey"],
        "name": "An agent",
        "description": "It does.",
        "apiBaseUrl": "https://agent.example.com",
        "Tags": ["test"],
        "AgentPricing": {"pricingType": "Free"},
    }
    made = await data(edge, "POST", "registry", body)
    where = {"network": "Preprod", "agentIdentifier": made["agentIdentifier"]}

    read = await data(edge, "GET", "registry/agent-identifier", **where)
    free = await refused(edge, 400, "POST", "payment", payment_body(agentIdentifier=made["agentIdentifier"]))
    listed = await data(edge, "GET", "registry", network="Preprod")
    held = await data(edge, "GET", "registry/wallet", network="Preprod", walletVKey=body["sellingWalletVkey"])
    later = await data(edge, "GET", "registry/wallet", network="Preprod", walletVkey=body["sellingWalletVkey"])
    assert later == held
    assert made["Legal"] == {"privacyPolicy": None, "terms": None, "other": None}
    assert made["Author"] == {"name": "", "contactEmail": None, "contactOther": None, "organization": None}
    assert (made["error"], made["type"], made["paymentSourceType"]) == (None, "Standard", "Web3CardanoV1")
    assert source["AdminWallets"] == []
    assert source["FeeReceiverNetworkWallet"]["walletAddress"].startswith("addr_test1")
    assert {"createdAt", "updatedAt", "lastIdentifierChecked", "lastCheckedAt"} <= set(source)
    assert (source["SellingWallets"][0]["collectionAddress"], source["SellingWallets"][0]["note"]) == (None, None)
    await refused(edge, 400, "DELETE", "registry", {"id": made["id"]})
    gone = await data(edge, "POST", "registry/deregister", where)
    await data(edge, "DELETE", "registry", {"id": made["id"]})

    assert "RegistrationConfirmed" == made["state"]
    assert {"pricingType": "Free"} == read["Metadata"]["AgentPricing"]
    assert "Pricing type not supported for payments" == free
    assert made["agentIdentifier"] in [item["agentIdentifier"] for item in listed["Assets"]]
    assert made["agentIdentifier"] in [item["agentIdentifier"] for item in held["Assets"]]
    assert "DeregistrationConfirmed" == gone["state"]


async def test_controls_are_for_operators(edge: Edge) -> None:
    """A token of the ledger is no login; nobody and users are refused."""
    user = await edge.new_user("masumi-user")

    assert 401 == (await call(edge, "GET", "dev/clock")).status_code
    assert 403 == (await call(edge, "GET", "dev/balances", headers=user)).status_code
    assert 200 == (await call(edge, "GET", "dev/clock", headers=edge.operator)).status_code


async def test_an_operator_makes_keys(edge: Edge) -> None:
    """By typed gRPC; the key has wallets of its own, may do what it was allowed to, and can be revoked."""
    metadata = tuple((name.lower(), value) for name, value in edge.operator.items())
    async with grpc.aio.insecure_channel(edge.address) as channel:
        control = ledger_pb2_grpc.LedgerControlServiceStub(channel)
        asked = ledger_pb2.LedgerKey(display_name="reader", can_read=True, networks=["Preprod"])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await control.CreateLedgerKey(ledger_pb2.CreateLedgerKeyRequest(key=asked), timeout=30)
        made = await control.CreateLedgerKey(
            ledger_pb2.CreateLedgerKeyRequest(key=asked), metadata=metadata, timeout=10
        )
        headers = {"token": made.token}
        read = await call(edge, "GET", "payment", headers=headers, network="Preprod")
        elsewhere = await refused(edge, 401, "GET", "payment", headers=headers, network="Mainnet")
        pay = await refused(edge, 401, "POST", "payment", payment_body(), headers=headers)
        await control.RevokeLedgerKey(ledger_pb2.RevokeLedgerKeyRequest(id=made.key.id), metadata=metadata, timeout=30)
        revoked = await refused(edge, 401, "GET", "payment", headers=headers, network="Preprod")

    assert grpc.StatusCode.UNAUTHENTICATED is caught.value.code()
    assert 200 == read.status_code
    assert "Unauthorized, network not allowed" == elsewhere
    assert "Unauthorized, payment access required" == pay
    assert "Unauthorized, authentication token has been revoked" == revoked


async def test_a_key_sees_its_own_records(edge: Edge) -> None:
    """In lists, changes, counts and by their identifier; an admin's sees all."""
    made = await data(edge, "POST", "payment", payment_body())
    body = {"blockchainIdentifier": made["blockchainIdentifier"], "network": "Preprod"}
    found = {}
    for name in ("can_read", "can_admin"):
        key = {"displayName": f"sees {name}", "canRead": True, "canAdmin": name == "can_admin", "networks": ["Preprod"]}
        answer = await edge.http.post("/mesh/v1/ledger/keys", json={"key": key}, headers=edge.operator)
        headers = {"token": answer.json()["token"]}
        listed = await call(edge, "GET", "payment", headers=headers, network="Preprod", limit=100)
        changed = await call(edge, "GET", "payment/diff", headers=headers, network="Preprod", lastUpdate=iso(-3600))
        counted = await call(edge, "GET", "payment/count", headers=headers, network="Preprod")
        resolved = await call(edge, "POST", "payment/resolve-blockchain-identifier", body, headers=headers)
        found[name] = (
            bool(listed.json()["data"]["Payments"]),
            bool(changed.json()["data"]["Payments"]),
            counted.json()["data"]["total"] > 0,
            resolved.status_code,
        )

    assert (False, False, False, 404) == found["can_read"]
    assert (True, True, True, 200) == found["can_admin"]


async def test_the_token_for_developers_is_told_to_operators(edge: Edge) -> None:
    """And is in a file that its owner alone may read."""
    user = await edge.new_user("developer")
    path = "/mesh/v1/ledger/developmentToken"
    told = await edge.http.get(path, headers=edge.operator)
    refused_ = await edge.http.get(path, headers=user)

    assert {"token": LEDGER_TOKEN} == told.json()
    assert 403 == refused_.status_code


async def test_only_services_reach_the_ledger_itself(edge: Edge) -> None:
    """A good key does not make up for it: people use the dialect."""
    metadata = tuple((name.lower(), value) for name, value in edge.operator.items())
    async with grpc.aio.insecure_channel(edge.address) as channel:
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetLedgerKey(ledger_pb2.GetLedgerKeyRequest(token="dev"), metadata=metadata, timeout=30)

    assert grpc.StatusCode.PERMISSION_DENIED is caught.value.code()


async def test_a_lost_answer_leaves_one_payment(edge: Edge) -> None:
    """Row 23: 504, but the request is there and can be found by its metadata in the diff."""
    await call(edge, "POST", "dev/faults", {"call": "payment", "kind": "lost"}, headers=edge.operator)
    since = iso(-5)

    lost = await refused(edge, 504, "POST", "payment", payment_body(metadata="lost once"))

    found = (await data(edge, "GET", "payment/diff", network="Preprod", lastUpdate=since, limit=100))["Payments"]
    assert "Gateway Timeout" == lost
    assert 1 == len([item for item in found if item["metadata"] == "lost once"])


async def test_an_injected_error_is_counted(edge: Edge) -> None:
    """It happens once, with its status, and nothing is made."""
    fault = {"call": "payment/resolve", "kind": "error", "status": 503}
    made = await data(edge, "POST", "payment", payment_body())
    await call(edge, "POST", "dev/faults", fault, headers=edge.operator)
    body = {"blockchainIdentifier": made["blockchainIdentifier"], "network": "Preprod"}

    first = await refused(edge, 503, "POST", "payment/resolve-blockchain-identifier", body)
    second = await data(edge, "POST", "payment/resolve-blockchain-identifier", body)

    assert "Service Unavailable" == first
    assert made["id"] == second["id"]


async def test_balances_sum_to_zero(edge: Edge) -> None:
    """For each unit, with money in escrow."""
    await paid(edge)

    response = await call(edge, "GET", "dev/balances", headers=edge.operator)

    balances = response.json()["data"]["Balances"]
    assert 0 == sum(int(item["amount"]) for item in balances if item["unit"] == "")
    assert any(item["account"].startswith("escrow:") for item in balances)


@pytest.mark.parametrize("path", ["webhooks", "wallet/low-balance", "api-key", "payment/nope", "x402/networks"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_not_served_is_told_in_the_service_s_words(edge: Edge, method: str, path: str) -> None:
    """404 in the payment service's envelope, not in the panel's."""
    response = await call(edge, method, path, {} if method == "POST" else None)

    assert response.status_code == 404
    assert set(response.json()) == {"status", "error"}
    assert (response.json()["status"], list(response.json()["error"])) == ("error", ["message"])
