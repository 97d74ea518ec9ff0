"""The mesh's log: objects for programs, sentences for people, and what of it is kept."""

import json
import pathlib

from agentmesh.supervisor import kept, speaking

SAID = {"event": "a host is silent", "level": "warning", "timestamp": "2026-01-31T10:00:00Z", "host": "h1"}


def test_a_line_of_a_service_stays_an_object() -> None:
    """Whose it is the supervisor says: an app that prints an object does not speak for a service."""
    line = json.dumps({**SAID, "process": "auth"}).encode()

    assert {**SAID, "process": "nursery"} == json.loads(speaking.json_line("nursery", line))


def test_any_other_line_becomes_one() -> None:
    """What is no text at all does not break it."""
    said = json.loads(speaking.json_line("nursery", b"{hello \xff"))

    assert ("nursery", "info", "{hello \ufffd") == (said["process"], said["level"], said["event"])


def test_people_read_a_sentence_and_the_traceback_below_it() -> None:
    """With its facts behind it; nothing moves the cursor."""
    line = json.dumps({**SAID, "exception": "Traceback:\n  boom\x1b[2J"}).encode()
    first, *below = speaking.text_line("runner", line).decode().splitlines()

    assert first.endswith(" runner   ! a host is silent  host=h1")
    assert ["    Traceback:", "      boom[2J"] == below
    assert b"\x1b[33m! a host is silent" in speaking.text_line("runner", line, colours=True)


def test_people_are_spared_lines_about_calls() -> None:
    """A call that was refused is the caller's affair; the log has it."""
    assert b"" == speaking.text_line("auth", json.dumps({**SAID, "event": "rpc", "level": "info"}).encode())
    assert b"" != speaking.text_line("auth", json.dumps({**SAID, "event": "rpc", "level": "error"}).encode())


def test_a_log_is_cut_into_pieces_and_the_oldest_is_forgotten(tmp_path: pathlib.Path) -> None:
    """It is for its owner's eyes, goes on where a mesh before ended, and takes so much and no more."""
    line = b"x" * (kept.PIECE_BYTES_MAX // 2) + b"\n"
    for _ in range(2):
        log = kept.Kept(tmp_path)
        for _ in range(kept.PIECES_MAX):
            log.write(line)
        log.close()

    files = kept.pieces(tmp_path)
    assert kept.PIECES_MAX == len(files)
    assert "mesh.jsonl" == files[-1].name
    assert {0o600} == {file.stat().st_mode & 0o777 for file in files}
    assert all(file.stat().st_size <= kept.PIECE_BYTES_MAX for file in files)


def test_where_no_log_can_be_kept_nobody_minds(tmp_path: pathlib.Path) -> None:
    """A file stands where the folder would be."""
    (tmp_path / kept.FOLDER).write_text("")
    log = kept.Kept(tmp_path)
    log.write(b"x\n")
    log.close()

    assert [] == kept.pieces(tmp_path)
