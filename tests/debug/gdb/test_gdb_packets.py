"""Packets of gdb's remote serial protocol, GDB manual appendix E.1."""

from __future__ import annotations

import random

import pytest
from gdb_peer import plain

from armvcpu.debug.gdb.packets import Reader, Sign, escaped, framed, shortened, unescaped


def test_a_packet_has_the_sum_of_its_bytes_behind_it():
    """The manual's own example of a packet without data, and one with."""
    assert framed(b"") == b"$#00"
    assert framed(b"OK") == b"$OK#9a"


def test_packets_come_out_whole_however_the_stream_is_cut():
    """A packet, its acknowledgement and an interrupt, byte by byte."""
    stream, reader, found = b"+$m40000000,4#51\x03$?#3f-", Reader(), []
    for byte in stream:
        found += reader.feed(bytes((byte,)))
    assert found == [Sign.ACK, b"m40000000,4", Sign.INTERRUPT, b"?", Sign.NACK] == Reader().feed(stream)


@pytest.mark.parametrize("stream", [b"$OK#9b", b"$OK#zz", b"$OK# 9a"[:6], b"$OK#-1"])
def test_a_wrong_checksum_is_told(stream):
    """One that does not fit, and ones that are no two hexadecimal digits."""
    assert Reader().feed(stream) == [Sign.DAMAGED]


def test_what_is_no_packet_is_skipped():
    """A web browser's request, half a packet, and then a whole one."""
    assert Reader().feed(b"GET / HTTP/1.0\r\n\r\n$half of$OK#9a") == [b"OK"]


def test_a_packet_without_an_end_takes_no_memory():
    """Garbage of any length is dropped, and told."""
    reader = Reader()
    found = [sign for _ in range(100) for sign in reader.feed(b"$" + b"a" * 10_000)]
    assert set(found) == {Sign.DAMAGED}
    assert reader.feed(b"$OK#9a")[-1] == b"OK"


def test_binary_data_comes_back_as_it_was():
    """Every byte, and every pair of those that are escaped."""
    for data in (bytes(range(256)), bytes(b for x in b"#$}*" for y in b"#$}*\x03\x5d" for b in (x, y)), b"", b"}"):
        whole = escaped(data)
        assert not set(whole) & set(b"#$*")
        assert unescaped(whole) == data
        assert Reader().feed(framed(whole)) == [data]


@pytest.mark.parametrize("count", range(1, 220))
def test_a_run_length_is_what_it_was(count):
    """For every length: no count is a character that means something else."""
    text = b"T" + b"0" * count + b"1"
    short = shortened(text)
    assert plain(short) == text
    assert not set(short) & set(b"#$+-")
    assert len(short) <= len(text)


def test_run_lengths_of_any_text():
    """Random text of few letters has many runs."""
    for seed in range(200):
        text = bytes(random.Random(seed).choices(b"0f1", [8, 3, 1], k=300))
        assert plain(shortened(text)) == text
