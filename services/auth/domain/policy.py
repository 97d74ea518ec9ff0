"""Which passwords are too easy to guess (NIST SP 800-63B §5.1.1.2: length and a list, no composition)."""

from collections.abc import Iterable

PASSWORD_CHARS_MIN = 8
_FIRST = """
00000000 01234567 0123456789 0987654321 1029384756 11111111 11223344 1122334455 12121212 123123123 12341234 12344321
12345678 123456789 1234567890 123456abc 123456789a 12345qwert 12qwaszx 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 1qaz2wsx3edc
1qazxsw2 55555555 66666666 87654321 88888888 987654321 99999999 a1b2c3d4 a123456789 aa123456 aa12345678 abc12345
abc123456 abcd1234 abcdefgh access14 admin123 admin1234 admin12345 admin123456 adminadmin administrator agentmesh
asdasdasd asdf1234 asdfasdf asdfghjk asdfghjkl baseball basketball bismillah blink182 butterfly changeme changeme1
changeme123 charlie1 chocolate computer corvette danielle default1 default123 dragon123 estrella football
football1 gfhjkmgfhjkm guest123 guestguest hello123 iloveyou iloveyou1 internet jennifer jordan23 kodosumi letmein1
letmein123 liverpool login123 logitech marlboro master123 maverick metallica michelle midnight mustang1 myspace1
newpassword nicholas p@ssw0rd p@ssword passw0rd password password! password1 password12 password123 password1234
passwort passwort1 pokemon1 princess princess1 q1w2e3r4 q1w2e3r4t5 qazwsxedc qwer1234 qwerasdf qwert123 qwerty12
qwerty123 qwerty1234 qwertyui qwertyuiop rootroot samantha secret12 secret123 spiderman starwars steelers sunshine
sunshine1 superman superuser swordfish test1234 testtest trustno1 unknown1 user1234 victoria welcome1 welcome123
whatever zaq12wsx zxcvbnm1 zxcvbnm123
"""
COMMON = frozenset(_FIRST.split())
"""Of at least eight characters, from public lists of the most used; in lower case."""


def too_easy(password: str, names: Iterable[str]) -> Iterable[str]:
    """Yield what makes a password too easy to guess.  `names` are what its owner is known by: login and e-mail."""
    plain = password.casefold()
    if len(password) < PASSWORD_CHARS_MIN:
        yield f"must have at least {PASSWORD_CHARS_MIN} characters"
    elif plain in COMMON or len(set(plain)) == 1:
        yield "is one of the first that are guessed: choose another"
    elif plain in {part.casefold() for name in names for part in (name, name.partition("@")[0])}:
        yield "must not be the name of who has it"
