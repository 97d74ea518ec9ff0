"""What the page of a flow makes of its form."""

from gateway.web.panel.flows import problems, run_url


def test_what_concerns_no_field_is_said_above_the_form() -> None:
    """And how many fields there are to see to."""
    elements = [{"name": "a"}, {"name": "b"}]

    assert [] == problems(elements, {})
    assert ["no", "One field needs another look."] == problems(elements, {"_global_": ["no"], "a": ["wrong"]})
    assert ["2 fields need another look."] == problems(elements, {"a": ["wrong"], "b": ["wrong"]})


def test_a_flow_has_an_address() -> None:
    """Names are quoted."""
    assert "/panel/run/prime/async%20one" == run_url("flows/prime/async one")
