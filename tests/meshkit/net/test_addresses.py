"""Addresses: which may be called on somebody's behalf."""

import pytest

from meshkit.net.addresses import host_problem, is_public, literal, url_problem


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"],
)
def test_the_internet_is_public(address: str) -> None:
    """Also where IPv6 carries an address of IPv4 that is."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2001:db8::1",
        "2001:0:a00:1::80ff:fffe",
        "2002:7f00:1::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_everything_else_is_not(address: str) -> None:
    """Loopback, private, link-local, shared, reserved, documentation, multicast, and IPv6 that carries such."""
    assert not is_public(address)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::1%lo", "::1"),
        ("0", "0.0.0.0"),
    ],
)
def test_an_address_is_one_in_any_spelling(host: str, address: str) -> None:
    """All that a resolver takes for one; a name is none."""
    assert str(literal(host)) == address
    assert host_problem(host)
    assert literal("example.com") is None


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com:8080/a?b=c#d",
        "https://bücher.example/x",
        "https://xn--bcher-kva.example",
        "https://1.1.1.1/x",
        "https://[2606:4700:4700::1111]/",
        "https://a_b.example.com./",
        "https://3com.com",
    ],
)
def test_a_url_that_may_be_called(url: str) -> None:
    """A public name or address."""
    assert url_problem(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com",
        "/x",
        "ftp://example.com",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http:///x",
        "http://exa mple.com",
        "http://example.com/\n",
        "http://example.com\\@127.0.0.1/",
        "http://user@example.com",
        "http://user:pass@example.com",
        "http://example.com:99999",
        "http://example.com:0",
        "http://example.com:x",
        "http://[::1",
        "http://1.2.3.4.5/",
        "http://999.1.1.1/",
        "http://-a.com/",
        "http://a..b/",
        "http://" + "a" * 64 + ".com/",
        "http://example.com/" + "x" * 2000,
    ],
)
def test_what_is_no_url_for_us_is_refused_though_private_be_allowed(url: str) -> None:
    """It is not a matter of where it leads."""
    assert url_problem(url)
    assert url_problem(url, private=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "http://LOCALHOST.:80/",
        "http://a.localhost/",
        "http://printer.local/",
        "http://metadata.google.internal/",
        "http://router.home.arpa/",
        "http://127.0.0.1:3370/",
        "http://2130706433/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://１２７.0.0.1/",
        "http://127。0。0。1/",
        "http://ⓛocalhost/",
    ],
)
def test_what_is_near_is_refused_unless_allowed(url: str) -> None:
    """This machine and this network, in any spelling."""
    assert url_problem(url)


@pytest.mark.parametrize("url", ["http://localhost:8000/x", "http://127.0.0.1", "http://[::1]:80/", "http://10.0.0.1"])
def test_what_is_near_can_be_allowed(url: str) -> None:
    """For a mesh whose operator says so."""
    assert url_problem(url, private=True) == ""
