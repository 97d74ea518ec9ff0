"""LZ-string's `compressToUint8Array` and back (pieroxy/lz-string 1.5), as Masumi packs its identifiers.

The format: codes of a growing width, least significant bit first, in 16-bit big-endian words.  Codes 0 and 1
announce a new character of 8 or 16 bits, 2 ends the text, higher ones are phrases.
"""

_BYTE, _WORD, _END = 0, 1, 2


class _Bits:
    """Collects bits into 16-bit words."""

    def __init__(self) -> None:
        self._words = bytearray()
        self._value = 0
        self._count = 0

    def put(self, value: int, width: int) -> None:
        for _ in range(width):
            self._value = (self._value << 1) | (value & 1)
            value >>= 1
            self._count += 1
            if self._count == 16:
                self._words += self._value.to_bytes(2, "big")
                self._value = self._count = 0

    def finish(self) -> bytes:
        # At least one bit more, then zeros to the end of the word: as the original does.
        self.put(0, 16 - self._count)
        return bytes(self._words)


class _Width:
    """The width of the next code: one bit more each time as many phrases are known as it can tell apart."""

    def __init__(self, bits: int, left: int) -> None:
        self.bits = bits
        self._left = left

    def used(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._left = 1 << self.bits
            self.bits += 1


def compress(text: str) -> bytes:
    """Return `text` compressed; the same bytes as the JavaScript original gives."""
    out, width = _Bits(), _Width(2, 2)
    known: dict[str, int] = {}
    fresh: set[str] = set()

    def emit(phrase: str) -> None:
        if phrase in fresh:
            code = ord(phrase)
            out.put(_BYTE if code < 256 else _WORD, width.bits)
            out.put(code, 8 if code < 256 else 16)
            width.used()
            fresh.discard(phrase)
        else:
            out.put(known[phrase], width.bits)
        width.used()

    phrase = ""
    for char in text:
        if char not in known:
            known[char] = len(known) + 3
            fresh.add(char)
        if phrase + char in known:
            phrase += char
            continue
        emit(phrase)
        known[phrase + char] = len(known) + 3
        phrase = char
    if phrase:
        emit(phrase)
    out.put(_END, width.bits)
    return out.finish()


def decompress(data: bytes, chars_max: int) -> str:
    """Return the text in `data`.  Raises `ValueError` if it is not LZ-string, or longer than `chars_max`."""
    position = 0
    bits_max = len(data) * 8

    def take(width: int) -> int:
        nonlocal position
        if position + width > bits_max:
            raise ValueError("the text has no end")
        value = 0
        for shift in range(width):
            value |= (data[position >> 3] >> (7 - (position & 7)) & 1) << shift
            position += 1
        return value

    first = take(2)
    if first == _END:
        return ""
    if first not in (_BYTE, _WORD):
        raise ValueError("the first code is not a character")
    last = chr(take(8 if first == _BYTE else 16))
    phrases = {3: last}
    text, chars, width, following = [last], 1, _Width(3, 4), 4
    while (code := take(width.bits)) != _END:
        if code in (_BYTE, _WORD):
            phrases[following] = chr(take(8 if code == _BYTE else 16))
            code = following
            following += 1
            width.used()
        if code in phrases:
            entry = phrases[code]
        elif code == following:
            entry = last + last[0]
        else:
            raise ValueError("a code names no phrase")
        text.append(entry)
        chars += len(entry)
        if chars > chars_max:
            raise ValueError(f"the text is longer than {chars_max} characters")
        phrases[following] = last + entry[0]
        following += 1
        last = entry
        width.used()
    return "".join(text)
